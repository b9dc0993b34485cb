"""What the machine needs: found on its PATH, and installed without starting any service."""

import contextlib
import stat
from pathlib import Path

import pytest

from release import locks
from tests.region.parts import host


def test_does_and_says_nothing_when_everything_is_there() -> None:
    told: list[str] = []

    host.ensure(told.append, {"sh": "dash", "cat": "coreutils"})

    assert told == []


def test_names_packages_once() -> None:
    tools = {"no-such-program": "one", "nor-this": "one", "sh": "dash"}

    assert host.missing(tools) == ["one"]


@pytest.mark.parametrize("before", [None, "#!/bin/sh\nexit 0\n"])
def test_services_stay_down_only_meanwhile(tmp_path: Path, before: str | None) -> None:
    policy = tmp_path / "policy-rc.d"
    if before:
        policy.write_text(before)

    with contextlib.suppress(OSError), host._no_daemons(policy):
        assert "exit 101" in policy.read_text()
        assert policy.stat().st_mode & stat.S_IXUSR
        raise OSError("apt broke")

    assert (policy.read_text() if policy.exists() else None) == before


LOCK = """\
aiohttp==3.14.5 \\
    --hash=sha256:aa
kopf==1.45.2 \\
    --hash=sha256:bb \\
    --hash=sha256:cc
    # via clusterous
"""


def test_splits_a_lock_into_its_entries_with_their_hashes() -> None:
    found = locks.parse_lock(LOCK)

    assert set(found) == {"aiohttp", "kopf"}
    assert "sha256:cc" in found["kopf"]
    assert "".join(found.values()) == LOCK


def test_the_operator_needs_nothing_of_the_cli() -> None:
    needed = locks.operator_closure()

    assert {"kopf", "aiohttp"} <= needed
    assert not {"boto3", "rich", "moto", "pytest"} & needed


def test_what_machines_install_is_locked_to_the_last_name() -> None:
    """pip 23.2 refuses a requirement without a pin and a hash once any other has one."""
    entries = locks.parse_lock(locks.locked(locks.closure(["awscli"])))

    assert {"awscli", "docutils", "pyyaml"} <= set(entries)
    assert all("--hash=" in entry for entry in entries.values())
