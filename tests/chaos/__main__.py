"""`python -m tests.chaos`: what may go wrong goes wrong; build/chaos.json says how it went.

The exit code is 1 when a rule was broken or something did not converge.
"""

import fnmatch
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Final

import click

from tests.chaos import grounds, runs
from tests.chaos.grounds import Grounds
from tests.chaos.runs import Outcome, Reference
from tests.chaos.scenarios import SCENARIOS
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
    """Tell the stories undisturbed; then everything side by side; then what must be alone."""
    chosen = [one for one in SCENARIOS if _is_chosen(one.name, only)]
    points = [name for name in KILLED_IN if _is_chosen(name, only) or _has_point(name, only)]
    needed = sorted({*points, *(one.story for one in chosen)})
    with ThreadPoolExecutor(jobs) as pool:
        told = _references(ready, needed, seed, pool)
        outcomes = [outcome for _, outcome in told.values()]
        # A story without an end in good weather needs no bad one.
        references = {name: made for name, (made, how) in told.items() if how.converged}
        points = [one for one in points if one in references]
        chosen = [one for one in chosen if one.story in references]
        together = [one for one in chosen if not one.alone]
        work: list[Work] = [
            *(_scenario(ready, one, references, seed) for one in together if one.slow),
            *(_scenario(ready, one, references, seed) for one in together if not one.slow),
            *_kill_points(ready, points, references, seed, only),
        ]
        outcomes += _side_by_side(pool, work)
    alone = [_scenario(ready, one, references, seed) for one in chosen if one.alone]
    return outcomes + [_said(one()) for one in alone]


def _is_chosen(name: str, only: Sequence[str]) -> bool:
    return not only or any(fnmatch.fnmatch(name, one) for one in only)


def _has_point(story: str, only: Sequence[str]) -> bool:
    return any(one.startswith(f"{story}-") for one in only)


def _references(
    ready: Grounds, needed: Iterable[str], seed: int, pool: ThreadPoolExecutor
) -> dict[str, tuple[Reference, Outcome]]:
    begun = {name: pool.submit(runs.undisturbed, ready, STORIES[name], seed) for name in needed}
    told = {name: one.result() for name, one in begun.items()}
    for name, (reference, outcome) in told.items():
        _said(outcome)
        _tell(f"    {name}: {len(reference.writes)} writes: {', '.join(reference.writes)}")
    return told


def _scenario(ready: Grounds, one: Any, references: dict[str, Reference], seed: int) -> Work:
    return lambda: runs.troubled(ready, one, references, seed)


def _kill_points(
    ready: Grounds,
    names: Iterable[str],
    references: dict[str, Reference],
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


def _side_by_side(pool: ThreadPoolExecutor, work: Iterable[Work]) -> list[Outcome]:
    begun = [pool.submit(one) for one in work]
    try:
        return [_said(one.result()) for one in as_completed(begun)]
    except KeyboardInterrupt:
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
        "runs": [_row(one) for one in (*scenarios, *reached)],
    }


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
        f"{result['seconds']} s"
    )


if __name__ == "__main__":
    main()
