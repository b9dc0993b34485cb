"""Elastic Block Store: sparse files, each behind a disk that forgets, shown in a machine.

A kernel that lives on would write back what a lost machine had not: so a volume is a process of
its own (parts/go-volume) between its file and a loop device. It keeps what is written until it is
flushed, and answers EIO when the machine is lost. The machine finds the device as on a Nitro
instance, by the volume's id: /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0123…
"""

import errno
import fcntl
import itertools
import logging
import os
import re
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from tests.region.aws.view import Snapshot

logger = logging.getLogger(__name__)

GIB: Final = 1 << 30
BY_ID: Final = "disk/by-id"
LINK: Final = "nvme-Amazon_Elastic_Block_Store_"
DISKS: Final = Path("/sys/block")
NVME: Final = re.compile(r"nvme(\d+)n1")
# Of linux/loop.h.
_LOOP_CLR_FD: Final = 0x4C01
_LOOP_SET_CAPACITY: Final = 0x4C07
_DISK_GROUP: Final = 6
# How long the next machine waits for the kernel to give up what the last one had mounted: of one
# kernel, XFS mounts the same file system once.
_PATIENCE: Final = 10.0
# And how long a disk whose process is killed may answer errors before that has ended.
_ENDING: Final = 5.0


class EndedError(OSError):
    """The process of a disk was killed: what was not flushed is forgotten, as with a machine."""


class Step(StrEnum):
    NOTHING = "nothing"
    PLUG = "plug"
    UNPLUG = "unplug"
    LOSE = "lose"


def decide(*, at: str | None, plugged: str | None, state: str | None) -> Step:
    """Answer what to do with a volume that AWS shows *at* an instance.

    *plugged* is the instance whose machine has it. *state* is that of the instance where it is,
    or is to be; None when AWS has forgotten it.
    """
    if plugged is None:
        on = at is not None and state in {"pending", "running"}
        return Step.PLUG if on else Step.NOTHING
    if state in {"shutting-down", "terminated", None}:
        return Step.LOSE
    if at == plugged and state != "stopped":
        return Step.NOTHING
    return Step.UNPLUG


def vacant(used: Collection[int], disks: Iterable[str]) -> int:
    """Answer the number of a machine's next NVMe disk; 0 is its first.

    *disks* are those of the kernel that all machines share: in its /sys, which they see, too, a
    disk of that name would have another serial number than the volume.
    """
    theirs = {int(found[1]) for name in disks if (found := NVME.fullmatch(name))}
    return next(n for n in itertools.count(1) if n not in used and n not in theirs)


class Device:
    """A volume at a machine, as a loop device; *number* counts the machine's NVMe disks."""

    def __init__(self, argv: list[str], instance_id: str, number: int) -> None:
        self.instance_id = instance_id
        self.number = number
        self.lost_at: float | None = None
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.path = self._line()
        # Open as long as it is plugged; what has it open last takes the loop device with it.
        self._loop = os.open(self.path, os.O_RDWR)
        self._ask("held")

    @property
    def rdev(self) -> int:
        return os.fstat(self._loop).st_rdev

    def has_ended(self) -> bool:
        """Tell whether its process was killed."""
        return self._process.poll() is not None

    def is_mounted(self) -> bool:
        """Tell whether a file system has the device, in whatever machine."""
        try:
            os.close(os.open(self.path, os.O_RDONLY | os.O_EXCL))
        except OSError as error:
            return error.errno == errno.EBUSY
        return False

    def flush(self) -> None:
        try:
            os.fsync(self._loop)
        except OSError as error:
            with suppress(subprocess.TimeoutExpired):  # it answers EIO a moment before it is gone
                raise EndedError(f"a disk ended with {self._process.wait(_ENDING)}") from error
            raise

    def lose(self) -> None:
        """Forget what was not flushed, and answer no more."""
        self.lost_at = self.lost_at or time.monotonic()
        with suppress(EndedError):  # which forgets as much
            self._ask("lose")

    def grow(self) -> None:
        self._ask("grow")
        fcntl.ioctl(self._loop, _LOOP_SET_CAPACITY)

    def copy(self, target: Path) -> None:
        self._ask(f"copy {target}")

    def end(self) -> None:
        with suppress(OSError):  # of a lost one, nothing can be written back
            os.close(self._loop)
        assert self._process.stdin
        assert self._process.stdout
        with suppress(OSError):  # what a killed one was asked last
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _ask(self, line: str) -> None:
        assert self._process.stdin
        with self._lock:
            try:
                self._process.stdin.write(f"{line}\n")
                self._process.stdin.flush()
            except BrokenPipeError as error:
                raise EndedError(f"a disk ended with {self._process.wait()}") from error
            answer = self._line()
        if answer != "ok":
            raise OSError(f"the disk {self.path} was asked to {line}: {answer}")

    def _line(self) -> str:
        assert self._process.stdout
        if line := self._process.stdout.readline().strip():
            return line
        raise EndedError(f"a disk ended with {self._process.wait()}; its words are in the log")


