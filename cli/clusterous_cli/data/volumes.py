"""Where a cluster's shared volume is."""

from clusterous_api.errors import UserError
from clusterous_cli.cluster.addresses import addresses
from clusterous_cli.cluster.config import VolumeType
from clusterous_cli.cluster.record import Cluster
from clusterous_cli.data.transfer import Volume


def of(cluster: Cluster) -> Volume:
    """The cluster's shared volume; the address of one on EFS follows from the network's."""
    config = cluster.record["config"]
    if config["volume"]["type"] == VolumeType.NONE:
        raise UserError(f"{cluster.name} was made without a shared volume (volume: none).")
    if config["volume"]["type"] == VolumeType.EBS:
        return Volume(server=None)
    return Volume(server=addresses(config["cidr"]).volume)
