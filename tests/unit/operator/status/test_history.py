"""When an app was taken up, ready and done: told by the status alone."""

from typing import Any

import pytest

from clusterous_operator.decisions.counting import Size
from clusterous_operator.status import appstatus
from tests.unit.operator.making import FakeApi, make_app, settle

TIMES = ("startTime", "readyTime", "timeToReadySeconds", "completionTime")


class Story:
    """An app through the day: each look tells the times as seconds after noon."""

    def __init__(self, **spec: Any) -> None:
        self.spec = spec
        self.api = FakeApi()
        self.told: dict[str, Any] = {}

    def look(self, second: int, *, runs: bool = True, **changes: Any) -> dict[str, Any]:
        self.spec |= changes
        app = make_app(**self.spec)
        settle(app, self.api)
        if runs:
            self.api.run()
        now = f"2026-11-22T12:00:{second:02}Z"
        self.told = appstatus.summarize(self.api.observe(app), Size(), self.told, now)
        return {key: _second(self.told[key]) for key in TIMES if key in self.told}


def _second(value: Any) -> Any:
    return int(value[-3:-1]) if isinstance(value, str) else value


def test_an_app_starts_when_it_is_first_seen() -> None:
    assert Story().look(0, runs=False) == {"startTime": 0}


def test_the_first_time_that_it_is_ready_counts() -> None:
    story = Story()
    story.look(0, runs=False)
    story.look(7)
    story.look(8)

    found = story.look(20)

    assert found == {"startTime": 0, "readyTime": 7, "timeToReadySeconds": 7}


def test_what_is_suspended_from_the_first_has_not_started() -> None:
    story = Story(suspend=True)
    story.look(0)

    assert story.look(9, suspend=False, runs=False) == {"startTime": 9}


def test_a_status_that_does_not_tell_of_suspension_tells_of_an_app_that_runs() -> None:
    story = Story()
    story.look(0, runs=False)
    story.told["conditions"] = []

    assert story.look(9, runs=False) == {"startTime": 0}


def test_it_starts_anew_when_it_is_resumed() -> None:
    story = Story()
    story.look(0, runs=False)
    story.look(2)
    ready = story.look(5)
    suspended = story.look(10, suspend=True)
    resumed = story.look(30, suspend=False, runs=False)

    assert suspended == ready
    assert resumed == {"startTime": 30}
    assert story.look(33)["timeToReadySeconds"] == 3


@pytest.mark.parametrize("end", ["Complete", "Failed"])
def test_a_batch_ends_once(end: str) -> None:
    story = Story(run="Batch")
    story.look(0)
    story.look(1)
    story.api.end_job("sim-master", end)
    story.look(40)

    assert story.look(50)["completionTime"] == 40


def test_another_run_is_another_start() -> None:
    story = Story(run="Batch")
    story.look(0)
    story.look(1)
    story.api.end_job("sim-master")
    story.look(40)
    story.api.objects["Job", "sim-master"]["status"] = {}

    assert story.look(50, runs=False) == {"startTime": 50}


def test_a_clock_that_was_set_back_gives_no_negative_time() -> None:
    story = Story()
    story.look(30, runs=False)
    story.look(10)

    assert story.look(10)["timeToReadySeconds"] == 0
