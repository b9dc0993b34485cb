"""`python -m tests.mutants`: put faults into the product, one at a time, and see the tests notice.

mutmut knows what may be wrong; a seed chooses among that; each fault is tried in a copy of the
checkout, against the tests that are nearest first. build/mutants.json has every fault. A run that
was cut short is gone on with by the next, if nothing was changed meanwhile. The exit code is 1 when
one lives on that tests/mutants/survivors.toml does not explain, when more than a tenth do, or when
one does that has a name (tests/mutants/named.toml).
"""

import contextlib
import importlib.metadata
import json
import queue
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import click

from clusterous_cli.system import signals
from tests.mutants import copies, earlier, faults, named, rooms, survivors
from tests.mutants.earlier import Earlier
from tests.mutants.rooms import Stages

RESULT: Final = copies.ROOT / "build" / "mutants.json"
RESULTS: Final = copies.ROOT / "build" / "mutants.lines"
# More CPU and more time than the tests took without a fault, before they are taken to run for ever;
# more time, since how busy the machine is may change.
PATIENCE_OF_CPU: Final = 4
PATIENCE: Final = 10

Result = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A module's code with a fault, which tests to ask, and what to tell of it."""

    module: str
    code: str
    stages: Stages
    told: Result


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seed", default=10, show_default=True, help="Chooses the faults.")
@click.option("--count", default=330, show_default=True, help="How many faults beside the named.")
@click.option("--workers", default=2, show_default=True, help="How many are tried at a time.")
@click.option("--only", multiple=True, help="Only modules whose path has this in it.")
@click.option("--named-only", is_flag=True, help="Only the faults that have names.")
@click.option("--id", "ids", multiple=True, help="Only these of the chosen faults.")
@click.option("--near", is_flag=True, help="Ask only the nearest tests: quick, and no verdict.")
def main(
    seed: int,
    count: int,
    workers: int,
    only: Sequence[str],
    named_only: bool,
    ids: Sequence[str],
    near: bool,
) -> None:
    """Put faults into the product and see whether the tests notice."""
    tasks = list(_named(only)) if not ids else []
    if not named_only:
        tasks += [one for one in _chosen(seed, count, only) if not ids or one.told["id"] in ids]
    if near:
        tasks = [replace(one, stages=one.stages[:1]) for one in tasks]
    _tell(f"{len(tasks)} faults, {workers} at a time; each is tried in a copy of the checkout")
    before = Earlier(RESULTS, earlier.state(f"near={near}"))
    known = sum(before.of(one.told) is not None for one in tasks)
    if known:
        _tell(f"{known} of them were tried before, and nothing was changed since then")
    began = time.monotonic()
    with signals.as_interrupts():
        try:
            results = _tried(tasks, workers, before)
        except KeyboardInterrupt:
            sys.exit(130)
    report = _report(results, seed, only, time.monotonic() - began)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(report, indent=1) + "\n")
    _tell(in_words(report))
    for line in report["wrong"]:
        _tell(line)
    _tell("see build/mutants.json")
    sys.exit(1 if report["wrong"] else 0)


def _named(only: Sequence[str]) -> Iterator[Task]:
    for one in named.all_of_them():
        if not only or any(part in one.module for part in only):
            told = {"name": one.name, "module": one.module}
            yield Task(module=one.module, code=named.code(one), stages=(one.tests,), told=told)


def _chosen(seed: int, count: int, only: Sequence[str]) -> Iterator[Task]:
    modules = [
        faults.module(path, (copies.ROOT / path).read_text())
        for path in rooms.MODULES
        if not only or any(part in path for part in only)
    ]
    parts = faults.shares({one.path: len(one.places) for one in modules}, count)
    for module in modules:
        for fault in module.chosen(parts[module.path], seed):
            told = asdict(fault)
            del told["code"]
            stages = rooms.MODULES[fault.module]
            yield Task(module=fault.module, code=fault.code, stages=stages, told=told)


