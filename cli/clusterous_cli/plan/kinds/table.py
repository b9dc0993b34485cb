"""All kinds. A new one is a place in its family's module, and a line here."""

from typing import Final

from clusterous_cli.plan.kinds import access, addons, files, homes, images, machines, network
from clusterous_cli.plan.kinds.kind import Kind, Resource, Wish
from clusterous_cli.plan.kinds.kubernetes import balancers, claims
from clusterous_cli.plan.kinds.volume import attachment, ebs, efs, note, snapshot, state

ALL: Final[tuple[Kind, ...]] = (
    network.VPC,
    network.VPC_DNS,
    network.GATEWAY,
    network.GATEWAY_LINK,
    network.ADDRESS,
    network.NAT,
    network.ENDPOINT,
    network.SUBNET,
    network.TABLE,
    network.TABLE_LINK,
    network.ROUTE,
    network.INTERFACE,
    balancers.BALANCER,
    access.GROUP,
    access.RULES,
    access.ROLE,
    access.POLICY,
    access.PROFILE,
    access.PROFILE_LINK,
    files.BUCKET,
    files.BLOCK,
    files.ENCRYPTION,
    files.BUCKET_POLICY,
    files.LIFECYCLE,
    files.OBJECT,
    addons.ADDONS,
    efs.FILE_SYSTEM,
    efs.GIVEN,
    efs.MOUNT_TARGET,
    ebs.VOLUME,
    ebs.GIVEN,
    state.VOLUME,
    state.NOTE,
    attachment.ATTACHMENT,
    note.NOTE,
    machines.MACHINES,
    homes.HOMES,
    machines.GRAVE,
    machines.DISK,
    claims.CLAIM,
    snapshot.SNAPSHOT,
    machines.KEY_PAIR,
    images.REPOSITORY,
    images.SHARED,
)


def wanted(wish: Wish) -> tuple[Resource, ...]:
    """Return everything that the cluster is made of."""
    return tuple(resource for kind in ALL for resource in kind.wants(wish))
