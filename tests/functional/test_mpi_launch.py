"""The launch agent of the MPI example: what `mpirun` starts at a host runs on that very worker."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import ports

LAUNCH = Path(__file__).parents[2] / "examples/mpi/image/launch.py"
# What it does for each of its hosts: call the agent as Open MPI does, and wait for it.
MPIRUN = """\
#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in --host) hosts=$2 ;; plm_ssh_agent) agent=$2 ;; program) break ;; esac
    shift
done
for host in $(echo "$hosts" | tr , ' '); do
    $agent "${host%:*}" echo "on:" '"$WORKER"' "with" "${host#*:}" '&& echo wrong >&2'
done
exit 3
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    mpirun = tmp_path / "mpirun"
    mpirun.write_text(MPIRUN)
    mpirun.chmod(mpirun.stat().st_mode | stat.S_IXUSR)
    port = str(ports.free())
    running: list[subprocess.Popen[str]] = []

    def go(*argv: str, **env: str) -> subprocess.Popen[str]:
        own = {"LAUNCH_PORT": port, "LAUNCH_DESK": str(tmp_path / "desk"), **env}
        path = f"{tmp_path}:{os.environ['PATH']}"
        process = subprocess.Popen(
            [sys.executable, "-B", str(LAUNCH), *argv],
            env={**os.environ, **own, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running.append(process)
        return process

    yield go
    for process in running:
        process.kill()
        process.communicate()


def test_a_command_runs_on_the_worker_and_what_it_says_comes_back(start: Start) -> None:
    start("serve", "--master", "127.0.0.1", "--slots", "2", WORKER="first")
    master = start("run", "--workers", "1", "program", WORKER="none of them")

    said, _ = master.communicate(timeout=60)

    assert "on 127.0.0.1:2\n" in said
    assert "on: first with 2\nwrong\n" in said
    assert master.returncode == 3  # as mpirun ended


def test_a_worker_offers_itself_again(start: Start) -> None:
    start("serve", "--master", "127.0.0.1", WORKER="again")

    for _ in range(2):
        said, _ = start("run", "--workers", "1", "program").communicate(timeout=60)
        assert "on: again with 1" in said
