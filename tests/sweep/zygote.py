"""A process that has the command line in memory and forks one that runs it.

What is forked is a process of its own, which a signal ends as it ends any other, and whose start
costs no import. `python -m tests.sweep.zygote` reads a line of JSON for each, says the process's
number, waits for a line to go, and says how it ended.
"""

import json
import os
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


class Zygote:
    """The other end: what starts processes, one at a time."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def run(
        self,
        argv: Sequence[str],
        folder: Path,
        env: Mapping[str, str],
        address: tuple[str, int],
        born: Callable[[int], None],
    ) -> tuple[int, str]:
        """Type *argv* in *folder*: call *born* with the process's number before it does anything.

        Returns its exit code (negative: the signal that ended it), and all that it said.
        """
        self._say({"argv": list(argv), "folder": str(folder), "env": dict(env), "to": address})
        born(int(self._hear()))
        self._say("go")
        code = os.waitstatus_to_exitcode(int(self._hear()))
        return code, (folder / "said").read_text(errors="replace")

    def _say(self, what: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        self._process.stdin.flush()

    def _hear(self) -> bytes:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@contextmanager
def started() -> Iterator[Zygote]:
    """Start one; it ends with its standard input."""
    argv = [sys.executable, "-m", "tests.sweep.zygote"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield Zygote(process)


def main() -> None:
    """Fork for each line that comes in."""
    with open(0, "rb", buffering=0) as lines:  # what the one that is forked reads is left there
        _warm()
        while line := lines.readline():
            pid = os.fork()
            if pid == 0:
                os._exit(_typed(json.loads(line), lines.readline))
            os.write(1, f"{pid}\n".encode())
            _, status = os.waitpid(pid, 0)
            os.write(1, f"{status}\n".encode())


def _warm() -> None:
    """Import what every command needs, and read AWS's models once for all."""
    import botocore.session
    import click
    from botocore import loaders

    from clusterous_cli import main as typed
    from tests.functional import cloud  # noqa: F401

    for name in typed.COMMANDS:
        typed.cli.get_command(click.Context(typed.cli), name)
    one = loaders.create_loader(botocore.session.get_session().get_config_variable("data_path"))
    for service in ("ec2", "s3", "iam", "sts", "efs", "service-quotas", "pricing"):
        one.load_service_model(service, "service-2")
    patch = pytest.MonkeyPatch()
    patch.setattr(botocore.session, "create_loader", lambda *_: one)


def _typed(order: Mapping[str, Any], go: Callable[[], bytes]) -> int:
    go()
    os.environ.update(order["env"])
    os.chdir(order["folder"])
    said = os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(said, 1)
    os.dup2(said, 2)
    try:
        from clusterous_cli import main as typed

        _play(Path(order["folder"]), (order["to"][0], order["to"][1]))
        code = typed.run(order["argv"])
    except BaseException:  # What Python would print, had it started this.
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def _play(folder: Path, address: tuple[str, int]) -> None:
    """Let commands find the world outside as the tests play it."""
    from clusterous_cli.turns import lock
    from tests.functional import cloud

    patch = pytest.MonkeyPatch()
    answers = cloud.outside()
    patch.setattr(socket, "getaddrinfo", cloud.led_to(address))
    patch.setattr("clusterous_cli.plan.design.Outside", lambda: answers)
    patch.setattr("clusterous_cli.boot.releases.fetched", _fetched(folder))
    patch.setattr(
        "clusterous_cli.images.operatorimage.made", lambda *of: cloud.volume_image(folder)
    )
    cloud.reached(patch)
    patch.setattr(lock, "RENEWED", 3600.0)  # calls are counted: time must not add any


def _fetched(folder: Path) -> Callable[[Any, str, Any], Path]:
    def fetched(artifact: Any, sha256: str, progress: Any) -> Path:
        path = folder / str(artifact.name)
        path.write_bytes(str(artifact.name).encode())
        return path

    return fetched


if __name__ == "__main__":
    main()
