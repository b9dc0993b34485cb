"""Starts programs; nothing else in the CLI does. Arguments are always a list, never a line."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn, TypeVar

from clusterous_api.errors import FailedError, UserError
from clusterous_cli.system import verbosity

T = TypeVar("T")

INSTALL_HINTS: Mapping[str, str] = {
    "ssh": "install OpenSSH's client (Debian, Ubuntu: apt install openssh-client)",
    "rsync": "install rsync (Debian, Ubuntu: apt install rsync; macOS: brew install rsync)",
    "aws": "install the AWS CLI (https://aws.amazon.com/cli/, or pip install awscli)",
    "kubectl": "install kubectl (https://kubernetes.io/docs/tasks/tools/)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a program must be, beside its name: the *least* version that knows our options."""

    argv: tuple[str, ...]
    version: re.Pattern[str]
    least: tuple[int, int]
    hint: str


# macOS brings along another program of this name (openrsync), or rsync 2.6.9 of 2006.
NEEDS: Mapping[str, Needs] = {
    "rsync": Needs(
        argv=("rsync", "--version"),
        version=re.compile(r"^rsync +version +v?(\d+)\.(\d+)", re.MULTILINE),
        least=(3, 1),
        hint="install a newer one (macOS: brew install rsync)",
    ),
}


class CommandFailed(FailedError):
    """A program ended with an error; *status* and *said* (its own words) are kept."""

    def __init__(self, program: str, status: int, said: str) -> None:
        super().__init__(f"{program} failed with status {status}: {said or 'it gave no reason'}")
        self.program, self.status, self.said = program, status, said


def program(name: str) -> str:
    """The path of the program *name*, or what to do where it is missing."""
    beside_us = os.pathsep + str(Path(sys.executable).parent)  # an `aws` installed with us
    path = shutil.which(name, path=os.environ.get("PATH", os.defpath) + beside_us)
    if path is None:
        hint = INSTALL_HINTS.get(name, "install it")
        raise UserError(f"{name} is not on your PATH; {hint} and try again.")
    return path


def fitting(name: str) -> str:
    """The path of the program *name*, which must also be the right one; else what to do."""
    path, needs = program(name), NEEDS[name]
    _, out, err = outcome(needs.argv, timeout=30)
    said = (out or err).strip()
    found = needs.version.search(said)
    if found is None or tuple(map(int, found.groups())) < needs.least:
        least = ".".join(map(str, needs.least))
        raise UserError(
            f"{path} does not serve: it says {(said.splitlines() or ['nothing'])[0]!r}, and"
            f" {name} {least} or later is needed; {needs.hint} and try again."
        )
    return path


def resolved(argv: Sequence[str]) -> list[str]:
    """*argv* with the program's full path."""
    verbosity.program(argv)
    return [program(argv[0]), *argv[1:]]


def run(
    argv: Sequence[str],
    *,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> str:
    """Run *argv* to its end and return what it wrote; *env* is added to our own environment."""
    status, out, err = outcome(argv, stdin=stdin, env=env, timeout=timeout)
    if status != 0:
        raise CommandFailed(Path(argv[0]).name, status, (err or out).strip())
    return out


def outcome(
    argv: Sequence[str],
    *,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> tuple[int, str, str]:
    """Status, output and errors of *argv*.

    Both go to files, not pipes: ssh leaves a connection in the background, which would hold a
    pipe open and make us wait for it.
    """
    command = resolved(argv)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=out,
            stderr=err,
            env=environment(env),
            # Ctrl-C is ours to handle: it must not reach connections in the background.
            start_new_session=True,
        ) as process:
            late = _ended_after(process, timeout)
            try:
                process.communicate(None if stdin is None else stdin.encode())
            except BaseException:
                process.kill()
                raise
        status = process.returncode
        if late():
            status = 124
            err.write(f"it did not answer within {timeout:.0f} s".encode())
        return status, _read(out), _read(err)


def _ended_after(process: subprocess.Popen[bytes], timeout: float | None) -> Callable[[], bool]:
    """Kill *process* after *timeout* seconds; what is returned ends that, and tells if it was so.

    It is asked when the process has been waited for: one that ended by itself at that very moment
    was not killed. Python's own way looks every 50 ms whether a program has ended, which adds up.
    """
    fired = threading.Event()

    def end() -> None:
        fired.set()
        process.kill()

    timer = threading.Timer(timeout, end) if timeout is not None else None
    if timer is not None:
        timer.daemon = True
        timer.start()

    def told() -> bool:
        if timer is not None:
            timer.cancel()
        return fired.is_set() and process.returncode == -signal.SIGKILL

    return told


def start(argv: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start *argv* beside us; nobody hears what it says."""
    return subprocess.Popen(
        resolved(argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def stream(
    argv: Sequence[str], on_text: Callable[[str], None], *, env: Mapping[str, str] | None = None
) -> int:
    """Run *argv*, hand every line (also those that end in a carriage return) on as it comes."""
    with subprocess.Popen(
        resolved(argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(env),
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        try:
            _each_line(process.stdout.fileno(), on_text)
        except BaseException:  # Ctrl-C, or the receiver failed: the program must not go on alone
            _end(process)
            raise
    return process.returncode


def feed(
    argv: Sequence[str],
    write: Callable[[IO[bytes]], None],
    *,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run *argv*, and *write* what it reads; return what it wrote."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with subprocess.Popen(
            resolved(argv), stdin=subprocess.PIPE, stdout=out, stderr=err, env=environment(env)
        ) as process:
            assert process.stdin is not None
            # It ended before it had read all: its status and its words say why.
            with contextlib.suppress(BrokenPipeError), process.stdin:
                write(process.stdin)
        _check(argv, process.returncode, err)
        return _read(out)


def drain(
    argv: Sequence[str],
    read: Callable[[IO[bytes]], T],
    *,
    env: Mapping[str, str] | None = None,
) -> T:
    """Run *argv*, and *read* what it writes."""
    with tempfile.TemporaryFile() as err:
        with subprocess.Popen(
            resolved(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=err,
            env=environment(env),
        ) as process:
            assert process.stdout is not None
            try:
                found = read(process.stdout)
            except EOFError:  # the program says why
                _check(argv, process.wait(), err)
                raise
        _check(argv, process.returncode, err)
    return found


def _check(argv: Sequence[str], status: int, err: IO[bytes]) -> None:
    if status != 0:
        raise CommandFailed(Path(argv[0]).name, status, _read(err).strip())


def replace(argv: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Become the program *argv*, so that its signals and its status are its own."""
    verbosity.program(argv)
    os.execve(program(argv[0]), list(argv), environment(env))


def environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    return {**os.environ, **(extra or {})}


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let the program tidy up (rsync keeps what has arrived), but not for long."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _each_line(descriptor: int, on_text: Callable[[str], None]) -> None:
    rest = b""
    while chunk := os.read(descriptor, 65536):
        *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            if line.strip():
                on_text(line.decode(errors="replace").rstrip())
    if rest.strip():
        on_text(rest.decode(errors="replace").rstrip())
