"""Figures from samples: percentiles, and the slope of a line through points."""

from collections.abc import Sequence


def percentile(samples: Sequence[float], share: float) -> float:
    """Return the smallest sample that at least *share* (0 to 1) of all are not above."""
    if not samples:
        raise ValueError("there is no sample")
    ordered = sorted(samples)
    rank = -(-len(ordered) * share // 1)  # rounded up
    return ordered[max(int(rank), 1) - 1]


def summary(samples: Sequence[float]) -> dict[str, float]:
    """Return what is told of a series."""
    if not samples:
        return {"count": 0}
    return {
        "count": len(samples),
        "p50": round(percentile(samples, 0.5), 4),
        "p90": round(percentile(samples, 0.9), 4),
        "p99": round(percentile(samples, 0.99), 4),
        "max": round(max(samples), 4),
    }


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the slope of the line of least squares."""
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if spread == 0:
        raise ValueError("all points are at one place")
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
