"""What is wanted and what is found → the steps between, as values. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from graphlib import TopologicalSorter
from typing import Any, Final

from clusterous_api.errors import UserError
from clusterous_cli.plan.resources import Kind, Ref, Resource, Rule


class Action(StrEnum):
    """What a step does."""

    KEEP = "keep"
    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One thing that exists. *key* is empty when it is not one that we know by role."""

    kind: Kind
    key: str
    id: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    ours: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What exists: one thing per key, and what is there once too often."""

    found: Mapping[str, Found] = field(default_factory=dict)
    surplus: tuple[Found, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to do; *needs* are the keys of the steps that must be done before."""

    action: Action
    key: str
    kind: Kind
    part: str
    needs: tuple[str, ...] = ()
    resource: Resource | None = None
    found: Found | None = None
    drift: tuple[str, ...] = ()
    replaces: str = ""  # machines that are dead or failed, in whose place new ones come


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The steps, in an order that respects what each needs, and what none of them mends."""

    steps: tuple[Step, ...]
    unchanged: tuple[str, ...] = ()

    @property
    def pending(self) -> tuple[Step, ...]:
        """Return the steps that change something."""
        return tuple(step for step in self.steps if step.action is not Action.KEEP)


# Kinds whose call may be repeated with other facts; all others would have to be made anew.
CHANGEABLE: Final = frozenset(
    {Kind.VPC_DNS, Kind.RULES, Kind.POLICY, Kind.BUCKET_BLOCK, Kind.BUCKET_ENCRYPTION}
    | {Kind.BUCKET_POLICY, Kind.OBJECT, Kind.ROUTE, Kind.NAT, Kind.MOUNT_TARGET}
)
# Facts of machines that only those started from now on will have.
FOR_NEW_ONES: Final = frozenset({"user_data", "image", "profile", "subnet", "group", "address"})


REMOVE: Final = """create does not remove machines yet. For each that shall go
(clusterous status -o json shows its node and its id):
    clusterous kubectl drain NODE --ignore-daemonsets --delete-emptydir-data
    clusterous kubectl delete node NODE
    aws ec2 terminate-instances --instance-ids ID"""
LIVING: Final = (
    "This cannot be changed while the cluster lives. Put it back in the file, or"
    " destroy the cluster and create it anew."
)


def plan(wanted: Sequence[Resource], observed: Observed) -> Plan:
    """Compare and return the steps; refuse what would mean to make a living thing anew."""
    wanted = [one for one in wanted if one.key in observed.found or one.facts.get("count") != 0]
    ids = {key: found.id for key, found in observed.found.items()}
    steps = [_step(resource, observed.found.get(resource.key), ids) for resource in wanted]
    refuse([step for step in steps if step.action is Action.CHANGE])
    surplus = [_surplus(found) for found in observed.surplus]
    return Plan(
        steps=ordered([*(_replacing(step, observed) for step in steps), *surplus]),
        unchanged=tuple(words for resource in wanted for words in _too_many(resource, observed)),
    )


def _too_many(resource: Resource, observed: Observed) -> list[str]:
    # To end one safely, its programs must first move away, which AWS alone cannot be asked for.
    found = observed.found.get(resource.key)
    if resource.kind is not Kind.MACHINES or found is None:
        return []
    there, asked = found.facts["count"], resource.facts["count"]
    return [f"{resource.key}s: {there} run, {asked} wanted. {REMOVE}"] if there > asked else []


def _replacing(step: Step, observed: Observed) -> Step:
    """Let new machines wait for the end of those that they replace, whose address they may need."""
    if step.kind is not Kind.MACHINES or step.action is Action.KEEP:
        return step
    broken = [found for found in observed.surplus if found.key == step.key]
    grave = observed.found.get(f"dead {step.key}")
    before = [found.id for found in (*broken, *([grave] if grave else []))]
    needs = (*step.needs, *(_surplus(found).key for found in broken))
    return replace(step, needs=needs, replaces=" ".join(before))


def _step(resource: Resource, found: Found | None, ids: Mapping[str, str]) -> Step:
    drift = () if found is None else differences(resource, found, ids)
    action = Action.CREATE if found is None else Action.CHANGE if drift else Action.KEEP
    return Step(
        action=action,
        key=resource.key,
        kind=resource.kind,
        part=resource.part,
        needs=resource.dependencies,
        resource=resource,
        found=found,
        drift=drift,
    )


def _surplus(found: Found) -> Step:
    return Step(
        action=Action.DELETE,
        key=f"surplus {found.id}",
        kind=found.kind,
        part="network" if found.kind is not Kind.MACHINES else "machines",
        found=found,
    )


def differences(resource: Resource, found: Found, ids: Mapping[str, str]) -> tuple[str, ...]:
    """Name the facts that are not as wanted; facts that were not looked at do not count."""
    if resource.kind is Kind.MACHINES:
        return _machine_differences(resource, found)
    return tuple(
        name
        for name, value in resource.facts.items()
        if name in found.facts and resolved(value, ids) != found.facts[name]
    )


def _machine_differences(resource: Resource, found: Found) -> tuple[str, ...]:
    other = [
        name
        for name in ("type", "disk")
        if name in found.facts and found.facts[name] != resource.facts[name]
    ]
    return (*(["count"] if found.facts["count"] < resource.facts["count"] else []), *other)


def resolved(value: Any, ids: Mapping[str, str]) -> Any:
    """Replace what refers to other resources by their ids."""
    match value:
        case Ref(key=key):
            return ids.get(key, "")
        case Rule(source=source) if source in ids:
            return Rule(protocol=value.protocol, low=value.low, high=value.high, source=ids[source])
        case tuple():
            items = [resolved(item, ids) for item in value]
            return tuple(sorted(items))
        case _:
            return value


def refuse(changes: Iterable[Step]) -> None:
    """Raise one error for everything that cannot be changed while the cluster lives."""
    wrong = []
    for step in changes:
        assert step.found is not None
        assert step.resource is not None
        if step.kind in CHANGEABLE or step.drift == ("count",):
            continue
        wrong += [
            f"{step.key}: {name} is {step.found.facts[name]}, not {step.resource.facts[name]}"
            for name in step.drift
            if not isinstance(step.resource.facts[name], Ref | tuple) and name != "count"
        ] or [f"{step.key}: {', '.join(step.drift)} is not as create makes it"]
    if wrong:
        raise UserError("\n".join([*wrong, LIVING]))


def ordered(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Sort the steps so that each comes after what it needs."""
    by_key = {step.key: step for step in steps}
    graph = {step.key: [need for need in step.needs if need in by_key] for step in steps}
    return tuple(by_key[key] for key in TopologicalSorter(graph).static_order())


