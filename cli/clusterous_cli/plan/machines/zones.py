"""Where machines without volumes are made when their zone has none of their type. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from clusterous_api import names
from clusterous_cli.cluster.addresses import addresses, spare
from clusterous_cli.plan.kinds.kind import Action, Found, Ref, Resource, Step
from clusterous_cli.plan.kinds.machines import MACHINES, SIDES
from clusterous_cli.plan.kinds.network import SUBNET, beside, control_in, subnet_key
from clusterous_cli.plan.kinds.volume import ebs, efs, note, state


@dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """A step whose machines its zone has not; AWS names the zones *elsewhere* that have."""

    step: Step
    elsewhere: tuple[str, ...] = ()


# What has the controller stay where it is, as soon as data is on it; in any case; and who tells it.
OWN: Final = (state.VOLUME, ebs.VOLUME)
GIVEN: Final = (ebs.GIVEN, efs.MOUNT_TARGET)
NOTES: Final = (state.NOTE, note.NOTE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Where machines have been asked for, by their step's key, and the subnets, by theirs.

    *cidr* is the whole network's; *cidrs* are those that its subnets have, or will have.
    """

    home: str
    cidr: str
    found: Mapping[str, Found]
    cidrs: Mapping[str, str]
    is_bound: bool = True  # the controller has a zone of its own already, or was told one
    has_data: bool = False  # and that is where its volumes are
    asked: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    types: tuple[str, ...] = ()  # that a controller was asked for, which has to stay in its zone
    named: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def zones(self, key: str) -> tuple[str, ...]:
        """Return the zones in which the machines of a step have been asked for."""
        return self.asked.get(key, (self.home,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What is done next; what was made of *anew* is made again, and its ids count no more."""

    search: Search
    steps: tuple[Step, ...]
    anew: frozenset[str] = frozenset()


def begin(home: str, cidr: str, found: Mapping[str, Found], *, is_bound: bool = True) -> Search:
    """Begin where the cluster is, with what was *found* of it.

    Only where nothing of the controller is there, and no zone was asked for, is it not *bound*.
    """
    cidrs = {key: one.value.cidr for key, one in found.items() if one.kind is SUBNET}
    has_data = any(_has_data(one) for one in found.values())
    return Search(
        home=home, cidr=cidr, found=found, cidrs=cidrs, has_data=has_data,
        is_bound=is_bound or has_data or names.ROLE_CONTROLLER in found,
    )  # fmt: skip


def _has_data(one: Found) -> bool:
    """Whether something is on it, or may be: one of our own is blank until it is marked."""
    return one.kind in GIVEN or (one.kind in OWN and bool(one.value.formatted))


def turn(
    before: Search,
    full: Sequence[Full],
    steps: Sequence[Step],
    skipped: Sequence[Step],
    made: Mapping[str, str],
) -> Turn | None:
    """Return the steps that make machines in a zone that AWS named and that was not asked yet, with
    those that were skipped.

    All of a pool that are missing go to one zone: AWS starts all that one call asks for, or none.
    Of *steps* those were *skipped*, and *made* are the ids of what is there by now. None: there is
    no such zone for one of them, or no part of the network for it.
    """
    search, anew = before, frozenset[str]()
    found = {step.key: step for step in skipped}
    for one in full:
        search = _heard(search, one)
        zone = _next(search, one.step)
        if zone is None:
            return None
        if _is_controller(one.step):
            search = _noted(search, one.step, zone)
            new = _moved(search, one.step, zone, steps, made)
            anew = frozenset(step.key for step in new)
        else:
            placed = _placed(search, one.step, zone)
            if placed is None:
                return None
            search, new = placed
        found |= {step.key: step for step in new if step.key not in {*made} - anew}
    return Turn(search=search, steps=tuple(found.values()), anew=anew) if found else None


def heard(before: Search, full: Sequence[Full]) -> Search:
    """Remember which zones AWS names for machines that it has elsewhere."""
    search = before
    for one in full:
        search = _heard(search, one)
    return search


def stays(search: Search, full: Sequence[Full]) -> Step | None:
    """Return the step of a controller that cannot go to another zone: data of its is in its own."""
    if not search.has_data:
        return None
    return next((one.step for one in full if _is_controller(one.step)), None)


def of_type(search: Search, step: Step, type: str, skipped: Sequence[Step]) -> Turn:
    """Return the turn that asks for a controller of another *type* in its own zone."""
    value = _value(step)
    wanted = value.instead or value.type
    assert step.resource is not None
    other = replace(value, type=type, instead=wanted)
    moved = replace(step, resource=replace(step.resource, value=other))
    types = (*(search.types or (wanted,)), type)
    return Turn(search=replace(search, types=types), steps=(*skipped, moved))


def _is_controller(step: Step) -> bool:
    return step.kind is MACHINES and _value(step).role == names.ROLE_CONTROLLER


def _moved(
    search: Search, step: Step, zone: str, steps: Sequence[Step], made: Mapping[str, str]
) -> list[Step]:
    """Return the steps that put the controller into another *zone*, and its volumes.

    What there is of them is made anew: its subnet, in which nothing is yet, so that its address
    stays; volumes, which are blank; and what it is told of them.
    """
    subnet, link = control_in(zone, addresses(search.cidr).control)
    wanted = [
        subnet,
        link,
        *(
            replace(one.resource, value=_in(one.resource.value, zone))
            for one in steps
            if one.resource and one.kind in (*OWN, *NOTES)
        ),
    ]
    gone = {
        one.key: Step(
            action=Action.DELETE, key=f"surplus {made[one.key]}", kind=one.kind,
            found=Found(kind=one.kind, key=one.key, id=made[one.key]),
        )
        for one in wanted
        if one.key in made and one.kind in (SUBNET, *OWN)
    }  # fmt: skip
    new = [_step(one, None) for one in wanted]
    return [
        *gone.values(),
        *(replace(one, needs=(*one.needs, *_key_of(gone.get(one.key)))) for one in new),
        step,
    ]


def _key_of(step: Step | None) -> tuple[str, ...]:
    return (step.key,) if step else ()


def _in(value: Any, zone: str) -> Any:
    return replace(value, zone=zone) if isinstance(value, ebs.Volume) else value


def _heard(search: Search, one: Full) -> Search:
    key = one.step.key
    named = (*search.named.get(key, ()), *one.elsewhere)
    return replace(search, named={**search.named, key: tuple(dict.fromkeys(named))})


def _next(search: Search, step: Step) -> str | None:
    """Choose a zone. A controller that has volumes has none but theirs."""
    if step.kind is not MACHINES or (_is_controller(step) and search.is_bound):
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
    return (
        replace(_noted(search, step, zone), cidrs={**search.cidrs, key: cidr}),
        [*(_step(one, search.found.get(one.key)) for one in resources), moved],
    )


def _noted(search: Search, step: Step, zone: str) -> Search:
    asked = (*search.zones(step.key), zone)
    return replace(search, asked={**search.asked, step.key: asked})


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


def moved_words(search: Search, full: Sequence[Full], *, before: Search) -> list[str]:
    """Say what is asked for now, or where, and what that means."""
    if search.types != before.types:
        *_, last, type = search.types
        return [f"no {last} for the controller, where its volumes are: asking for {type}"]
    return [
        f"no {_value(one.step).type} in {search.zones(one.step.key)[-2]} for {one.step.key}: asking"
        f" in {search.zones(one.step.key)[-1]}; what goes between zones costs"
        for one in full
    ]
