"""Free ports on this machine."""

import socket

import pytest

from clusterous_cli.reach import tunnel


@pytest.fixture
def taken() -> int:
    """A port that is free now, with a free one after it."""
    return tunnel.free_port(27000)


def test_takes_the_port_that_is_wanted(taken: int) -> None:
    assert tunnel.free_port(taken) == taken


def test_takes_the_next_port_when_one_is_taken(taken: int) -> None:
    with socket.create_server(("127.0.0.1", taken)):
        assert not tunnel.is_free(taken)
        assert tunnel.free_port(taken) > taken


def test_leaves_ports_that_it_may_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel, "is_free", lambda port: port > 1023)

    assert tunnel.free_port(80) == 8080


def test_nobody_answers_behind_a_port_that_is_free(taken: int) -> None:
    assert not tunnel.answers_tls(taken, timeout=1)
