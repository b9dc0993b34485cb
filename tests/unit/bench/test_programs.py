"""What the benchmark of daily work makes of the seconds that it took."""

import pytest

from bench.cluster.goals import Goal, judged
from bench.programs import goals

TAKEN = {
    "run": [3.0, 2.0, 9.0],
    "apply": [2.5, 2.5, 2.5],
    "put": [6.0],
    "rsync": [4.0],
    "ls": [0.5, 0.7],
    "round_trip": [0.2, 0.2],
    "build_again": [],
}


def test_one_slow_time_among_several_decides_nothing() -> None:
    found = goals.figures(TAKEN)

    assert found["run_ratio"] == 1.2  # of the medians, 3.0 and 2.5
    assert found["run_beyond_seconds"] == 0.5
    assert found["ls_beyond_seconds"] == 0.4


def test_what_was_not_taken_is_not_met() -> None:
    judgement = {one["figure"]: one for one in judged(goals.ALL, goals.figures(TAKEN))}

    assert judgement["run_ratio"]["met"]
    assert not judgement["put_ratio"]["met"]  # 1.5 where 1.2 is asked
    assert "value" not in judgement["tag_seconds"]
    assert not judgement["tag_seconds"]["met"]


@pytest.mark.parametrize("goal", goals.ALL, ids=lambda goal: goal.figure)
def test_every_goal_has_a_figure(goal: Goal) -> None:
    figures = goals.RATIOS.keys() | goals.BEYOND.keys() | {"build_inside_seconds"}

    assert goal.figure in figures
    assert figures == {one.figure for one in goals.ALL}
