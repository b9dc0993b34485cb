"""Disks of volumes without a machine: what they keep, what they forget, what is left of them."""

import contextlib
import mmap
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from clusterous_cli.boot import bootstrap
from tests.region.aws.view import Volume, VolumeSnapshot
from tests.region.net import samples
from tests.region.parts import parts
from tests.region.storage import ebs
from tests.region.storage.ebs import GIB, Ebs

pytestmark = pytest.mark.region

REGION = "crdisk"
MACHINE = samples.instance(3, groups=())
PAGE = 4096


@dataclass
class Lab:
    disks: Ebs

    def show(self, *volumes: Volume, taken: tuple[str, ...] = (), state: str = "running") -> None:
        network = samples.network(instances=(replace(MACHINE, state=state),))
        copies = tuple(VolumeSnapshot(id=id, volume_id=volumes[0].id) for id in taken)
        self.disks.reconcile(replace(network, volumes=volumes, volume_snapshots=copies))

    def device(self, volume: Volume) -> str:
        return next(path for path, name in ebs.loops(REGION).items() if name.endswith(volume.id))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    program = parts.ensure(["volume"]).volume
    disks = Ebs(region=REGION, folder=tmp_path, program=program, pid=lambda _: None)
    yield Lab(disks)
    disks.close()
    assert are_gone()


def are_gone(seconds: float = 5) -> bool:
    """Wait for the kernel, which lets go of a loop device a moment after its last user has."""
    end = time.monotonic() + seconds
    while ebs.loops(REGION) and time.monotonic() < end:
        time.sleep(0.02)
    return not ebs.loops(REGION)


def volume(number: int, size_gib: int = 1, snapshot_id: str | None = None) -> Volume:
    id = f"vol-{number:017x}"
    return Volume(id=id, size_gib=size_gib, snapshot_id=snapshot_id, instance_id=MACHINE.id)


@contextlib.contextmanager
def page_of(device: str, flags: int) -> Iterator[tuple[int, mmap.mmap]]:
    """Pass by the kernel's memory, so that the disk alone decides what is kept."""
    opened = os.open(device, flags | os.O_DIRECT)
    try:
        yield opened, mmap.mmap(-1, PAGE)
    finally:
        os.close(opened)


def write(device: str, page: int, text: bytes, *, flush: bool) -> None:
    with page_of(device, os.O_RDWR) as (opened, memory):
        memory.write(text.ljust(PAGE))
        os.pwrite(opened, memory, page * PAGE)
        if flush:
            os.fsync(opened)


def read(device: str, page: int) -> bytes:
    with page_of(device, os.O_RDONLY) as (opened, memory):
        os.preadv(opened, [memory], page * PAGE)
        return memory[:].strip(b" \0")


def test_a_lost_disk_forgets_what_was_not_flushed_and_answers_no_more(lab: Lab) -> None:
    one = volume(1)
    lab.show(one)
    device = lab.device(one)
    write(device, 5, b"kept", flush=True)
    write(device, 6, b"lost", flush=False)
    before = read(device, 6)

    lab.disks.lose(MACHINE.id)
    with pytest.raises(OSError, match="Input/output error"):
        read(device, 5)
    with pytest.raises(OSError, match="Input/output error"):
        write(device, 7, b"late", flush=False)
    lab.show(one)
    lab.show(one)

    again = lab.device(one)
    assert before == b"lost"
    assert [read(again, page) for page in (5, 6, 7)] == [b"kept", b"", b""]


@pytest.mark.parametrize("state", ["shutting-down", "stopped"])
def test_a_stop_is_clean_and_an_end_is_a_loss(lab: Lab, state: str) -> None:
    one = volume(1)
    lab.show(one)
    write(lab.device(one), 5, b"written", flush=False)

    lab.show(one, state=state)
    assert are_gone()
    lab.show(one)

    assert read(lab.device(one), 5) == (b"written" if state == "stopped" else b"")


# As kine writes with these options, and says of each row that it has it.
COMMITS = """
import sqlite3, sys
path, synchronous = sys.argv[1:]
base = sqlite3.connect(path, isolation_level=None)
base.execute("PRAGMA journal_mode=WAL")
base.execute(f"PRAGMA synchronous={synchronous}")
base.execute("CREATE TABLE kine (name)")
base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
print("begun", flush=True)
for number in map(int, sys.stdin):
    base.execute("INSERT INTO kine VALUES (?)", (number,))
    print(number, flush=True)
"""
ROWS = 20


def acknowledged(place: Path, synchronous: str, lose: Callable[[], None]) -> int:
    """Commit rows one after the other, and lose the machine at the moment the last is told."""
    argv = [sys.executable, "-c", COMMITS, str(place / "state.db"), synchronous]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as writer:
        assert writer.stdin
        assert writer.stdout
        assert writer.stdout.readline() == "begun\n"
        subprocess.run(["sync", "-f", place], check=True)
        rows = 0
        for number in range(ROWS):
            writer.stdin.write(f"{number}\n")
            rows += writer.stdout.readline() == f"{number}\n"
        lose()
        writer.kill()
    return rows


