"""Where a cluster's shared volume is; that what the controller still holds reaches it."""

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from clusterous_api import names
from clusterous_cli.cluster.addresses import addresses
from clusterous_cli.cluster.config import VolumeType, without_volume
from clusterous_cli.data.transfer import Volume
from clusterous_cli.reach import ssh

if TYPE_CHECKING:  # it loads all of AWS
    from clusterous_cli.cluster.record import Cluster


def of(cluster: "Cluster") -> Volume:
    """The cluster's shared volume."""
    return by(cluster.record, cluster.name)


def is_shared(record: Mapping[str, Any]) -> bool:
    """Whether the cluster of that *record* was made with a volume that all its nodes share."""
    return bool(record["config"]["volume"]["type"] != VolumeType.NONE)


def by(record: Mapping[str, Any], name: str) -> Volume:
    """The shared volume of the cluster *name*, by its *record*; the address of one on EFS follows
    from the network's."""
    config = record["config"]
    if not is_shared(record):
        raise without_volume(name)
    if config["volume"]["type"] == VolumeType.EBS:
        return Volume(server=None)
    return Volume(server=addresses(config["cidr"]).volume)


def flush(access: ssh.Access) -> None:
    """Let the volume have all that was written on the controller, and by workers and synced."""
    root = shlex.quote(names.VOLUME_PATH)
    unserved = "{ echo the volume is not mounted; exit 1; } >&2"
    script = f"mountpoint -q {root} || {unserved}\nsudo sync -f {root}"
    ssh.run(access, ssh.CONTROLLER, script, timeout=120)
