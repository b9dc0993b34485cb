"""How a rod cools: each process has a piece of it, and asks its neighbours for their last cell.

The ends of the rod are held at 0 and 100 degrees. What the processes find together is, to the last
bit, what one process finds alone: that is checked at the end, and written beside the result.
"""

import argparse
import json
import socket
from collections.abc import Sequence
from pathlib import Path

from mpi4py import MPI

COLD, HOT = 0.0, 100.0


def step(left: float, cells: Sequence[float], right: float) -> list[float]:
    """Let *cells* exchange heat for a moment, between the neighbours *left* and *right*."""
    rod = [left, *cells, right]
    return [
        here + 0.25 * (before - 2 * here + after)
        for before, here, after in zip(rod, rod[1:], rod[2:], strict=False)
    ]


def alone(cells: int, steps: int) -> list[float]:
    rod = [COLD] * cells
    for _ in range(steps):
        rod = step(COLD, rod, HOT)
    return rod


def together(world: MPI.Comm, cells: int, steps: int) -> list[float]:
    """Compute the same, each process its piece; all of them return the whole rod."""
    rank, size = world.Get_rank(), world.Get_size()
    piece = [COLD] * (cells * (rank + 1) // size - cells * rank // size)
    before = rank - 1 if rank > 0 else MPI.PROC_NULL
    after = rank + 1 if rank < size - 1 else MPI.PROC_NULL
    for _ in range(steps):
        right = world.sendrecv(piece[0], dest=before, source=after)
        left = world.sendrecv(piece[-1], dest=after, source=before)
        piece = step(COLD if left is None else left, piece, HOT if right is None else right)
    return [cell for one in world.allgather(piece) for cell in one]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cells", type=int, default=600)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--result", type=Path, default=Path("/home/data/mpi/result.json"))
    options = parser.parse_args()
    world = MPI.COMM_WORLD
    rod = together(world, options.cells, options.steps)
    hosts = world.gather(socket.gethostname())
    if hosts is None:  # only the first process writes
        return
    result = {
        "mean": sum(rod) / len(rod),
        "processes": world.Get_size(),
        "hosts": sorted(set(hosts)),
        "same_as_alone": rod == alone(options.cells, options.steps),
    }
    options.result.parent.mkdir(parents=True, exist_ok=True)
    options.result.write_text(json.dumps(result, indent=2) + "\n")
    print(f"mean {result['mean']:.6f} degrees by {result['processes']} processes", flush=True)


if __name__ == "__main__":
    main()
