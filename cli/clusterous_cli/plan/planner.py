"""What is wanted and what is found → the steps between, as values. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from typing import Final

from clusterous_api.errors import UserError
from clusterous_cli.plan.kinds.kind import (
    Action,
    Found,
    Ref,
    Resource,
    Step,
    facts,
    resolved,
    settled,
)
from clusterous_cli.plan.kinds.machines import MACHINES, MENDED, Machines, grave_of, lasting


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What exists: one thing per key, and what is there once too often."""

    found: Mapping[str, Found] = field(default_factory=dict)
    surplus: tuple[Found, ...] = ()
    leaving: tuple[Found, ...] = ()  # machines that are to be drained, and then ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The steps, in an order that respects what each needs, and what none of them mends.

    The machines of *leaving* are drained when all the rest is done and ready.
    """

    steps: tuple[Step, ...]
    unchanged: tuple[str, ...] = ()
    leaving: tuple[Step, ...] = ()

    @property
    def pending(self) -> tuple[Step, ...]:
        """Return the steps that change something."""
        steps = (*self.steps, *self.leaving)
        return tuple(step for step in steps if step.action is not Action.KEEP)


LIVING: Final = (
    "This cannot be changed while the cluster lives. Put it back in the file, or"
    " destroy the cluster and create it anew."
)


def plan(wanted: Sequence[Resource], observed: Observed) -> Plan:
    """Compare and return the steps; refuse what would mean to make a living thing anew.

    Machines that are too many are among those that are leaving.
    """
    wanted = [one for one in wanted if one.key in observed.found or not _is_empty(one)]
    # Of a pool that grows, not all ids are known: what holds them is done anew.
    ids = {
        key: one.id for key, one in observed.found.items() if key not in _growing(wanted, observed)
    }
    steps = [_step(resource, observed.found.get(resource.key), ids) for resource in wanted]
    refuse([step for step in steps if step.action is Action.CHANGE])
    surplus = [_surplus(found) for found in observed.surplus]
    return Plan(
        steps=ordered([*(_replacing(step, observed) for step in steps), *surplus]),
        unchanged=tuple(words for resource in wanted for words in _older(resource, observed)),
        leaving=tuple(_leaving(one) for one in observed.leaving),
    )


def _growing(wanted: Iterable[Resource], observed: Observed) -> set[str]:
    there = {key: one.value for key, one in observed.found.items() if one.kind is MACHINES}
    return {
        one.key
        for one in wanted
        if (has := there.get(one.key)) is not None and has.count < one.value.count
    }


def _is_empty(resource: Resource) -> bool:
    return isinstance(resource.value, Machines) and resource.value.count == 0


def _older(resource: Resource, observed: Observed) -> list[str]:
    found = observed.found.get(resource.key)
    if resource.kind is not MACHINES or found is None or found.value is None:
        return []
    said = lasting(resource.value, found.value)
    return [f"{resource.key} {words}: only machines that are started anew get it" for words in said]


def _replacing(step: Step, observed: Observed) -> Step:
    """Let what is new wait for the end of what it replaces, whose address or place it may need."""
    is_machines = step.kind is MACHINES
    if step.action is Action.KEEP or (not is_machines and step.action is not Action.CREATE):
        return step
    same = [found for found in observed.surplus if found.key == step.key]
    broken = [found for found in same if is_machines or found.broken]
    needs = (*step.needs, *(_surplus(found).key for found in broken))
    if not is_machines:
        return replace(step, needs=needs)
    grave = observed.found.get(grave_of(step.key))
    going = [found for found in observed.leaving if found.key == step.key]
    before = [found.id for found in (*broken, *going, *([grave] if grave else []))]
    return replace(step, needs=needs, replaces=" ".join(before))


def _step(resource: Resource, found: Found | None, ids: Mapping[str, str]) -> Step:
    drift = () if found is None else differences(resource, found, ids)
    action = Action.CREATE if found is None else Action.CHANGE if drift else Action.KEEP
    return Step(
        action=action,
        key=resource.key,
        kind=resource.kind,
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
        found=found,
    )


def _leaving(found: Found) -> Step:
    return Step(
        action=Action.DELETE, key=f"leaving {found.id}", kind=found.kind, found=found, drains=True
    )


def differences(resource: Resource, found: Found, ids: Mapping[str, str]) -> tuple[str, ...]:
    """Name the facts that are not as wanted; facts that were not looked at do not count."""
    if resource.kind.differ:
        wanted = settled(resource.value, ids)
        return () if found.value is None else resource.kind.differ(wanted, found.value)
    there = facts(found.value)
    return tuple(
        name
        for name, value in facts(resource.value).items()
        if name in there and resolved(value, ids) != there[name]
    )


def refuse(changes: Iterable[Step]) -> None:
    """Raise one error for everything that cannot be changed while the cluster lives."""
    wrong = []
    for step in changes:
        assert step.found is not None
        assert step.resource is not None
        if step.kind.changeable or (step.kind is MACHINES and MENDED.issuperset(step.drift)):
            continue
        there, wanted = facts(step.found.value), facts(step.resource.value)
        wrong += [
            f"{step.key}: {name} is {there[name]}, not {wanted[name]}"
            for name in step.drift
            if name not in MENDED and not isinstance(wanted[name], Ref | tuple)
        ] or [f"{step.key}: {', '.join(step.drift)} is not as create makes it"]
    if wrong:
        raise UserError("\n".join([*wrong, LIVING]))


def ordered(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Sort the steps so that each comes after what it needs."""
    by_key = {step.key: step for step in steps}
    graph = {step.key: [need for need in step.needs if need in by_key] for step in steps}
    return tuple(by_key[key] for key in TopologicalSorter(graph).static_order())


def removal(found: Iterable[Found]) -> tuple[Step, ...]:
    """Return the steps that delete everything that is ours, in an order that AWS accepts."""
    ours = [one for one in found if one.ours and one.kind.remove]
    by_kind: dict[str, list[str]] = {}
    for one in ours:
        by_kind.setdefault(one.kind.name, []).append(_step_key(one))
    steps = [
        Step(
            action=Action.DELETE,
            key=_step_key(one),
            kind=one.kind,
            needs=tuple(key for kind in one.kind.after for key in by_kind.get(kind, ())),
            found=one,
        )
        for one in ours
    ]
    return ordered(steps)


def _step_key(one: Found) -> str:
    # Not the id alone: a role and its profile share a name, a group and its rules an id.
    return f"{one.kind} {one.id}"
