"""What this machine has, looked up or tried in name spaces that end at once; nothing is changed.

This and the rest of tests/host runs on any Python 3 that a machine may have, before anything is
installed: only the standard library, and no syntax of the newest version.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.host.needs import CAPABILITIES, PYTHON, Cgroups, Facts

CGROUPS = Path("/sys/fs/cgroup")
# Where the region keeps its state; places.py has it too, but is for newer Pythons only.
STATE = Path("/var/tmp")
# Also for users whose PATH lacks it.
SEARCH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/go/bin", "/usr/sbin", "/sbin"))
_SECONDS = 20.0

_NAME_SPACES = "unshare --mount --net --pid --fork --uts --ipc --cgroup true"
_OVERLAY = (
    "mkdir {0}/lower {0}/upper {0}/work {0}/root && unshare --mount --propagation private"
    " mount -t overlay -o lowerdir={0}/lower,upperdir={0}/upper,workdir={0}/work overlay {0}/root"
)
_LINKS = (
    "unshare --net sh -c 'ip link add look0 type veth peer name look1"
    " && ip link add look2 type vxlan id 1 dstport 4789 dev look0'"
)
# For machines whose kernel has no NFS, and for disks of volumes; to open it loads the module.
_FUSE = ": </dev/fuse"
# Kubernetes' rules have to see what goes over a bridge; the region loads what that needs.
_BRIDGE = "test -e /proc/sys/net/bridge || modprobe --dry-run br_netfilter"
_LOOP = ": </dev/loop-control"


def gather() -> Facts:
    """Look at everything once; takes less than a second."""
    held = capabilities()
    return Facts(
        system=f"{platform.system()} {platform.machine()}",
        python=sys.version_info[:3],
        has_venv=importlib.util.find_spec("ensurepip") is not None,
        go=_go(),
        missing_packages=_missing_packages(for_vm=False),
        missing_for_vm=_missing_packages(for_vm=True),
        has_apt=_which("apt-get"),
        is_root=os.geteuid() == 0,
        capabilities=held,
        name_spaces=_trouble(_NAME_SPACES),
        overlay=_overlay(),
        links=_trouble(_LINKS) if _which("ip") else "",
        fuse=_trouble(_FUSE),
        loop=_trouble(_LOOP),
        bridge=_trouble(_BRIDGE),
        cgroups=cgroups(CGROUPS),
        has_parts=any(_cache().glob("parts/go-*")),
        disk_mib=min(_free_mib(_cache()), _free_mib(STATE)),
        memory_mib=memory_mib(Path("/proc/meminfo").read_text()),
    )


def can_mount() -> bool:
    """Tell whether this process has the capability that mounts need."""
    return "CAP_SYS_ADMIN" in capabilities()


def capabilities(status: Path = Path("/proc/self/status")) -> frozenset[str]:
    """Return which of the capabilities that matter this process has."""
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", status.read_text(), re.MULTILINE)
    bits = int(found[1], 16) if found else 0
    return frozenset(name for name, bit in CAPABILITIES.items() if bits >> bit & 1)


def cgroups(root: Path) -> Cgroups:
    """Return which control groups are mounted at *root*."""
    if (root / "cgroup.controllers").exists():
        return Cgroups(
            version=2,
            controllers=frozenset(_words(root / "cgroup.controllers")),
            handed_down=frozenset(_words(root / "cgroup.subtree_control")),
            is_writable=_is_writable(root),
            # Only the kernel's own root group has no type, and may have processes beside children.
            is_crowded=(root / "cgroup.type").exists() and bool(_words(root / "cgroup.procs")),
        )
    found = [path for path in root.glob("*") if (path / "cgroup.procs").exists()]
    return Cgroups(
        version=1 if found else 0,
        controllers=frozenset(path.name for path in found),
        is_writable=all(map(_is_writable, found)),
    )


def _is_writable(folder: Path) -> bool:
    """Tell whether its mount lets itself be written to; by whom is another question."""
    return not os.statvfs(str(folder)).f_flag & os.ST_RDONLY


def memory_mib(meminfo: str) -> int:
    """Return how much memory is to be had, by the words of /proc/meminfo."""
    found = re.search(r"^MemAvailable:\s*(\d+) kB$", meminfo, re.MULTILINE)
    return int(found[1]) // 1024 if found else 0


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _go() -> str:
    """Return Go's version, "" without Go. Its newer self, which it may fetch, is not asked for."""
    program = shutil.which("go", path=SEARCH)
    if not program:
        return ""
    said = _run([program, "env", "GOVERSION"], {**os.environ, "GOTOOLCHAIN": "local"})
    return said.stdout.strip()[len("go") :]


def _missing_packages(*, for_vm: bool) -> tuple[str, ...]:
    """Return the packages that the region, or the virtual machine, would have installed."""
    if sys.version_info[:2] < PYTHON:
        return ()
    # What they import is for newer Pythons.
    from tests.region.parts import host
    from tests.vm import image

    tools = image.tools(is_root=os.geteuid() == 0) if for_vm else host.TOOLS
    return tuple(host.missing(tools))


def _which(program: str) -> bool:
    return shutil.which(program, path=SEARCH) is not None


def _trouble(command: str) -> str:
    """Return why a command of the shell fails, "" if it does not."""
    done = _run(["sh", "-c", command], {**os.environ, "PATH": SEARCH, "LC_ALL": "C"})
    if done.returncode == 0:
        return ""
    return done.stderr.strip().splitlines()[-1] if done.stderr.strip() else command.split()[0]


def _overlay() -> str:
    """Try one where the machines of the region will have theirs."""
    with tempfile.TemporaryDirectory(dir=str(STATE), prefix="clusterous-look-") as folder:
        return _trouble(_OVERLAY.format(folder))


def _run(argv: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(argv, 1, "", str(error))


def _cache() -> Path:
    return Path(os.environ.get("CLUSTEROUS_CACHE") or Path.home() / ".cache" / "clusterous")


def _free_mib(folder: Path) -> int:
    """Return the free space where *folder* is or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(str(folder)).free >> 20
