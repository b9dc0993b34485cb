"""`python -m tests.sequences`: random sequences of commands and accidents, held to a model.

build/sequences.json says how it went, also while it goes. The exit code is 1 if a sequence went
otherwise than the model says, or left something in the account; it is printed with its seed, and
with the fewest of its steps that still fail.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click

from tests.sequences import account, drawing, shrink
from tests.sequences.steps import Step
from tests.sequences.trial import Result, Trials

RESULT: Final = Path(__file__).parents[2] / "build" / "sequences.json"
SEEDS: Final = Path(__file__).parent / "seeds.txt"
EVERY: Final = 10  # how many sequences there are between words


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seed", default=1, show_default=True, help="The first sequence's number.")
@click.option("--count", default=300, show_default=True, help="How many, beside those that failed.")
@click.option("--only", multiple=True, type=int, metavar="SEED", help="These, and no others.")
@click.option("--show", is_flag=True, help="Print the steps, and try nothing.")
@click.option("--whole", is_flag=True, help="Do not look for the fewest steps that fail.")
def main(seed: int, count: int, only: Sequence[int], show: bool, whole: bool) -> None:
    """Let clusters come, live and go as chance has it, and compare with what should be there."""
    chosen = list(dict.fromkeys(only or (*kept_seeds(), *range(seed, seed + count))))
    if show:
        for one in chosen:
            _tell("\n".join([f"seed {one}:", *(f"  {step}" for step in drawing.drawn(one))]))
        return
    with (
        tempfile.TemporaryDirectory(prefix="clusterous-sequences-") as folder,
        account.opened(Path(folder)) as stage,
    ):
        good = tried(Trials(stage), chosen, whole=whole)
    sys.exit(0 if good else 1)


def kept_seeds() -> tuple[int, ...]:
    """Return the numbers of sequences that once failed."""
    lines = (line.partition("#")[0].strip() for line in SEEDS.read_text().splitlines())
    return tuple(int(line) for line in lines if line)


def tried(trials: Trials, seeds: Sequence[int], *, whole: bool = False) -> bool:
    """Try the sequences with these numbers; return whether all went as the model says."""
    began = time.monotonic()
    report: dict[str, Any] = {
        "sequences": 0, "steps": 0, "agreed": 0, "leaks": 0, "of": len(seeds), "failed": [],
        "seconds": 0.0, "cpu_seconds": 0.0, "seeds": [],
    }  # fmt: skip
    for seed in seeds:
        result = trials.run(drawing.drawn(seed))
        report["sequences"] += 1
        report["steps"] += result.steps
        report["agreed"] += result.good
        report["leaks"] += bool(result.left)
        report["seeds"].append(seed)
        if not result.good:
            _tell("\n".join([f"✗ seed {seed} fails:", *_shown(drawing.drawn(seed), result)]))
            told = result if whole else _smallest(trials, seed)
            report["failed"].append({"seed": seed, **told.shown()})
        report["seconds"] = round(time.monotonic() - began, 1)
        report["cpu_seconds"] = round(time.process_time(), 1)
        _write(report)
        if report["sequences"] % EVERY == 0:
            _tell(f"{report['sequences']} of {len(seeds)}, {report['seconds']:.0f} s")
    _tell(
        f"{report['agreed']} of {report['sequences']} sequences agreed, {report['steps']} steps;"
        f" {report['leaks']} leaks; see build/sequences.json"
    )
    return bool(report["sequences"]) and report["agreed"] == report["sequences"]


def _smallest(trials: Trials, seed: int) -> Result:
    """Shrink a sequence that failed, and tell of it."""
    smallest = shrink.smallest(drawing.drawn(seed), lambda some: not trials.run(some).good)
    result = trials.run(smallest)
    _tell("\n".join([f"so does this of seed {seed}:", *_shown(smallest, result)]))
    return result


def _shown(sequence: Sequence[Step], result: Result) -> Iterator[str]:
    yield from (f"    {step}" for step in sequence)
    yield f"  at {result.step}"
    yield from (f"    {words}" for words in (*result.other, *result.left))
    yield from (f"    | {line}" for line in result.said.splitlines())


def _write(report: dict[str, Any]) -> None:
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(report, indent=1) + "\n")


def _tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
