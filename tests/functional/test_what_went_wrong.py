"""The guide from a failed program to its traceback, each command typed as it stands there.

Against the strict AWS, a stand-in of Kubernetes and one of the store; with real parts the same is
in `tests/region/clusters/test_logging.py`.
"""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from clusterous_cli import main
from clusterous_cli.program.central import export
from clusterous_cli.program.central.page import Door
from clusterous_cli.reach.kube import Api
from tests import guides
from tests.functional import cloud, test_logging
from tests.functional.test_logging import world  # noqa: F401  # a fixture

PAGE = "what-went-wrong.md"
NOW = datetime.now(UTC).isoformat().replace("+00:00", "Z")
LABELS = {"clusterous.io/app": "sim", "clusterous.io/component": "workers"}
WHERE = {"namespace": "default", "name": "sim"}
ENDED = {"name": "main", "lastState": {"terminated": {"exitCode": 1}}}
APP = {"metadata": WHERE, "spec": {"workers": {"replicas": 1}}}
POD = {
    "metadata": {"namespace": "default", "name": "sim-workers-x", "labels": LABELS},
    "spec": {"containers": [{"name": "main"}]},
    "status": {"phase": "Running", "containerStatuses": [ENDED]},
}


@dataclass
class Kubernetes(test_logging.Kubernetes):
    """One in which the workers of `sim` end with an error, and are started again."""

    is_there: bool = True
    logs: list[str] = field(default_factory=list)

    def __call__(self, method: str, path: str, body: str | None, kind: str) -> tuple[int, str]:
        if "/log?" in path:
            self.logs.append(path)
            return 200, f"{NOW} before\n" if "previous=true" in path else f"{NOW} again\n"
        return super().__call__(method, path, body, kind)

    def items(self, path: str) -> list[dict[str, Any]]:
        if path.endswith("/clusterousapps"):
            return [APP]
        return [POD] if "/pods" in path and "default" in path else super().items(path)


@dataclass
class Store:
    """Has the one trace that the guide shows; who follows it is stopped after a while."""

    trace: str
    asked: list[str] = field(default_factory=list)

    def __call__(self, port: int, door: Door, question: str, path: str = "") -> Iterator[bytes]:
        self.asked.append(question)
        if path == export.VALUES:
            yield b'{"values": []}'
        elif "stats by" in question:
            raise KeyboardInterrupt
        elif "| last" in question or test_logging.is_of(question, NOW):
            yield json.dumps(self.record()).encode()

    def record(self) -> dict[str, str]:
        return {"_time": NOW, "_msg": self.trace, "pod": "sim-workers-x", "app": "sim"}


def lines() -> list[guides.Typed]:
    return [one for lines in guides.sections(PAGE).values() for one in lines]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    shown = next(one.shown for one in lines() if one.shown)
    trace = "\n".join(line.partition(" | ")[2] for line in shown.splitlines())
    made = Store(trace=trace)
    test_logging.playing_the_store(monkeypatch)
    monkeypatch.setattr("clusterous_cli.program.central.search.lines", made)
    monkeypatch.setattr("clusterous_cli.program.exposure.hold", lambda *_: None)
    return made


def test_every_command_does_what_the_guide_says(
    world: cloud.World,  # noqa: F811
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kubernetes = Kubernetes()
    monkeypatch.setattr("clusterous_cli.reach.session.api", lambda _: Api(kubernetes))
    said: dict[str, str] = {}
    for one in lines():
        words = shlex.split(str(one.words))
        asks = ["--yes"] if words[:2] == ["logging", "on"] else []
        capsys.readouterr()

        code = main.run([*words, *asks])

        told = capsys.readouterr()
        assert code == (130 if "--follow" in words else 0), f"{one.line}: {told.err}"
        assert told.out == one.shown or not one.shown
        said[one.line] = told.out

    assert any("previous=true" in path for path in kubernetes.logs)
    assert 'app:="sim"' in "".join(store.asked)
    assert "http://localhost:8081/select/vmui/#/?query=" in said["clusterous logging open sim"]
    (kept,) = Path("kept/logs/sim").iterdir()
    assert json.loads(kept.read_text().splitlines()[0])["_msg"] == store.trace
    wanted = test_logging.wanted(world)
    assert wanted is not None
    assert wanted.level == 2
