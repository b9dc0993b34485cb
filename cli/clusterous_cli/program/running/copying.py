"""Files to and from a container, as a tar through kubectl, whose sum is compared at both ends.

A stream that is cut short looks like one that ended (kubernetes/kubernetes#60140), so nothing is
put in its place before all of it is known to have come.
"""

import hashlib
import os
import posixpath
import re
import shlex
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

from clusterous_api import names
from clusterous_api.errors import FailedError, UserError
from clusterous_cli.data import tarball
from clusterous_cli.data.links import Link
from clusterous_cli.program.running.shells import Inside
from clusterous_cli.reach import ssh
from clusterous_cli.system import shell
from clusterous_cli.terminal import spell

Tell = Callable[[str], None]

# What a container's script ends with where it lacks a program, or what is asked of it.
LACKING: Final = 69
NOTHING: Final = 66
# How containers say that they have not even a shell.
NO_SHELL: Final = re.compile(r"executable file not found|no such file or directory")
# A line of sha256sum, which comes after all that it is about.
SUM: Final = re.compile(rb"([0-9a-f]{64})  -\n")
SUM_BYTES: Final = 68
TELL_BYTES: Final = 1 << 20
_NEEDS: Final = (
    "for one in tar tee sha256sum; do command -v $one >/dev/null ||"
    f" {{ echo $one >&2; exit {LACKING}; }}; done"
)
# What is on its way lies beside its place, under a name that nobody has.
_NEW: Final = ".clusterous-cp."


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One end of a copy: here, or in a *component*, perhaps of an *app*."""

    path: str
    component: str = ""
    app: str | None = None

    @property
    def is_here(self) -> bool:
        return not self.component


# -- pure -----------------------------------------------------------------------------------


def place(text: str) -> Place:
    """Read PATH, COMPONENT:PATH or APP/COMPONENT:PATH; ./a:b is a file here."""
    before, colon, path = text.partition(":")
    if not colon or before.startswith((".", "/")):
        return Place(path=text)
    app, slash, component = before.rpartition("/")
    if not component or not path:
        raise UserError(f"{text} names no file: say COMPONENT:PATH.")
    return Place(path=path, component=component, app=app if slash else None)


def ends(source: str, target: str) -> tuple[Place, Place]:
    """Read both ends, of which one is in a container."""
    both = place(source), place(target)
    if both[0].is_here == both[1].is_here:
        raise UserError(
            "One of SRC and DST must be COMPONENT:PATH, and the other a path here. From one"
            f" container to another go by {names.VOLUME_PATH}, which all of them share."
        )
    return both


def fetch_script(path: str) -> str:
    """Write a tar of *path* on stdout, and after it its sum; end with tar's own status.

    What tee writes to is a pipe of this very shell, which it may open whoever it is.
    """
    folder, name = map(shlex.quote, _split(path))
    tar = f"{{ tar -cf - -- {name}; echo $? >&5; }}"
    summed = "{ tee /dev/fd/3 | sha256sum; } 3>&1"
    return (
        f"{_NEEDS}\n"
        f"cd {folder} && {{ test -e {name} || test -L {name}; }} || exit {NOTHING}\n"
        "exec 4>&1\n"
        f"status=$({{ {tar} | {summed} | cat >&4; }} 5>&1)\n"
        "exit $status"
    )


def take_script(path: str) -> str:
    """Unpack the tar on stdin beside *path*; say the sum of what came, and where it lies."""
    folder = shlex.quote(path if path.endswith("/") else posixpath.dirname(path) or ".")
    there = shlex.quote(path)
    # What tar does not want any more is read all the same: the sum is of all that came.
    unpack = '{ tar -C "$new" -xf -; status=$?; cat >/dev/null; exit $status; }'
    return (
        f"{_NEEDS}\n"
        f"mkdir -p -- {folder} || exit 1\n"
        f"if test -d {there}; then cd -- {there}; else cd -- {folder}; fi || exit 1\n"
        f"new=$PWD/{_NEW}$$\n"
        'mkdir -- "$new" || exit 1\n'
        "exec 4>&1\n"
        f"{{ tee /dev/fd/3 | sha256sum >&4; }} 3>&1 | {unpack}\n"
        "status=$?\n"
        'test $status = 0 || rm -rf -- "$new"\n'
        'echo "$new"\n'
        "exit $status"
    )


def place_script(new: str, path: str, name: str) -> str:
    """Put what lies in *new* where `cp` would: below *path* if that is a folder, else there."""
    made, there = shlex.quote(f"{new}/{_WHOLE}"), shlex.quote(path)
    below = shlex.quote(posixpath.join(path, name))
    return (
        f"to={there}; test -d {there} && to={below}\n"
        f'if test -d {made} && test -d "$to"; then cp -Rpf -- {made}/. "$to"/\n'
        f'else mv -f -- {made} "$to"; fi\n'
        f"status=$?; rm -rf -- {shlex.quote(new)}; exit $status"
    )


_WHOLE: Final = "whole"


def _split(path: str) -> tuple[str, str]:
    folder, name = posixpath.split(posixpath.normpath(path))
    return folder or ".", name or "."


@dataclass(slots=True)
class Received:
    """A stream of something and then its sum: passes all on, and compares."""

    stream: IO[bytes]
    tell: Tell
    count: int = 0
    _sum: Any = field(default_factory=hashlib.sha256)
    _last: bytes = b""

    def read(self, count: int = -1) -> bytes:
        data = self.stream.read(count)
        self._last += data
        self._sum.update(self._last[:-SUM_BYTES])
        self._last = self._last[-SUM_BYTES:]
        _tell(self.tell, self.count, self.count + len(data))
        self.count += len(data)
        return data

    def is_whole(self) -> bool:
        """Read on to the end; whether all came that was sent."""
        while self.read(TELL_BYTES):
            pass
        found = SUM.fullmatch(self._last)
        return found is not None and found[1].decode() == self._sum.hexdigest()


@dataclass(slots=True)
class Sent:
    """A stream whose sum is kept of all that is written."""

    stream: IO[bytes]
    tell: Tell
    count: int = 0
    _sum: Any = field(default_factory=hashlib.sha256)

    def write(self, data: bytes) -> int:
        self._sum.update(data)
        self.stream.write(data)
        _tell(self.tell, self.count, self.count + len(data))
        self.count += len(data)
        return len(data)

    def is_told_by(self, said: str) -> bool:
        """Whether the other end says the same sum."""
        return f"{self._sum.hexdigest()}  -" in said.splitlines()


def _tell(tell: Tell, before: int, now: int) -> None:
    if before // TELL_BYTES != now // TELL_BYTES:
        tell(spell.size(now))


# -- acting ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """The container at the other end, what its component is called, and kubectl's environment."""

    inside: Inside
    component: str
    env: Mapping[str, str]

    def argv(self, script: str) -> list[str]:
        return self.inside.argv("sh", "-c", script)

    def refused(self, error: shell.CommandFailed, path: str) -> Exception:
        """What the end of kubectl means for a person."""
        said = error.said.removesuffix(f"command terminated with exit code {error.status}").strip()
        if error.status == NOTHING:
            return UserError(f"There is no {path} in {self.component} ({self.inside.pod}).")
        if error.status == LACKING or NO_SHELL.search(said):
            lacks = said if error.status == LACKING else "shell"
            return UserError(
                f"The image of {self.component} has no {lacks}, which copying needs. Take"
                f" {names.VOLUME_PATH}, which all containers share: clusterous put and get."
            )
        return FailedError(
            f"Not copied, and nothing was changed at the other end: {said or 'no reason given'}"
        )


