"""What there is in the account, read from the simulator's own store and never from the product."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from clusterous_api import names
from tests.region.aws import store
from tests.region.aws.server import AwsServer
from tests.sequences.model import Volume

LIVING: Final = ("pending", "running", "stopping", "stopped")
GONE: Final = ("deleting", "deleted", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine that lives."""

    type: str
    zone: str
    is_on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A volume that is no machine's own; *role* is what it is of its cluster, nothing if nobody's.

    *holder* is the machine that has it.
    """

    volume: Volume
    role: str
    holder: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The account: machines by pool and id, volumes by id, and the *ground* beneath the machines.

    Nothing of the ground bears an id, so that two that are alike are equal.
    """

    machines: Mapping[str, Mapping[str, Machine]]
    disks: Mapping[str, Disk]
    copies: frozenset[str]
    ground: tuple[str, ...]


def look(server: AwsServer) -> Seen:
    """Look into the store."""
    with server.world.lock:
        server.world.timers.run_due()
        machines: dict[str, dict[str, Machine]] = {}
        for one in store.ec2().all_instances():
            if one._state.name in LIVING:
                pool = _tags(one).get(names.TAG_POOL, "")
                machines.setdefault(pool, {})[one.id] = Machine(
                    type=one.instance_type,
                    zone=one.placement.zone,
                    is_on=one._state.name in ("pending", "running"),
                )
        own = (one for one in store.ec2().snapshots.values() if one.from_ami is None)
        return Seen(
            machines=machines,
            disks={**_volumes(), **_file_systems()},
            copies=frozenset(one.id for one in own),
            ground=tuple(sorted(_ground(server))),
        )


def _tags(one: Any) -> dict[str, str]:
    return {str(tag["key"]): str(tag["value"]) for tag in one.get_tags()}


def _volumes() -> dict[str, Disk]:
    found = {}
    for one in store.ec2().volumes.values():
        held = one.attachment
        if held is not None and held.device == held.instance.root_device_name:
            continue
        volume = Volume(
            type="ebs", size=int(one.size), iops=int(one.iops or 3000),
            throughput=int(one.throughput or 125), zone=one.zone.name,
        )  # fmt: skip
        found[one.id] = _disk(volume, _tags(one), held.instance.id if held else None)
    return found


def _file_systems() -> dict[str, Disk]:
    found = {}
    for id in store.efs().file_systems_by_id:
        tags = store.efs().tagging_service.get_tag_dict_for_resource(id)
        found[id] = _disk(Volume(type="efs"), tags, None)
    return found


def _disk(volume: Volume, tags: Mapping[str, str], holder: str | None) -> Disk:
    ours = tags.get(names.TAG_CLUSTER) is not None
    role = tags.get(names.TAG_ROLE, "?") if ours else ""
    return Disk(volume=volume, role=role, holder=holder)


# -- what machines stand on -----------------------------------------------------------------------


def _ground(server: AwsServer) -> Iterable[str]:
    view, backend = server.snapshot(), store.ec2()
    called = {group.id: group.name for group in view.security_groups}
    tables = {
        table.id: _tags(backend.route_tables[table.id]).get(names.TAG_ROLE, "main")
        for table in view.route_tables
    }
    yield from (f"network {one.cidr} {bool(one.igw_id)}" for one in view.vpcs)
    for one in view.subnets:
        yield f"subnet {one.cidr} in {one.zone} by {tables.get(one.route_table_id)}"
    for table in view.route_tables:
        ways = sorted(f"{_where(way.destination)} by {_kind(way.target)}" for way in table.routes)
        yield f"table {tables[table.id]}: {ways}"
    for nat in view.nat_gateways:
        if nat.state not in GONE:
            yield f"nat gateway {nat.state}"
    for group in view.security_groups:
        for side, rules in (("in", group.ingress), ("out", group.egress)):
            for rule in rules:
                of = sorted((*rule.cidrs, *(called.get(id, id) for id in rule.group_ids)))
                ports = f"{rule.protocol} {rule.from_port}-{rule.to_port}"
                lists = len(rule.prefix_list_ids)
                yield f"group {group.name} {side} {ports} {of} {lists}"
    for end in backend.vpc_end_points.values():
        if end.state not in GONE:
            by = sorted(tables.get(id, "?") for id in end.route_table_ids)
            yield f"endpoint {end.service_name} {end.state} {by}"
    yield f"{len(backend.addresses)} addresses"
    yield from (f"mount target {one.ip} {one.state}" for one in view.mount_targets)
    yield from _access()
    for bucket in server.world.buckets.all():
        yield f"bucket {bucket.name} {sorted(bucket.documents.items())}"


def _where(destination: str) -> str:
    return "S3" if destination.startswith("pl-") else destination


def _kind(target: str) -> str:
    return target.rpartition("-")[0] or target


def _access() -> Iterable[str]:
    for role in store.iam().roles.values():
        if not role.path.startswith("/aws-service-role/"):
            policies = (sorted(role.policies.items()), sorted(role.managed_policies))
            yield f"role {role.name} {policies}"
    for profile in store.iam().instance_profiles.values():
        yield f"profile {profile.name} {[role.name for role in profile.roles]}"
