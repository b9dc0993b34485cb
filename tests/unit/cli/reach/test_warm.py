"""Ways to a cluster that are open already, or are opened while others find out where it is."""

import os
import socket
from pathlib import Path

import pytest

from clusterous_cli.reach import ssh, warm


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a cluster, and an ssh that only notes that it was called."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "ssh").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/called\n')
    (programs / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    found: list[Path] = []
    monkeypatch.setattr(ssh, "close", found.append)
    return found


def called(home: Path) -> list[str]:
    log = home.parent / "called"
    return log.read_text().splitlines() if log.exists() else []


def test_a_way_is_opened_beside(home: Path, closed: list[Path]) -> None:
    (home / ssh.CONFIG).write_text("Host controller")

    with warm.beginning(home):
        pass

    assert called(home) == [f"-F {home}/ssh_config controller true"]
    assert closed == []


def test_nothing_stays_of_a_way_that_leads_elsewhere_by_now(home: Path, closed: list[Path]) -> None:
    (home / ssh.CONFIG).write_text("Host controller")

    with warm.beginning(home):
        (home / ssh.CONFIG).write_text("Host controller\n  HostName 10.0.0.2")

    assert closed == [home]


def test_who_fails_meanwhile_fails_as_ever(home: Path, closed: list[Path]) -> None:
    (home / ssh.CONFIG).write_text("Host controller")

    with pytest.raises(ValueError, match="AWS"), warm.beginning(home):
        raise ValueError("AWS")


def test_a_cluster_that_was_never_reached_is_not_knocked_at(home: Path) -> None:
    for place in (home, None):
        with warm.beginning(place):
            pass

    assert called(home) == []


def test_a_socket_that_somebody_left_is_no_open_way(home: Path) -> None:
    (home / ssh.CONFIG).write_text("Host controller")
    control = ssh.socket_folder(home) / ssh.CONTROLLER
    assert warm.access(home) is None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as master:
        master.bind(str(control))
        master.listen()
        found = warm.access(home)

    assert found is not None
    assert found.config_path == home / ssh.CONFIG
    assert control.exists()
    assert warm.access(home) is None
    assert warm.names_in(home, "/home/data") == []
