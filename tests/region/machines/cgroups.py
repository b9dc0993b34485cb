"""Control groups of machines: one per machine in every hierarchy, so that none of its processes
can be lost from sight.

The kernel's groups are of version 2, or of version 1 (with or without the unified hierarchy beside
it); a machine sees its own group as the root, and pods are groups below it.
"""

import contextlib
import errno
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
PARENT: Final = "clusterous"
# What a kubelet asks for, and what the limits of a machine need.
_CONTROLLERS: Final = ("cpu", "cpuset", "memory", "pids", "io")


def is_unified() -> bool:
    """Tell whether the host's groups are of version 2 and nothing else."""
    return (ROOT / "cgroup.controllers").exists()


def exists(group: str) -> bool:
    """Tell whether *group* is there, in any hierarchy."""
    return any((hierarchy / group).is_dir() for hierarchy in _hierarchies())


def join(group: str) -> None:
    """Put this process into *group*, which is made; only to be found there, without limits."""
    folder = (ROOT if is_unified() else ROOT / "systemd") / group
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cgroup.procs").write_text(str(os.getpid()))


def machine(region: str, instance_id: str) -> str:
    """Name the group of a machine, relative to the root of each hierarchy."""
    return f"{PARENT}-{region}/{instance_id}"


def of_region(region: str) -> list[str]:
    """List the groups of the region's machines, whoever made them."""
    found = {
        f"{PARENT}-{region}/{entry.name}"
        for hierarchy in _hierarchies()
        for entry in _children(hierarchy / f"{PARENT}-{region}")
    }
    return sorted(found)


def make(group: str, *, vcpus: int, memory_mib: int, host_cpus: int) -> list[Path]:
    """Make *group* in every hierarchy and answer the folders, to be joined by the first process.

    The instance type's memory is the limit, as on EC2; processors are limited only where the
    host has more of them.
    """
    folders = [hierarchy / group for hierarchy in _hierarchies()]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        if folder.is_relative_to(ROOT / "cpuset"):
            _inherit_cpuset(folder)
    if is_unified():
        _hand_down(ROOT / group)
    _write(ROOT / "memory" / group / "memory.limit_in_bytes", str(memory_mib << 20))
    _write(ROOT / group / "memory.max", str(memory_mib << 20))
    if vcpus < host_cpus:
        _write(ROOT / "cpu" / group / "cpu.cfs_quota_us", str(vcpus * 100_000))
        _write(ROOT / group / "cpu.max", f"{vcpus * 100_000} 100000")
    return folders


def _hand_down(folder: Path) -> None:
    """Let *folder* have the controllers: each group gives them to its children, or does not."""
    for parent in reversed([one for one in folder.parents if one.is_relative_to(ROOT)]):
        present = (parent / "cgroup.controllers").read_text().split()
        wanted = " ".join(f"+{name}" for name in _CONTROLLERS if name in present)
        _write(parent / "cgroup.subtree_control", wanted)


def pids(group: str) -> list[int]:
    """List the processes in *group* and below, in any hierarchy."""
    found: set[int] = set()
    for hierarchy in _hierarchies():
        for folder in _with_descendants(hierarchy / group):
            found.update(_members(folder))
    return sorted(found)


def kill(group: str) -> None:
    """Kill whatever is in *group* now; the unified hierarchy does it without a race."""
    unified = ROOT if is_unified() else ROOT / "unified"
    with contextlib.suppress(OSError):  # it ended meanwhile, or the kernel is older than 5.14
        _write(unified / group / "cgroup.kill", "1")
    for pid in pids(group):
        _signal_kill(pid)


def end(group: str, *, sleep: Callable[[float], None] = time.sleep, attempts: int = 500) -> None:
    """Kill everything in *group* and remove it; a group that does not end is an error."""
    for _ in range(attempts):
        kill(group)
        if not pids(group) and _remove(group):
            return
        sleep(0.02)
    raise TimeoutError(f"control group {group} does not end; its processes: {pids(group)}")


def _remove(group: str) -> bool:
    """Remove *group* from every hierarchy, and the region's own when it was the last.

    Answers False while the kernel holds on to one: for a moment after its last process has gone.
    """
    folders = [
        folder for hierarchy in _hierarchies() for folder in _with_descendants(hierarchy / group)
    ]
    for folder in reversed(folders):
        _rmdir(folder)
    for hierarchy in _hierarchies():
        parent = (hierarchy / group).parent
        if parent.is_dir() and not _children(parent) and not _members(parent):
            _rmdir(parent)
    return not any(folder.exists() for folder in folders)


def _rmdir(folder: Path) -> None:
    try:
        folder.rmdir()
    except FileNotFoundError:  # somebody else was faster
        pass
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise


def _hierarchies() -> list[Path]:
    if is_unified():
        return [ROOT]
    found = sorted(path for path in ROOT.iterdir() if path.is_dir() and not path.is_symlink())
    groups = [path for path in found if (path / "cgroup.procs").exists()]
    if not groups:
        raise OSError(f"{ROOT} has no control groups, which the machines need")
    return groups


def _inherit_cpuset(folder: Path) -> None:
    """A new cpuset is empty and lets nobody in, so hand down what its parents have."""
    chain = [path for path in (folder.parent, folder) if path != ROOT / "cpuset"]
    for path in chain:
        for name in ("cpuset.cpus", "cpuset.mems"):
            _write(path / name, (path.parent / name).read_text())


def _with_descendants(folder: Path) -> Iterator[Path]:
    """Yield *folder* and the groups below it, parents first; nothing if it is not there."""
    if not folder.is_dir():
        return
    yield folder
    for child in _children(folder):
        yield from _with_descendants(child)


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except FileNotFoundError:
        return []


def _members(folder: Path) -> list[int]:
    try:
        return [int(line) for line in (folder / "cgroup.procs").read_text().split()]
    except OSError:  # the group ended between listing and reading
        return []


def _write(path: Path, text: str) -> None:
    if path.exists():
        path.write_text(text)


def _signal_kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
