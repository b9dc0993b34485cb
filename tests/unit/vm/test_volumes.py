"""A volume's life in virtual machines, as values: its containers, its machines, its report."""

from pathlib import Path
from typing import Any

import pytest

from clusterous_cli.addons import volumeserver
from tests.vm import image, pods, qemu, volumes
from tests.vm.qemu import Disk, Machine, Wire

IMAGE = {"Entrypoint": ["python", "-m", "keeper"], "Env": ["A=b"]}


def bundle(name: str) -> dict[str, Any]:
    return pods.bundle(volumeserver.pod("x", {}), name, IMAGE, "/root-of-it")


def test_a_container_gets_the_rights_of_the_manifest_and_no_more() -> None:
    process = bundle("server")["process"]

    expected = {f"CAP_{one}" for one in volumeserver.CAPABILITIES}
    assert {kind: set(given) for kind, given in process["capabilities"].items()} == {
        "bounding": expected,
        "effective": expected,
        "permitted": expected,
    }
    assert process["noNewPrivileges"] is True
    assert process["args"] == ["python", "-m", "keeper", "serve"]


def test_only_who_is_privileged_opens_devices_and_shows_others_what_it_mounts() -> None:
    first = {
        name: bundle(name)["linux"]["resources"]["devices"][0] for name in ("keeper", "server")
    }
    home = {
        name: next(one for one in bundle(name)["mounts"] if one["destination"] == "/home")
        for name in ("keeper", "server")
    }

    assert first["keeper"]["allow"] is True
    assert first["server"]["allow"] is False
    assert home["keeper"]["options"] == ["rbind", "rshared", "rw"]
    assert home["server"]["options"] == ["rbind", "rslave", "rw"]


def started(**changes: Any) -> str:
    machine = Machine(
        image=image.Image(disk=Path("/c/disk"), kernel=Path("/c/vmlinuz")),
        luggage=Path("/b/luggage"),
        cpus=1,
        memory_mib=768,
        **changes,
    )
    return " ".join(qemu.argv(machine, folder=Path("/t"), accelerator="tcg"))


def test_a_volume_keeps_what_is_written_and_has_its_own_serial() -> None:
    said = started(disks=[Disk(path=Path("/v"), serial="vol0123456789abcdef0")])

    assert "-drive file=/v,id=vol0123456789abcdef0,format=raw,if=none,cache=writeback " in said
    assert "-device nvme,drive=vol0123456789abcdef0,serial=vol0123456789abcdef0" in said


def test_two_machines_are_wired_over_loopback_with_addresses_of_their_own() -> None:
    one, other = (started(wires=[wire]) for wire in volumes.ONE)

    assert "udp=127.0.0.1:17702,localaddr=127.0.0.1:17701" in one
    assert "udp=127.0.0.1:17701,localaddr=127.0.0.1:17702" in other
    assert one.partition("mac=")[2].split()[0] != other.partition("mac=")[2].split()[0]


def test_wires_share_no_port() -> None:
    ports = [wire.ours for pair in (volumes.ONE, volumes.TWO) for wire in pair]

    assert len(set(ports)) == len(ports)
    assert all(isinstance(wire, Wire) for wire in volumes.ONE)


@pytest.mark.parametrize(
    ("found", "error", "ok"),
    [
        pytest.param({"open_file_seconds": 4.9, "new_open_seconds": 19.9}, "", True, id="in time"),
        pytest.param({"open_file_seconds": 5.1}, "", False, id="an open file waited too long"),
        pytest.param({"new_open_seconds": 20.1}, "", False, id="a new one did"),
        pytest.param({"nothing lost": False}, "", False, id="something was wrong"),
        pytest.param({}, "it ended", False, id="it broke off"),
    ],
)
def test_a_goal_that_was_missed_is_no_success(found: dict[str, Any], error: str, ok: bool) -> None:
    trial = volumes.Trial(tell=print, seen={"a case": found}, error=error)

    assert volumes.report(trial, "tcg")["ok"] is ok


def test_a_case_brings_along_what_it_stands_on() -> None:
    assert volumes.wanted(["cut_short"]) == {
        "cut_short",
        "refused",
        "killed_machine",
        "snapshotted",
    }
    assert len(volumes.wanted([])) == len(volumes.CASES)
