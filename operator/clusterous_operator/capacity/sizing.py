"""How many pods fill the cluster: a pure function of nodes, pods and what one more needs.

It asks, node by node, what the scheduler would ask: does the pod tolerate and select the node, is
enough left of every resource, do its rules let it beside those that are there (see spacing). What
it counts has a place, all at once; which node the scheduler then chooses is the scheduler's affair.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Any

from clusterous_api import quantity
from clusterous_api.quantity import Amounts
from clusterous_operator.cache import observed
from clusterous_operator.cache.observed import Node
from clusterous_operator.capacity import eligible
from clusterous_operator.capacity.board import ENDLESS, Board, Seeker, TooLongError, room
from clusterous_operator.capacity.spacing import Demand
from clusterous_operator.objects.usage import Pod, Usage

Body = Mapping[str, Any]

admits = eligible.admits


def demand(
    spec: Body,
    count: int = 1,
    *,
    labels: Mapping[str, str] | None = None,
    on: Iterable[str] = (),
) -> Demand:
    """Return the demand of *count* pods of a template, beside those that are *on* nodes already."""
    return Demand(
        spec=spec,
        requests=quantity.of_pod(spec),
        labels=labels or {},
        ports=observed.host_ports(spec),
        count=count,
        on=tuple(on),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Equal pods of which there are to be as many as fit, within what the user allows."""

    name: str
    demand: Demand  # its count, and where its pods are now, do not matter
    min: int = 0
    max: int | None = None


def fill(
    nodes: Sequence[Node], pods: Iterable[Pod], siblings: Sequence[Demand], one: Demand
) -> int:
    """Return how many of *one* fit beside *pods*, once the waiting *siblings* have their places."""
    return fill_groups(nodes, pods, siblings, [Group(name="", demand=one)])[""]


def fill_groups(
    nodes: Sequence[Node],
    pods: Iterable[Pod],
    siblings: Sequence[Demand],
    groups: Sequence[Group],
) -> dict[str, int]:
    """Return how many pods each group is to have; they share the room evenly.

    *pods* are all but those of *groups*, *siblings* the app's other components. The group that has
    fewest gets the next place, until none fits any more. What a group must have at least counts
    even where it finds no place: it then waits.
    """
    return fill_beside(nodes, Usage(pods), siblings, groups)


def fill_beside(
    nodes: Sequence[Node],
    usage: Usage,
    siblings: Sequence[Demand],
    groups: Sequence[Group],
) -> dict[str, int]:
    """Do as *fill_groups* does, with the other pods' requests added up already."""
    demands = [one.demand for one in groups]
    board = Board(nodes, usage, [*siblings, *demands])
    others = usage.waiting or any(one.count for one in siblings)
    taking = _taking(nodes, demands) if len(demands) > 1 or others else {}
    waiting = [one for one in siblings if one.count]
    asking = {**taking, **(_taking(nodes, waiting) if len(waiting) > 1 else {})}
    # A master is to be where no worker may be, if there is such a node, and no other that must.
    for one in siblings:
        board.place(Seeker(one, _least_shared(one, nodes, asking)), one.count)
    elsewhere = _least_shared(None, nodes, taking) if usage.waiting else nodes
    for one in _waiting(usage.waiting):
        board.place(Seeker(one, elsewhere, is_ours=False), one.count)
    seekers = [Seeker(one, _least_shared(one, nodes, taking)) for one in demands]
    placed = [board.place(seeker, one.min) for seeker, one in zip(seekers, groups, strict=True)]
    _share(board, seekers, [one.max for one in groups], placed)
    return {one.name: max(one.min, count) for one, count in zip(groups, placed, strict=True)}


def beside_held(held: Mapping[str, int], groups: Sequence[Group], fit: "Fill") -> dict[str, int]:
    """Return how many pods each group is to have: those that *fit*, beside those that it holds.

    *held* are pods of the groups on nodes that take no others. They count, and are not replaced.
    """
    if not any(held.values()):
        return dict(fit(groups))
    found = fit([_without(one, held.get(one.name, 0)) for one in groups])
    return {
        one.name: bounded(found[one.name] + held.get(one.name, 0), one.min, one.max)
        for one in groups
    }


def _without(group: Group, held: int) -> Group:
    most = None if group.max is None else max(0, group.max - held)
    return dataclasses.replace(group, min=max(0, group.min - held), max=most)


def have_room(nodes: Sequence[Node], usage: Usage, demands: Sequence[Demand]) -> bool:
    """Tell whether all of the *demands* find their places beside what is used."""
    board = Board(nodes, usage, demands)
    return all(board.place(Seeker(one, nodes), one.count) == one.count for one in demands)


def _share(
    board: "Board", seekers: Sequence["Seeker"], most: Sequence[int | None], placed: list[int]
) -> None:
    """Give places in turn, always to the group with the fewest, until none finds one any more."""
    growing = list(range(len(seekers)))
    while growing:
        next_one = min(growing, key=lambda index: placed[index])
        allowed = most[next_one]
        wanted = 1 if len(growing) > 1 else ENDLESS  # alone it takes what is left in one go
        if allowed is not None:
            wanted = min(wanted, allowed - placed[next_one])
        found = board.place(seekers[next_one], wanted)
        placed[next_one] += found
        if found < wanted or found == 0:
            growing.remove(next_one)


