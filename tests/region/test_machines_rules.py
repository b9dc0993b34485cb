"""The pure parts of the machines: what to do next, what hardware is seen, what the disk says."""

from pathlib import Path

import pytest

from tests.region.machines import console, disk, hardware
from tests.region.machines.machines import Step, decide
from tests.region.storage import ebs

HOST = (
    "processor\t: 0\nmodel name\t: EPYC\ncore id\t\t: 0\n\nprocessor\t: 1\nmodel name\t: EPYC\n\n"
)


@pytest.mark.parametrize(
    ("state", "runs", "ended", "step"),
    [
        pytest.param("pending", False, False, Step.START, id="new"),
        pytest.param("running", False, False, Step.START, id="missing"),
        pytest.param("running", True, False, Step.NOTHING, id="runs"),
        pytest.param("running", False, True, Step.NOTHING, id="powered-itself-off"),
        pytest.param("stopping", True, False, Step.STOP, id="stopping"),
        pytest.param("stopped", True, False, Step.STOP, id="stopped-but-runs"),
        pytest.param("stopped", False, False, Step.NOTHING, id="stopped"),
        pytest.param("shutting-down", True, False, Step.REMOVE, id="terminating"),
        pytest.param("terminated", False, False, Step.REMOVE, id="terminated"),
        pytest.param(None, True, False, Step.REMOVE, id="forgotten"),
    ],
)
def test_decides(state: str | None, runs: bool, ended: bool, step: Step) -> None:
    assert decide(state, runs=runs, ended=ended) is step


@pytest.mark.parametrize(
    ("at", "plugged", "state", "step"),
    [
        pytest.param(None, None, None, ebs.Step.NOTHING, id="free"),
        pytest.param("i-1", None, "running", ebs.Step.PLUG, id="attached"),
        pytest.param("i-1", None, "stopped", ebs.Step.NOTHING, id="attached-to-a-stopped"),
        pytest.param("i-1", "i-1", "running", ebs.Step.NOTHING, id="there"),
        pytest.param("i-1", "i-1", "stopping", ebs.Step.NOTHING, id="until-it-is-off"),
        pytest.param("i-1", "i-1", "stopped", ebs.Step.UNPLUG, id="off"),
        pytest.param(None, "i-1", "running", ebs.Step.UNPLUG, id="detached"),
        pytest.param("i-2", "i-1", "running", ebs.Step.UNPLUG, id="elsewhere"),
        pytest.param("i-1", "i-1", "shutting-down", ebs.Step.LOSE, id="terminating"),
        pytest.param("i-2", "i-1", "terminated", ebs.Step.LOSE, id="already-elsewhere"),
        pytest.param(None, "i-1", None, ebs.Step.LOSE, id="forgotten"),
    ],
)
def test_decides_about_volumes(
    at: str | None, plugged: str | None, state: str | None, step: ebs.Step
) -> None:
    assert ebs.decide(at=at, plugged=plugged, state=state) is step


@pytest.mark.parametrize(
    ("vcpus", "online"),
    [pytest.param(1, "0\n", id="one"), pytest.param(4, "0-3\n", id="four")],
)
def test_shows_the_processors_of_the_type(vcpus: int, online: str) -> None:
    seen = hardware.files(vcpus=vcpus, memory_mib=4096, cpuinfo=HOST)

    assert seen["sys/devices/system/cpu/online"] == online
    assert seen["proc/cpuinfo"].count("processor\t: ") == vcpus
    assert seen["proc/cpuinfo"].count("EPYC") == vcpus
    threads = [name for name in seen if name.startswith("sys/devices/system/node/node0/cpu")]
    assert len([name for name in threads if name.endswith("core_id")]) == vcpus


def test_shows_a_little_less_memory_than_the_type_has() -> None:
    first = hardware.meminfo(4096).splitlines()[0]

    assert first.split() == ["MemTotal:", str(4096 * 1024 * 97 // 100), "kB"]


def test_the_console_is_told_as_plain_text(tmp_path: Path) -> None:
    file = tmp_path / "console"
    file.write_bytes(b"\x1b[0;32m  OK  \x1b[0m Started\r\n\x1b[?25lx\xff")

    assert console.tail(file) == "  OK   Started\nx\N{REPLACEMENT CHARACTER}"


def test_the_console_is_told_from_its_end(tmp_path: Path) -> None:
    file = tmp_path / "console"
    file.write_text("a" * console.LIMIT + "end")

    assert len(console.tail(file)) == console.LIMIT
    assert console.tail(file).endswith("end")


def test_there_is_no_console_before_the_first_word(tmp_path: Path) -> None:
    assert console.tail(tmp_path / "none") == ""


def test_trusts_the_region_beside_everybody_else() -> None:
    assert disk.trust("REGION\n", "OTHERS\n\n")[disk.BUNDLE] == "OTHERS\nREGION\n"


def test_asks_the_resolver_of_its_network() -> None:
    files = disk.resolver(vpc_cidr="10.40.0.0/16", region="eu-west-1")

    assert files["etc/resolv.conf"].startswith("nameserver 10.40.0.2\n")


def test_new_folders_look_like_those_below(tmp_path: Path) -> None:
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    (lower / "etc/private").mkdir(parents=True)
    (lower / "etc/private").chmod(0o700)
    upper.mkdir()

    disk.write(upper=upper, lower=lower, files={"etc/private/key": "k"})

    assert (upper / "etc/private").stat().st_mode & 0o777 == 0o700
    assert (upper / "etc/private/key").read_text() == "k"


@pytest.mark.parametrize(
    ("used", "disks", "number"),
    [
        ((), (), 1),
        ((), ("nvme0n1", "vda", "loop1"), 1),
        ((1, 3), (), 2),
        ((), ("nvme0n1", "nvme1n1"), 2),
        ((2,), ("nvme1n1", "nvme3n1"), 4),
    ],
)
def test_no_volume_is_called_like_a_disk_of_the_kernel(
    used: tuple[int, ...], disks: tuple[str, ...], number: int
) -> None:
    assert ebs.vacant(used, disks) == number
