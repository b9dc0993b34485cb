"""What a cluster's life is to keep, in one table, and whether it did. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A figure, and the most that it may be."""

    figure: str
    words: str
    most: float


SHORT: Final = "beyond_path_seconds"
SLOW: Final = "beyond_path_seconds_as_slow_as_aws"
CREATE: Final = (
    Goal(figure=SHORT, words="create at 2 workers: seconds beyond its longest path", most=3.0),
    Goal(
        figure=SLOW,
        words="the same where a NAT gateway takes 90 s, an attachment 5 s",
        most=3.0,
    ),
    Goal(
        figure="calls_by_workers",
        words="calls that change something: more at 8 workers than at 1",
        most=0.0,
    ),
)
LIFE: Final = (
    Goal(
        figure="controller_seconds",
        words="controller lost: seconds from `create` to ready, its machine having ended",
        most=120.0,
    ),
    Goal(
        figure="restarts",
        words="controller lost: containers on workers that were started again",
        most=0.0,
    ),
    Goal(
        figure="lost_writes",
        words="controller lost: writes lost that the API had acknowledged",
        most=0.0,
    ),
    Goal(
        figure="lost_lines",
        words="both: lines lost that the shared volume had acknowledged",
        most=0.0,
    ),
    Goal(
        figure="open_file_seconds",
        words="volume server killed: seconds until an open file goes on",
        most=5.0,
    ),
    Goal(
        figure="new_open_seconds",
        words="volume server killed: seconds of a new open and write",
        most=20.0,
    ),
    Goal(
        figure="node_seconds",
        words="worker lost: seconds until its Node is gone",
        most=120.0,
    ),
    Goal(
        figure="elsewhere_seconds",
        words="worker lost: seconds until its pods run elsewhere",
        most=120.0,
    ),
)

ALL: Final[Mapping[str, tuple[Goal, ...]]] = {"create": CREATE, "life": LIFE}


def judged(goals: Sequence[Goal], figures: Figures) -> list[dict[str, Any]]:
    """Hold figures to goals; what was not measured has no value, and is not met."""
    return [
        {
            "figure": one.figure,
            "words": one.words,
            "goal": one.most,
            **({"value": figures[one.figure]} if one.figure in figures else {}),
            "met": one.figure in figures and figures[one.figure] <= one.most,
        }
        for one in goals
    ]


def is_met(judgement: Sequence[Mapping[str, Any]]) -> bool:
    """Whether every goal is."""
    return all(one["met"] for one in judgement)


def table(judgement: Sequence[Mapping[str, Any]]) -> str:
    """Return what people read."""
    width = max((len(one["words"]) for one in judgement), default=0)
    return "\n".join(
        f"{'met' if one['met'] else 'NOT MET':8} {one['words']:{width}}"
        f"  {one.get('value', 'not measured')} (≤ {one['goal']:g})"
        for one in judgement
    )
