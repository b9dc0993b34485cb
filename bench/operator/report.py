"""The results as JSON for programs, and as a table for people. Pure."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bench.operator import targets
from bench.operator.rise import Rise

Figures = Mapping[str, float]
_HEAD: Final = (
    *("side", "apps", "seconds", "p50", "CPU s", "of server", "of others"),
    *("MiB", "writes/app"),
)
# With nothing else running it is a few per cent: the kernel's own work, and what starts and ends.
_MOST_OF_OTHERS: Final = 0.1
_DISTURBED: Final = "other programs took more than a tenth of the machine, so that times say little"


def document(
    machine: Mapping[str, Any],
    rises: Sequence[Rise],
    resident: Mapping[str, Any] | None,
    found: Figures,
) -> dict[str, Any]:
    """Return everything that was measured."""
    return {
        "machine": machine,
        "rises": [dataclasses.asdict(one) for one in rises],
        "resident": resident,
        "figures": found,
        "targets": [
            {
                "figure": one.target.figure,
                "words": one.target.words,
                "bound": one.target.bound,
                "at_least": one.target.at_least,
                "value": one.value,
                "verdict": one.word,
            }
            for one in targets.judge(found)
        ],
    }


def table(rises: Sequence[Rise], found: Figures, cpus: int) -> str:
    """Return what people read."""
    rows = [_HEAD, *map(_row, rises)]
    disturbed = sum(is_disturbed(one, cpus) for one in rises)
    warning = f"\n{disturbed} of {len(rises)} rises were disturbed: {_DISTURBED}.\n"
    return f"{_aligned(rows)}\n{warning if disturbed else ''}\n{_verdicts(found)}"


def is_disturbed(one: Rise, cpus: int) -> bool:
    """Tell whether others took so much of the machine that the time says little."""
    return one.cpu["others"] > _MOST_OF_OTHERS * one.seconds * cpus


def _row(one: Rise) -> tuple[str, ...]:
    writer_or_own = one.cpu.get(one.side, one.cpu.get("bench", 0.0))
    return (
        one.side,
        f"{one.apps}",
        f"{one.seconds:.1f}",
        f"{one.ready_seconds['p50']:.1f}",
        f"{writer_or_own:.1f}",
        f"{one.cpu['kube-apiserver'] + one.cpu['kine']:.1f}",
        f"{one.cpu['others']:.1f}",
        "" if one.resident_mib is None else f"{one.resident_mib:.1f}",
        f"{sum(one.writes.values()) / one.apps:.2f}",
    )


def _verdicts(found: Figures) -> str:
    rows = [
        (
            one.word,
            one.target.words,
            "" if one.value is None else f"{one.value:g}",
            f"{'≥' if one.target.at_least else '≤'} {one.target.bound:g}",
        )
        for one in targets.judge(found)
    ]
    return _aligned(rows)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
