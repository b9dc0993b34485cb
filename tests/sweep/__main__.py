"""`python -m tests.sweep`: every command that changes a cluster, disturbed at each of its calls.

build/sweep.json says how it went. The exit code is 1 if something did not converge, something was
left in the account, a command printed a traceback, or a call met no fault of a kind.
"""

import json
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import click

from tests.sweep import points, work
from tests.sweep.account import Outcome
from tests.sweep.stories import STORIES

RESULT: Final = Path(__file__).parents[2] / "build" / "sweep.json"
EVERY: Final = 20  # how many points there are between words


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", multiple=True, metavar="POINT", help="Try what is so called; * is allowed.")
@click.option("--jobs", default=3, show_default=True, help="How many accounts side by side.")
def main(only: Sequence[str], jobs: int) -> None:
    """Disturb create, destroy, add-nodes, rm-nodes and a controller's replacement."""
    began = time.monotonic()
    fresh = multiprocessing.get_context("spawn")  # each has a store of its own, and no threads yet
    names = [story.name for story in STORIES]
    with fresh.Pool(jobs, initializer=work.prepare) as pool:
        told = dict(pool.imap_unordered(work.undisturbed, names, chunksize=1))
        chosen = [
            point
            for story in STORIES
            for point in points.of(story, told[story.name])
            if not only or any(fnmatchcase(point.name, one) for one in only)
        ]
        _tell(f"{len(chosen)} points")
        outcomes = list(
            _heard(pool.imap_unordered(work.disturbed, chosen, chunksize=1), len(chosen))
        )
    uncovered = [] if only else _uncovered(told, outcomes)
    result = summary(outcomes, uncovered, time.monotonic() - began)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    _tell(
        f"{result['converged']} of {result['points']} points converged; {result['leaks']} leaks,"
        f" {result['tracebacks']} tracebacks, {len(uncovered)} uncovered; see build/sweep.json"
    )
    sys.exit(0 if outcomes and not uncovered and all(one.good for one in outcomes) else 1)


def summary(
    outcomes: Sequence[Outcome], uncovered: Sequence[str], seconds: float
) -> dict[str, Any]:
    """Return what build/sweep.json says; *failed* are the points that went otherwise than well."""
    return {
        "points": len(outcomes),
        "converged": sum(one.converged for one in outcomes),
        "leaks": sum(bool(one.left) for one in outcomes),
        "tracebacks": sum(one.traceback for one in outcomes),
        "uncovered": list(uncovered),
        "seconds": round(seconds, 1),
        "failed": [one.shown() for one in outcomes if not one.good],
        "outcomes": [[one.point, list(one.codes), one.seconds] for one in outcomes],
    }


def _heard(outcomes: Iterator[Outcome], of: int) -> Iterator[Outcome]:
    for number, one in enumerate(outcomes, start=1):
        if not one.good:
            _tell(f"✗ {one.point} (met {', '.join(one.struck)}; codes {one.codes})")
            _tell(f"  {one.trouble or one.left}")
        elif number % EVERY == 0:
            _tell(f"{number} of {of}")
        yield one


def _uncovered(told: dict[str, list[Any]], outcomes: Sequence[Outcome]) -> list[str]:
    found = []
    for story, calls in told.items():
        met = [(one.how, at) for one in outcomes if one.story == story for at in one.struck]
        found += [f"{story}: {one}" for one in points.uncovered(calls, met)]
    return found


def _tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
