"""Programs: the right name is not enough."""

import os
import subprocess
import threading
from pathlib import Path

import pytest

from clusterous_api.errors import UserError
from clusterous_cli.system import shell

OPENRSYNC = """\
openrsync: protocol version 29
rsync version 2.6.9 compatible
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def rsync(folder: Path, said: str, status: int = 0) -> None:
    (folder / "said").write_text(said)
    (folder / "rsync").write_text(f'#!/bin/sh\ncat "{folder}/said"\nexit {status}\n')
    (folder / "rsync").chmod(0o755)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(OPENRSYNC, id="macos-15"),
        pytest.param("rsync  version 2.6.9  protocol version 29\n", id="older-macos"),
        pytest.param("rsync  version 3.0.9  protocol version 30\n", id="centos-7"),
        pytest.param("", id="silent"),
    ],
)
def test_a_program_of_the_right_name_may_not_be_the_right_program(
    programs: Path, said: str
) -> None:
    rsync(programs, said)

    with pytest.raises(UserError, match=r"rsync 3\.1 or later is needed; .*brew install rsync"):
        shell.fitting("rsync")


@pytest.mark.parametrize("version", ["3.1.0", "3.4.1", "v3.2.7", "4.0.0"])
def test_takes_the_right_program(programs: Path, version: str) -> None:
    rsync(programs, f"rsync  version {version}  protocol version 31\n")

    assert shell.fitting("rsync") == str(programs / "rsync")


@pytest.mark.parametrize(
    ("program", "late", "status"),
    [
        pytest.param("exit 3", False, 3, id="ended as its time was up"),
        pytest.param("exec sleep 600", True, -9, id="at work"),
    ],
)
def test_only_a_program_that_was_killed_for_it_was_late(
    program: str, late: bool, status: int
) -> None:
    with subprocess.Popen(["sh", "-c", program]) as process:
        if not late:  # it has ended, and nobody has heard of that yet
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        was_late = shell._ended_after(process, 0.0)
        for one in threading.enumerate():
            if isinstance(one, threading.Timer):
                one.join()

    assert (was_late(), process.returncode) == (late, status)
