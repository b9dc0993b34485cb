"""Waiting that goes on through hiccups."""

import pytest

from clusterous_api.errors import FailedError, TransientError
from clusterous_cli.system.wait import Patience, Progress


class World:
    """A clock, and something that is away for a while."""

    def __init__(self, away: int) -> None:
        self.now, self.away, self.mended = 0.0, away, 0
        self.told: list[str] = []

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def ask(self) -> str:
        if self.away:
            self.away -= 1
            raise TransientError("reset")
        return "here"

    def mend(self) -> None:
        self.mended += 1
        raise FailedError("no way yet")

    def patience(self, seconds: float = 300) -> Patience:
        return Patience(
            mend=self.mend, tell=self.told.append, seconds=seconds,
            clock=lambda: self.now, sleep=self.sleep,
        )  # fmt: skip


def test_a_hiccup_is_told_once_and_mended() -> None:
    world = World(away=3)

    assert world.patience().ask(world.ask) == "here"
    assert world.mended == 3
    assert world.told == ["The cluster does not answer; trying again. (reset)"]


def test_what_stays_away_is_an_error_after_all() -> None:
    world = World(away=1000)

    with pytest.raises(TransientError, match="reset"):
        world.patience().ask(world.ask)

    assert 300 <= world.now < 310


def test_each_silence_has_its_own_time() -> None:
    world = World(away=100)
    patience = world.patience()

    for _ in range(3):
        world.away = 100
        assert patience.ask(world.ask) == "here"


def test_what_time_does_not_mend_is_not_asked_again() -> None:
    world = World(away=0)

    def refused() -> str:
        raise FailedError("deleted")

    with pytest.raises(FailedError, match="deleted"):
        world.patience().ask(refused)
    assert world.told == []


def test_what_comes_further_is_waited_for_and_going_to_and_fro_is_no_progress() -> None:
    now = [0.0]
    progress = Progress(clock=lambda: now[0])
    still = []

    for mark in ("starting", "pulling", "starting", "pulling", "started"):
        still.append(progress.still("machine", mark))
        now[0] += 100

    assert still == [0, 0, 100, 200, 0]