@pytest.mark.parametrize("synchronous", ["FULL", "NORMAL"])
def test_what_sqlite_acknowledged_outlasts_its_machine_with_full_alone(
    lab: Lab, tmp_path: Path, synchronous: str
) -> None:
    """In WAL mode NORMAL syncs at checkpoints only; the controller's k3s is told FULL."""
    assert "_journal_mode=WAL" in bootstrap.DATASTORE
    assert "_synchronous=FULL" in bootstrap.DATASTORE
    one, place = volume(1), tmp_path / "state"
    place.mkdir()
    lab.show(one)
    subprocess.run(["mkfs.ext4", "-q", lab.device(one)], check=True)
    # Nothing but SQLite itself is to write anything down: ext4 would each 5 s, of some of it.
    subprocess.run(["mount", "-o", "commit=300", lab.device(one), place], check=True)

    try:
        told = acknowledged(place, synchronous, lambda: lab.disks.lose(MACHINE.id))
    finally:
        subprocess.run(["umount", place], check=True)
    lab.show(one)
    lab.show(one)
    subprocess.run(["mount", lab.device(one), place], check=True)
    try:
        with contextlib.closing(sqlite3.connect(place / "state.db")) as base:
            (kept,) = base.execute("SELECT COUNT(*) FROM kine").fetchone()
    finally:
        subprocess.run(["umount", place], check=True)

    assert told == ROWS
    assert (kept == ROWS) is (synchronous == "FULL")


def test_a_snapshot_is_what_was_flushed_and_makes_larger_volumes(lab: Lab) -> None:
    one = volume(1)
    lab.show(one)
    write(lab.device(one), 5, b"early", flush=True)
    write(lab.device(one), 6, b"late", flush=False)
    lab.show(one, taken=("snap-1",))
    write(lab.device(one), 7, b"later", flush=True)

    two = volume(2, size_gib=2, snapshot_id="snap-1")
    lab.show(one, two, taken=("snap-1",))

    copy = lab.device(two)
    assert [read(copy, page) for page in (5, 6, 7)] == [b"early", b"", b""]
    assert [read(lab.device(one), page) for page in (6, 7)] == [b"late", b"later"]
    assert int(Path(f"/sys/block/{Path(copy).name}/size").read_text()) * 512 == 2 * GIB


def test_a_volume_that_was_deleted_at_once_is_in_its_snapshot(lab: Lab) -> None:
    one = volume(1)
    lab.show(one)
    write(lab.device(one), 5, b"kept", flush=True)
    lab.show(replace(one, instance_id=None))

    lab.disks.reconcile(
        replace(
            samples.network(), volume_snapshots=(VolumeSnapshot(id="snap-1", volume_id=one.id),)
        )
    )
    two = volume(2, snapshot_id="snap-1")
    lab.show(two, taken=("snap-1",))

    assert read(lab.device(two), 5) == b"kept"
    assert not (lab.disks.folder / "volumes" / one.id).exists()


def test_a_device_grows_with_its_volume(lab: Lab) -> None:
    lab.show(volume(1))
    size = Path(f"/sys/block/{Path(lab.device(volume(1))).name}/size")
    before = int(size.read_text()) * 512

    lab.show(volume(1, size_gib=3))

    assert (before, int(size.read_text()) * 512) == (GIB, 3 * GIB)


def test_what_is_mounted_is_held(lab: Lab, tmp_path: Path) -> None:
    one = volume(1)
    lab.show(one)
    subprocess.run(["mkfs.ext4", "-q", lab.device(one)], check=True)
    before = lab.disks.is_held(one.id)
    subprocess.run(["mount", lab.device(one), tmp_path / "mount"], check=True)
    held = lab.disks.is_held(one.id)
    subprocess.run(["umount", tmp_path / "mount"], check=True)

    assert (before, held, lab.disks.is_held(one.id)) == (False, True, False)


def test_disks_of_a_dead_region_are_cleaned_up(lab: Lab, tmp_path: Path) -> None:
    """Its processes are killed, and something still has mounted what they showed."""
    one = volume(1)
    lab.show(one)
    device = lab.device(one)
    subprocess.run(["mkfs.ext4", "-q", device], check=True)
    subprocess.run(["mount", device, tmp_path / "mount"], check=True)

    lab.disks.close()
    still = list(ebs.loops(REGION))
    for each in still:
        ebs.release(each)
    subprocess.run(["umount", tmp_path / "mount"], check=True)

    assert still == [device]
    assert are_gone()
