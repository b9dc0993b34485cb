"""The reader of Kubernetes' events: one line an occurrence, also where it starts again."""

import http.server
import importlib.util
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[3] / "charts" / "clusterous-logging" / "files" / "events.py"


def loaded() -> Any:
    spec = importlib.util.spec_from_file_location("clusterous_events", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


events = loaded()


def event(number: int, name: str = "sim-x", **more: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": f"{name}.1", "resourceVersion": str(number)},
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": name},
        "reason": "BackOff",
        "message": "restarting failed container",
        "type": "Warning",
        **more,
    }


class Kubernetes(http.server.ThreadingHTTPServer):
    """Has events, and a ConfigMap; a watch gives what the test put aside for it, and ends."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.listed: list[dict[str, Any]] = []
        self.coming: list[dict[str, Any]] = []
        self.map: dict[str, Any] | None = None
        self.writes = 0

    def handle_error(self, request: Any, client_address: Any) -> None: ...


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Kubernetes

    def do_GET(self) -> None:
        assert self.headers["Authorization"] == "Bearer token"
        if "watch=true" in self.path:
            self._answer(200, *self.server.coming)
        elif self.path == "/api/v1/events":
            newest = max([0, *(events.version(one) for one in self.server.listed)])
            meta = {"resourceVersion": str(newest)}
            self._answer(200, {"metadata": meta, "items": self.server.listed})
        else:
            self._answer(200 if self.server.map else 404, self.server.map or {})

    def do_POST(self) -> None:
        self.server.map = self._body()
        self._answer(201, self.server.map)

    def do_PATCH(self) -> None:
        self.server.writes += 1
        self.server.map = {**(self.server.map or {}), **self._body()}
        self._answer(200, self.server.map)

    def _body(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return read

    def _answer(self, status: int, *things: dict[str, Any]) -> None:
        body = "".join(f"{json.dumps(one)}\n" for one in things).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def kubernetes() -> Iterator[Kubernetes]:
    server = Kubernetes()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def api(kubernetes: Kubernetes, tmp_path: Path) -> Any:
    (tmp_path / "token").write_text("token\n")
    url = f"http://127.0.0.1:{kubernetes.server_address[1]}"
    return events.Server(url, tmp_path / "token", None)


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_an_occurrence_says_what_happened_and_to_what() -> None:
    assert json.loads(events.line(event(7, count=3))) == {
        "message": "BackOff: restarting failed container",
        "level": "warn",
        "kind": "Pod",
        "name": "sim-x",
        "namespace": "default",
        "reason": "BackOff",
        "count": 3,
    }
    assert json.loads(events.line(event(7, type="Normal")))["level"] == "info"
    assert json.loads(events.line(event(7, series={"count": 9})))["count"] == 9
    assert json.loads(events.line({"metadata": {}}))["message"] == "Event: "


def test_each_occurrence_is_said_once_also_by_a_reader_that_starts_again(
    kubernetes: Kubernetes, api: Any, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr(events, "WRITE_SECONDS", 0.0)
    kubernetes.listed = [event(5, count=1), event(3, "db-x")]
    kubernetes.coming = [
        {"type": "MODIFIED", "object": event(8, count=2)},
        {"type": "DELETED", "object": event(9, "db-x")},
        {"type": "BOOKMARK", "object": event(10)},
    ]

    events.follow(api, events.Memory(api, "clusterous-logging"))

    assert [(one["name"], one["count"]) for one in said(capsys)] == [
        ("db-x", 1),
        ("sim-x", 1),
        ("sim-x", 2),
    ]

    kubernetes.listed = [event(8, count=2), event(3, "db-x"), event(12, "new-x")]
    kubernetes.coming = []
    events.follow(api, events.Memory(api, "clusterous-logging"))  # another pod

    assert [one["name"] for one in said(capsys)] == ["new-x"]


def test_a_watch_that_is_too_old_ends_and_what_was_said_is_not_said_again(
    kubernetes: Kubernetes, api: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    kubernetes.listed = [event(5)]
    kubernetes.coming = [{"type": "ERROR", "object": {"code": 410}}]
    memory = events.Memory(api, "clusterous-logging")

    events.follow(api, memory)
    events.follow(api, memory)

    assert len(said(capsys)) == 1


def test_how_far_it_came_is_not_written_down_at_each_event(
    kubernetes: Kubernetes, api: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    kubernetes.listed = [event(number, f"x-{number}") for number in range(1, 50)]

    events.follow(api, events.Memory(api, "clusterous-logging"))

    assert len(said(capsys)) == 49
    assert kubernetes.writes <= 1