# What must be gone before things of a kind can go. Kinds not named here go at once.
GONE_BEFORE: Final[Mapping[Kind, tuple[Kind, ...]]] = {
    Kind.INTERFACE: (Kind.MACHINES, Kind.NAT, Kind.MOUNT_TARGET),
    Kind.VOLUME: (Kind.MACHINES,),
    Kind.FILE_SYSTEM: (Kind.MOUNT_TARGET,),
    Kind.ADDRESS: (Kind.NAT, Kind.MACHINES),
    Kind.GATEWAY: (Kind.NAT, Kind.ADDRESS, Kind.MACHINES),
    Kind.GROUP: (Kind.RULES, Kind.MACHINES, Kind.MOUNT_TARGET, Kind.INTERFACE),
    Kind.SUBNET: (Kind.MACHINES, Kind.NAT, Kind.MOUNT_TARGET, Kind.INTERFACE),
    Kind.TABLE: (Kind.SUBNET, Kind.ENDPOINT),
    Kind.VPC: (Kind.SUBNET, Kind.TABLE, Kind.GROUP, Kind.GATEWAY, Kind.ENDPOINT),
    Kind.PROFILE: (Kind.MACHINES,),
    Kind.ROLE: (Kind.PROFILE,),
    # The record goes last: while anything is left, it can still be read.
    Kind.BUCKET: (Kind.MACHINES, Kind.VPC, Kind.FILE_SYSTEM),
}


def removal(found: Iterable[Found]) -> tuple[Step, ...]:
    """Return the steps that delete everything that is ours, in an order that AWS accepts."""
    ours = [one for one in found if one.ours and one.kind in REMOVABLE]
    by_kind: dict[Kind, list[str]] = {}
    for one in ours:
        by_kind.setdefault(one.kind, []).append(_step_key(one))
    steps = [
        Step(
            action=Action.DELETE,
            key=_step_key(one),
            kind=one.kind,
            part=PARTS.get(one.kind, "network"),
            needs=tuple(
                key for kind in GONE_BEFORE.get(one.kind, ()) for key in by_kind.get(kind, ())
            ),
            found=one,
        )
        for one in ours
    ]
    return ordered(steps)


def _step_key(one: Found) -> str:
    # Not the id alone: a role and its profile share a name, a group and its rules an id.
    return f"{one.kind} {one.id}"


PARTS: Final[Mapping[Kind, str]] = {
    Kind.MACHINES: "machines",
    Kind.VOLUME: "volume",
    Kind.FILE_SYSTEM: "volume",
    Kind.MOUNT_TARGET: "volume",
    Kind.BUCKET: "files",
    Kind.REPOSITORY: "files",
    Kind.ROLE: "access",
    Kind.PROFILE: "access",
    Kind.GROUP: "access",
    Kind.RULES: "access",
}
# Things that are deleted by name; the others (a route, an attachment) go with what holds them.
REMOVABLE: Final = frozenset(
    {Kind.VPC, Kind.SUBNET, Kind.GATEWAY, Kind.TABLE, Kind.ADDRESS, Kind.NAT, Kind.ENDPOINT}
    | {Kind.GROUP, Kind.RULES, Kind.ROLE, Kind.PROFILE, Kind.BUCKET, Kind.FILE_SYSTEM}
    | {Kind.MOUNT_TARGET, Kind.MACHINES, Kind.VOLUME, Kind.INTERFACE, Kind.REPOSITORY}
)
