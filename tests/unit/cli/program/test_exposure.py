"""Pages that are held open: what is mended, and what is left alone."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from clusterous_api.errors import FailedError, TransientError
from clusterous_cli.program import exposure
from clusterous_cli.program.apps import Endpoint, Far
from clusterous_cli.program.exposure import Keeping, Opened
from clusterous_cli.reach import ssh
from clusterous_cli.reach.tunnel import Forward, Tunnel
from clusterous_cli.terminal.options import Settings
from clusterous_cli.terminal.screen import Ui
from tests.unit.cli.data.test_rsync import ACCESS

PAGE = Endpoint(name="page", component="master", service="sim-master", port=80, local_port=8080)


@dataclass
class Wire:
    """What becomes of tunnels: *open* by their address, and whether the far end answers."""

    open: set[str] = field(default_factory=lambda: {"10.43.0.7"})
    answers: bool = True
    done: list[str] = field(default_factory=list)
    failing: bool = False

    def patch(self, patch: pytest.MonkeyPatch) -> None:
        def ensure(tunnel: Tunnel) -> None:
            if self.failing:
                raise ssh.ConnectionRefused("No route to host")
            self.open.add(tunnel.forward.address)
            self.done.append(f"open {tunnel.forward.address}")

        def close(tunnel: Tunnel) -> None:
            self.open.discard(tunnel.forward.address)
            self.done.append(f"close {tunnel.forward.address}")

        patch.setattr(Tunnel, "is_open", lambda tunnel: tunnel.forward.address in self.open)
        patch.setattr(Tunnel, "answers", lambda tunnel: self.answers)
        patch.setattr(Tunnel, "ensure", ensure)
        patch.setattr(Tunnel, "close", close)


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    made = Wire()
    made.patch(monkeypatch)
    return made


def keeping(find: Callable[[Endpoint], Far]) -> tuple[Keeping, io.StringIO]:
    said = io.StringIO()
    forward = Forward(port=8080, address="10.43.0.7", remote=80)
    opened = Opened(endpoint=PAGE, tunnel=Tunnel(access=ACCESS, forward=forward))
    return Keeping(opened=[opened], find=find, ui=Ui(Settings(), err=said)), said


def here(endpoint: Endpoint) -> Far:
    return Far(address="10.43.0.7", port=80)


def moved(endpoint: Endpoint) -> Far:
    return Far(address="10.42.1.9", port=80)


def away(endpoint: Endpoint) -> Far:
    raise TransientError("The API server does not answer.")


def test_what_is_open_is_left_alone(wire: Wire) -> None:
    kept, said = keeping(here)

    for _ in range(2 * exposure.ASKED_EACH):
        kept.look()

    assert wire.done == []
    assert said.getvalue() == ""


def test_a_connection_that_is_dead_is_found_out_and_made_anew(wire: Wire) -> None:
    kept, _ = keeping(here)
    wire.answers = False

    for _ in range(exposure.ASKED_EACH):
        kept.look()

    assert wire.done == ["close 10.43.0.7", "open 10.43.0.7"]


def test_a_page_whose_pod_has_moved_is_followed(wire: Wire) -> None:
    kept, _ = keeping(moved)

    for _ in range(exposure.ASKED_EACH):
        kept.look()

    assert wire.done == ["close 10.43.0.7", "open 10.42.1.9"]
    assert kept.opened[0].url == "http://localhost:8080"


def test_what_works_stays_though_the_cluster_cannot_be_asked(wire: Wire) -> None:
    kept, said = keeping(away)

    for _ in range(exposure.ASKED_EACH):
        kept.look()

    assert (wire.done, said.getvalue(), kept.broken) == ([], "", False)


def test_what_broke_is_opened_again_though_the_cluster_cannot_be_asked(wire: Wire) -> None:
    kept, said = keeping(away)
    wire.open.clear()

    kept.look()

    assert (wire.done[-1], said.getvalue()) == ("open 10.43.0.7", "")


def test_what_cannot_be_mended_yet_is_told_once_and_tried_again(wire: Wire) -> None:
    kept, said = keeping(here)
    wire.open.clear()
    wire.failing = True

    for _ in range(3):
        kept.look()
    wire.failing = False
    kept.look()

    assert said.getvalue().splitlines() == [
        "The connection broke; trying again. (No route to host)",
        "The connection is back.",
    ]


def test_a_page_that_is_nowhere_yet_is_waited_for(wire: Wire) -> None:
    def nowhere(endpoint: Endpoint) -> Far:
        raise FailedError("page has no address yet")

    kept, said = keeping(nowhere)
    wire.open.clear()

    kept.look()

    assert "page has no address yet" in said.getvalue()
    assert kept.broken
