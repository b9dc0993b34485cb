"""What a plan changes: how, for which reason, and by how much an hour. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from clusterous_cli.cluster.config import ClusterConfig
from clusterous_cli.cluster.file import differences
from clusterous_cli.cluster.file.differences import Difference
from clusterous_cli.cluster.payload import RECORD
from clusterous_cli.cluster.prices import Prices
from clusterous_cli.plan import cost
from clusterous_cli.plan.design import Design
from clusterous_cli.plan.kinds import machines
from clusterous_cli.plan.kinds.files import OBJECT
from clusterous_cli.plan.kinds.homes import HOMES
from clusterous_cli.plan.kinds.kind import Action, Found, Price, Resource, Step, facts
from clusterous_cli.plan.kinds.machines import MACHINES, SHARED
from clusterous_cli.plan.planner import Plan

NOTHING: Final = Price(hourly=0.0)
LONGEST: Final = 40  # of what is told as a value: texts of machines are thousands


class Effect(StrEnum):
    """What becomes of a thing."""

    CREATED = "created"
    CHANGED = "changed"
    REPLACED = "replaced"
    DELETED = "deleted"
    KEPT = "kept"


PLAIN: Final = {
    Action.CREATE: Effect.CREATED,
    Action.CHANGE: Effect.CHANGED,
    Action.DELETE: Effect.DELETED,
    Action.KEEP: Effect.KEPT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A step, its *reasons*, and what its thing costs *before* and *after* it."""

    step: Step
    effect: Effect
    reasons: tuple[str, ...]
    before: Price
    after: Price

    @property
    def hourly(self) -> float:
        """Return by how many dollars an hour the cluster costs more."""
        return self.after.hourly - self.before.hourly

    @property
    def unknown(self) -> tuple[str, ...]:
        """Return what has no known price, on either side."""
        return tuple({**(self.before.unknown or {}), **(self.after.unknown or {})})


# Goes without saying where machines come or go.
TOLD: Final = "the controller is told which machines are of which pool"


def of(
    plan: Plan, before: ClusterConfig | None, wanted: ClusterConfig, known: Prices
) -> tuple[Change, ...]:
    """Return what becomes of each thing of a plan, those that are kept as well.

    *before* is what the record says; None of a cluster that is new.
    """
    other = differences.between(before, wanted) if before else ()
    return tuple(
        Change(
            step=step,
            effect=effect(step),
            reasons=_reasons(step, before, other) if step.action is not Action.KEEP else (),
            before=_price(step, known, step.found),
            after=_price(step, known, _stays(step)),
        )
        for step in (*plan.steps, *plan.leaving)
    )


def of_design(design: Design, known: Prices) -> tuple[Change, ...]:
    """Return what becomes of each thing of a design."""
    return of(design.plan, design.before, design.config, known)


def cost_before(some: Iterable[Change], known: Prices) -> cost.Cost:
    """Return what all that is there costs."""
    return cost.summed((one.before for one in some), known)


def cost_after(some: Iterable[Change], known: Prices) -> cost.Cost:
    """Return what all will cost."""
    return cost.summed((one.after for one in some), known)


def effect(step: Step) -> Effect:
    """Say what a step does; a machine that comes in the place of another replaces it."""
    acts = step.action in (Action.CREATE, Action.CHANGE)
    return Effect.REPLACED if step.replaces and acts else PLAIN[step.action]


def _stays(step: Step) -> Found | Resource | None:
    """Return what there is afterwards; what is kept may differ from what is wanted now."""
    return step.found if step.action is Action.KEEP else step.resource


def _price(step: Step, known: Prices, thing: Found | Resource | None) -> Price:
    if thing is None or step.kind.bill is None:
        return NOTHING
    return step.kind.bill(thing.value, known)


def _reasons(
    step: Step, before: ClusterConfig | None, other: Sequence[Difference]
) -> tuple[str, ...]:
    if before is None and step.action is Action.CREATE and not step.replaces:
        return ("the cluster is new",)
    if step.action is Action.DELETE:
        return _going(step, other)
    own = tuple(str(one) for one in other if _is_of(one, step))
    if step.kind is MACHINES:
        return _of_machines(step, own) or ("it is not there",)
    if step.kind is HOMES:
        return (TOLD,)
    if step.kind is OBJECT or step.part == "add-ons":
        said = tuple(map(str, other)) if step.key == f"s3:{RECORD}" else ()
        return said or ("what the machines and the cluster run has changed",)
    if step.action is Action.CREATE:
        return own or ("it is not there",)
    return own or tuple(_drift(step)) or ("it is not as create makes it",)


def _is_of(one: Difference, step: Step) -> bool:
    """Whether a difference of the file is of the thing of *step*."""
    if step.kind is MACHINES:
        where = differences.section(_pool(step))
        return one.key in (where, f"{where}.count")
    section = {"gateway-rules": "gateway.allow", SHARED: "volume."}.get(step.key)
    return section is not None and one.key.startswith(section)


def _pool(step: Step) -> str:
    thing = step.resource or step.found
    return (thing.value.pool if thing else None) or ""


def _going(step: Step, other: Sequence[Difference]) -> tuple[str, ...]:
    if step.drains:
        said = tuple(str(one) for one in other if _is_of(one, step))
        return said or ("it was named to leave, or more run than the file says",)
    if step.kind is MACHINES:
        return ("it failed as it started",)
    if step.found and step.found.broken:
        return ("AWS says that it has failed",)
    return ("there is one too many, made when an answer of AWS was lost",)


def _of_machines(step: Step, own: Sequence[str]) -> tuple[str, ...]:
    off = machines.off(step.found.value) if step.found else ()
    return (
        *own,
        *_gone(step, own),
        *([f"{', '.join(off)} is switched off"] if off else []),
        *([f"in the place of {', '.join(step.replaces.split())}"] if step.replaces else []),
    )


def _gone(step: Step, own: Sequence[str]) -> list[str]:
    """Say how many there are no more, where the file wants no more than before."""
    if own or step.found is None or step.resource is None or "count" not in step.drift:
        return []
    count = step.resource.value.count
    return [f"{count - step.found.value.count} of {count} are gone"]


def _drift(step: Step) -> list[str]:
    """Say what differs, from what to what, where words can."""
    there = facts(step.found.value) if step.found else {}
    wanted = facts(step.resource.value) if step.resource else {}
    return [
        f"{name}: {there[name]} → {wanted[name]}"
        if _is_sayable(there.get(name)) and _is_sayable(wanted.get(name))
        else f"{name} differs"
        for name in step.drift
    ]


def _is_sayable(value: object) -> bool:
    return isinstance(value, str | int) and len(str(value)) <= LONGEST
