"""The virtual machine as values: how it is started, made, packed for, and told about."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.region.parts import cache, parts
from tests.vm import fresh, image, luggage, qemu

MACHINE = qemu.Machine(
    image=image.Image(disk=Path("/c/disk.ext4"), kernel=Path("/c/vmlinuz")),
    luggage=Path("/b/luggage.ext4"),
    cpus=2,
    memory_mib=8192,
)


def started(machine: qemu.Machine = MACHINE, accelerator: str = "tcg") -> str:
    return " ".join(qemu.argv(machine, folder=Path("/t"), accelerator=accelerator))


def test_ends_with_whoever_started_it() -> None:
    assert started().startswith("setpriv --pdeathsig KILL qemu-system-x86_64 ")


def test_forgets_what_was_written_to_either_disk() -> None:
    for path in ("/c/disk.ext4", "/b/luggage.ext4"):
        drive = next(word for word in started().split() if f"file={path}," in word)
        assert "snapshot=on" in drive.split(",")


def test_has_a_network_only_where_that_cannot_be_avoided() -> None:
    assert "netdev" not in started()
    assert "-netdev user," in started(replace(MACHINE, has_network=True))


def test_is_emulated_or_not() -> None:
    assert "-accel tcg,thread=multi -cpu max,-avx" in started()
    assert "-accel kvm -cpu host" in started(accelerator="kvm")


def test_a_machine_that_is_emulated_reads_its_clock_without_a_device() -> None:
    assert "tsc=reliable clocksource=tsc" in started()
    assert "tsc=" not in started(accelerator="kvm")


def test_timers_of_a_machine_that_is_emulated_go_by_its_tick() -> None:
    assert "highres=off" in started()
    assert "highres=off" not in started(accelerator="kvm")


def test_tries_kvm_first_where_its_device_can_be_opened(tmp_path: Path) -> None:
    device = tmp_path / "kvm"
    assert qemu.accelerators(device) == ("tcg",)

    device.touch()
    assert qemu.accelerators(device) == ("kvm", "tcg")


@pytest.mark.parametrize(
    ("available", "given"), [(24_000, 8192), (9_000, 6952), (6_144, 4096), (1_000, 4096)]
)
def test_leaves_memory_to_the_machine_outside(available: int, given: int) -> None:
    assert qemu.memory_mib(available) == given


@pytest.mark.parametrize(
    ("is_root", "can_mount", "how"),
    [
        (True, True, ("--mode=root",)),
        (True, False, ("--mode=root", "--skip=chroot/mount")),
        (False, False, ("--mode=fakechroot",)),
    ],
)
def test_its_disk_is_made_with_the_rights_that_are_there(
    is_root: bool, can_mount: bool, how: tuple[str, ...]
) -> None:
    assert image.mode(is_root=is_root, can_mount=can_mount) == how


def test_who_is_not_root_pretends_for_the_owners_of_files() -> None:
    assert image.as_root(["tar"], is_root=True) == ["tar"]
    assert image.as_root(["tar"], is_root=False) == ["fakeroot", "tar"]
    assert "fakeroot" in image.tools(is_root=False)
    assert "fakeroot" not in image.tools(is_root=True)


def test_its_mirror_has_all_that_the_project_installs() -> None:
    assert {"buildah", "systemd-container", "mmdebstrap"} <= set(image.WANTED)


def test_what_is_not_built_is_named(tmp_path: Path) -> None:
    def build(*_: object) -> None:
        raise AssertionError

    recipes = {name: cache.Recipe(name=name, build=build) for name in ("go", "rootfs")}
    known = cache.entries(recipes, recipes, tmp_path)
    known["go"].path.mkdir(parents=True)

    assert luggage.missing_of(recipes, known) == ["rootfs"]


def test_who_has_no_rights_builds_what_needs_none() -> None:
    found = luggage.buildable(parts.RECIPES, ["go", "k3s", "hub", "rootfs", "operator_image"])

    assert found == ["go", "k3s"]


def test_hands_in_the_way_to_the_registries_and_nothing_else() -> None:
    words = luggage.way(
        {
            "https_proxy": "http://proxy.example:3128",
            "PIP_INDEX_URL": "",
            "GOPROXY": "it's",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }
    )

    assert words == "export https_proxy='http://proxy.example:3128'\n"


def test_facts_are_read_from_lines() -> None:
    assert fresh.facts(["kernel=6.1.0", "controllers=cpu io", "a warning", "x=y=z"]) == {
        "kernel": "6.1.0",
        "controllers": "cpu io",
        "x": "y=z",
    }


@pytest.mark.parametrize(
    ("exit_code", "error", "ok"), [(0, "", True), (2, "", False), (None, "ended", False)]
)
def test_is_well_only_if_the_demo_ended_well(exit_code: int | None, error: str, ok: bool) -> None:
    run = fresh.Run(tell=lambda line: None, exit_code=exit_code, error=error)
    for number in range(100):
        run.hear(f"line {number}")

    found = fresh.report(run, commit="abc", missing=["rootfs"])

    assert found["ok"] == ok
    assert found["printed_last"][-1] == "line 99"
    assert len(found["printed_last"]) == fresh.LAST_LINES
    assert (found["commit"], found["built_inside"]) == ("abc", ["rootfs"])


def test_how_far_it_came_is_written_down_before_it_ends(tmp_path: Path) -> None:
    kept: list[str] = []
    run = fresh.Run(tell=lambda line: None, log=tmp_path / "demo.log")
    run.keep = lambda: kept.append(fresh.report(run, commit="abc", missing=[])["at"])

    def clone() -> None:
        with run.step("clone", "a clean clone"):
            run.hear("cloning")
            raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        clone()

    assert kept == ["clone", "clone"]
    assert re.fullmatch(r" *0 s  cloning\n", (tmp_path / "demo.log").read_text())


def test_what_the_machine_says_is_told_on_its_console() -> None:
    argv = qemu.argv(MACHINE, folder=Path("/run/vm"), accelerator="tcg")

    (told,) = [word for word in argv if "console=ttyS0" in word]
    assert "systemd.journald.forward_to_console=1" in told
    assert "file:/run/vm/console.log" in argv