# Kinds of pods that wait for a place: who makes more of them has their count be nobody's matter.
_MOST_KINDS = 200


def _waiting(pods: Iterable[Pod]) -> list[Demand]:
    """Return the demands of pods that have no place yet; what is alike is counted together."""
    alike: dict[tuple[int, int], list[Pod]] = {}
    for pod in pods:
        alike.setdefault((id(pod.requests), id(pod.placing)), []).append(pod)
    return [
        Demand(
            spec=one[0].placing or {}, requests=one[0].requests, ports=one[0].ports, count=len(one)
        )
        for one in islice(alike.values(), _MOST_KINDS)
    ]


_Taking = Mapping[Demand, frozenset[str]]


def _taking(nodes: Sequence[Node], demands: Iterable[Demand]) -> _Taking:
    """Return by demand which nodes take its pods: each is asked once, who may say much of that."""
    return {
        one: frozenset(node.name for node in nodes if admits(node, one.spec)) for one in demands
    }


def _least_shared(one: Demand | None, nodes: Sequence[Node], taking: _Taking) -> Sequence[Node]:
    """Put the nodes first that fewest other groups may use: they lose nothing by it."""
    others = [names for other, names in taking.items() if other is not one]
    if not others:
        return nodes
    return sorted(nodes, key=lambda node: sum(node.name in names for names in others))


def greatest(rooms: Iterable[Amounts]) -> dict[str, Decimal]:
    """Return the largest amount of each resource that any one node has left."""
    return quantity.largest(rooms)


def bounded(count: int, least: int, most: int | None) -> int:
    """Keep a number of workers within what the user allows."""
    return max(least, count if most is None else min(count, most))


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """How many pods to run now; since when fewer would be enough, and how many at the most."""

    count: int
    shrinking_since: float | None = None
    enough: int = 0  # the most that ever fitted since then
    yielding_since: float | None = None  # since when other components have the first choice


def steady(current: Target | None, fresh: int, now: float, patience: float) -> Target:
    """Grow at once; give up only what has been too much for *patience* seconds on end.

    A pod that passes by, or a node that restarts, must not end workers that are at work.
    """
    if current is None or fresh >= current.count:
        return Target(count=fresh)
    if current.shrinking_since is None:
        return Target(count=current.count, shrinking_since=now, enough=fresh)
    enough = max(current.enough, fresh)
    if now - current.shrinking_since < patience:
        return dataclasses.replace(current, enough=enough)
    if enough == fresh:
        return Target(count=fresh)
    return Target(count=enough, shrinking_since=now, enough=fresh)


def yielding(
    targets: Mapping[str, Target], current: Mapping[str, Target], now: float, patience: float
) -> dict[str, Target]:
    """Let no group grow for up to *patience* seconds, while others are on the way to their places.

    Room for them was left somewhere; but a pod that may go anywhere can be quicker, and sit where
    a master has to be, or on a bit of each node where a large one needs a whole one.
    """
    before = [one.yielding_since for one in current.values() if one.yielding_since is not None]
    since = min(before, default=now)
    found = {name: dataclasses.replace(one, yielding_since=since) for name, one in targets.items()}
    if now - since >= patience:
        return found
    had = {name: current[name].count if name in current else 0 for name in found}
    return {
        name: dataclasses.replace(one, count=min(one.count, had[name]))
        for name, one in found.items()
    }


Fill = Callable[[Sequence[Group]], Mapping[str, int]]


def targets(
    fit: Fill,
    groups: Sequence[Group],
    current: Mapping[str, Target],
    now: float,
    patience: float,
) -> dict[str, Target]:
    """Return how many pods each group is to have now, by what *fit* says and what they have.

    While a group holds on to more than its share, no other grows into the room that it still has.
    """
    fresh = fit(groups)
    found = {
        one.name: steady(current.get(one.name), fresh[one.name], now, patience) for one in groups
    }
    held = {name for name, target in found.items() if target.count > fresh[name]}
    if not held:
        return found
    beside = fit([_kept(one, found[one.name], current.get(one.name)) for one in groups])
    for name in found.keys() - held:
        found[name] = Target(count=min(fresh[name], beside[name]))
    return found


def _kept(group: Group, target: Target, before: Target | None) -> Group:
    """Let a group keep what it has; one that is to shrink does not grow meanwhile."""
    if target.shrinking_since is not None:
        return dataclasses.replace(group, min=target.count, max=target.count)
    least = 0 if before is None else before.count
    return dataclasses.replace(group, min=max(group.min, min(least, target.count)))


__all__ = [
    "Demand",
    "Group",
    "Target",
    "TooLongError",
    "admits",
    "beside_held",
    "bounded",
    "demand",
    "fill",
    "fill_beside",
    "fill_groups",
    "greatest",
    "have_room",
    "room",
    "steady",
    "targets",
    "yielding",
]
