"""What is shown of logs: marked, by time, and each line once however often the stream breaks."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from clusterous_api import names
from clusterous_api.errors import TransientError, UserError
from clusterous_cli.program import apps, logs
from clusterous_cli.reach import kube

SOURCE = logs.Source(
    namespace="lab",
    pod="sim-workers-a",
    container="workers",
    title="workers-a",
    component="workers",
)
BEGAN = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)


def pod(name: str, phase: str = "Running") -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "lab",
            "name": name,
            "labels": {names.LABEL_COMPONENT: "workers"},
        },
        "spec": {"containers": [{"name": "workers"}, {"name": "aside"}]},
        "status": {"phase": phase},
    }


def stamp(milliseconds: int) -> str:
    return (BEGAN + timedelta(milliseconds=milliseconds)).isoformat().replace("+00:00", "Z")


def since(lines: list[str], query: Mapping[str, str]) -> list[str]:
    """The lines that the API server gives: from a whole second on."""
    if "sinceTime" not in query:
        return lines
    begin = datetime.fromisoformat(query["sinceTime"])
    return [line for line in lines if datetime.fromisoformat(line.split()[0]) >= begin]


def test_a_container_is_known_by_its_pod() -> None:
    (found,) = logs.sources([pod("sim-workers-a")], "sim")

    assert found == SOURCE
    assert found.path == "/api/v1/namespaces/lab/pods/sim-workers-a"


def test_a_line_without_a_stamp_is_shown_as_it_is() -> None:
    stamped = logs.parsed(SOURCE, f"{stamp(5)} two  words ")
    bare = logs.parsed(SOURCE, "failed to watch the file")

    assert (stamped.time, stamped.text) == (stamp(5), "two  words ")
    assert (bare.time, bare.text) == ("", "failed to watch the file")


@given(
    gaps=some.lists(some.integers(0, 1500), min_size=1, max_size=40),
    late=some.lists(some.integers(0, 900), min_size=40, max_size=40),
    cuts=some.lists(some.integers(0, 40), max_size=6),
)
def test_each_line_is_heard_once_wherever_the_stream_breaks(
    gaps: list[int], late: list[int], cuts: list[int]
) -> None:
    # Two streams write one log: a line may bear an earlier time than the one before it.
    times = [sum(gaps[: n + 1]) - late[n] + 1000 for n in range(len(gaps))]
    written = [f"{stamp(at)} equal" for at in times]
    memory, heard = logs.Memory(), []

    for cut in (*sorted(cuts), len(written)):
        query = memory.since()
        for line in since(written[:cut], query):
            if memory.is_new(logs.parsed(SOURCE, line)):
                heard.append(line)

    assert Counter(heard) == Counter(written)


class Server:
    """Logs by pod, each given in parts; between two parts the connection breaks."""

    def __init__(self, **parts: list[list[str]]) -> None:
        self.parts = parts
        self.asked: list[Mapping[str, str]] = []

    def read(self, path: str, query: Mapping[str, str]) -> Iterator[str]:
        self.asked.append(query)
        parts = self.parts[path.split("/")[-2].rpartition("-")[2]]
        yield from since(parts[0], query)
        if len(parts) > 1:
            parts[:2] = [parts[0] + parts[1]]
            raise TransientError("The connection broke.")


def follow(server: Server, looks: list[list[dict[str, Any]]]) -> list[str]:
    said: list[str] = []
    following = logs.Following(
        read=server.read,
        look=lambda: looks.pop(0) if len(looks) > 1 else looks[0],
        app="sim",
        wanted=logs.Extent(lines=7),
        sleep=lambda seconds: time.sleep(0.001),
        clock=iter(n * 0.5 for n in range(100_000)).__next__,
    )
    following.run(lambda line: said.append(line.text), lambda: len(looks) == 1)
    return said


def test_follows_over_breaks_and_hears_a_container_that_comes_later() -> None:
    server = Server(
        a=[[f"{stamp(0)} one"], [f"{stamp(10)} two"], [f"{stamp(4000)} three"]],
        b=[[f"{stamp(0)} late"]],
    )
    both = [pod("sim-workers-a", "Succeeded"), pod("sim-workers-b", "Succeeded")]

    said = follow(server, [[pod("sim-workers-a")], both, both])

    assert [text for text in said if text != "late"] == ["one", "two", "three"]
    assert said.count("late") == 1
    assert server.asked[0]["tailLines"] == "7"
    assert all("tailLines" not in one for one in server.asked if "sinceTime" in one)


class Lab:
    """A transport that knows pods and logs."""

    def __call__(self, method: str, path: str, body: str | None, kind: str) -> tuple[int, str]:
        if "/log?" not in path:
            items = [pod("sim-workers-b"), pod("sim-workers-a"), pod("sim-workers-c")]
            return 200, json.dumps({"items": items})
        name = path.split("/")[6]
        told = {"sim-workers-a": f"{stamp(3)} z\n", "sim-workers-b": f"{stamp(1)} y\n"}
        return (200, told[name]) if name in told else (400, "waiting to start")


def state(**more: Any) -> apps.AppState:
    component = apps.ComponentState(name="workers", desired=1, ready=1)
    return apps.AppState(
        namespace="lab",
        name="sim",
        run="Service",
        is_current=True,
        conditions={},
        components=(component,),
    )


def test_gathers_by_time_and_what_has_not_begun_says_nothing() -> None:
    api = kube.Api(Lab())

    found = logs.gathered(
        api, logs.sources(logs.pods(api, state(), "workers"), "sim"), logs.extent(5, None)
    )

    assert [(line.source.title, line.text) for line in found] == [
        ("workers-b", "y"),
        ("workers-a", "z"),
    ]


@pytest.mark.parametrize(
    ("lines", "since", "query"),
    [
        pytest.param(None, None, {"tailLines": "100"}, id="usual"),
        pytest.param(5, None, {"tailLines": "5"}, id="lines"),
        pytest.param(None, "10m", {"sinceSeconds": "600"}, id="ago"),
        pytest.param(None, "1d2h3m4s", {"sinceSeconds": "93784"}, id="long-ago"),
        pytest.param(None, "0s", {"sinceSeconds": "1"}, id="just-now"),
        pytest.param(7, "2h", {"tailLines": "7", "sinceSeconds": "7200"}, id="both"),
        pytest.param(
            None, "2026-11-30T09:00:00.5Z", {"sinceTime": "2026-11-30T09:00:00Z"}, id="since"
        ),
        pytest.param(
            None, "2026-11-30T11:00+02:00", {"sinceTime": "2026-11-30T09:00:00Z"}, id="zone"
        ),
    ],
)
def test_says_how_much_is_wanted(
    lines: int | None, since: str | None, query: dict[str, str]
) -> None:
    assert logs.extent(lines, since).query == query


@pytest.mark.parametrize(
    "text",
    ["", "soon", "10", "-5m", "5m 3s", "10 m", "m", "0001-01-01T00:00+14:00", "9" * 5000 + "s"],
)
def test_a_time_that_is_none_is_told(text: str) -> None:
    with pytest.raises(UserError, match="is no time: give how long ago"):
        logs.extent(None, text)


def test_only_who_ended_before_has_a_log_of_before() -> None:
    ended = {"name": "workers", "lastState": {"terminated": {"exitCode": 1}}}
    fresh = {"name": "workers", "lastState": {}}
    aside = {"name": "aside", "lastState": {"terminated": {"exitCode": 1}}}
    pods = [pod("sim-workers-a"), pod("sim-workers-b"), pod("sim-workers-c"), pod("sim-workers-d")]
    for one, status in zip(pods, (ended, fresh, aside), strict=False):
        one["status"]["containerStatuses"] = [status]

    (found,) = logs.before(pods, "sim")

    assert (found.pod, found.previous) == ("sim-workers-a", True)
    assert found.query(tailLines="5")["previous"] == "true"
    assert "previous" not in SOURCE.query()
    line = logs.Line(source=found, time=stamp(1), text="x")
    assert logs.as_data(line)["previous"] is True
    assert logs.as_data(logs.parsed(SOURCE, "x")) == {
        "time": "", "component": "workers", "pod": "sim-workers-a", "line": "x",
    }  # fmt: skip


def test_only_ends_of_lines_end_a_line() -> None:
    class Odd(Lab):
        def __call__(self, method: str, path: str, body: str | None, kind: str) -> tuple[int, str]:
            return 200, f"{stamp(1)} a\x0bb\u2028c\n{stamp(2)} \n"

    found = logs.gathered(kube.Api(Odd()), [SOURCE], logs.Extent())

    assert [line.text for line in found] == ["a\x0bb\u2028c", ""]
