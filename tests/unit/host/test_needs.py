"""What a machine lacks, by its facts alone, and how it is said."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from tests.host import needs
from tests.host.needs import CONTROLLERS, HIERARCHIES, Cgroups, Facts

GOOD = Facts()
V1 = Cgroups(version=1, controllers=HIERARCHIES)
V2 = Cgroups(version=2, controllers=CONTROLLERS)


def words(facts: Facts) -> str:
    return "; ".join(finding.lacks for finding in needs.lacking(facts))


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param(GOOD, id="version-2"),
        pytest.param(replace(GOOD, cgroups=V1), id="version-1"),
        pytest.param(replace(GOOD, python=(3, 13, 1), go="1.27rc1"), id="newer"),
        pytest.param(
            replace(GOOD, missing_packages=("buildah",)), id="programs-that-apt-will-install"
        ),
        pytest.param(
            replace(GOOD, cgroups=replace(V2, is_crowded=True, handed_down=CONTROLLERS)),
            id="controllers-that-are-handed-down-already",
        ),
        pytest.param(replace(GOOD, has_parts=True, disk_mib=5000), id="parts-that-are-built"),
    ],
)
def test_finds_nothing_where_all_is_there(facts: Facts) -> None:
    assert needs.lacking(facts) == []


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (replace(GOOD, system="Linux aarch64"), "this is Linux aarch64"),
        (replace(GOOD, system="Darwin x86_64"), "this is Darwin x86_64"),
        (replace(GOOD, python=(3, 9, 2)), "Python 3.11 (python3 is 3.9.2)"),
        (replace(GOOD, has_venv=False), "venv"),
        (replace(GOOD, go=""), "Go 1.26 (there is no `go`)"),
        (replace(GOOD, go="1.9.7"), "Go 1.26 (`go` is 1.9.7)"),
        (replace(GOOD, go="devel +abc"), "Go 1.26 (`go` is devel +abc)"),
        (replace(GOOD, is_root=False, capabilities=frozenset()), "root"),
        (
            replace(GOOD, capabilities=GOOD.capabilities - {"CAP_SYS_ADMIN"}),
            "CAP_SYS_ADMIN (though this is root)",
        ),
        (
            replace(GOOD, capabilities=GOOD.capabilities - {"CAP_SYS_ADMIN", "CAP_NET_ADMIN"}),
            "CAP_NET_ADMIN and CAP_SYS_ADMIN",
        ),
        (replace(GOOD, missing_packages=("buildah",), has_apt=False), "apt-get"),
        (replace(GOOD, name_spaces="No space left on device"), "tried: No space left on device"),
        (replace(GOOD, overlay="wrong fs type"), "overlay mounts in /var/tmp (tried: wrong"),
        (replace(GOOD, links="Unknown device type."), "veth and vxlan"),
        (replace(GOOD, fuse="No such file or directory"), "/dev/fuse (tried: No such file"),
        (replace(GOOD, bridge="modprobe: not found"), "br_netfilter (tried: modprobe: not found"),
        (replace(GOOD, loop="No such file or directory"), "loop-control (tried: No such file"),
        (replace(GOOD, cgroups=Cgroups(version=0)), "control groups in /sys/fs/cgroup"),
        (
            replace(GOOD, cgroups=replace(V2, controllers=CONTROLLERS - {"memory"})),
            "controllers memory (version 2)",
        ),
        (
            replace(GOOD, cgroups=replace(V1, controllers=HIERARCHIES - {"cpuset", "pids"})),
            "controllers cpuset, pids (version 1)",
        ),
        (replace(GOOD, cgroups=replace(V2, is_writable=False)), "that can be written"),
        (replace(GOOD, cgroups=replace(V2, is_crowded=True)), "without processes at the top"),
        (replace(GOOD, memory_mib=2048), "4 GiB of memory (2.0 are there)"),
        (replace(GOOD, disk_mib=6000), "12 GiB of free disk (5.9 are there)"),
        (replace(GOOD, has_parts=True, disk_mib=1024), "4 GiB of free disk (1.0 are there)"),
    ],
)
def test_says_what_is_missing_once(facts: Facts, said: str) -> None:
    assert len(needs.lacking(facts)) == 1
    assert said in words(facts)


def test_what_could_not_be_tried_for_want_of_rights_is_not_told_as_missing() -> None:
    facts = replace(
        GOOD, is_root=False, capabilities=frozenset(), name_spaces="denied", overlay="denied"
    )

    assert [finding.lacks.split(":")[0] for finding in needs.lacking(facts)] == ["root"]


@pytest.mark.parametrize(
    ("facts", "is_offered"),
    [
        pytest.param(replace(GOOD, is_root=False), True, id="no-rights"),
        pytest.param(replace(GOOD, cgroups=Cgroups(version=0)), True, id="no-control-groups"),
        pytest.param(replace(GOOD, is_root=False, go=""), False, id="it-would-lack-go-too"),
        pytest.param(replace(GOOD, is_root=False, memory_mib=5000), False, id="too-small-for-it"),
        pytest.param(replace(GOOD, is_root=False, disk_mib=9000), False, id="no-room-for-it"),
        pytest.param(
            replace(GOOD, is_root=False, missing_for_vm=("qemu-system-x86",)), False, id="no-qemu"
        ),
        pytest.param(
            replace(GOOD, links="denied", missing_for_vm=("qemu-system-x86",)),
            True,
            id="qemu-that-apt-will-install",
        ),
        pytest.param(GOOD, False, id="nothing-is-missing"),
    ],
)
def test_offers_the_virtual_machine_only_where_that_would_help(
    facts: Facts, is_offered: bool
) -> None:
    assert needs.is_offered(needs.lacking(facts), needs.lacking_for_vm(facts)) == is_offered


def test_the_virtual_machine_needs_no_rights() -> None:
    facts = replace(
        GOOD,
        is_root=False,
        capabilities=frozenset(),
        cgroups=Cgroups(version=0),
        name_spaces="denied",
        has_apt=False,
        missing_packages=("buildah",),
    )

    assert needs.lacking_for_vm(facts) == []


def test_who_is_not_root_is_told_what_to_have_installed() -> None:
    facts = replace(GOOD, is_root=False, missing_for_vm=("fakeroot", "qemu-system-x86"))

    (finding,) = needs.lacking_for_vm(facts)

    assert "apt-get install fakeroot qemu-system-x86" in finding.mend


def test_the_worst_machine_is_told_on_one_screen() -> None:
    worst = Facts(
        system="Linux aarch64",
        python=(3, 7, 0),
        go="",
        missing_packages=("buildah", "curl", "dnsmasq-base"),
        has_apt=False,
        name_spaces="unshare: unshare failed: Operation not permitted",
        overlay="mount: wrong fs type, bad option, bad superblock on overlay",
        links="Error: Unknown device type.",
        loop="sh: 1: cannot open /dev/loop-control: No such file",
        bridge="sh: 1: modprobe: not found",
        cgroups=Cgroups(version=0),
        disk_mib=10,
        memory_mib=10,
    )

    lines = needs.screen("make demo", needs.lacking(worst), offers_vm=True).splitlines()

    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    assert lines[0] == "`make demo` needs what this machine lacks:"
    assert "Nothing was built, installed or changed." in lines


@pytest.mark.parametrize("path", sorted(Path(needs.__file__).parent.glob("*.py")), ids=str)
def test_an_old_python_can_read_it(path: Path) -> None:
    """Else it would say "invalid syntax" where it should say which Python it wants."""
    ast.parse(path.read_text(), feature_version=(3, 7))
    assert "from __future__ import annotations" in path.read_text()
