"""The shared volume on its controller: made once, mounted, grown, watched (`keep`), and served
(`serve`), each in a container of its own.

`keep` may do everything and listens to nobody; `serve` is reached by nodes and may little. Between
them and to the machine there are three files:

- ORDER, written by the machine's boot: lines `id=vol-…`, `given=yes|no` (somebody's own volume,
  named by its id) and `marked=yes|no` (its tag says that it was formatted);
- STATUS, what is seen, as JSON, for the node's report;
- SERVED, the number of the device that may be served; beside it IDENTITY, its UUID as blkid has it.

A volume that is not marked is made, and then waits for its mark: what was never marked was never
mounted, so nothing on it is anybody's.
"""

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final, NoReturn

PLACE: Final = Path("/home/data")
STATE: Final = Path("/var/lib/clusterous/volume")
RECOVERY: Final = STATE / "recovery"  # as ganesha.conf has it
ORDER: Final = Path("/etc/clusterous/volume")
RUN: Final = Path("/run/clusterous/volumeserver")
STATUS: Final = RUN / "status.json"
SERVED: Final = RUN / "served"
IDENTITY: Final = RUN / "blkid.tab"
LINKS: Final = Path("/dev/disk/by-id")
BLOCKS: Final = Path("/sys/class/block")
MOUNTS: Final = Path("/proc/self/mountinfo")
HIDDEN: Final = ".clusterous"

PORT: Final = 2049
MIB: Final = 1 << 20
# Where a volume says that a file system was begun on it: mkfs does not write there, and it is the
# same place when the volume has grown since.
BEGUN: Final = 127 * MIB
# What the records of clients have for themselves, whatever else fills the volume.
RESERVED: Final = 16 * MIB
# wsync, dirsync: a name that a node was told of is on the disk. nouuid: a volume from a snapshot
# bears the UUID of the other.
OPTIONS: Final = {
    "xfs": "wsync,nouuid,nosuid,nodev",
    "ext4": "dirsync,nosuid,nodev",
}
LABEL: Final = "clusterous"
GANESHA: Final = (
    *("ganesha.nfsd", "-F", "-f", "/app/ganesha.conf"),
    *("-L", "STDERR", "-p", "/tmp/ganesha.pid"),
)
_LINK: Final = re.compile(r"nvme-.+_(vol[0-9a-f]+)(_[0-9]+|-ns-[0-9]+)?")
_VOLUME: Final = re.compile(r"vol-[0-9a-f]+")


class WaitingError(Exception):
    """What is needed is not there yet."""


class RefusedError(Exception):
    """The volume is not taken as it is; *reason* is for programs, the words for people."""

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(words)
        self.reason = reason


# -- pure ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Which volume this machine has to serve."""

    volume: str
    given: bool = False
    marked: bool = False

    @property
    def serial(self) -> str:
        """Return the NVMe serial number by which an instance knows it."""
        return self.volume.replace("-", "")


def ordered(text: str) -> Order:
    """Read an order; one that cannot be read is nobody's leave to do anything."""
    said = dict(line.partition("=")[::2] for line in text.splitlines())
    flags = {said.get("given"), said.get("marked")}
    if not _VOLUME.fullmatch(said.get("id", "")) or not flags <= {"yes", "no"}:
        raise RefusedError("order", f"{ORDER} does not say which volume to serve: {text!r}")
    return Order(volume=said["id"], given=said["given"] == "yes", marked=said["marked"] == "yes")


