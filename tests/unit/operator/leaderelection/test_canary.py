"""A silent watch is told from a quiet cluster."""

from clusterous_operator.leaderelection.canary import Canary


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_is_content_while_nothing_was_written() -> None:
    clock = Clock()
    canary = Canary(clock)

    clock.now += 1000

    assert canary.silent_seconds() == 0


def test_counts_from_the_first_write_that_did_not_come_back() -> None:
    clock = Clock()
    canary = Canary(clock)
    canary.expect(5)
    clock.now += 10
    canary.expect(6)
    clock.now += 10

    assert canary.silent_seconds() == 20


def test_is_content_when_the_watch_has_caught_up() -> None:
    clock = Clock()
    canary = Canary(clock)
    canary.expect(5)
    clock.now += 10
    canary.saw(6)

    assert canary.silent_seconds() == 0


def test_an_older_version_is_no_sign_of_life() -> None:
    clock = Clock()
    canary = Canary(clock)
    canary.expect(5)
    canary.saw(4)
    clock.now += 10

    assert canary.silent_seconds() == 10


def test_the_watch_may_be_faster_than_the_answer() -> None:
    canary = Canary(Clock())
    canary.saw(5)
    canary.expect(5)

    assert canary.silent_seconds() == 0
