"""The edges of a region that need no root: its socket, and the environment of its people."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.region import control, laptop
from tests.region.places import Places

PLACES = Places(name="cr")
FACTS = {"access_key_id": "AKIA", "secret_access_key": "secret", "region": "eu-west-1"}


def divide(by: int) -> float:
    return 1 / by


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "control.sock"
    serving = control.Control(path, {"divide": divide})
    serving.open()
    yield path
    serving.close()


def test_the_daemon_answers(daemon: Path) -> None:
    assert control.ask(daemon, "divide", by=4) == 0.25


def test_whoever_asks_wrongly_is_told_and_the_daemon_goes_on(daemon: Path) -> None:
    with pytest.raises(ValueError, match="ZeroDivisionError"):
        control.ask(daemon, "divide", by=0)
    with pytest.raises(ValueError, match="KeyError: 'multiply'"):
        control.ask(daemon, "multiply", by=2)

    assert control.ask(daemon, "divide", by=1) == 1


def test_a_daemon_that_never_was_or_that_was_killed_is_nobody(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with pytest.raises(control.NobodyError):
        control.ask(path, "divide", by=1)

    serving = control.Control(path, {})
    serving.open()
    serving.close()
    path.touch()
    with pytest.raises(control.NobodyError):
        control.ask(path, "divide", by=1)


def test_nothing_of_the_callers_own_account_reaches_the_laptop() -> None:
    caller = {
        "AWS_PROFILE": "production",
        "AWS_SESSION_TOKEN": "real",
        "AWS_ACCESS_KEY_ID": "real",
        "KUBECONFIG": "/home/me/.kube/config",
        "SSH_AUTH_SOCK": "/run/agent",
        "TERM": "xterm",
    }

    found = laptop.environment(PLACES, FACTS, caller)

    assert found["TERM"] == "xterm"
    assert found["AWS_ACCESS_KEY_ID"] == "AKIA"
    assert {"AWS_PROFILE", "AWS_SESSION_TOKEN", "KUBECONFIG", "SSH_AUTH_SOCK"} & set(found) == set()
    assert Path(found["HOME"]).is_relative_to(PLACES.state)
    assert Path(found["CLUSTEROUS_HOME"]).is_relative_to(PLACES.state)


def test_a_stranger_trusts_the_same_authorities_and_has_no_keys() -> None:
    person = laptop.environment(PLACES, FACTS, {})
    stranger = laptop.stranger_environment(PLACES, {})

    assert stranger["SSL_CERT_FILE"] == person["SSL_CERT_FILE"]
    assert [name for name in stranger if "KEY" in name] == []
