"""Events: what is worth telling, and that nothing is told too often."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from clusterous_operator.cache.record import Record
from clusterous_operator.client import recorder
from clusterous_operator.client.cluster import BusyError, MissingError
from clusterous_operator.client.recorder import Note, Recorder
from clusterous_operator.decisions.counting import Size
from clusterous_operator.objects.inherit import Inherit
from clusterous_operator.status import appstatus
from tests.unit.operator.making import NOW, FakeApi, make_app, make_body, make_pod, settle


def told(**conditions: str) -> dict[str, Any]:
    """Return a status: Ready="False Crash", and further conditions."""
    items = []
    for kind, text in conditions.items():
        value, _, reason = text.partition(" ")
        items.append({"type": kind, "status": value, "reason": reason, "message": f"{reason}!"})
    return {"conditions": items}


RUNS = {"Suspended": "False Running", "Completed": "False Running"}


@pytest.mark.parametrize(
    ("before", "after", "reasons"),
    [
        pytest.param({}, {"Ready": "False Progressing"}, [], id="taken up"),
        pytest.param({"Ready": "False Progressing"}, {"Ready": "True Ready"}, ["Ready"], id="up"),
        pytest.param({"Ready": "True Ready"}, {"Ready": "True Ready"}, [], id="nothing new"),
        pytest.param({"Ready": "True Ready"}, {"Ready": "False Crash"}, ["Crash!"], id="broke"),
        pytest.param({"Ready": "False Crash"}, {"Ready": "False Crash"}, [], id="still broken"),
        pytest.param({"Ready": "False Crash"}, {"Ready": "False Waiting"}, [], id="waits again"),
        pytest.param(
            {"Ready": "False Crash"}, {"Ready": "False OOMKilled"}, ["OOMKilled!"], id="worse"
        ),
        pytest.param({"Ready": "True Ready"}, {"Ready": "False Invalid"}, ["Invalid!"], id="bad"),
        pytest.param(
            {"Ready": "True Ready"}, {"Ready": "True Completed"}, ["Completed"], id="done"
        ),
        pytest.param(
            {"Ready": "False Suspending", "Suspended": "False Suspending"},
            {"Ready": "False Suspended", "Suspended": "True Suspended"},
            ["Suspended"],
            id="suspended",
        ),
        pytest.param(
            {"Ready": "True Ready", "Suspended": "False Running"},
            {"Ready": "False Idle", "Suspended": "True Idle"},
            ["Idle"],
            id="idle",
        ),
        pytest.param(
            {"Suspended": "True Idle"}, {"Suspended": "False Running"}, ["Resumed"], id="resumed"
        ),
        pytest.param(
            {"VolumeBound": "True Bound"},
            {"VolumeBound": "True VolumeResizing"},
            ["VolumeResizing"],
            id="grows",
        ),
        pytest.param(
            {"VolumeBound": "True Bound"},
            {"VolumeBound": "True NotResizable"},
            ["NotResizable!"],
            id="stays small",
        ),
        pytest.param(
            {"VolumeBound": "True Bound"}, {"VolumeBound": "False Lost"}, ["Lost!"], id="lost"
        ),
        pytest.param(
            {"VolumeBound": "True Bound"},
            {"VolumeBound": "False Deleting"},
            ["Deleting!"],
            id="deleted under the app",
        ),
    ],
)
def test_tells_what_changed(
    before: dict[str, str], after: dict[str, str], reasons: list[str]
) -> None:
    found = recorder.notes(told(**before), told(**after))

    assert [f"{one.reason}{'!' if one.warning else ''}" for one in found] == reasons


def counted(workers: int, *, was_ready: bool = True, **conditions: str) -> dict[str, Any]:
    entry = {"name": "workers", "desired": workers}
    ready = {"readyTime": NOW} if was_ready else {}
    return {**told(**RUNS, **conditions), "components": [entry], **ready}


def test_tells_of_another_number_of_pods() -> None:
    (note,) = recorder.notes(counted(4), counted(8))

    assert (note.reason, note.message) == ("Scaled", "workers scaled from 4 to 8.")


def test_numbers_are_no_news_before_it_was_ready_once() -> None:
    assert recorder.notes(counted(1, was_ready=False), counted(8)) == []


def test_a_suspension_is_not_told_as_scaling() -> None:
    after = {**counted(0), **told(Ready="False Suspending", Suspended="False Suspending")}

    assert recorder.notes(counted(4), after) == []


def test_tells_how_long_it_took() -> None:
    entry = {"name": "master", "desired": 1}
    after = {"readyTime": NOW, "timeToReadySeconds": 12, "components": [entry]}

    (note,) = recorder.notes({}, told(Ready="True Ready") | after)

    assert note.message == "Ready after 12 s: master 1."


def test_an_update_is_told_as_one() -> None:
    entry = {"name": "master", "desired": 1, "progress": "0 of 1 updated"}
    before = {**told(Ready="False Progressing"), "components": [entry], "readyTime": NOW}
    after = {**before, **told(Ready="True Ready")}

    (note,) = recorder.notes(before, after)

    assert (note.reason, note.message) == ("Updated", "All pods are updated: master 1.")


def test_tells_of_restarts_by_the_failure_policy() -> None:
    (note,) = recorder.notes({"restarts": 1}, {"restarts": 2})

    assert (note.reason, note.warning) == ("Restarted", True)


def test_a_new_operator_repeats_nothing() -> None:
    app, api = make_app(), FakeApi()
    settle(app, api)
    api.pods = (make_pod(trouble=("Crash", "crashed with exit code 1")),)
    first = appstatus.summarize(api.observe(app), Size(), {}, NOW)

    again = appstatus.summarize(api.observe(app), Size(), first, NOW)

    assert [one.reason for one in recorder.notes({}, first)] == ["Crash"]
    assert recorder.notes(first, again) == []


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
        return {"metadata": {"name": f"event-{len(self.created)}"}}

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


def test_the_same_again_is_counted() -> None:
    desk = Desk()

    for times in (1, 2, 3):
        desk.tell(message=f"crashed, restarted {times} times")

    assert len(desk.events.created) == 1
    assert [body["series"]["count"] for _, body in desk.events.patched] == [2, 3]
    assert {name for name, _ in desk.events.patched} == {"event-1"}


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


def test_an_event_that_is_lost_fails_nothing() -> None:
    desk = Desk()
    desk.events.error = BusyError("no")

    desk.tell()

    assert desk.events.created == []


def test_what_it_remembers_has_a_bound() -> None:
    desk = Desk()

    for number in range(1100):
        desk.tell(uid=f"app-{number}")
    desk.tell(uid="app-0")

    assert len(desk.events.created) == 1101
