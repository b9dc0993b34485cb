"""Runs: each a scenario or a kill point in a place of its own, judged at its end."""

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos import faults, invariants, site, stories
from tests.chaos.grounds import Grounds
from tests.chaos.history import Moment
from tests.chaos.invariants import Failover
from tests.chaos.scenarios import Scenario
from tests.chaos.site import Site, StuckError
from tests.chaos.stories import Story
from tests.chaos.violation import Violation
from tests.cluster.controlplane import ControlPlaneError


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The undisturbed run of a story: where it ends, and what the operator wrote on the way."""

    ending: Mapping[str, Any]
    writes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a run. *struck* is the write at which the operator was killed, if it was."""

    name: str
    seconds: float
    converged: bool
    violations: Sequence[Violation] = ()
    trouble: str = ""
    struck: str | None = None
    is_kill_point: bool = False
    facts: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        """Tell whether it went as it must."""
        return self.converged and not self.violations


def undisturbed(
    grounds: Grounds, story: Story, seed: int, *, clear: bool = True
) -> tuple[Reference, Outcome]:
    """Tell a story in good weather."""
    reference = Reference(ending={}, writes=())

    def play(place: Site) -> Sequence[Violation]:
        nonlocal reference
        place.man()
        stories.tell(place, story.prepare)
        place.wait_quiet()
        before = len(place.writes())
        stories.tell(place, story.steps)
        ending = place.wait_quiet()
        writes = tuple(str(one.call) for one in place.writes()[before:])
        reference = Reference(ending=ending, writes=writes)
        return ()

    outcome = _run(grounds, f"undisturbed-{story.name}", seed, play, clear=clear)
    return reference, outcome


def killed(
    grounds: Grounds,
    story: Story,
    reference: Reference,
    seed: int,
    *,
    number: int,
    late: bool,
    clear: bool = True,
) -> Outcome:
    """Tell a story in which the operator is killed at one of its writes."""
    struck: str | None = None

    def play(place: Site) -> Sequence[Violation]:
        nonlocal struck
        post = place.man()
        if story.prepare:
            stories.tell(place, story.prepare)
            place.wait_quiet()
        fault = faults.Kills(
            namespace=place.namespace, number=number, late=late, kill=post.operator.kill
        )
        place.trouble(post, fault)
        stories.tell(place, story.steps)
        place.settle(reference.ending)
        struck = fault.struck
        return ()

    name = f"{story.name}-{number}-{'after' if late else 'before'}"
    # A write that this run does not come to is no failure.
    outcome = _run(grounds, name, seed, play, clear=clear, spared=True)
    return dataclasses.replace(outcome, struck=struck, is_kill_point=True)


def troubled(
    grounds: Grounds,
    scenario: Scenario,
    reference: Reference,
    seed: int,
    *,
    clear: bool = True,
) -> Outcome:
    """Run a scenario."""
    return _run(
        grounds,
        scenario.name,
        seed,
        lambda place: scenario.play(place, reference.ending),
        stale=scenario.stale,
        clear=clear,
    )


def _run(
    grounds: Grounds,
    name: str,
    seed: int,
    play: Callable[[Site], Sequence[Violation]],
    *,
    stale: bool = False,
    clear: bool = True,
    spared: bool = False,
) -> Outcome:
    """Play, judge; *clear*: delete the app at the end, and wait until only its data is left."""
    began = time.monotonic()
    found: list[Violation] = []
    trouble = ""
    with site.opened(grounds, name, seed=seed) as place:
        try:
            found += play(place)
            if place.faults and not (place.strikes or spared):
                raise StuckError("nothing went wrong: nothing was tried")
            if clear:
                place.clear()
        except (StuckError, ControlPlaneError, AssertionError) as error:
            trouble = str(error)
        history = grounds.recorder.history(place.namespace)
        facts = {
            "writes": len(place.writes()),
            "starts": sum(one.operator.starts for one in place.posts),
            "ended_itself": sum(one.operator.ends for one in place.posts),
            "unwell": sum(one.operator.unwell for one in place.posts),
            "changes_seen": len(history),
            "faults": place.strikes,
            **_slowest(place.failovers),
        }
    found += invariants.check(history, stale=stale)
    grounds.recorder.forget(place.namespace)
    if found or trouble:  # for whoever looks into it, with --keep
        _write_down(place, history)
    return Outcome(
        name=name,
        seconds=round(time.monotonic() - began, 1),
        converged=not trouble,
        violations=found,
        trouble=trouble,
        facts=facts,
    )


def _slowest(failovers: Sequence[Failover]) -> dict[str, float]:
    """Return how long it took at most until another leader held the Lease, and until it wrote."""
    wrote = [one.wrote for one in failovers if one.wrote is not None]
    return {
        **_rounded("slowest_failover_seconds", [one.held for one in failovers]),
        **_rounded("slowest_first_write_seconds", wrote),
    }


def _rounded(name: str, seconds: Sequence[float]) -> dict[str, float]:
    return {name: round(max(seconds), 2)} if seconds else {}


def _write_down(place: Site, moments: Sequence[Moment]) -> None:
    """Leave the history beside the operators' logs, a line a change, and what they wrote."""
    with (place.home / "history.jsonl").open("w") as file:
        for one in moments:
            file.write(json.dumps([one.version, one.type, one.kind, one.body, one.at]) + "\n")
    with (place.home / "writes.txt").open("w") as file:
        for write in place.noted:
            file.write(f"{write.at:.3f} {write.writer} {write.status} {write.call}\n")
