"""What a machine has, read from files as kernels write them."""

from pathlib import Path

import pytest

from tests.host import facts
from tests.host.needs import CAPABILITIES, Cgroups


@pytest.mark.parametrize(
    ("effective", "absent"),
    [
        pytest.param("000001ffffffffff", set(), id="root"),
        pytest.param(
            "00000000a80425fb", {"CAP_NET_ADMIN", "CAP_SYS_ADMIN"}, id="an-ordinary-container"
        ),
        pytest.param("0000000000000000", set(CAPABILITIES), id="an-ordinary-user"),
    ],
)
def test_capabilities(tmp_path: Path, effective: str, absent: set[str]) -> None:
    status = tmp_path / "status"
    status.write_text(f"Name:\tsh\nCapPrm:\t000001ffffffffff\nCapEff:\t{effective}\nSeccomp:\t0\n")

    assert CAPABILITIES.keys() - facts.capabilities(status) == absent


def test_control_groups_of_version_2(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory\n")
    (tmp_path / "cgroup.subtree_control").write_text("memory\n")
    (tmp_path / "cgroup.procs").write_text("1\n")

    assert facts.cgroups(tmp_path) == Cgroups(
        version=2,
        controllers=frozenset({"cpuset", "cpu", "io", "memory"}),
        handed_down=frozenset({"memory"}),
    )


@pytest.mark.parametrize(("procs", "is_crowded"), [("1\n27\n", True), ("", False)])
def test_the_top_of_a_containers_groups_may_be_crowded(
    tmp_path: Path, procs: str, is_crowded: bool
) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu\n")
    (tmp_path / "cgroup.subtree_control").write_text("\n")
    (tmp_path / "cgroup.type").write_text("domain\n")
    (tmp_path / "cgroup.procs").write_text(procs)

    assert facts.cgroups(tmp_path).is_crowded == is_crowded


def test_control_groups_of_version_1(tmp_path: Path) -> None:
    for name in ("cpu", "memory", "unified"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.procs").write_text("")
    (tmp_path / "not-a-hierarchy").mkdir()

    found = facts.cgroups(tmp_path)

    assert (found.version, found.controllers) == (1, {"cpu", "memory", "unified"})


def test_no_control_groups(tmp_path: Path) -> None:
    assert facts.cgroups(tmp_path).version == 0


def test_memory_is_what_is_to_be_had() -> None:
    assert facts.memory_mib("MemTotal: 8388608 kB\nMemAvailable:  2097152 kB\n") == 2048
    assert facts.memory_mib("MemTotal: 8388608 kB\n") == 0


def test_this_machine_can_be_looked_at() -> None:
    seen = facts.gather()

    assert seen.system.startswith("Linux ")
    assert seen.python >= (3, 11)
    assert seen.disk_mib > 0
    assert seen.memory_mib > 0