def names_of(links: Sequence[str], serial: str) -> list[str]:
    """Return the links of the whole device with this serial number, not of its partitions."""
    return [link for link in links if (found := _LINK.fullmatch(link)) and found[1] == serial]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What lies on a device: as `blkid -p` has it, and as its own bytes say."""

    status: int
    tags: dict[str, str]
    zeros: bool = False  # its first and its last MiB
    begun: bool = False  # a file system was begun by us and not finished


class Step(StrEnum):
    MAKE = "make"
    AGAIN = "make again"
    WAIT = "wait for the mark"
    MOUNT = "mount"


def step(order: Order, probe: Probe) -> Step:
    """Return what is to be done with a device that is not mounted, or refuse it."""
    may_make = not (order.given or order.marked)
    if probe.begun and may_make:
        return Step.AGAIN
    if "PTTYPE" in probe.tags:
        raise RefusedError(
            "partitioned",
            f"{order.volume} has a table of partitions; a volume is served whose file system fills"
            " the whole of it. Copy the files to one, and give that.",
        )
    kind = probe.tags.get("TYPE", "")
    if kind in OPTIONS:
        return Step.MOUNT if order.given or order.marked else Step.WAIT
    if kind:
        raise RefusedError(
            "foreign", f"{order.volume} holds {kind}; what is served is {' or '.join(OPTIONS)}."
        )
    if probe.status == 2 and probe.zeros and may_make:
        return Step.MAKE
    raise _unknown(order, probe)


def _unknown(order: Order, probe: Probe) -> RefusedError:
    if order.given and probe.status == 2 and probe.zeros:
        return RefusedError(
            "blank",
            f"{order.volume} has no file system, and a volume given by its id is never formatted."
            " Make one on it (mkfs.xfs), or let clusterous make a volume.",
        )
    if order.given or order.marked:
        return RefusedError(
            "damaged",
            f"{order.volume} was formatted, and no file system is found on it (blkid:"
            f" {probe.status}). It is not touched: mend it, or go back to a snapshot.",
        )
    return RefusedError(
        "not blank",
        f"{order.volume} is neither blank nor does it hold a known file system (blkid:"
        f" {probe.status}). It is not formatted: what is on it may be somebody's.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """What is mounted at a place: the number of its device, and the kind of its file system."""

    number: str
    kind: str


def mounted(mountinfo: str, place: Path) -> Mount | None:
    """Return what is mounted at *place*, on top of anything else there (proc(5))."""
    found = None
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        words = before.split()
        if words[4] == str(place):
            found = Mount(number=words[2], kind=after.split()[0])
    return found


def rounded(size: int) -> int:
    """Return *size* to two digits, so that a report is not another one at each look."""
    unit: int = 10 ** max(len(str(size)) - 2, 0)
    return size - size % unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What is told: *phase* is waiting, made, mounted, serving or refused.

    *made* says that the volume has a file system, and may be marked; sizes are the file system's,
    in bytes, and *filled* how much of its device that fills; *reason* goes with refused, and
    *error* may go with anything.
    """

    volume: str = ""
    phase: str = "waiting"
    made: bool = False
    size: int = 0
    free: int = 0
    filled: int = 0
    reason: str = ""
    error: str = ""


# -- acting -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A block device as it is now."""

    path: Path
    number: str
    size: int


def find(order: Order) -> Device:
    """Return the device of the volume."""
    links = sorted(os.listdir(LINKS)) if LINKS.is_dir() else []
    found = {(LINKS / name).resolve() for name in names_of(links, order.serial)}
    if len(found) > 1:
        devices = ", ".join(sorted(map(str, found)))
        raise RefusedError("twice", f"{order.volume} is said to be more than one: {devices}")
    if not found or not (path := found.pop()).exists():
        raise WaitingError(f"{order.volume} is not attached to this machine yet")
    card = BLOCKS / path.name / "device" / "serial"
    said = card.read_text().strip() if card.exists() else order.serial
    if said != order.serial:
        raise RefusedError("serial", f"{path} bears the number {said}, not {order.serial}")
    number = path.stat().st_rdev
    return Device(path=path, number=f"{os.major(number)}:{os.minor(number)}", size=_size(path))


def _size(path: Path) -> int:
    with path.open("rb") as file:
        end: int = file.seek(0, os.SEEK_END)
    return end


def witness(order: Order) -> bytes:
    """Return what says that a file system was begun."""
    return f"clusterous begins {order.volume}\n".encode().ljust(4096)


