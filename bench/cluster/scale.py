"""How many calls that change something a `create` makes at several numbers of workers.

At the level of AWS's API: the simulated AWS in this process, and machines that are only played.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from clusterous_cli.cluster import config
from clusterous_cli.cluster.payload import BEGUN, NODES
from tests.functional import cloud

WORKERS: Final = (1, 2, 8)


def measure(workers: Sequence[int] = WORKERS) -> dict[int, int]:
    """Create a cluster of each number of workers in an account of its own, and count."""
    with tempfile.TemporaryDirectory() as folder, cloud.running(Path(folder)) as world:
        return {count: _counted(world, count) for count in workers}


def _counted(world: cloud.World, workers: int) -> int:
    world.server.reset()
    world.renew()
    world.create(config.parse(f"name: reef\nworkers: {workers}\n"), seconds=300)
    return sum(call.mutating and not _played(call.resource or "") for call in world.server.log())


def _played(resource: str) -> bool:
    """Whether it is what a machine would put: those are played with the person's keys."""
    key = resource.partition("/")[2]
    return key == BEGUN or key.startswith(NODES)
