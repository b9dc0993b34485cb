"""The region's disks, each a process, of which one is killed: a file stands for the loop device."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.region.aws.view import Volume, VolumeSnapshot
from tests.region.net import samples
from tests.region.storage import ebs
from tests.region.storage.ebs import GIB, Ebs

MACHINE = samples.instance(3, groups=())
ONE = Volume(id="vol-1", size_gib=1, snapshot_id=None, instance_id=MACHINE.id)
AWAY = replace(ONE, instance_id=None)
# What it is asked, it does; it falls over what the file beside it names.
DISK = """#!/bin/sh
echo "$2"
while read -r word rest; do
    [ "$word" != "$(cat "$2.dies" 2>/dev/null)" ] || kill -9 $$
    [ "$word" != copy ] || cp "$2" "$rest"
    echo ok
done
"""


@pytest.fixture
def disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ebs]:
    program = tmp_path / "disk"
    program.write_text(DISK)
    program.chmod(0o755)
    monkeypatch.setattr("fcntl.ioctl", lambda *_: 0)
    made = Ebs(region="r", folder=tmp_path, program=program, pid=lambda _: None)
    yield made
    made.close()


def show(disks: Ebs, *volumes: Volume, taken: tuple[str, ...] = ()) -> None:
    copies = tuple(VolumeSnapshot(id=id, volume_id=ONE.id) for id in taken)
    network = samples.network(instances=(MACHINE,))
    disks.reconcile(replace(network, volumes=volumes, volume_snapshots=copies))


def dies(disks: Ebs, word: str) -> None:
    (disks.folder / "volumes" / f"{ONE.id}.dies").write_text(word)


def kill(disks: Ebs) -> None:
    process = disks._devices[ONE.id]._process
    process.kill()
    process.wait()


def number(disks: Ebs) -> int:
    return disks._devices[ONE.id]._process.pid


def test_a_disk_that_is_killed_is_detached_like_any_other_and_comes_again(disks: Ebs) -> None:
    show(disks, ONE)
    kill(disks)

    show(disks, AWAY)
    assert disks._devices == {}
    show(disks, ONE)
    assert not disks._devices[ONE.id].has_ended()


def test_one_that_is_killed_while_a_machine_has_it_comes_again(disks: Ebs) -> None:
    show(disks, ONE)
    before = number(disks)
    kill(disks)

    show(disks, ONE)
    show(disks, ONE)

    assert number(disks) != before


def test_one_that_is_killed_as_it_is_taken_from_its_machine_is_taken(
    disks: Ebs, monkeypatch: pytest.MonkeyPatch
) -> None:
    show(disks, ONE)
    dies(disks, "lose")
    monkeypatch.setattr(ebs.Device, "is_mounted", lambda _: True)

    show(disks, AWAY)

    assert disks._devices == {}


def test_one_that_is_killed_as_it_flushes_is_taken(
    disks: Ebs, monkeypatch: pytest.MonkeyPatch
) -> None:
    show(disks, ONE)

    def fsync(_: int) -> None:
        disks._devices[ONE.id]._process.kill()
        raise OSError("Input/output error")

    monkeypatch.setattr("os.fsync", fsync)

    show(disks, AWAY)

    assert disks._devices == {}


@pytest.mark.parametrize("word", ["copy", "grow"])
def test_one_that_is_killed_as_it_is_copied_or_grows_keeps_nobody_from_it(
    disks: Ebs, word: str
) -> None:
    show(disks, ONE)
    dies(disks, word)
    larger = replace(ONE, size_gib=2)

    show(disks, larger, taken=("snap-1",))

    assert (disks.folder / "volumes" / ONE.id).stat().st_size == 2 * GIB
    assert (disks.folder / "snapshots/snap-1").stat().st_size == GIB


def test_what_a_disk_that_lives_cannot_do_is_an_error(
    disks: Ebs, monkeypatch: pytest.MonkeyPatch
) -> None:
    show(disks, ONE)

    def fsync(_: int) -> None:
        raise OSError("Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fsync)
        patch.setattr(ebs, "_ENDING", 0.01)
        with pytest.raises(OSError, match="Input/output error") as told:
            show(disks, AWAY)
    assert not isinstance(told.value, ebs.EndedError)