def fetch(container: Container, path: str, target: str, tell: Tell) -> tuple[Link, ...]:
    """Copy *path* of a container to *target* here; return the links that were left out."""
    name = posixpath.basename(posixpath.normpath(path)) or "root"
    to = Path(target, name) if target.endswith("/") or Path(target).is_dir() else Path(target)
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=_NEW, dir=to.parent) as folder:
        read = partial(_unpack, folder=Path(folder), tell=tell)
        try:
            left, is_whole = shell.drain(
                container.argv(fetch_script(path)), read, env=container.env
            )
        except shell.CommandFailed as error:
            raise container.refused(error, path) from error
        except EOFError as error:
            raise _cut() from error
        if not is_whole:
            raise _cut()
        for made in Path(folder).iterdir():
            _place(made, to)
    return left


def _unpack(stream: IO[bytes], folder: Path, tell: Tell) -> tuple[tuple[Link, ...], bool]:
    received = Received(stream, tell)
    left = tarball.unpack(received, folder)  # type: ignore[arg-type]  # it only reads
    return left, received.is_whole()


def _place(made: Path, to: Path) -> None:
    """Put what came in its place; a folder that is there is added to."""
    if _is_folder(made) and _is_folder(to):
        for one in made.iterdir():
            _place(one, to / one.name)
    elif _is_folder(to):
        raise UserError(f"{to} is a folder; it is not replaced by a file.")
    else:
        if to.is_symlink():
            to.unlink()  # else what it leads to would be added to
        shutil.move(made, to)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _cut() -> FailedError:
    return FailedError(
        "The stream was cut short: less came than was sent, and nothing was put in its place. The"
        f" same command tries again; what is large goes better by {names.VOLUME_PATH} (clusterous"
        " put and get), which goes on where it stopped."
    )


def send(container: Container, source: str, path: str, tell: Tell) -> None:
    """Copy the local *source* to *path* in a container."""
    sent: list[Sent] = []

    def write(stream: IO[bytes]) -> None:
        sent.append(Sent(stream, tell))
        with tarfile.open(fileobj=sent[0], mode="w|") as archive:  # type: ignore[call-overload]
            archive.add(os.path.realpath(source), arcname=_WHOLE, filter=_kept)

    try:
        said = shell.feed(container.argv(take_script(path)), write, env=container.env)
    except shell.CommandFailed as error:
        raise container.refused(error, path) from error
    new = said.strip().splitlines()[-1:] or [""]
    if not _NEW_PLACE.fullmatch(new[0]):
        raise _cut()
    if not sent[0].is_told_by(said):
        shell.run(container.argv(f"rm -rf -- {shlex.quote(new[0])}"), env=container.env)
        raise _cut()
    name = os.path.basename(os.path.abspath(source))
    try:
        shell.run(container.argv(place_script(new[0], path, name)), env=container.env)
    except shell.CommandFailed as error:
        raise FailedError(
            f"All came, but not all could be put in its place: {error.said}"
        ) from error


_NEW_PLACE: Final = re.compile(rf"/.*{re.escape(_NEW)}\d+", re.DOTALL)


def _kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Modes travel, owners do not: the users of a laptop mean nothing there."""
    if not (entry.isfile() or entry.isdir() or entry.issym() or entry.islnk()):
        return None
    return ssh.nobodys(entry).replace(mode=entry.mode & 0o1777, deep=False)
