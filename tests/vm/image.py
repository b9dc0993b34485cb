"""The virtual machine's disk and kernel: a minimal Debian 12 as people install it, made once.

Root makes it in a minute; somebody else makes the same under fakechroot, which takes three. Another
is bare: without systemd it is up in seconds, where that is what counts.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tests.host import facts
from tests.region.parts import cache, host
from tests.region.parts.cache import Found, Recipe, Tell

HERE: Final = Path(__file__).parent
SUITE: Final = "bookworm"
SIZE: Final = "24G"
# What a person finds on a machine on which Debian was just installed, and what the README asks for.
INSTALLED: Final = (
    *("systemd-sysv", "libpam-systemd", "udev", "dbus", "kmod", "iproute2", "procps", "netbase"),
    *("ca-certificates", "git", "make", "python3", "python3-venv"),
)
# What the project installs by itself when it starts; the machine's own mirror has these only.
WANTED: Final = tuple(sorted({*host.TOOLS.values(), *host.FOR_TESTS.values()}))
# What a node has that serves or uses a volume: containers, and an NFS client.
BARE: Final = (
    *("udev", "kmod", "iproute2", "procps", "netbase", "mount", "fdisk", "python3"),
    *("runc", "nfs-common"),
)
BARE_SIZE: Final = "4G"
TOOLS: Final[Mapping[str, str]] = {
    "mke2fs": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "qemu-system-x86_64": "qemu-system-x86",
}
# Who is not root pretends to be, for the owners of files.
PRETENDING: Final[Mapping[str, str]] = {"fakechroot": "fakechroot", "fakeroot": "fakeroot"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    disk: Path
    kernel: Path


def ensure(tell: Tell, recipe: Recipe | None = None) -> Image:
    """Make the disk if it is not in the cache, and return it with its kernel."""
    what = recipe or RECIPE
    root = cache.default_root()
    found = cache.ensure({what.name: what}, [what.name], root=root, tell=tell)[what.name]
    return Image(disk=found / "disk.ext4", kernel=found / "vmlinuz")


def tools(*, is_root: bool) -> Mapping[str, str]:
    """Return what must be installed: program to package."""
    return TOOLS if is_root else {**TOOLS, **PRETENDING}


def mode(*, is_root: bool, can_mount: bool) -> Sequence[str]:
    """Return how mmdebstrap becomes root of a tree: really, without mounts, or by pretence."""
    if not is_root:
        return ("--mode=fakechroot",)
    return ("--mode=root",) if can_mount else ("--mode=root", "--skip=chroot/mount")


def as_root(argv: Sequence[str], *, is_root: bool) -> list[str]:
    """Return *argv* so that it sees root's files as root's, whoever runs it."""
    return [*argv] if is_root else ["fakeroot", *argv]


def bootstrap(archive: Path, how: Sequence[str], installed: Sequence[str] = INSTALLED) -> list[str]:
    """Return the command that makes the tree and packs it into *archive*."""
    return [
        *("mmdebstrap", "--quiet", "--variant=apt", *how, "--format=tar"),
        *("--dpkgopt=force-unsafe-io", '--aptopt=Acquire::Languages "none"'),
        f"--include={','.join(installed)}",
        f"--customize-hook={HERE / 'customize.sh'}",
        *(SUITE, str(archive)),
    ]


def write_disk(tree: Path, disk: Path, size: str) -> str:
    """Return the shell's words that write *tree* as a sparse disk with a file system."""
    return f"mke2fs -q -t ext4 -m 0 -E root_owner=0:0 -d '{tree}' '{disk}' {size}"


def run(argv: Sequence[str], *, environment: Mapping[str, str] | None = None) -> None:
    """Run a program of the system to its end; what it said is in the error."""
    done = subprocess.run(
        argv,
        env={**os.environ, "PATH": host.SEARCH, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise OSError(f"{argv[0]} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Disk:
    installed: Sequence[str]
    wanted: Sequence[str]
    size: str


def _build(disk: _Disk, target: Path, found: Found, tell: Tell) -> None:
    is_root = os.geteuid() == 0
    archive, tree = target / "tree.tar", target / "tree"
    more = ", and the packages that will be asked for" if disk.wanted else ""
    tell(f"a minimal Debian 12, its kernel{more}")
    how = mode(is_root=is_root, can_mount=facts.can_mount())
    packages = {"VM_PACKAGES": " ".join(disk.wanted)}
    run(bootstrap(archive, how, disk.installed), environment=packages)
    tell("its disk")
    tree.mkdir()
    steps = (
        f"tar -xf '{archive}' -C '{tree}'",
        f"mv '{tree}/vmlinuz' '{target}'",
        write_disk(tree, target / "disk.ext4", disk.size),
    )
    # In one go: who pretends to be root remembers the owners no longer than that.
    run(as_root(["sh", "-c", " && ".join(steps)], is_root=is_root))
    archive.unlink()
    _remove(tree)


def _remove(tree: Path) -> None:
    """Remove a tree that may hold folders in which its owner may not write."""
    for folder, _, _ in os.walk(tree):
        Path(folder).chmod(0o700)
    shutil.rmtree(tree)


def _recipe(name: str, disk: _Disk) -> Recipe:
    packages = " ".join((*disk.installed, "+", *disk.wanted))
    return Recipe(
        name=name,
        build=partial(_build, disk),
        versions={"suite": SUITE, "size": disk.size, "packages": packages},
        sources=(Path(__file__), HERE / "customize.sh", HERE / "guest"),
        estimate_seconds=60,
    )


RECIPE: Final = _recipe("vm", _Disk(installed=INSTALLED, wanted=WANTED, size=SIZE))
BARE_RECIPE: Final = _recipe("vm_bare", _Disk(installed=BARE, wanted=(), size=BARE_SIZE))
