"""Idle apps: suspended after their time and not before, resumed when asked, never in doubt."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from clusterous_api.models import Idle
from clusterous_operator.objects import idle
from clusterous_operator.objects.idle import State

NOON = datetime.fromisoformat("2026-11-22T12:00:00Z")
WANTED = Idle(after_seconds=60, cpu="100m")


def decide(before: State, cpu: str | None, seconds: float = 0, **more: Any) -> State:
    asked = {"resume": before.resumed, "changed": False} | more
    used = None if cpu is None else Decimal(cpu)
    return idle.decide(WANTED, before, used=used, now=NOON + timedelta(seconds=seconds), **asked)


def test_is_suspended_when_it_has_been_idle_for_long_enough() -> None:
    first = decide(State(), "0.01")
    second = decide(first, "0.02", 59)
    third = decide(second, "0.01", 60)

    assert (first.since, first.suspended) == (NOON, False)
    assert (second.since, second.suspended) == (NOON, False)
    assert (third.since, third.suspended) == (NOON, True)


@pytest.mark.parametrize("cpu", [pytest.param("0.1", id="busy"), pytest.param(None, id="unknown")])
def test_begins_anew_when_it_works_or_nobody_knows(cpu: str | None) -> None:
    assert decide(State(since=NOON), cpu, 59) == State()
    assert decide(State(since=NOON), cpu, 61) == State()


def test_stays_suspended_though_it_uses_nothing_that_is_known() -> None:
    asleep = State(since=NOON, suspended=True)

    assert decide(asleep, None, 500) == asleep


def test_is_resumed_by_a_new_word_once() -> None:
    asleep = State(since=NOON, suspended=True, resumed="1")

    awake = decide(asleep, None, 500, resume="2")

    assert awake == State(resumed="2")
    assert decide(awake, "0", 600, resume="2").since == NOON + timedelta(seconds=600)


def test_a_word_that_is_taken_back_changes_nothing() -> None:
    asleep = State(since=NOON, suspended=True, resumed="1")

    assert decide(asleep, None, resume="") == asleep


def test_is_resumed_by_a_change_of_its_spec() -> None:
    asleep = State(since=NOON, suspended=True, resumed="1")

    assert decide(asleep, None, changed=True) == State(resumed="1")


def test_the_status_remembers_it() -> None:
    asleep = State(since=NOON, suspended=True, resumed="1")

    assert idle.read({"idle": idle.write(asleep)}) == asleep
    assert idle.read({"idle": idle.write(State())}) == State()
    assert idle.read({}) == State()


@pytest.mark.parametrize(
    ("cpu", "found"),
    [
        pytest.param({"a": Decimal(1), "b": Decimal(2), "other": Decimal(9)}, 3, id="sum"),
        pytest.param({"a": Decimal(1)}, None, id="one is missing"),
        pytest.param(None, None, id="no answer"),
    ],
)
def test_usage_is_known_only_of_all(cpu: dict[str, Decimal] | None, found: int | None) -> None:
    assert idle.used(["a", "b"], [], cpu) == found


def test_an_app_without_running_pods_is_not_idle() -> None:
    assert idle.used([], ["starts"], {"starts": Decimal(1)}) is None


def test_what_pods_use_that_are_not_ready_counts_as_far_as_it_is_known() -> None:
    cpu = {"a": Decimal("0.01"), "overloaded": Decimal(4)}

    assert idle.used(["a"], ["overloaded", "waits"], cpu) == Decimal("4.01")


@pytest.mark.parametrize("length", [256, 257, 200_000])
def test_a_word_of_any_length_is_obeyed_once_and_remembered_in_few(length: int) -> None:
    asleep = State(since=NOON, suspended=True, resumed="1")

    awake = decide(asleep, None, resume="💥" * length)
    again = decide(State(suspended=True, resumed=awake.resumed), None, resume="💥" * length)
    other = decide(State(suspended=True, resumed=awake.resumed), None, resume="💥" * length + "!")

    assert (awake.suspended, again.suspended, other.suspended) == (False, True, False)
    assert len(idle.write(awake)["resumed"]) <= 256
