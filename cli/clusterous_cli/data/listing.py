"""What is on the shared volume: listed, measured, and removed."""

import posixpath
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from clusterous_api import names
from clusterous_api.errors import FailedError, UserError
from clusterous_cli.data import confined, transfer
from clusterous_cli.data.transfer import Volume
from clusterous_cli.reach import ssh
from clusterous_cli.system import shell
from clusterous_cli.terminal import spell

MISSING: Final = 44
SECONDS: Final = 600.0  # a folder of many files takes its time
_KINDS: Final = {"f": "file", "d": "folder", "l": "link"}
# Between the parts of what a script says: no name holds it.
_END: Final = "\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Something in a folder on the volume."""

    name: str
    kind: str
    bytes: int
    mode: str
    owner: int
    changed: datetime
    target: str = ""

    def as_data(self) -> dict[str, Any]:
        """For -o json."""
        return {
            "name": self.name,
            "kind": self.kind,
            "bytes": self.bytes,
            "mode": self.mode,
            "owner": self.owner,
            "changed": spell.instant(self.changed),
            **({"target": self.target} if self.kind == "link" else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How much a folder takes: by what is in it, all together, and of the volume as a whole."""

    parts: tuple[tuple[str, int], ...]  # name and bytes, the largest first
    total: int
    size: int = 0
    free: int = 0

    def as_data(self) -> dict[str, Any]:
        """For -o json."""
        return {
            "entries": [{"name": name, "bytes": size} for name, size in self.parts],
            "total": self.total,
            "volume": {"size": self.size, "free": self.free},
        }

    def table(self, path: str) -> str:
        """For people."""
        rows = [(spell.size(size), name) for name, size in self.parts]
        whole = f"{spell.size(self.total)} in {path}"
        free = f"{spell.size(self.free)} of {spell.size(self.size)} free on the volume"
        return "\n".join(filter(None, [spell.table(rows), f"{whole}; {free}"]))


# -- pure -----------------------------------------------------------------------------------


def entries(said: str) -> list[Entry]:
    """Read what `find` says of each thing in a folder, by name."""
    fields = said.split(_END)[:-1]
    found = [_entry(fields[n : n + 7]) for n in range(0, len(fields) - 6, 7)]
    return sorted(found, key=lambda one: one.name)


def _entry(fields: Sequence[str]) -> Entry:
    kind, size, mode, owner, changed, name, target = fields
    return Entry(
        name=name,
        kind=_KINDS.get(kind, "other"),
        bytes=int(size),
        mode=mode,
        owner=int(owner),
        changed=_moment(int(changed.partition(".")[0])),
        target=target,
    )


def _moment(seconds: int) -> datetime:
    """Return a time; programs may give their files any, and Python has the years 1 to 9999."""
    first, last = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (1, 9999))
    return datetime.fromtimestamp(min(max(seconds, first), last), UTC)


def usage(said: str, path: str) -> Usage:
    """Read what `du` and `df` say of *path*."""
    measured, _, volume = said.rpartition(_END)
    sizes: dict[str, int] = {}
    for one in measured.split(_END):
        taken, _, name = one.partition("\t")
        if name:
            sizes[name.rstrip("/")] = int(taken)
    total = sizes.pop(path.rstrip("/"), 0)
    parts = [(posixpath.relpath(name, path), taken) for name, taken in sizes.items()]
    numbers = [int(word) for word in volume.split() if word.isdecimal()]
    size, free = (*numbers, 0, 0)[:2]
    largest = sorted(parts, key=lambda one: (-one[1], one[0]))
    return Usage(parts=tuple(largest), total=total, size=size, free=free)


# -- acting ---------------------------------------------------------------------------------


def listed(access: ssh.Access, volume: Volume, path: str) -> str:
    """The long listing of *path*, an absolute one on the volume."""
    transfer.prepare(access, volume, (), [path])
    return _run(access, f"ls -la -- {shlex.quote(path)}").rstrip("\n")


def there(access: ssh.Access, volume: Volume, path: str) -> list[Entry]:
    """What is in *path*, or that file itself."""
    transfer.prepare(access, volume, (), [path])
    quoted = shlex.quote(path.rstrip("/") or "/")
    depth = f"-maxdepth 1 $(test -d {quoted} && echo -mindepth 1)"
    form = "'%y\\0%s\\0%m\\0%U\\0%T@\\0%f\\0%l\\0'"
    return entries(_run(access, f"find -H {quoted} {depth} -printf {form}"))


def measured(access: ssh.Access, volume: Volume, path: str, depth: int) -> Usage:
    """How much *path* takes, told as deep as *depth*."""
    transfer.prepare(access, volume, (), [path])
    quoted = shlex.quote(path)
    # Files come and go while they are counted, which is no error.
    count = f"du -axD0 --block-size=1 --max-depth={depth} -- {quoted} || true"
    room = f"df --block-size=1 --output=size,avail -- {shlex.quote(names.VOLUME_PATH)}"
    script = f"{confined.script(count)}; {room}"
    return usage(ssh.run(access, ssh.CONTROLLER, script, timeout=SECONDS), path)


def extent(access: ssh.Access, volume: Volume, path: str) -> tuple[int, int]:
    """How many files and folders *path* has, itself among them, and how many bytes they take."""
    transfer.prepare(access, volume, (), [f"{posixpath.dirname(path)}/"])
    quoted = shlex.quote(path)
    said = _run(
        access,
        f"test -e {quoted} || {{ echo 0; echo 0; exit 0; }};"
        f" du -s --inodes -- {quoted} || true; du -s --block-size=1 -- {quoted} || true",
    )
    files, size = ([line.split()[0] for line in said.splitlines()] + ["0", "0"])[:2]
    return int(files), int(size)


def removed(access: ssh.Access, volume: Volume, path: str) -> None:
    """Delete *path* and all that is in it; a link goes, and not what it leads to.

    Files of any owner go: programs write as root.
    """
    parent = posixpath.dirname(path)
    transfer.prepare(access, volume, (), [f"{parent}/"])
    quoted = shlex.quote(path)
    there = f"test -e {quoted} -o -L {quoted} || exit {MISSING}"
    try:
        _run(access, f"{there}; rm -rf -- {quoted}")
    except shell.CommandFailed as error:
        if error.status == MISSING:
            name = posixpath.relpath(path, names.VOLUME_PATH)
            raise UserError(f"There is no {name} on the shared volume.") from error
        raise FailedError(f"The shared volume refused it: {error.said}") from error


def _run(access: ssh.Access, script: str) -> str:
    return ssh.run(access, ssh.CONTROLLER, confined.script(script), timeout=SECONDS)
