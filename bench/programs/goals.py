"""What daily work with programs is to keep, and what becomes of the seconds that were taken. Pure.

Goals and their table are as in `bench.cluster.goals`.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Final

from bench.cluster.goals import Goal

# What was taken: seconds of each of several times, by what was done.
Taken = Mapping[str, Sequence[float]]

ALL: Final = (
    Goal(
        figure="build_inside_seconds",
        words="nothing changed: seconds inside the builder",
        most=0.5,
    ),
    Goal(
        figure="build_beyond_seconds",
        words="nothing changed: build-image beyond an empty kubectl exec, seconds",
        most=1.0,
    ),
    Goal(
        figure="cached_build_ratio",
        words="Dask's image on an empty builder, with the registry's cache : its first build",
        most=0.5,
    ),
    Goal(figure="tag_seconds", words="the same image under a new tag, seconds more", most=0.5),
    Goal(figure="run_ratio", words="run, nothing changed : kubectl apply and readiness", most=1.3),
    Goal(figure="run_beyond_seconds", words="run, nothing changed: seconds of our own", most=2.0),
    Goal(figure="put_ratio", words="put, first time : one rsync on the same path", most=1.2),
    Goal(figure="put_again_ratio", words="put, nothing changed : the same rsync", most=1.2),
    Goal(figure="logs_beyond_seconds", words="logs beyond a round trip, seconds", most=0.3),
    Goal(figure="ls_beyond_seconds", words="ls beyond a round trip, seconds", most=0.3),
)
# What is divided by what, and what is taken from what.
RATIOS: Final = {
    "cached_build_ratio": ("build_cached", "build_first"),
    "run_ratio": ("run", "apply"),
    "put_ratio": ("put", "rsync"),
    "put_again_ratio": ("put_again", "rsync_again"),
}
BEYOND: Final = {
    "build_beyond_seconds": ("build_again", "exec"),
    "tag_seconds": ("build_tag", "build_again"),
    "run_beyond_seconds": ("run", "apply"),
    "logs_beyond_seconds": ("logs", "round_trip"),
    "ls_beyond_seconds": ("ls", "round_trip"),
}


def figures(taken: Taken) -> dict[str, float]:
    """Return the figures of *taken*, by their medians; what was not taken has none."""
    typical = {name: statistics.median(seconds) for name, seconds in taken.items() if seconds}
    divided = {
        figure: typical[one] / typical[other]
        for figure, (one, other) in RATIOS.items()
        if {one, other} <= typical.keys()
    }
    beyond = {
        figure: typical[one] - typical[other]
        for figure, (one, other) in BEYOND.items()
        if {one, other} <= typical.keys()
    }
    inside = {"build_inside_seconds": typical["build_inside"]} if "build_inside" in typical else {}
    return {name: round(value, 3) for name, value in {**divided, **beyond, **inside}.items()}
