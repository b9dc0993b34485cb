"""Events: that nothing is told too often."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from clusterous_operator.cache.record import Record
from clusterous_operator.client.cluster import BusyError, ConflictError, MissingError, RefusedError
from clusterous_operator.client.recorder import Recorder
from clusterous_operator.objects.inherit import Inherit
from clusterous_operator.status.events import Note
from tests.unit.operator.making import NOW, make_body


class FakeEvents:
    """A cluster that keeps events; *error* is what it answers instead."""

    def __init__(self) -> None:
        self.created: list[Mapping[str, Any]] = []
        self.patched: list[tuple[str, Mapping[str, Any]]] = []
        self.error: Exception | None = None
        self.missing = False

    async def create(self, kind: str, namespace: str, body: Mapping[str, Any]) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        self.created.append(body)
        return dict(body)

    @property
    def names(self) -> list[str]:
        return [one["metadata"]["name"] for one in self.created]

    async def patch(
        self, kind: str, namespace: str, name: str, body: Mapping[str, Any]
    ) -> dict[str, Any]:
        if self.missing:
            raise MissingError("gone")
        self.patched.append((name, body))
        return {}


class Desk:
    """A recorder with a clock that is set by hand."""

    def __init__(self) -> None:
        self.time = 0.0
        self.events = FakeEvents()
        self.recorder = Recorder(self.events, lambda: self.time)  # type: ignore[arg-type]  # fake

    def tell(self, reason: str = "Crash", message: str = "crashed", uid: str = "u") -> None:
        body = make_body()
        record = Record.read({**body, "metadata": {**body["metadata"], "uid": uid}}, Inherit())
        note = Note(warning=True, reason=reason, message=message)
        asyncio.run(self.recorder.tell(record, note, NOW))

    def again(self) -> None:
        asyncio.run(self.recorder.again())


def test_the_same_again_is_counted() -> None:
    desk = Desk()

    for times in (1, 2, 3):
        desk.tell(message=f"crashed, restarted {times} times")

    assert len(desk.events.created) == 1
    assert [body["series"]["count"] for _, body in desk.events.patched] == [2, 3]
    assert {name for name, _ in desk.events.patched} == set(desk.events.names)


def test_another_thing_is_another_event() -> None:
    desk = Desk()

    desk.tell("Crash")
    desk.tell("OOMKilled")
    desk.tell("Crash", uid="another app")

    assert len(desk.events.created) == 3


def test_a_count_has_an_end() -> None:
    desk = Desk()
    desk.tell()

    desk.time = 601
    desk.tell()

    assert (len(desk.events.created), desk.events.patched) == (2, [])


def test_an_event_that_is_gone_is_written_again() -> None:
    desk = Desk()
    desk.tell()

    desk.events.missing = True
    desk.tell()

    assert len(desk.events.created) == 2


def test_an_app_that_talks_too_much_is_cut_off_and_heard_again() -> None:
    desk = Desk()

    for number in range(30):
        desk.tell(f"Reason{number}")
    at_once = len(desk.events.created)
    desk.tell(uid="another app")
    desk.time = 30
    desk.tell("Later")

    assert at_once == 10
    assert len(desk.events.created) == 12


def test_an_event_that_is_refused_fails_nothing() -> None:
    desk = Desk()
    desk.events.error = RefusedError("no")

    desk.tell()

    assert desk.events.created == []
    assert desk.recorder.owes_in is None


def test_what_the_api_server_had_no_time_for_is_written_later() -> None:
    desk = Desk()
    desk.events.error = BusyError("not now")
    desk.tell("Crash")
    desk.tell("OOMKilled")
    assert desk.recorder.owes_in == 5.0

    desk.events.error = None
    desk.again()
    assert desk.events.created == []
    desk.time = 5
    desk.again()

    assert [one["reason"] for one in desk.events.created] == ["Crash", "OOMKilled"]
    assert desk.recorder.owes_in is None


def test_as_long_as_it_has_no_time_it_is_asked_now_and_then() -> None:
    desk = Desk()
    desk.events.error = BusyError("not now")
    desk.tell()

    desk.time = 5
    desk.again()

    assert desk.recorder.owes_in == 5.0


def test_an_event_whose_answer_was_lost_is_there_once() -> None:
    desk = Desk()
    desk.events.error = BusyError("cut off")
    desk.tell()

    desk.time = 5
    desk.events.error = ConflictError("it is there")
    desk.again()
    desk.events.error = None
    desk.tell()

    assert desk.recorder.owes_in is None
    assert [body["series"]["count"] for _, body in desk.events.patched] == [2]


def test_what_it_remembers_has_a_bound() -> None:
    desk = Desk()

    for number in range(1100):
        desk.tell(uid=f"app-{number}")
    desk.tell(uid="app-0")

    assert len(desk.events.created) == 1101


@pytest.mark.parametrize("sign", ["a", "é", "中", "💥"])
def test_a_note_is_cut_to_the_bytes_that_the_api_server_takes(sign: str) -> None:
    desk = Desk()

    desk.tell(message=sign * 2000)

    note = desk.events.created[0]["note"]
    assert set(note) == {sign}
    assert 1020 < len(note.encode()) <= 1024
