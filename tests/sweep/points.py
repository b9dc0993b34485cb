"""Points: where a story is disturbed, and how; which of its calls no point disturbs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.region.aws.faults import KILLS, Kind
from tests.region.aws.log import Call
from tests.sweep.stories import Story

# How calls go wrong that may go right when they are made again. What hangs is cut off by AWS's
# balancers, so that nobody's patience is tried here.
TRANSIENT: Final[dict[str, dict[str, Any]]] = {
    "throttled": {"kind": Kind.THROTTLE, "times": 2},
    "failed": {"kind": Kind.ERROR, "times": 2},
    "a page of errors": {"kind": Kind.HTTP, "status": 503, "times": 2},
    "reset": {"kind": Kind.RESET, "times": 2},
    "hung": {"kind": Kind.HANG, "seconds": 0.5},
    "cut": {"kind": Kind.TRUNCATE},
}
LOST: Final[dict[str, dict[str, Any]]] = {"lost": {"kind": Kind.LOST}}
# What AWS takes a while to know everywhere, at all calls of a story; seconds.
LATE: Final[dict[str, dict[str, Any]]] = {
    "ids not yet known": {"not_found": 0.4},
    "profiles not yet known": {"profile_delay": 0.8},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A story with faults, or with settings that refuse something."""

    story: str
    how: str
    at: str  # the call, as `service:Action`, its number for a kill, or what all calls meet
    faults: tuple[dict[str, Any], ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.story}: {self.how} at {self.at}"


def call(one: Call) -> str:
    return f"{one.service}:{one.action}"


def of(story: Story, undisturbed: Sequence[Call]) -> Iterator[Point]:
    """Yield all points of a story, from the calls that it makes undisturbed.

    Kills are at every mutating call, by its number, since which comes first depends on pace. Lost
    answers are at the first of each kind. What may go right when it is made again goes wrong at
    the first of every kind of call in one run: each is met, as none ends the command.
    """
    changing = [one for one in undisturbed if one.mutating]
    for number in range(len(changing)):
        for kind in KILLS:
            fault = {"kind": kind, "mutating": True, "skip": number}
            yield Point(story=story.name, how=kind, at=f"{number + 1}", faults=(fault,))
    for each in sorted({call(one) for one in changing}):
        for how, what in LOST.items():
            yield Point(story=story.name, how=how, at=each, faults=(_at(each, what),))
    every = sorted({call(one) for one in undisturbed})
    for how, what in TRANSIENT.items():
        faults = tuple(_at(each, what) for each in every)
        yield Point(story=story.name, how=how, at="every call", faults=faults)
    for how, settings in (LATE | dict(story.refusals)).items():
        yield Point(story=story.name, how=how, at="every call", settings=dict(settings))


def _at(each: str, what: dict[str, Any]) -> dict[str, Any]:
    service, _, action = each.partition(":")
    return {"service": service, "action": action, **what}


def uncovered(undisturbed: Sequence[Call], struck: Sequence[tuple[str, str]]) -> list[str]:
    """Return what happened at no point: kinds of calls, each with a kind of fault.

    *struck* are the faults that struck: (how, `service:Action`).
    """
    met = set(struck)
    wanted = set()
    for one in undisturbed:
        hows = [*TRANSIENT, *((*LOST, *KILLS) if one.mutating else ())]
        wanted |= {(how, call(one)) for how in hows}
    return sorted(f"{how} at {what}" for how, what in wanted - met)
