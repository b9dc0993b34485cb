"""Whether an account is as the model says, and which ids AWS gave to what is new."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from clusterous_cli.plan.kinds.machines import SHARED, STATE
from clusterous_cli.plan.kinds.volume.state import ASIDE
from tests.sequences import model
from tests.sequences.model import NEW, Account, Cluster
from tests.sequences.seen import Disk, Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The *account* with the ids that things have, and where it is *other* than it was to be."""

    account: Account
    other: tuple[str, ...]


def compare(wanted: Account, seen: Seen) -> Compared:
    """Compare what is wanted with what is seen."""
    bound = _bound(wanted, seen)
    return Compared(account=bound, other=tuple(_other(wanted, bound, seen)))


def _bound(wanted: Account, seen: Seen) -> Account:
    """Give what is new its id; what cannot be told apart stays without one."""
    known = set(wanted.volumes)
    found = [id for id, one in seen.disks.items() if one.role in ("", SHARED) and id not in known]
    volume = found[0] if NEW in known and len(found) == 1 else NEW
    copied = sorted(seen.copies - set(wanted.copies))
    copy = copied[0] if NEW in wanted.copies and len(copied) == 1 else NEW
    state = next((id for id, one in seen.disks.items() if one.role == STATE), NEW)

    def there(pool: str, one: model.Machines) -> model.Machines:
        return replace(one, ids=frozenset(seen.machines.get(pool, ())), fewer=0, more=0)

    return model.bound(wanted, there, volume=volume, copy=copy, state=state)


def _other(wanted: Account, bound: Account, seen: Seen) -> Iterator[str]:
    yield from _machines(wanted.cluster, seen)
    yield from _volumes(bound, seen)
    if set(bound.copies) != set(seen.copies):
        yield f"the snapshots are {sorted(seen.copies)}, not {sorted(bound.copies)}"


def _machines(cluster: Cluster | None, seen: Seen) -> Iterator[str]:
    pools: Mapping[str, model.Machines] = cluster.machines if cluster else {}
    for pool in {**pools, **seen.machines}:
        asked, there = pools.get(pool, model.Machines(type="")), seen.machines.get(pool, {})
        if len(there) != asked.count:
            yield f"{pool} has {sorted(there)}, not {asked.count}"
        if len(gone := asked.ids - set(there)) > asked.fewer:
            yield f"{sorted(gone)} of {pool} went, and {asked.fewer} were to go"
        for id, one in there.items():
            if (one.type, one.zone) != (asked.type, cluster.zone if cluster else ""):
                yield f"{id} of {pool} is {one.type} in {one.zone}, not {asked.type}"
            if one.is_on is (pool == model.CONTROLLER and cluster is not None and cluster.off):
                yield f"{id} of {pool} is {'on' if one.is_on else 'off'}"


def _volumes(wanted: Account, seen: Seen) -> Iterator[str]:
    cluster = wanted.cluster
    used = cluster.volume if cluster and not cluster.lost else None
    states = {cluster.state: STATE, **dict.fromkeys(cluster.aside, ASIDE)} if cluster else {}
    own = {used: SHARED} if cluster and used and not cluster.given else {}
    roles = {**dict.fromkeys(wanted.volumes, ""), **own, **states}
    if set(roles) != set(seen.disks):
        yield f"the volumes are {sorted(seen.disks)}, not {sorted(roles)}"
    for id in roles.keys() & seen.disks.keys():
        one = seen.disks[id]
        if one.role != roles[id]:
            yield f"{id} is {one.role or 'nobodys'}, not {roles[id] or 'nobodys'}"
        if id in wanted.volumes and one.volume != wanted.volumes[id]:
            yield f"{id} is {one.volume}, not {wanted.volumes[id]}"
        yield from _holder(cluster, id, one, id in (used, cluster and cluster.state))


def _holder(cluster: Cluster | None, id: str, one: Disk, is_used: bool) -> Iterator[str]:
    """Look that the controller has its volumes, and nobody another one."""
    controllers = cluster.machines[model.CONTROLLER].ids if cluster else frozenset()
    should = next(iter(controllers), None) if is_used and one.volume.type == "ebs" else None
    if one.holder != should:
        yield f"{one.holder} has {id}, not {should}"
