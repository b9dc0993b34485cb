"""The regression gate: quick runs against a range that several earlier runs have drawn. Pure.

As Kueue does it, but on ratios and counts only: seconds say more about the machine of the day than
about the operator. The middle one of the runs counts, for a latency the best, and may be worse than
the calibrated mean by the tolerance of its figure.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Figures = Mapping[str, float]

APPS: Final = 100
# Two rises of 15 s right after each other, on a machine that others share too: of the five runs
# that drew the ranges, the lowest and the highest were 0.82 and 1.19 of the mean, in time and CPU.
# What one minute holds differs by some per cent; writes are counted, and differ only where events
# happen to meet.
_OF_TIME: Final = 0.5
_OF_CPU: Final = 0.4
_OF_RATIO: Final = 0.25
_OF_LATENCY: Final = 1.0
_OF_COUNT: Final = 0.1
_OF_MEMORY: Final = 0.1
TOLERANCES: Final[Mapping[str, float]] = {
    f"times_writer_{APPS}": _OF_TIME,
    f"cpu_times_writer_{APPS}": _OF_CPU,
    f"cpu_to_server_{APPS}": _OF_RATIO,
    "change_p50_times_server": _OF_LATENCY,
    f"writes_per_app_clusterous_{APPS}": _OF_COUNT,
    "writes_per_change": _OF_COUNT,
    f"resident_mib_clusterous_{APPS}": _OF_MEMORY,
    "unanswered_changes": 0.0,
    "quiet_writes": 0.0,
    "restart_writes": 0.0,
}
# Who waits for a core waits in a queue, and other work on the machine can only make that longer:
# here the best run counts. Beside a run of chaos this one was 6.3 and 3.4, and right after it 2.1.
_BEST: Final = frozenset({"change_p50_times_server"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A figure that left its range."""

    figure: str
    value: float
    limit: float


def calibrated(runs: Sequence[Figures], machine: Mapping[str, Any]) -> dict[str, Any]:
    """Return the range that these runs draw."""
    return {
        "runs": len(runs),
        "machine": dict(machine),
        "figures": {
            name: _range([one[name] for one in runs], tolerance)
            for name, tolerance in TOLERANCES.items()
        },
    }


def _range(values: Sequence[float], tolerance: float) -> dict[str, float]:
    mean = statistics.fmean(values)
    return {
        "mean": round(mean, 3),
        "lowest": min(values),
        "highest": max(values),
        "tolerance": tolerance,
        "limit": round(mean * (1 + tolerance), 3),
    }


def is_passed(runs: Sequence[Figures], ranges: Mapping[str, Any], of: int) -> bool:
    """Tell whether the gate is passed already, whatever the rest of *of* runs may say.

    The first is enough where each of its figures is far from the limit, as what is at the limit
    hardly ever looks; else the middle one of several decides.
    """
    if len(runs) == 1 and _is_clear(runs[0], ranges):
        return True
    return all(
        sum(run[name] <= one["limit"] for run in runs) > (0 if name in _BEST else of / 2)
        for name, one in ranges["figures"].items()
    )


def _is_clear(run: Figures, ranges: Mapping[str, Any]) -> bool:
    """Tell whether each figure used up at most half of what it may be worse than the mean."""
    return all(
        run[name] <= (one["mean"] + one["limit"]) / 2 for name, one in ranges["figures"].items()
    )


def breaches(runs: Sequence[Figures], ranges: Mapping[str, Any]) -> list[Breach]:
    """Return the figures whose middle value, or for some the best, is over the limit."""
    found = []
    for name, one in ranges["figures"].items():
        counts = min if name in _BEST else statistics.median
        value = counts([run[name] for run in runs])
        if value > one["limit"]:
            found.append(Breach(figure=name, value=value, limit=one["limit"]))
    return found
