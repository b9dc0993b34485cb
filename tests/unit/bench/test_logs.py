"""What becomes of lines that were written, found, lost and doubled."""

import pytest

from bench.cluster.goals import judged
from bench.logs import goals
from bench.logs.goals import Count

WHOLE = {
    "alive": {"written": 1000, "lost": 0, "doubled": 0, "complete_seconds": 4.0},
    "killed": {"written": 1000, "lost": 1, "doubled": 5, "complete_seconds": 9.0},
    "searchable_seconds": [1.0] * 95 + [2.0] * 5,
    "store_killed_lost": [0, 750],
    "memory_mb": {"store": 120.0, "collector": [60.0, 70.0]},
    "on_seconds": 30.0,
}


def test_what_is_lost_and_what_came_twice_is_counted() -> None:
    assert goals.counted(4, [0, 1, 1, 3]) == Count(written=4, lost=1, doubled=1)


@pytest.mark.parametrize(("share", "value"), [(0.5, 2), (0.95, 3), (1.0, 3)])
def test_a_share_of_all_is_below(share: float, value: float) -> None:
    assert goals.percentile([3, 1, 2], share) == value


def test_every_goal_has_a_figure() -> None:
    figures = goals.figures(WHOLE)

    assert figures["searchable_p95_seconds"] == 2.0
    assert figures["doubled_killed_percent"] == 0.5
    assert figures["complete_seconds"] == 9.0
    assert figures["store_killed_seconds"] == 1.5
    assert figures["collector_mb"] == 70.0
    assert all(one["met"] for one in judged(goals.ALL, figures))


def test_what_was_not_measured_has_no_figure_and_is_not_met() -> None:
    assert goals.figures({}) == {}
    assert not any(one["met"] for one in judged(goals.ALL, {}))
