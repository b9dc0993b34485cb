"""`python -m tests.chaos`: what may go wrong goes wrong; build/chaos.json says how it went.

The exit code is 1 when a rule was broken or something did not converge.
"""

import fnmatch
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Final

import click

from tests.chaos import grounds, runs
from tests.chaos.grounds import Grounds
from tests.chaos.runs import Outcome, Reference
from tests.chaos.scenarios import SCENARIOS, Scenario
from tests.chaos.stories import KILLED_IN, STORIES

RESULT: Final = Path(__file__).parents[2] / "build" / "chaos.json"
_MORE = 1  # writes beyond those of the undisturbed run: status is written as changes come

Work = Callable[[], Outcome]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", multiple=True, metavar="NAME", help="Run what is so called; * is allowed.")
@click.option("--seed", default=1, show_default=True, help="What chance begins with.")
@click.option("--jobs", default=5, show_default=True, help="How many run side by side.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep all logs in this folder.")
def main(only: Sequence[str], seed: int, jobs: int, keep: Path | None) -> None:
    """Try the operator against a fault-ridden API server."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="clusterous-chaos-") as scratch:
        home = keep or Path(scratch) / "plane"
        with grounds.prepared(home) as ready:
            outcomes, gaps = _all(ready, only, seed, jobs), ready.recorder.gaps
    result = _result(outcomes, seed, time.monotonic() - began, gaps)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    _tell(f"{_summary(result)}; see build/chaos.json")
    sys.exit(0 if all(one.is_good for one in outcomes) and outcomes else 1)


def _all(ready: Grounds, only: Sequence[str], seed: int, jobs: int) -> list[Outcome]:
    """Tell the stories undisturbed; then everything side by side; then what must be alone.

    What waits for the clock most of the time goes on beside the rest, with as many at a time.
    """
    chosen = [one for one in SCENARIOS if _is_chosen(one.name, only)]
    points = [name for name in KILLED_IN if _is_chosen(name, only) or _has_point(name, only)]
    needed = sorted({*points, *(one.story for one in chosen)})
    told: dict[str, tuple[Reference, Outcome]] = {}
    with ThreadPoolExecutor(jobs) as busy, ThreadPoolExecutor(jobs) as patient:
        pools = {False: busy, True: patient}
        tales = {name: _undisturbed(ready, name, seed, pools) for name in needed}
        begun: list[Future[Outcome]] = []
        for is_patient, pool in pools.items():
            told |= _references(
                {name: one for name, one in tales.items() if _waits(name) == is_patient}
            )
            work = _work(ready, told, chosen, points, seed, only, is_patient=is_patient)
            begun += [pool.submit(one) for one in work]
        outcomes = [outcome for _, outcome in told.values()] + _ended(begun, pools.values())
    alone = [
        _scenario(ready, one, told[one.story][0], seed)
        for one in chosen
        if one.alone and told[one.story][1].converged
    ]
    return outcomes + [_said(one()) for one in alone]


def _waits(story: str) -> bool:
    return STORIES[story].patient


def _undisturbed(
    ready: Grounds, name: str, seed: int, pools: Mapping[bool, ThreadPoolExecutor]
) -> Future[tuple[Reference, Outcome]]:
    return pools[_waits(name)].submit(runs.undisturbed, ready, STORIES[name], seed)


def _work(
    ready: Grounds,
    told: Mapping[str, tuple[Reference, Outcome]],
    chosen: Sequence[Scenario],
    points: Sequence[str],
    seed: int,
    only: Sequence[str],
    *,
    is_patient: bool,
) -> list[Work]:
    """Return what goes on side by side, the slowest first."""
    # A story without an end in good weather needs no bad one.
    references = {
        name: made
        for name, (made, how) in told.items()
        if how.converged and _waits(name) == is_patient
    }
    together = [one for one in chosen if not one.alone and one.story in references]
    together.sort(key=lambda one: not one.slow)
    stories = [one for one in points if one in references]
    return [
        *(_scenario(ready, one, references[one.story], seed) for one in together),
        *_kill_points(ready, stories, references, seed, only),
    ]


def _is_chosen(name: str, only: Sequence[str]) -> bool:
    return not only or any(fnmatch.fnmatch(name, one) for one in only)


def _has_point(story: str, only: Sequence[str]) -> bool:
    return any(one.startswith(f"{story}-") for one in only)


def _references(
    begun: Mapping[str, Future[tuple[Reference, Outcome]]],
) -> dict[str, tuple[Reference, Outcome]]:
    told = {name: one.result() for name, one in begun.items()}
    for name, (reference, outcome) in told.items():
        _said(outcome)
        _tell(f"    {name}: {len(reference.writes)} writes: {', '.join(reference.writes)}")
    return told


def _scenario(ready: Grounds, one: Scenario, reference: Reference, seed: int) -> Work:
    return lambda: runs.troubled(ready, one, reference, seed)


def _kill_points(
    ready: Grounds,
    names: Iterable[str],
    references: Mapping[str, Reference],
    seed: int,
    only: Sequence[str],
) -> list[Work]:
    """Return a run for every write of every story, and for both sides of each."""

    def point(name: str, number: int, late: bool) -> Work:
        story, reference = STORIES[name], references[name]
        return lambda: runs.killed(ready, story, reference, seed, number=number, late=late)

    return [
        point(name, number, late)
        for name in names
        for number in range(1, len(references[name].writes) + _MORE + 1)
        for late in (False, True)
        if _is_chosen(name, only)
        or _is_chosen(f"{name}-{number}-{'after' if late else 'before'}", only)
    ]


def _ended(begun: Iterable[Future[Outcome]], pools: Iterable[ThreadPoolExecutor]) -> list[Outcome]:
    try:
        return [_said(one.result()) for one in as_completed(begun)]
    except KeyboardInterrupt:
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)
        raise


# What is told.

_began: Final = time.monotonic()
_lock: Final = threading.Lock()


def _tell(words: str) -> None:
    with _lock:
        click.echo(f"{time.monotonic() - _began:6.1f} s  {words}", err=True)


def _said(one: Outcome) -> Outcome:
    if one.is_kill_point and one.converged and one.struck is None:
        verdict = "not reached"
    else:
        verdict = "ok" if one.is_good else "BROKEN"
    at = f" at {one.struck}" if one.struck else ""
    _tell(f"{verdict:11} {one.name}{at} ({one.seconds} s)")
    for violation in one.violations:
        _tell(f"    {violation}")
    for line in one.trouble.splitlines():
        _tell(f"    {line}")
    return one


def _result(outcomes: Sequence[Outcome], seed: int, seconds: float, gaps: int) -> dict[str, Any]:
    """Return what build/chaos.json holds; a kill point that was never reached counts nowhere."""
    points = [one for one in outcomes if one.is_kill_point]
    reached = [one for one in points if one.struck or not one.converged]
    scenarios = [one for one in outcomes if not one.is_kill_point]
    return {
        "scenarios": len(scenarios),
        "kill_points": len(reached),
        "converged": sum(one.converged for one in (*scenarios, *reached)),
        "violations": sum(len(one.violations) for one in outcomes),
        "seed": seed,
        "seconds": round(seconds, 1),
        "changes_judged": sum(one.facts.get("changes_seen", 0) for one in outcomes),
        "gaps_in_the_record": gaps,
        **_slowest(outcomes, "slowest_failover_seconds"),
        **_slowest(outcomes, "slowest_first_write_seconds"),
        "runs": [_row(one) for one in (*scenarios, *reached)],
    }


def _slowest(outcomes: Sequence[Outcome], name: str) -> dict[str, float]:
    """Return the largest of a fact that not all runs have."""
    found = [one.facts[name] for one in outcomes if name in one.facts]
    return {name: max(found)} if found else {}


def _row(one: Outcome) -> dict[str, Any]:
    return {
        "name": one.name,
        "seconds": one.seconds,
        "converged": one.converged,
        "violations": [str(violation) for violation in one.violations],
        **({"killed_at": one.struck} if one.struck else {}),
        **({"trouble": one.trouble} if one.trouble else {}),
        **one.facts,
    }


def _summary(result: dict[str, Any]) -> str:
    return (
        f"{result['scenarios']} scenarios, {result['kill_points']} kill points, "
        f"{result['converged']} converged, {result['violations']} violations, "
        f"{result['seconds']} s{_failovers(result)}"
    )


def _failovers(result: Mapping[str, Any]) -> str:
    slowest = result.get("slowest_failover_seconds")
    return "" if slowest is None else f", slowest failover {slowest} s"


if __name__ == "__main__":
    main()