def probe(order: Order, path: Path) -> Probe:
    """Look what lies on a device; what cannot be read is not blank."""
    try:
        with path.open("rb", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            fd = file.fileno()
            zeros = all(_is_zero(fd, at) for at in (0, max(size - MIB, 0)))
            words = witness(order)
            begun = os.pread(fd, len(words), BEGUN) == words
    except OSError as error:
        raise RefusedError(
            "unreadable", f"{order.volume} cannot be read: {error.strerror}. It is not touched."
        ) from error
    argv = ["blkid", "-p", "-o", "export", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    tags = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    return Probe(status=done.returncode, tags=tags, zeros=zeros, begun=begun)


def _is_zero(fd: int, at: int) -> bool:
    return not any(os.pread(fd, MIB, at))


def make(order: Order, path: Path, *, again: bool) -> None:
    """Make the file system; whoever looks after a cut sees that it was begun."""
    words = witness(order)
    _write(path, BEGUN, words)
    # Without -f it looks once more for itself whether there is something.
    run("mkfs.xfs", "-q", "-K", "-L", LABEL, *(["-f"] if again else []), str(path))
    _write(path, BEGUN, bytes(len(words)))


def _write(path: Path, at: int, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(fd, content, at)
        os.fsync(fd)
    finally:
        os.close(fd)


def run(*argv: str, reason: str = "failed") -> None:
    """Run a program; what it says when it fails is the error."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().replace("\n", "; ")
        raise RefusedError(reason, f"{argv[0]} ended with {done.returncode}: {said[-400:]}")


def bar() -> None:
    """Let nobody write where the volume is not."""
    PLACE.mkdir(parents=True, exist_ok=True)
    run("chattr", "+i", str(PLACE))


def open_to_programs() -> None:
    """Let programs of any user write, unless somebody has chosen before (as on EFS)."""
    if not PLACE.stat().st_mode & stat.S_ISVTX:
        PLACE.chmod(0o1777)


def reserve() -> None:
    """Keep room on the volume for who holds what: a file that is there whole, mounted as a disk.

    A program that fills the volume would else cost later clients what they held (#938 of
    nfs-ganesha). Its names are on the disk before a client is answered.
    """
    if mounted(MOUNTS.read_text(), RECOVERY):
        return
    RECOVERY.mkdir(parents=True, exist_ok=True)
    folder = PLACE / HIDDEN
    folder.mkdir(mode=0o700, exist_ok=True)
    disk = folder / "recovery"
    if not disk.exists():
        fresh = disk.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(bytes(RESERVED))
            os.fsync(file.fileno())
        run("mkfs.ext4", "-q", "-F", str(fresh))
        fresh.rename(disk)
    run("mount", "-t", "ext4", "-o", "loop,sync,nosuid,nodev,noexec", str(disk), str(RECOVERY))


def identify(path: Path) -> None:
    """Write down the UUID of the file system, for who may not read its device.

    It goes into every file handle. Without it ganesha takes the number of the device, which may be
    another one on the next machine: every file that a node holds open would be stale.
    """
    run("blkid", "-c", str(IDENTITY), str(path))


def grow(kind: str, path: Path) -> None:
    """Let the file system fill its device; one that does is left as it is."""
    if kind == "xfs":
        run("xfs_growfs", "-d", str(PLACE))
    else:
        run("resize2fs", str(path))


def answers() -> bool:
    """Say whether somebody listens where NFS does."""
    try:
        socket.create_connection(("127.0.0.1", PORT), timeout=1).close()
    except OSError:
        return False
    return True


@dataclass(slots=True)
class Keeper:
    """One look after the other; *grown* is the size of the device that the file system fills."""

    grown: int = 0

    def look(self) -> Status:
        """Do what is to be done, and return how it stands."""
        seen = Status()
        try:
            order = ordered(_read(ORDER))
            seen = Status(volume=order.volume)
            device = find(order)
            if not (there := mounted(MOUNTS.read_text(), PLACE)):
                bar()
                if self._prepared(order, device) is Step.WAIT:
                    return replace(seen, phase="made", made=True)
                there = mounted(MOUNTS.read_text(), PLACE)
            if not there or there.number != device.number:
                raise RefusedError(
                    "place", f"{PLACE} is {there}, not {order.volume}: start the machine anew"
                )
            return self._kept(replace(seen, phase="mounted", made=True), there, device)
        except WaitingError as error:
            return _unserved(replace(seen, error=str(error)))
        except OSError as error:
            return _unserved(replace(seen, phase="refused", reason="unreadable", error=str(error)))
        except RefusedError as error:
            return _unserved(replace(seen, phase="refused", reason=error.reason, error=str(error)))

    def _prepared(self, order: Order, device: Device) -> Step:
        """Bring an unmounted volume one step further."""
        what = step(order, probe(order, device.path))
        if what in (Step.MAKE, Step.AGAIN):
            make(order, device.path, again=what is Step.AGAIN)
            return Step.WAIT
        if what is Step.MOUNT:
            kind = probe(order, device.path).tags["TYPE"]
            self.grown = 0
            argv = ("mount", "-t", kind, "-o", OPTIONS[kind], str(device.path), str(PLACE))
            run(*argv, reason="damaged")
        return what

    def _kept(self, seen: Status, there: Mount, device: Device) -> Status:
        """Look after a mounted volume; what fails here keeps nobody from its files."""
        open_to_programs()
        troubles = list(self._cared_for(there, device))
        if not SERVED.exists():
            identify(device.path)
        _replace(SERVED, device.number)
        room = os.statvfs(PLACE)
        return replace(
            seen,
            phase="serving" if answers() else "mounted",
            size=room.f_blocks * room.f_frsize,
            free=rounded(room.f_bavail * room.f_frsize),
            filled=self.grown,
            error="; ".join(troubles),
        )

    def _cared_for(self, there: Mount, device: Device) -> Iterator[str]:
        # Growing comes first: it may be what makes room.
        try:
            if device.size != self.grown:
                grow(there.kind, device.path)
                self.grown = device.size
        except RefusedError as error:
            yield f"it does not fill its volume yet: {error}"
        try:
            reserve()
        except (RefusedError, OSError) as error:
            yield f"no room is reserved on it for what nodes hold: {error}"


def _unserved(seen: Status) -> Status:
    SERVED.unlink(missing_ok=True)
    return seen


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise WaitingError(f"{path} is not there yet") from error


def _replace(path: Path, text: str) -> None:
    """Write a file that is at no moment half, unless it says so already."""
    with contextlib.suppress(OSError):
        if path.read_text() == text:
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


def keep() -> NoReturn:
    """Keep the volume for ever."""
    keeper, told = Keeper(), Status()
    while True:
        seen = keeper.look()
        _replace(STATUS, json.dumps(asdict(seen)) + "\n")
        if (seen.phase, seen.error) != (told.phase, told.error):
            print(f"{seen.volume}: {seen.phase} {seen.error}".rstrip(), flush=True)
            told = seen
        time.sleep(5 if seen.phase == "serving" else 1)


def may_serve() -> bool:
    """Say whether what is mounted here is what the keeper found to be the volume."""
    there = mounted(MOUNTS.read_text(), PLACE)
    with contextlib.suppress(OSError):
        return there is not None and there.number == SERVED.read_text()
    return False


def serve() -> NoReturn:
    """Serve what is mounted, again and again; kubelet would wait longer each time."""
    while True:
        while not may_serve():
            time.sleep(0.5)
        began = time.monotonic()
        environment = {**os.environ, "BLKID_FILE": str(IDENTITY)}
        status = subprocess.run(GANESHA, env=environment, check=False).returncode
        print(f"the server ended with {status}", flush=True)
        time.sleep(0.2 if time.monotonic() - began > 10 else 5)


if __name__ == "__main__":
    # The first process of a container hears only what it asks for.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    {"keep": keep, "serve": serve}[sys.argv[1]]()