def _tried(tasks: Sequence[Task], workers: int, before: Earlier) -> list[Result]:
    """Try all, in copies that go when we do, however that is."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="clusterous-mutants-"))
        places = [Path(folder) / str(number) for number in range(workers)]
        all_copies = [stack.enter_context(copies.copy(place)) for place in places]
        free: queue.Queue[copies.Copy] = queue.Queue()
        for one in all_copies:
            free.put(one)
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        for one in all_copies:  # who waits for an answer waits no more when the asked has ended
            stack.callback(one.process.terminate)
        bounds = _Bounds()
        done = Counter[str]()

        def tried(task: Task) -> Result:
            known = before.of(task.told)
            if known is not None:
                done[known["verdict"]] += 1
                return known
            copy = free.get()
            try:
                result = _try(task, copy, bounds)
            finally:
                free.put(copy)
            before.add(result)
            done[result["verdict"]] += 1
            what = task.told.get("name") or survivors.told(task.told)
            by = f" by {result['by']}" if result["by"] else ""
            _tell(f"{sum(done.values())}/{len(tasks)} {result['verdict']}{by}"
                  f" in {result['seconds']:.0f} s: {what}")  # fmt: skip
            return result

        return list(pool.map(tried, tasks))


class _Bounds:
    """How long the tests take without a fault; measured when first asked, and all must pass."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], copies.Bound] = {}
        self._lock = threading.Lock()

    def of(self, tests: tuple[str, ...], copy: copies.Copy) -> copies.Bound:
        """Return how long *tests* may take."""
        with self._lock:
            if tests not in self._known:
                _tell(f"without a fault: {' '.join(tests)}")
                said = copy.ask(tests, copies.Bound(cpu=3600.0, wall=3600.0))
                if said["code"] != 0:
                    raise click.ClickException(
                        f"{said['failed'] or ' '.join(tests)} fails without any fault."
                        f" Mend that first (pytest said {said['code']})."
                    )
                self._known[tests] = copies.Bound(
                    cpu=PATIENCE_OF_CPU * said["cpu"] + 10, wall=PATIENCE * said["seconds"] + 60
                )
            return self._known[tests]


def _try(task: Task, copy: copies.Copy, bounds: _Bounds) -> Result:
    seconds = 0.0
    for tests in task.stages:
        bound = bounds.of(tests, copy)
        with copy.wrong(task.module, task.code):
            said = copy.ask(tests, bound)
        seconds += said["seconds"]
        if said["code"] != 0:
            by = said["failed"] or "pytest itself"
            return {**task.told, "verdict": "killed", "by": by, "seconds": round(seconds, 1)}
    return {**task.told, "verdict": "survived", "by": "", "seconds": round(seconds, 1)}


def _report(
    results: Sequence[Result], seed: int, only: Sequence[str], seconds: float
) -> dict[str, Any]:
    with_name = [one for one in results if "name" in one]
    chosen = [one for one in results if "id" in one]
    why = survivors.reasons()
    alive = [one for one in chosen if one["verdict"] == "survived"]
    return {
        "seed": seed,
        "only": list(only),
        "tools": {name: importlib.metadata.version(name) for name in ("mutmut", "pytest")},
        "seconds": round(seconds, 1),
        "named": {"tried": len(with_name), **Counter(one["verdict"] for one in with_name)},
        "chosen": {"tried": len(chosen), **Counter(one["verdict"] for one in chosen)},
        "wrong": survivors.wrong(chosen, with_name, why),
        "unused reasons": sorted(set(why) - {one["id"] for one in alive}) if not only else [],
        "faults": [
            {**one, "why": why.get(one.get("id", ""), "")} if one["verdict"] == "survived" else one
            for one in results
        ],
    }


def in_words(report: Result) -> str:
    """Return a line for people."""

    def part(key: str) -> str:
        one = report[key]
        return f"{one.get('killed', 0)} of {one['tried']} {key}"

    return f"killed: {part('chosen')}, {part('named')}; {report['seconds'] / 60:.0f} min"


def _tell(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    main()
