"""Events: what is worth telling."""

from typing import Any

import pytest

from clusterous_operator.decisions.counting import Size
from clusterous_operator.status import appstatus, events, standing
from tests.unit.operator.making import NOW, FakeApi, make_app, make_pod, settle


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
        pytest.param(
            {"VolumeBound": "True Bound"},
            {"VolumeBound": "False VolumeDeleted"},
            ["VolumeDeleted!"],
            id="gone with its data",
        ),
    ],
)
def test_tells_what_changed(
    before: dict[str, str], after: dict[str, str], reasons: list[str]
) -> None:
    found = events.notes(told(**before), told(**after))

    assert [f"{one.reason}{'!' if one.warning else ''}" for one in found] == reasons


def counted(workers: int, *, was_ready: bool = True, **conditions: str) -> dict[str, Any]:
    entry = {"name": "workers", "desired": workers}
    ready = {"readyTime": NOW} if was_ready else {}
    return {**told(**RUNS, **conditions), "components": [entry], **ready}


def test_tells_of_another_number_of_pods() -> None:
    (note,) = events.notes(counted(4), counted(8))

    assert (note.reason, note.message) == ("Scaled", "workers scaled from 4 to 8.")


def test_numbers_are_no_news_before_it_was_ready_once() -> None:
    assert events.notes(counted(1, was_ready=False), counted(8)) == []


def test_a_suspension_is_not_told_as_scaling() -> None:
    after = {**counted(0), **told(Ready="False Suspending", Suspended="False Suspending")}

    assert events.notes(counted(4), after) == []


def test_tells_how_long_it_took() -> None:
    entry = {"name": "master", "desired": 1}
    after = {"readyTime": NOW, "timeToReadySeconds": 12, "components": [entry]}

    (note,) = events.notes({}, told(Ready="True Ready") | after)

    assert note.message == "Ready after 12 s: master 1."


def test_an_update_is_told_as_one() -> None:
    entry = {"name": "master", "desired": 1, "progress": "0 of 1 updated"}
    before = {**told(Ready="False Progressing"), "components": [entry], "readyTime": NOW}
    after = {**before, **told(Ready="True Ready")}

    (note,) = events.notes(before, after)

    assert (note.reason, note.message) == ("Updated", "All pods are updated: master 1.")


def test_tells_of_restarts_by_the_failure_policy() -> None:
    (note,) = events.notes({"restarts": 1}, {"restarts": 2})

    assert (note.reason, note.warning) == ("Restarted", True)


def test_tells_of_the_first_restart() -> None:
    (note,) = events.notes({"components": []}, {"restarts": 1})

    assert note.reason == "Restarted"
    assert "1 restart by now" in note.message


def test_a_new_operator_repeats_nothing() -> None:
    app, api = make_app(), FakeApi()
    settle(app, api)
    api.pods = (make_pod(trouble=("Crash", "crashed with exit code 1")),)
    first = appstatus.summarize(api.observe(app), Size(), {}, NOW)

    again = appstatus.summarize(api.observe(app), Size(), first, NOW)

    assert [one.reason for one in events.notes({}, first)] == ["Crash"]
    assert events.notes(first, again) == []


def test_that_a_change_counts_from_the_next_run_is_told_once() -> None:
    def at(progress: str) -> dict[str, Any]:
        return {"components": [{"name": "master", "progress": progress}]}

    late = at(f"0 of 1 done; {standing.NEXT_RUN}")
    later = at(f"0 of 1 done, 1 of 7 tries failed; {standing.NEXT_RUN}")

    assert [one.reason for one in events.notes(at("0 of 1 done"), late)] == ["NextRun"]
    assert events.notes(late, later) == []


def test_a_restart_is_told_with_what_failed_and_by_which_rule() -> None:
    cause = "part failed: exit code 3; rule 2 of failurePolicy says RestartApp"

    (note,) = events.notes({"restarts": 1}, {"restarts": 2, "restartedFor": cause})

    assert note.message == f"{cause}. 2 restarts by now."
