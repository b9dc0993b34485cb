"""Volumes on EBS that a CSI driver on the cluster made for claims of programs.

They are in no network. What proves whose one is, is the machine that has it: so it is made ours
before that ends, and a destroy that was cut short finds it again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from clusterous_api import names
from clusterous_api.errors import FailedError, UserError
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.tags import OWN, as_items, is_ours, tags_of
from clusterous_cli.plan.kinds.cloud import Cloud, Site
from clusterous_cli.plan.kinds.kind import Found, Item, Kind, Left, Scope, Value
from clusterous_cli.plan.kinds.kubernetes import marks
from clusterous_cli.plan.kinds.machines import DISK, disk_hourly

# What the plan calls one that was made ours.
ROLE: Final = "claim"
# So many values a filter of EC2's takes.
VALUES: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim(Value):
    """A volume of a claim, in GiB; *proven* says that it is this cluster's alone, *why* if not."""

    size: int
    hourly: float
    proven: bool
    why: str


def _look(at: Scope) -> list[Found]:
    machines = [
        one["InstanceId"]
        for group in at.placed("describe_instances", "Reservations")
        for one in group["Instances"]
        if is_ours(one, at.who)
    ]
    seen: dict[str, Item] = {}
    for filters in _filters(at.who, machines):
        listed = at.cloud.pages("ec2", "describe_volumes", "Volumes", Filters=filters)
        seen |= {one["VolumeId"]: one for one in listed}
    found = (_found(one, at.who, frozenset(machines)) for one in seen.values())
    return [one for one in found if one]


def _filters(who: Identity, machines: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
    yield [{"Name": f"tag:{marks.CLUSTER}{who.name}", "Values": [marks.OWNED]}]
    for start in range(0, len(machines), VALUES):
        yield [
            {"Name": "tag-key", "Values": [marks.CSI]},
            {"Name": "attachment.instance-id", "Values": machines[start : start + VALUES]},
        ]


def _found(item: Item, who: Identity, machines: frozenset[str]) -> Found | None:
    tags = tags_of(item)
    held = any(one.get("InstanceId") in machines for one in item.get("Attachments", ()))
    named = tags.get(f"{marks.CLUSTER}{who.name}") == marks.OWNED
    if is_ours(item, who) or not (named or (held and marks.CSI in tags)):
        return None
    proven = held and marks.names(tags, who)
    value = Claim(
        size=item["Size"], hourly=disk_hourly(item), proven=proven, why=_why(tags, who, held)
    )
    return Found(kind=CLAIM, key="", id=item["VolumeId"], value=value, ours=False)


def _why(tags: Mapping[str, str], who: Identity, held: bool) -> str:
    made = f"a CSI driver made it for {marks.claim(tags)}"
    others = [name for name in marks.clusters(tags) if name != who.name]
    if held and marks.names(tags, who):
        return f"{made} of this cluster"
    if others:
        return f"{made} of a cluster called {', '.join(others)}, by its tags"
    if held:
        return f"{made}, and no tag says of which cluster; it may hold what another one needs"
    return (
        f"{made} of a cluster that was called {who.name}, too, and no machine of this one has it;"
        " it may be another's"
    )


CLAIM: Final = Kind(name="claimed-volume", part="volume", deep=_look)


def taken(to: Site, found: Sequence[Found]) -> list[Found]:
    """Make ours what is proven to be, and return it as disks that go when the machines have."""
    return [_taken(to, one) if one.kind is CLAIM and one.value.proven else one for one in found]


def _taken(to: Site, one: Found) -> Found:
    tags = to.who.tags(ROLE)
    own = as_items({key: tags[key] for key in OWN})
    try:
        to.ec2("create_tags", Resources=[one.id], Tags=own)
    except (FailedError, UserError) as error:  # the rest goes all the same, and this is told
        why = f"{one.value.why}, and it could not be marked as this one's: {error}"
        return replace(one, value=replace(one.value, proven=False, why=why))
    return Found(kind=DISK, key=ROLE, id=one.id)


def doubtful(found: Iterable[Found]) -> list[Found]:
    """Return those that nobody may remove for this cluster."""
    return [one for one in found if one.kind is CLAIM and not one.value.proven]


def left(cloud: Cloud, found: Sequence[Found]) -> list[Left]:
    """Tell of those of *found* that are still there, with the reason and the price."""
    if not found:
        return []
    which = [{"Name": "volume-id", "Values": [one.id for one in found][:VALUES]}]
    there = {
        one["VolumeId"]
        for one in cloud.pages("ec2", "describe_volumes", "Volumes", Filters=which)
        if one["State"] not in ("deleting", "deleted") and names.TAG_UID not in tags_of(one)
    }
    return [
        Left(kind=DISK.noun, id=one.id, ours=False, hourly=one.value.hourly, says=_said(one))
        for one in found
        if one.id in there
    ]


def _said(one: Found) -> str:
    return f"{one.value.why}: `aws ec2 delete-volume --volume-id {one.id}` removes it"
