"""The keeper of the shared volume: what it takes for blank, for its own, for somebody else's."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from images.volume import keeper
from images.volume.keeper import Keeper, Order, Probe, RefusedError, Status, Step
from tests import programs

ROOT = Path(__file__).parents[3]
VOLUME = "vol-0123456789abcdef0"
LINK = "nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0"
NEW = Order(volume=VOLUME)
MARKED = Order(volume=VOLUME, marked=True)
GIVEN = Order(volume=VOLUME, given=True)
SIZE = 160 * keeper.MIB
BLANK = Probe(status=2, tags={}, zeros=True)
XFS = Probe(status=0, tags={"TYPE": "xfs"})


def broken(name: str) -> Probe:
    """Return what blkid says of it when it finds nothing, with something on it."""
    return Probe(status={"unknown": 2, "ambivalent": 8}[name], tags={})


@pytest.mark.parametrize(
    ("order", "probe", "step"),
    [
        pytest.param(NEW, BLANK, Step.MAKE, id="new and blank"),
        pytest.param(NEW, XFS, Step.WAIT, id="made and not marked yet"),
        pytest.param(NEW, Probe(status=2, tags={}, begun=True), Step.AGAIN, id="cut short"),
        pytest.param(
            NEW, Probe(status=0, tags={"TYPE": "xfs"}, begun=True), Step.AGAIN, id="cut at its end"
        ),
        pytest.param(MARKED, XFS, Step.MOUNT, id="marked"),
        pytest.param(MARKED, Probe(status=0, tags={"TYPE": "ext4"}), Step.MOUNT, id="marked, ext4"),
        pytest.param(GIVEN, XFS, Step.MOUNT, id="given"),
        pytest.param(GIVEN, Probe(status=0, tags={"TYPE": "ext4"}), Step.MOUNT, id="given, ext4"),
        # A program may write what it likes into its files.
        pytest.param(
            MARKED, Probe(status=0, tags={"TYPE": "xfs"}, begun=True), Step.MOUNT, id="looks begun"
        ),
    ],
)
def test_what_is_done_with_a_volume(order: Order, probe: Probe, step: Step) -> None:
    assert keeper.step(order, probe) is step


@pytest.mark.parametrize(
    ("order", "probe", "reason"),
    [
        pytest.param(MARKED, BLANK, "damaged", id="marked and blank"),
        pytest.param(MARKED, broken("unknown"), "damaged", id="marked, superblock gone"),
        pytest.param(MARKED, broken("ambivalent"), "damaged", id="marked, two kinds at once"),
        pytest.param(GIVEN, BLANK, "blank", id="given and blank"),
        pytest.param(GIVEN, broken("unknown"), "damaged", id="given, superblock gone"),
        pytest.param(NEW, broken("unknown"), "not blank", id="new, with something on it"),
        pytest.param(NEW, broken("ambivalent"), "not blank", id="new, two kinds at once"),
        pytest.param(
            NEW, Probe(status=8, tags={}, zeros=True), "not blank", id="zeros, and blkid unsure"
        ),
        pytest.param(
            GIVEN, Probe(status=0, tags={"PTTYPE": "gpt"}), "partitioned", id="given, gpt"
        ),
        pytest.param(NEW, Probe(status=0, tags={"PTTYPE": "dos"}), "partitioned", id="new, dos"),
        pytest.param(GIVEN, Probe(status=0, tags={"TYPE": "LVM2_member"}), "foreign", id="LVM"),
        pytest.param(MARKED, Probe(status=0, tags={"TYPE": "swap"}), "foreign", id="swap"),
    ],
)
def test_what_is_refused(order: Order, probe: Probe, reason: str) -> None:
    with pytest.raises(RefusedError) as caught:
        keeper.step(order, probe)

    assert caught.value.reason == reason
    assert VOLUME in str(caught.value)


@pytest.mark.parametrize("begun", [False, True], ids=["", "begun"])
@pytest.mark.parametrize("zeros", [False, True], ids=["", "zeros"])
@pytest.mark.parametrize("status", [0, 2, 4, 8, -9])
@pytest.mark.parametrize("tags", [{}, {"TYPE": "xfs"}, {"TYPE": "x"}, {"PTTYPE": "dos"}])
@pytest.mark.parametrize("order", [MARKED, GIVEN], ids=["marked", "given"])
def test_what_is_marked_or_given_is_never_formatted(
    order: Order, tags: dict[str, str], status: int, zeros: bool, begun: bool
) -> None:
    try:
        step = keeper.step(order, Probe(status=status, tags=tags, zeros=zeros, begun=begun))
    except RefusedError:
        return
    assert step is Step.MOUNT


def test_an_order_is_read() -> None:
    text = f"id={VOLUME}\ngiven=no\nmarked=yes\n"

    assert keeper.ordered(text) == MARKED
    assert MARKED.serial == "vol0123456789abcdef0"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param(f"id={VOLUME}\n", id="cut off"),
        pytest.param(f"id={VOLUME}\ngiven=no\nmarked=", id="cut off later"),
        pytest.param("id=vol-*\ngiven=no\nmarked=no\n", id="no id"),
        pytest.param(f"id={VOLUME}\ngiven=false\nmarked=no\n", id="another word"),
    ],
)
def test_half_an_order_is_none(text: str) -> None:
    with pytest.raises(RefusedError, match="which volume"):
        keeper.ordered(text)


def test_only_the_whole_device_of_this_serial_is_it() -> None:
    links = [
        LINK,
        f"{LINK}_1",
        f"{LINK}-ns-1",
        f"{LINK}-part1",
        f"{LINK}_1-part2",
        f"{LINK}1",
        "nvme-Amazon_Elastic_Block_Store_vol0fff",
        "virtio-vol0123456789abcdef0",
        "nvme-eui.0123",
    ]

    assert keeper.names_of(links, MARKED.serial) == links[:3]


def test_what_is_mounted_last_is_on_top() -> None:
    text = (
        "22 1 8:1 / / rw - ext4 /dev/root rw\n"
        "30 22 7:0 / /home/data rw shared:1 - xfs /dev/loop0 rw\n"
        "31 30 0:50 /x /home/data rw shared:2 master:1 - tmpfs none rw\n"
        "32 22 7:1 / /home/data2 rw - xfs /dev/loop1 rw\n"
    )

    there = keeper.mounted(text, Path("/home/data"))

    assert there == keeper.Mount(number="0:50", kind="tmpfs")
    assert keeper.mounted(text, Path("/home")) is None


@pytest.mark.parametrize(
    ("size", "told"), [(0, 0), (7, 7), (99, 99), (123, 120), (21_474_836_480, 21_000_000_000)]
)
def test_sizes_are_told_so_that_they_seldom_change(size: int, told: int) -> None:
    assert keeper.rounded(size) == told


# -- with a file as the device ------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate(SIZE)
    return path


def write(disk: Path, at: int, content: bytes) -> None:
    with disk.open("r+b") as file:
        file.seek(at)
        file.write(content)


@programs.needs("blkid")
@pytest.mark.parametrize("at", [0, 700_000, SIZE - keeper.MIB, SIZE - 1])
def test_one_byte_at_either_end_is_not_blank(disk: Path, at: int) -> None:
    assert keeper.probe(NEW, disk) == BLANK
    write(disk, at, b"\1")

    assert not keeper.probe(NEW, disk).zeros


@programs.needs("blkid")
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_volume_whose_beginning_was_overwritten_is_not_formatted(
    tmp_path: Path, kind: str
) -> None:
    if not (program := programs.path(f"mkfs.{kind}")):
        pytest.skip(f"mkfs.{kind} is not here")
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(320 * keeper.MIB)
    subprocess.run([program, "-q", str(disk)], check=True)
    write(disk, 0, bytes(64 << 10))

    for order, reason in ((MARKED, "damaged"), (GIVEN, "damaged"), (NEW, "not blank")):
        with pytest.raises(RefusedError) as caught:
            keeper.step(order, keeper.probe(order, disk))
        assert caught.value.reason == reason


def test_what_cannot_be_read_is_not_blank(tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as caught:
        keeper.probe(NEW, tmp_path)  # a folder: reading it is an error, as of a sick device

    assert caught.value.reason == "unreadable"


def mkfs(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let another program be mkfs.xfs."""
    folder.mkdir(exist_ok=True)
    (folder / "mkfs.xfs").write_text(f"#!/bin/sh\nfor device; do :; done\n{script}\n")
    (folder / "mkfs.xfs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@programs.needs("blkid")
def test_a_cut_leaves_its_witness_and_an_end_none(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = 'printf XFSB | dd of="$device" conv=notrunc status=none'
    mkfs(tmp_path / "bin", monkeypatch, f"{half}; kill -KILL $$")

    with pytest.raises(RefusedError, match=r"mkfs\.xfs ended"):
        keeper.make(NEW, disk, again=False)

    cut = keeper.probe(NEW, disk)
    assert keeper.step(NEW, cut) is Step.AGAIN
    other = Order(volume="vol-0fff")
    assert not keeper.probe(other, disk).begun
    os.truncate(disk, 3 * SIZE)  # the size in the file was raised meanwhile
    assert keeper.step(NEW, keeper.probe(NEW, disk)) is Step.AGAIN
    mkfs(tmp_path / "bin", monkeypatch, half)
    keeper.make(NEW, disk, again=True)
    assert not keeper.probe(NEW, disk).begun


def test_a_keeper_that_is_killed_leaves_the_witness(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkfs(tmp_path / "bin", monkeypatch, "kill -KILL $PPID")
    words = (
        "from pathlib import Path; from images.volume import keeper;"
        f"keeper.make(keeper.Order(volume={VOLUME!r}), Path({str(disk)!r}), again=False)"
    )

    done = subprocess.run([sys.executable, "-c", words], cwd=ROOT, check=False)

    assert done.returncode == -signal.SIGKILL
    assert keeper.probe(NEW, disk).begun


# -- a look -------------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose places are in a folder; nothing is attached, nothing mounted."""
    places = {
        "PLACE": "home/data",
        "ORDER": "order",
        "STATUS": "run/status.json",
        "SERVED": "run/served",
        "LINKS": "by-id",
        "BLOCKS": "block",
        "MOUNTS": "mountinfo",
    }
    for name, place in places.items():
        monkeypatch.setattr(keeper, name, tmp_path / place)
    for folder in ("home", "run", "by-id"):
        (tmp_path / folder).mkdir()
    (tmp_path / "mountinfo").write_text("")
    (tmp_path / "order").write_text(f"id={VOLUME}\ngiven=no\nmarked=yes\n")
    (tmp_path / "run/served").write_text("259:1")
    return tmp_path


def test_without_an_order_it_waits(machine: Path) -> None:
    (machine / "order").unlink()

    assert Keeper().look().phase == "waiting"
    assert not (machine / "run/served").exists()


@pytest.mark.parametrize("dangling", [False, True], ids=["no link", "a dangling link"])
def test_a_late_device_is_waited_for(machine: Path, dangling: bool) -> None:
    if dangling:
        (machine / "by-id" / LINK).symlink_to(machine / "nvme9n1")

    seen = Keeper().look()

    assert seen == Status(volume=VOLUME, error=f"{VOLUME} is not attached to this machine yet")
    assert not (machine / "run/served").exists()


def attached(machine: Path, name: str = "nvme1n1", link: str = LINK) -> Path:
    path = machine / name
    with path.open("wb") as file:
        file.truncate(64 * keeper.MIB)
    (machine / "by-id" / link).symlink_to(path)
    return path


def test_another_serial_than_the_links_is_refused(machine: Path) -> None:
    attached(machine)
    (machine / "block/nvme1n1/device").mkdir(parents=True)
    (machine / "block/nvme1n1/device/serial").write_text("vol0fff\n")

    seen = Keeper().look()

    assert (seen.phase, seen.reason) == ("refused", "serial")


def test_a_volume_that_seems_to_be_two_is_refused(machine: Path) -> None:
    attached(machine)
    attached(machine, "nvme2n1", f"{LINK}_1")

    seen = Keeper().look()

    assert (seen.phase, seen.reason) == ("refused", "twice")


def test_another_thing_in_its_place_is_refused_and_not_served(machine: Path) -> None:
    attached(machine)
    where = machine / "home/data"
    (machine / "mountinfo").write_text(f"30 22 7:7 / {where} rw - xfs /dev/loop7 rw\n")

    seen = Keeper().look()

    assert (seen.phase, seen.reason) == ("refused", "place")
    assert not (machine / "run/served").exists()


def test_a_file_system_is_grown_until_it_fills_its_device_once_it_is_mounted(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mounted, one that was not unmounted in order has its journal played already."""
    attached(machine)
    where = machine / "home/data"
    where.mkdir()
    (machine / "mountinfo").write_text(f"30 22 0:0 / {where} rw - ext4 /dev/nvme1n1 rw\n")
    ends, asked = [1, 0], list[str]()

    def grow(kind: str, path: Path) -> None:
        asked.append(kind)
        if ends.pop(0):
            raise RefusedError("failed", "resize2fs ended with 1")

    monkeypatch.setattr(keeper, "grow", grow)
    monkeypatch.setattr(keeper, "reserve", lambda: None)
    monkeypatch.setattr(keeper, "answers", lambda: True)
    looks = Keeper()

    seen = [looks.look() for _ in range(3)]

    assert [one.filled for one in seen] == [0, 64 * keeper.MIB, 64 * keeper.MIB]
    assert seen[0].error == "it does not fill its volume yet: resize2fs ended with 1"
    assert {one.phase for one in seen} == {"serving"}  # programs go on meanwhile
    assert asked == ["ext4", "ext4"]


def test_only_what_the_keeper_found_is_served(machine: Path) -> None:
    where = machine / "home/data"

    assert not keeper.may_serve()
    (machine / "mountinfo").write_text(f"30 22 259:1 / {where} rw - xfs /dev/nvme1n1 rw\n")
    assert keeper.may_serve()
    (machine / "run/served").write_text("259:2")
    assert not keeper.may_serve()
    (machine / "run/served").unlink()
    assert not keeper.may_serve()
