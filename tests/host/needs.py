"""What the region and the tests need of a machine, and what to do where it lacks something.

Decides by facts alone, see facts.py for how these are had.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, field

# By their bits in /proc/PID/status: without any one of them no machine of the region comes up, or
# no container in it.
CAPABILITIES = {
    "CAP_SETPCAP": 8,
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
    "CAP_SYS_CHROOT": 18,
    "CAP_SYS_ADMIN": 21,
    "CAP_MKNOD": 27,
}
CONTROLLERS = frozenset({"cpu", "cpuset", "io", "memory", "pids"})
# Of version 1 each controller has a hierarchy of its own, and systemd wants one more.
HIERARCHIES = frozenset({"cpu", "cpuset", "memory", "pids", "systemd"})
PYTHON = (3, 11)
GO = (1, 26)
GIB = 1024
MEMORY_MIB = 4 * GIB
# Building parts from nothing: Go's module and build caches, and the parts themselves.
DISK_MIB, DISK_WITH_PARTS_MIB = 12 * GIB, 4 * GIB
# QEMU's machine has 4 GiB at least, and its two disks take what is built and written inside.
VM_MEMORY_MIB, VM_DISK_MIB = 6 * GIB, 12 * GIB


@dataclass(frozen=True)
class Cgroups:
    """The control groups: of *version* 2, or 1 with a hierarchy for each controller, or 0: none.

    *handed_down* are the controllers that groups below the root have already. *is_crowded*: it is
    the root of a container, and processes in it forbid that more of them are handed down.
    """

    version: int
    controllers: frozenset[str] = frozenset()
    handed_down: frozenset[str] = frozenset()
    is_writable: bool = True
    is_crowded: bool = False


@dataclass(frozen=True)
class Facts:
    """A machine as it is. What was tried holds "", or the system's words why it failed."""

    system: str = "Linux x86_64"
    python: tuple[int, ...] = PYTHON
    has_venv: bool = True
    go: str = "1.26"
    missing_packages: tuple[str, ...] = ()
    missing_for_vm: tuple[str, ...] = ()
    has_apt: bool = True
    is_root: bool = True
    capabilities: frozenset[str] = frozenset(CAPABILITIES)
    name_spaces: str = ""
    overlay: str = ""
    links: str = ""
    fuse: str = ""
    loop: str = ""
    bridge: str = ""
    cgroups: Cgroups = field(default_factory=lambda: Cgroups(version=2, controllers=CONTROLLERS))
    has_parts: bool = False
    disk_mib: int = 100 * GIB
    memory_mib: int = 16 * GIB


@dataclass(frozen=True)
class Finding:
    """What the machine lacks, and what its owner can do. *in_vm*: a virtual machine has it."""

    lacks: str
    mend: str
    in_vm: bool = False


def lacking(facts: Facts) -> list[Finding]:
    """Return what stands in the way of a region on this very machine, the simplest first."""
    return [*_versions(facts), *_rights(facts), *_kernel(facts), *_room(facts)]


def lacking_for_vm(facts: Facts) -> list[Finding]:
    """Return what stands in the way of the virtual machine, which needs no rights."""
    found = _versions(facts)
    if facts.missing_for_vm and not (facts.is_root and facts.has_apt):
        packages = " ".join(facts.missing_for_vm)
        mend = f"let somebody install them once: apt-get install {packages}"
        found.append(Finding("programs that only root can install", mend))
    if facts.memory_mib < VM_MEMORY_MIB:
        found.append(_too_little("memory", facts.memory_mib, VM_MEMORY_MIB))
    if facts.disk_mib < VM_DISK_MIB:
        found.append(_too_little("free disk", facts.disk_mib, VM_DISK_MIB))
    return found


def _versions(facts: Facts) -> list[Finding]:
    found = []
    if facts.system != "Linux x86_64":
        words = f"Linux on an x86_64 processor (this is {facts.system})"
        found.append(Finding(words, "take another machine; everything is built for this one kind"))
    if facts.python < PYTHON:
        have = ".".join(map(str, facts.python))
        mend = "install it, so that `python3` is it (Debian 12 and Ubuntu 24.04 have it)"
        found.append(Finding(f"Python {_dotted(PYTHON)} (python3 is {have})", mend))
    elif not facts.has_venv:
        found.append(Finding("Python's venv module", "apt-get install python3-venv"))
    if _number(facts.go) < GO:
        have = f"`go` is {facts.go}" if facts.go else "there is no `go`"
        mend = "install it from https://go.dev/dl/ and have its bin folder on the PATH"
        found.append(Finding(f"Go {_dotted(GO)} ({have})", mend))
    return found


