"""`python -m bench.operator`: the operator, the bulk writer and dask-kubernetes, in one run.

run        everything, or a part of it; writes build/bench/operator.json and prints a table
gate       a few quick runs, held to the ranges in bench/operator/gate.json
calibrate  a few quick runs, which draw those ranges anew
"""

import argparse
import asyncio
import dataclasses
import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.operator import figures, gate, machine, report, rise, testbed
from bench.operator.dask import Dask
from bench.operator.errors import BenchError
from bench.operator.product import Product
from bench.operator.resident import Plan, Residence
from bench.operator.rise import Rise, Side
from bench.operator.writer import Writer
from tests.region.parts.parts import Parts

OUTPUT: Final = testbed.ROOT / "build" / "bench" / "operator.json"
GATE: Final = Path(__file__).with_name("gate.json")
SIDES: Final[dict[str, Callable[[], Side]]] = {
    "writer": Writer,
    "clusterous": Product,
    "dask-kubernetes": Dask,
}
_QUICK: Final = Plan(count=gate.APPS, change_seconds=10, big_workers=0, quiet_seconds=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What is measured, in this order: each side at each of its sizes, and one residence."""

    rises: Sequence[tuple[str, int]]
    residence: Plan | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What was measured."""

    rises: Sequence[Rise]
    resident: dict[str, Any] | None

    def figures(self) -> dict[str, float]:
        """Return the few figures that are compared."""
        return figures.figures(self.rises, self.resident)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; return 1 where the gate is not passed."""
    chosen = _parser().parse_args(argv)
    # As Ctrl-C does: what was started ends, and its folder goes.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        match chosen.what:
            case "gate":
                return _gate(chosen.runs or 3)
            case "calibrate":
                return _calibrate(chosen.runs or 5)
        return _run(chosen)
    except BenchError as error:
        _tell(f"no result: {error}")
        return 1
    except KeyboardInterrupt:
        _tell("broken off")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench.operator",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="?", default="run", choices=("run", "gate", "calibrate"))
    parser.add_argument("--sizes", type=_sizes, default=_sizes("100,200,500,1000,3000"))
    parser.add_argument("--writer-sizes", type=_sizes, default=_sizes("200,500,1000"))
    parser.add_argument("--dask-sizes", type=_sizes, default=_sizes("50,200"))
    parser.add_argument("--resident", type=int, default=1000, help="apps that stay; 0: none")
    parser.add_argument("--rate", type=float, default=20.0, help="changes a second")
    parser.add_argument("--change-seconds", type=float, default=60.0)
    parser.add_argument("--big-workers", type=int, default=500, help="0: no big app")
    parser.add_argument("--quiet-minutes", type=float, default=5.0)
    parser.add_argument("--only", choices=tuple(SIDES), action="append", help="only these sides")
    parser.add_argument("--quick", action="store_true", help="small, as the gate does it")
    parser.add_argument("--runs", type=int, help="of gate and calibrate")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    return parser


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(one) for one in text.split(",") if one)


def _script(chosen: argparse.Namespace) -> Script:
    if chosen.quick:
        return _quick_script()
    sizes = {
        "writer": chosen.writer_sizes,
        "clusterous": chosen.sizes,
        "dask-kubernetes": chosen.dask_sizes,
    }
    sides = chosen.only or tuple(SIDES)
    # Sides of one size follow each other, so that a busy hour of the machine meets them alike.
    rises = [
        (side, size)
        for size in sorted({size for side in sides for size in sizes[side]})
        for side in SIDES
        if side in sides and size in sizes[side]
    ]
    plan = Plan(
        count=chosen.resident,
        rate=chosen.rate,
        change_seconds=chosen.change_seconds,
        big_workers=chosen.big_workers,
        quiet_seconds=60 * chosen.quiet_minutes,
    )
    return Script(rises=rises, residence=plan if chosen.resident else None)


def _quick_script() -> Script:
    return Script(rises=(("writer", gate.APPS), ("clusterous", gate.APPS)), residence=_QUICK)


def _carry_out(
    script: Script, programs: Parts, keep: Callable[[Results], None] = lambda results: None
) -> Results:
    """Measure one thing after the other; *keep* gets what there is after each."""
    found: list[Rise] = []
    resident: dict[str, Any] | None = None
    for name, count in script.rises:
        plan = script.residence
        stays = plan is not None and (name, count) == ("clusterous", plan.count)
        one, after = _measure(SIDES[name](), count, plan if stays else None, programs)
        found.append(one)
        resident = after or resident
        _tell(f"{name} {count}: {one.seconds} s")
        keep(Results(rises=tuple(found), resident=resident))
    return Results(rises=found, resident=resident)


def _measure(
    side: Side, count: int, plan: Plan | None, programs: Parts
) -> tuple[Rise, dict[str, Any] | None]:
    """Bring *count* apps up on an empty server; with *plan*, stay and measure on."""
    with testbed.serve(programs, (side.user,)) as bed:
        side.prepare(bed)

        async def measure() -> tuple[Rise, dict[str, Any] | None]:
            async with side.running(bed) as pid:
                found = await rise.measure(side, bed, count, pid, _tell)
                if plan is None or not isinstance(side, Product) or side.operator is None:
                    return found, None
                stay = Residence(bed=bed, operator=side.operator, plan=plan, tell=_tell)
                return found, await stay.measure()

        return asyncio.run(measure())


def _run(chosen: argparse.Namespace) -> int:
    script, programs = _script(chosen), testbed.find_parts()
    about = {**machine.description(), "began": machine.now()}

    def keep(results: Results) -> None:
        now = {**about, "ended": machine.now()}
        numbers = results.figures()
        document = report.document(now, results.rises, results.resident, numbers)
        chosen.output.parent.mkdir(parents=True, exist_ok=True)
        chosen.output.write_text(json.dumps(document, indent=1) + "\n")

    results = _carry_out(script, programs, keep)
    print(report.table(results.rises, results.figures(), about["cpus"]))
    _tell(f"everything is in {chosen.output}")
    return 0


def _quick_runs(
    count: int, is_enough: Callable[[Sequence[gate.Figures]], bool] = lambda runs: False
) -> list[dict[str, float]]:
    programs = testbed.find_parts()
    found: list[dict[str, float]] = []
    while len(found) < count and not is_enough(found):
        _tell(f"run {len(found) + 1} of {count}")
        found.append(_carry_out(_quick_script(), programs).figures())
    return found


def _gate(count: int) -> int:
    if not GATE.exists():
        raise BenchError(f"{GATE} is not there; `calibrate` draws the ranges on a quiet machine")
    ranges = json.loads(GATE.read_text())
    runs = _quick_runs(count, lambda runs: gate.is_passed(runs, ranges, count))
    found = gate.breaches(runs, ranges)
    print(json.dumps({"runs": runs, "breaches": [dataclasses.asdict(one) for one in found]}))
    for one in found:
        _tell(f"{one.figure} is {one.value:g}; at most {one.limit:g} is allowed")
    return 1 if found else 0


def _calibrate(count: int) -> int:
    ranges = gate.calibrated(_quick_runs(count), machine.description())
    GATE.write_text(json.dumps(ranges, indent=1) + "\n")
    return 0


def _tell(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