@dataclass(slots=True, kw_only=True)
class Ebs:
    """The volumes of one region, in *folder*; *pid* answers a machine's first process."""

    region: str
    folder: Path
    program: Path
    pid: Callable[[str], int | None]
    _devices: dict[str, Device] = field(default_factory=dict)  # by volume

    def reconcile(self, snapshot: Snapshot) -> None:
        """Have the disks that AWS shows, of that size, and each where AWS shows it."""
        self._keep(snapshot)
        states = {instance.id: instance.state for instance in snapshot.instances}
        places = {volume.id: volume.instance_id for volume in snapshot.volumes}
        for id in sorted(places.keys() | self._devices.keys()):
            self._take(id, places.get(id), states)
        for id, device in self._devices.items():
            if device.lost_at is None:
                self._show(id, device)
        self._forget(snapshot)

    def is_held(self, volume_id: str) -> bool:
        """Tell whether a machine that lives has a file system of the volume mounted."""
        device = self._devices.get(volume_id)
        return device is not None and device.lost_at is None and device.is_mounted()

    def lose(self, instance_id: str) -> None:
        """Be the disks of a machine that is lost at this moment."""
        for device in list(self._devices.values()):
            if device.instance_id == instance_id:
                device.lose()

    def close(self) -> None:
        for device in self._devices.values():
            device.end()
        self._devices.clear()

    # --- files -------------------------------------------------------------------------------

    def _volume(self, id: str) -> Path:
        return self.folder / "volumes" / id

    def _copy(self, id: str) -> Path:
        return self.folder / "snapshots" / id

    def _keep(self, snapshot: Snapshot) -> None:
        """Make what is new; of a volume that was deleted at once, the snapshot comes first."""
        for path in (self._volume(""), self._copy(""), self.folder / "mount"):
            path.mkdir(parents=True, exist_ok=True)
        for taken in snapshot.volume_snapshots:
            if not self._copy(taken.id).exists():
                self._take_snapshot(taken.volume_id, self._copy(taken.id))
        for volume in snapshot.volumes:
            path = self._volume(volume.id)
            if not path.exists() and volume.snapshot_id:
                _copy_sparse(self._copy(volume.snapshot_id), path)
            path.touch()
            if path.stat().st_size < volume.size_gib * GIB:
                os.truncate(path, volume.size_gib * GIB)
                if volume.id in self._devices:
                    with suppress(EndedError):  # the next one is as large
                        self._devices[volume.id].grow()

    def _take_snapshot(self, volume_id: str, target: Path) -> None:
        partial = target.with_suffix(".partial")
        with suppress(EndedError):
            if device := self._devices.get(volume_id):
                device.copy(partial)
                partial.rename(target)
                return
        _copy_sparse(self._volume(volume_id), partial)
        partial.rename(target)

    def _forget(self, snapshot: Snapshot) -> None:
        known = {*(one.id for one in snapshot.volumes), *self._devices}
        known |= {one.id for one in snapshot.volume_snapshots}
        for folder in (self._volume(""), self._copy("")):
            for path in folder.iterdir():
                if path.name not in known:
                    path.unlink()

    # --- devices -----------------------------------------------------------------------------

    def _take(self, id: str, at: str | None, states: dict[str, str]) -> None:
        device = self._devices.get(id)
        plugged = device.instance_id if device else None
        state = states.get(plugged or at or "")
        step = decide(at=at, plugged=plugged, state=state)
        if device is None:
            if step is Step.PLUG and at is not None:
                self._plug(id, at)
        elif device.lost_at is not None:
            self._bury(id, device)
        elif step is Step.LOSE or device.has_ended():
            device.lose()
            self._bury(id, device)
        elif step is Step.UNPLUG:
            self._unplug(id, device, is_off=state == "stopped")

    def _plug(self, id: str, instance_id: str) -> None:
        used = {one.number for one in self._devices.values() if one.instance_id == instance_id}
        number = vacant(used, [one.name for one in DISKS.iterdir()])
        argv = [self.program, f"{self.region}-{id}", self._volume(id), self.folder / "mount"]
        self._devices[id] = Device([str(word) for word in argv], instance_id, number)

    def _unplug(self, id: str, device: Device, *, is_off: bool) -> None:
        """Wait a moment for the mounts of a machine that is off; one that runs is forced."""
        if device.is_mounted():
            if is_off:
                return
            device.lose()
        else:
            with suppress(EndedError):
                device.flush()
        self._hide(id, device)
        self._end(id, device)

    def _bury(self, id: str, device: Device) -> None:
        waited = time.monotonic() - (device.lost_at or 0.0)
        if waited > _PATIENCE or not device.is_mounted():
            self._end(id, device)

    def _end(self, id: str, device: Device) -> None:
        device.end()
        del self._devices[id]

    def _show(self, id: str, device: Device) -> None:
        """Make the node and its link, also after the machine has booted anew."""
        with suppress(FileNotFoundError, ProcessLookupError):  # it ended just now
            for dev in self._dev(device):
                node, link = self._names(dev, id, device)
                if node.exists() and node.stat().st_rdev == device.rdev:
                    continue
                node.unlink(missing_ok=True)
                os.mknod(node, stat.S_IFBLK | 0o660, device.rdev)
                os.chown(node, 0, _DISK_GROUP)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.unlink(missing_ok=True)
                link.symlink_to(f"../../{node.name}")

    def _hide(self, id: str, device: Device) -> None:
        with suppress(FileNotFoundError, ProcessLookupError):
            for dev in self._dev(device):
                for path in self._names(dev, id, device):
                    path.unlink(missing_ok=True)

    def _dev(self, device: Device) -> Iterator[Path]:
        pid = self.pid(device.instance_id)
        if pid is not None:
            yield Path(f"/proc/{pid}/root/dev")

    def _names(self, dev: Path, id: str, device: Device) -> tuple[Path, Path]:
        return dev / f"nvme{device.number}n1", dev / BY_ID / f"{LINK}{id.replace('-', '')}"


def _copy_sparse(source: Path, target: Path) -> None:
    if not source.exists():  # the disk of a machine, or an image's: these are no files here
        target.touch()
        return
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", source, target], check=True)


def loops(region: str) -> dict[str, str]:
    """Answer the loop devices of the region's volumes, whoever made them, and what each shows."""
    found = {}
    for backing in DISKS.glob("loop*/loop/backing_file"):
        with suppress(OSError):  # it went meanwhile
            name = Path(backing.read_text().strip()).name
            if name.startswith(f"{region}-vol-"):
                found[f"/dev/{backing.parts[-3]}"] = name
    return found


def release(loop: str) -> None:
    """Let go of a loop device, now or when nobody has it open any more."""
    with suppress(OSError):
        device = os.open(loop, os.O_RDWR)
        try:
            fcntl.ioctl(device, _LOOP_CLR_FD)
        finally:
            os.close(device)
