"""Where machines without volumes are made when their zone has none of their type. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from clusterous_api import names
from clusterous_cli.cluster.addresses import spare
from clusterous_cli.plan.kinds.kind import Action, Found, Ref, Resource, Step
from clusterous_cli.plan.kinds.machines import MACHINES, SIDES
from clusterous_cli.plan.kinds.network import SUBNET, beside, subnet_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """A step whose machines its zone has not; AWS names the zones *elsewhere* that have."""

    step: Step
    elsewhere: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Where machines have been asked for, by their step's key, and the subnets, by theirs.

    *cidr* is the whole network's; *cidrs* are those that its subnets have, or will have.
    """

    home: str
    cidr: str
    found: Mapping[str, Found]
    cidrs: Mapping[str, str]
    asked: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    named: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def zones(self, key: str) -> tuple[str, ...]:
        """Return the zones in which the machines of a step have been asked for."""
        return self.asked.get(key, (self.home,))


def begin(home: str, cidr: str, found: Mapping[str, Found]) -> Search:
    """Begin where the cluster is, with what was *found* of it."""
    cidrs = {key: one.value.cidr for key, one in found.items() if one.kind is SUBNET}
    return Search(home=home, cidr=cidr, found=found, cidrs=cidrs)


def turn(
    before: Search, full: Sequence[Full], made: Collection[str]
) -> tuple[Search, tuple[Step, ...]] | None:
    """Return the steps that make machines in a zone that AWS named and that was not asked yet.

    All of a pool that are missing go to one zone: AWS starts all that one call asks for, or none.
    *made* are the keys of what is there by now. None: there is no such zone for one of them, or no
    part of the network for it.
    """
    search = before
    steps: dict[str, Step] = {}
    for one in full:
        search = _heard(search, one)
        zone = _next(search, one.step)
        placed = None if zone is None else _placed(search, one.step, zone)
        if placed is None:
            return None
        search, new = placed
        steps |= {step.key: step for step in new if step.key not in made}
    return (search, tuple(steps.values())) if steps else None


def _heard(search: Search, one: Full) -> Search:
    key = one.step.key
    named = (*search.named.get(key, ()), *one.elsewhere)
    return replace(search, named={**search.named, key: tuple(dict.fromkeys(named))})


def _next(search: Search, step: Step) -> str | None:
    """Choose a zone. The controller has none but its own: its volumes are there."""
    if step.kind is not MACHINES or _value(step).role == names.ROLE_CONTROLLER:
        return None
    asked = search.zones(step.key)
    return next((zone for zone in search.named[step.key] if zone not in asked), None)


def _placed(search: Search, step: Step, zone: str) -> tuple[Search, list[Step]] | None:
    """Return the step as it is in another *zone*, behind those that make a subnet there."""
    side = SIDES[str(_value(step).role)]
    key = subnet_key(side, zone)
    cidr = search.cidrs.get(key) or _free(search)
    if cidr is None or step.resource is None:
        return None
    value = replace(step.resource.value, subnet=Ref(key))
    resources = beside(side, zone, cidr)
    moved = replace(
        step,
        resource=replace(step.resource, value=value),
        needs=(*step.needs, *(one.key for one in resources)),
    )
    asked = (*search.zones(step.key), zone)
    return (
        replace(
            search,
            cidrs={**search.cidrs, key: cidr},
            asked={**search.asked, step.key: asked},
        ),
        [*(_step(one, search.found.get(one.key)) for one in resources), moved],
    )


def _free(search: Search) -> str | None:
    taken = search.cidrs.values()
    return next((cidr for cidr in spare(search.cidr) if cidr not in taken), None)


def _step(resource: Resource, found: Found | None) -> Step:
    return Step(
        action=Action.KEEP if found else Action.CREATE, key=resource.key, kind=resource.kind,
        needs=resource.dependencies, resource=resource, found=found,
    )  # fmt: skip


def _value(step: Step) -> Any:
    assert step.resource is not None
    return step.resource.value


def moved_words(search: Search, full: Sequence[Full]) -> list[str]:
    """Say where machines are asked for now, and what that means."""
    return [
        f"no {_value(one.step).type} in {search.zones(one.step.key)[-2]} for {one.step.key}: asking"
        f" in {search.zones(one.step.key)[-1]}; what goes between zones costs"
        for one in full
    ]
