"""`clusterous logging open` where records are in EFK: Kibana learns which programs there are."""

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from clusterous_api.errors import TransientError
from clusterous_cli import main
from clusterous_cli.cluster import config
from clusterous_cli.program.central.kibana import Program
from clusterous_cli.program.central.page import Door

DOOR = Door(address="10.43.7.8", port=5601, user="elastic", password="p", authority="PEM")
APPS = [{"metadata": {"namespace": "lab", "name": "sim"}}]


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, list[Program]]]:
    """What was put into Kibana, of a cluster with EFK that is behind a tunnel."""
    taken: list[tuple[int, list[Program]]] = []
    opened = SimpleNamespace(access=None, cluster=None)
    way = SimpleNamespace(close=lambda: None, ensure=lambda: None)

    @contextlib.contextmanager
    def served(*_: Any) -> Iterator[None]:
        yield

    def save(port: int, door: Door, of: list[Program]) -> None:
        assert door is DOOR
        taken.append((port, of))

    read = config.parse("name: reef\nlogging: 1\n")
    for name, made in {
        "commands.opening.existing": lambda *_: (None, read),
        "reach.session.open_session": lambda *_: opened,
        "reach.session.api_of": lambda *_: SimpleNamespace(items=lambda _: APPS),
        "program.central.page.let_in": lambda *_: DOOR,
        "program.central.page.trust": lambda _: None,
        "program.central.kibana.save": save,
        "program.exposure.app_tunnel": lambda *_: way,
        "program.exposure.hold": lambda *_: None,
        "reach.unwrapped.served": served,
        "reach.tunnel.free_port": lambda wanted: wanted,
    }.items():
        monkeypatch.setattr(f"clusterous_cli.{name}", made)
    return taken


@pytest.mark.parametrize(
    ("words", "programs", "link"),
    [
        pytest.param([], [("lab", "sim")], "http://localhost:8081/app/discover\n", id="all"),
        pytest.param(
            ["open", "sim"], [("lab", "sim")], "/discover#/view/clusterous-lab-sim?", id="one"
        ),
        pytest.param(
            ["open", "gone"],
            [("default", "gone"), ("lab", "sim")],
            "/discover#/view/clusterous-default-gone?",
            id="one that is gone",
        ),
    ],
)
def test_it_leads_to_a_saved_search_that_was_made_before(
    saved: list[tuple[int, list[Program]]],
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    programs: list[tuple[str, str]],
    link: str,
) -> None:
    assert main.run(["logging", *words]) == 0

    ((port, of),) = saved
    assert port == 8082, "behind which TLS is spoken"
    assert [(one.namespace, one.app) for one in of] == programs
    assert link in capsys.readouterr().out


@pytest.mark.usefixtures("saved")
def test_a_kibana_that_takes_none_is_opened_all_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise TransientError("Kibana does not answer.")

    monkeypatch.setattr("clusterous_cli.program.central.kibana.save", refuse)

    assert main.run(["logging", "open", "sim"]) == 0

    said = capsys.readouterr()
    assert "dataViewId:clusterous" in said.out
    assert "may be no saved search" in said.err
