"""What is left: in the account, asked of the simulator's own store, and on this machine.

Never asked of the product: it is the product that is being audited.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.region.machines import cgroups
from tests.region.net import netns
from tests.region.places import Places
from tests.region.storage import ebs

_MOUNTS: Final = Path("/proc/self/mountinfo")


def host(places: Places) -> list[str]:
    """List everything of this machine that carries the region's name."""
    return [
        *(f"process {pid} ({command_of(pid)})" for pid in pids(places)),
        *(f"namespace {name}" for name in netns.names(places.prefix)),
        *(f"resolver {path}" for path in resolvers(places)),
        *(f"mount {path}" for path in mounts(places)),
        *(f"loop device {path}" for path in ebs.loops(places.name)),
        *(f"control group {group}" for group in groups(places)),
        *([f"folder {places.state}"] if places.state.exists() else []),
    ]


def inhabitants(places: Places) -> list[str]:
    """List what belongs to somebody's VPC: nothing, once the account is empty."""
    kinds = ("vpc", "i", "mt", "md")
    spaces = [netns.names(f"{places.prefix}{kind}-") for kind in kinds]
    return [
        *(f"namespace {name}" for names in spaces for name in names),
        *(f"control group {group}" for group in cgroups.of_region(places.name)),
    ]


def pids(places: Places) -> list[int]:
    """List the region's processes: members of its control groups or of its namespaces."""
    found = {pid for group in groups(places) for pid in cgroups.pids(group)}
    found.update(pid for name in netns.names(places.prefix) for pid in netns.pids(name))
    return sorted(found - {os.getpid()})


def groups(places: Places) -> list[str]:
    own = [places.group] if cgroups.exists(places.group) else []
    return [*cgroups.of_region(places.name), *own]


def resolvers(places: Places) -> list[Path]:
    return sorted(netns.RESOLVERS.glob(f"{places.prefix}*"))


def mounts(places: Places) -> list[Path]:
    """List what is mounted in the region's folder, the deepest first."""
    found = [path for path in _mounted() if path.is_relative_to(places.state)]
    return sorted(found, key=lambda path: len(path.parts), reverse=True)


def _mounted() -> Iterator[Path]:
    for line in _MOUNTS.read_text().splitlines():
        yield Path(line.split()[4].encode().decode("unicode_escape"))


def command_of(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "gone"
    return b" ".join(words).decode(errors="replace").strip()[:80]
