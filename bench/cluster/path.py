"""The longest path through steps that need one another: no work at once can be quicker. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Final

CALL: Final = "call"  # to AWS, as long as AWS took to answer
STATE: Final = "state of AWS"  # which follows a call by itself
MACHINE: Final = "machine"  # what a machine did by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: how many *seconds* it takes by itself, and when it ended (*at*, seconds).

    What is waited for between the end of the last of its *needs* and its beginning is not its own.
    """

    name: str
    kind: str
    seconds: float
    at: float
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A step on a path; it could have begun *late* seconds earlier."""

    step: Step
    late: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """The steps of a path, from the first to the last, and how long they take together."""

    links: tuple[Link, ...]

    @property
    def seconds(self) -> float:
        """Return what its steps take, without what was waited for between them."""
        return sum(one.step.seconds for one in self.links)


def longest(steps: Sequence[Step]) -> Path:
    """Return the longest path; what is needed and is no step is passed over.

    Of two that are as long it is the one whose last step comes first in *steps*.
    """
    by_name = {step.name: step for step in steps}
    needs = {
        step.name: [need for need in step.needs if need in by_name and need != step.name]
        for step in steps
    }
    ends: dict[str, float] = {}
    for name in TopologicalSorter(needs).static_order():
        ends[name] = by_name[name].seconds + max((ends[one] for one in needs[name]), default=0.0)
    if not ends:
        return Path(links=())
    links: list[Link] = []
    last = _longest_of(list(by_name), ends)
    while last is not None:
        links.append(_link(by_name[last], [by_name[one] for one in needs[last]]))
        last = _longest_of(needs[last], ends)
    return Path(links=tuple(reversed(links)))


def _longest_of(names: Sequence[str], ends: Mapping[str, float]) -> str | None:
    return max(names, key=lambda one: ends[one], default=None)


def _link(step: Step, needs: Sequence[Step]) -> Link:
    free = max((one.at for one in needs), default=step.at - step.seconds)
    return Link(step=step, late=max(step.at - step.seconds - free, 0.0))
