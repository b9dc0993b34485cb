"""What central logging is to keep, and the figures that are made of what was taken. Pure.

Goals and their table are as in `bench.cluster.goals`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bench.cluster.goals import Goal

RATE: Final = 500  # lines a second

ALL: Final = (
    Goal(
        figure="lost_alive",
        words="store stopped for 2 minutes, log rotated twice: lines lost",
        most=0.0,
    ),
    Goal(figure="doubled_alive", words="the same: lines doubled", most=0.0),
    Goal(figure="lost_killed", words="and the collector killed once: lines lost", most=1.0),
    Goal(
        figure="doubled_killed_percent",
        words="the same: of a hundred lines, doubled",
        most=1.0,
    ),
    Goal(
        figure="complete_seconds",
        words="complete after the store is back, seconds (the longer of both)",
        most=30.0,
    ),
    Goal(figure="searchable_p95_seconds", words="from line to searchable, seconds (p95)", most=3.0),
    Goal(figure="store_mb", words="store's resident MB at 200,000 records", most=160.0),
    Goal(figure="collector_mb", words="collector's resident MB at 500 lines a second", most=80.0),
    Goal(
        figure="store_killed_seconds",
        words="store killed: seconds of lines lost, at most",
        most=3.0,
    ),
    Goal(
        figure="on_seconds",
        words="`logging on --light` to the first record found in the region, seconds",
        most=60.0,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Of the lines 0 to *written*: so many are *lost*, so many came once more than written."""

    written: int
    lost: int
    doubled: int


def counted(written: int, numbers: Iterable[int]) -> Count:
    """Compare the numbers that were found with those that were written."""
    found = Counter(numbers)
    lost = sum(number not in found for number in range(written))
    return Count(written=written, lost=lost, doubled=found.total() - len(found))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which a *share* of all are, at least."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def figures(taken: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of what was *taken*; what was not taken has none."""
    found: dict[str, float] = {}
    alive, killed = taken.get("alive"), taken.get("killed")
    if alive:
        found |= {"lost_alive": alive["lost"], "doubled_alive": alive["doubled"]}
    if killed:
        share = 100 * killed["doubled"] / killed["written"]
        found |= {"lost_killed": killed["lost"], "doubled_killed_percent": round(share, 2)}
    if alive and killed:
        found["complete_seconds"] = max(alive["complete_seconds"], killed["complete_seconds"])
    if delays := taken.get("searchable_seconds"):
        found["searchable_p95_seconds"] = round(percentile(delays, 0.95), 2)
    if lost := taken.get("store_killed_lost"):
        found["store_killed_seconds"] = round(max(lost) / RATE, 2)
    if memory := taken.get("memory_mb"):
        found |= {"store_mb": memory["store"], "collector_mb": max(memory["collector"])}
    if "on_seconds" in taken:
        found["on_seconds"] = taken["on_seconds"]
    return found