def _rights(facts: Facts) -> list[Finding]:
    """Return what of rights is missing; the first that is implies the others."""
    if not facts.is_root:
        mend = "become root (`sudo -s`), and start again"
        return [Finding("root: a region is made of name spaces and machines", mend, in_vm=True)]
    absent = sorted(CAPABILITIES.keys() - facts.capabilities)
    if absent:
        mend = (
            "containers have few: start this one with `--privileged`, or take a machine that is"
            " no container"
        )
        return [Finding(f"{' and '.join(absent)} (though this is root)", mend, in_vm=True)]
    found = []
    if facts.missing_packages and not facts.has_apt:
        mend = f"install what your system calls {', '.join(facts.missing_packages)}"
        found.append(Finding("programs, and the apt-get that would install them", mend, in_vm=True))
    return found


def _kernel(facts: Facts) -> list[Finding]:
    if not facts.is_root or not CAPABILITIES.keys() <= facts.capabilities:
        # Without rights nothing can be tried, so nothing is known.
        return _groups(facts.cgroups)
    tried = {
        "name spaces": (facts.name_spaces, "let it (seccomp, user.max_*_namespaces)"),
        "overlay mounts in /var/tmp": (
            facts.overlay,
            "load the kernel's module `overlay`, and let /var/tmp be on a real disk (ext4, xfs):"
            " an overlay cannot lie on another",
        ),
        "network links of the kinds veth and vxlan": (
            facts.links,
            "load the kernel's modules `veth` and `vxlan`",
        ),
        "file systems of programs, /dev/fuse": (
            facts.fuse,
            "load the kernel's module `fuse`; start a container with `--device /dev/fuse`",
        ),
        "rules for bridges, br_netfilter": (
            facts.bridge,
            "load the kernel's module `br_netfilter`, or install the modules of this kernel",
        ),
        "loop devices, /dev/loop-control": (
            facts.loop,
            "load the kernel's module `loop`; a container needs `--privileged`",
        ),
    }
    found = [
        Finding(f"{what} (tried: {why})", mend, in_vm=True)
        for what, (why, mend) in tried.items()
        if why
    ]
    return [*found, *_groups(facts.cgroups)]


def _groups(groups: Cgroups) -> list[Finding]:
    """Return what is wrong with the control groups, which hold the region's machines."""
    if groups.version == 0:
        mend = "mount them: mount -t cgroup2 cgroup2 /sys/fs/cgroup"
        return [Finding("control groups in /sys/fs/cgroup", mend, in_vm=True)]
    wanted = CONTROLLERS if groups.version == 2 else HIERARCHIES
    absent = sorted(wanted - groups.controllers)
    if absent:
        words = f"the control group controllers {', '.join(absent)} (version {groups.version})"
        mend = (
            "start the kernel with cgroup_enable=memory, or without cgroup_disable; where others"
            " are held by hierarchies of version 1, with systemd.unified_cgroup_hierarchy=1"
        )
        return [Finding(words, mend, in_vm=True)]
    if not groups.is_writable:
        mend = "mount it writable: a container needs `--privileged`"
        return [Finding("control groups that can be written", mend, in_vm=True)]
    if groups.is_crowded and not wanted <= groups.handed_down:
        mend = (
            "start this container with `--cgroupns=host`, or move its processes to a group below:"
            " version 2 hands controllers down only from a group without processes"
        )
        return [Finding("a control group without processes at the top", mend, in_vm=True)]
    return []


def _room(facts: Facts) -> list[Finding]:
    found = []
    if facts.memory_mib < MEMORY_MIB:
        found.append(_too_little("memory", facts.memory_mib, MEMORY_MIB))
    wanted = DISK_WITH_PARTS_MIB if facts.has_parts else DISK_MIB
    if facts.disk_mib < wanted:
        found.append(_too_little("free disk", facts.disk_mib, wanted))
    return found


def _too_little(what: str, have_mib: int, want_mib: int) -> Finding:
    words = f"{want_mib / GIB:.0f} GiB of {what} ({have_mib / GIB:.1f} are there)"
    if what == "memory":
        return Finding(words, "end what else runs here, or take a larger machine")
    return Finding(words, "make room in ~/.cache (or set CLUSTEROUS_CACHE) and in /var/tmp")


def _number(version: str) -> tuple[int, ...]:
    """Return 1.26.8 or 1.27rc1 as a number of two places; () if it is none."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else ()


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def screen(command: str, found: list[Finding], *, offers_vm: bool, width: int = 88) -> str:
    """Return what to say about *found*, on one screen; *offers_vm* if that way is open."""
    lines = [f"`{command}` needs what this machine lacks:", ""]
    for finding in found:
        lines += textwrap.wrap(
            finding.lacks, width, initial_indent="  ✗ ", subsequent_indent="    "
        )
        lines += textwrap.wrap(
            finding.mend, width, initial_indent="    → ", subsequent_indent="      "
        )
    lines += ["", "Nothing was built, installed or changed."]
    if offers_vm:
        lines += [
            "Or take the slower way, which needs no rights: `make demo IN=vm` runs the same in a",
            "virtual machine with a kernel of its own, and takes an hour or more.",
        ]
    return "\n".join(lines)


def is_offered(found: list[Finding], for_vm: list[Finding]) -> bool:
    """Tell whether the virtual machine has all that is missing, and could be started here."""
    return bool(found) and all(finding.in_vm for finding in found) and not for_vm
