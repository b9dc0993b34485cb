"""Remove whatever carries a region's name, however its daemon came to its end."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from tests.region import audit
from tests.region.machines import cgroups, machines
from tests.region.net import netns
from tests.region.places import STATE_ROOT, Places
from tests.region.storage import ebs

_PATIENCE: Final = 20.0


def sweep(places: Places, *, sleep: Callable[[float], None] = time.sleep) -> None:
    """End the region's processes by their ids, then remove what they held."""
    end_processes(places, sleep=sleep)
    machines.cleanup(places.state, places.name)
    for group in audit.groups(places):
        cgroups.end(group, sleep=sleep)
    for name in netns.names(places.prefix):
        netns.delete(name)
    for resolver in audit.resolvers(places):
        netns.forget_resolver(resolver.name)
    for mount in audit.mounts(places):
        netns.command(["umount", "--lazy", str(mount)])
    for loop in ebs.loops(places.name):
        ebs.release(loop)
    _remove_state(places)


def end_processes(places: Places, *, sleep: Callable[[float], None] = time.sleep) -> None:
    """Kill again until nobody is left: what is being killed may still start others."""
    for _ in range(int(_PATIENCE / 0.05)):
        alive = audit.pids(places)
        if not alive:
            return
        for pid in alive:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        sleep(0.05)
    raise TimeoutError(f"processes of the region do not end: {audit.pids(places)}")


def _remove_state(places: Places) -> None:
    if mounts := audit.mounts(places):
        raise OSError(f"something is still mounted below {places.state}: {mounts}")
    shutil.rmtree(places.state, ignore_errors=True)
    with suppress(OSError):  # another region is there
        STATE_ROOT.rmdir()
