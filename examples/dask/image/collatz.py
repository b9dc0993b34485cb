"""Which number below 300,000 takes the most steps to come down to 1?

Halve it if it is even, else take three times it plus one, and so on: nobody has found a number that
does not get there. Every piece of the numbers is one task, which any worker may take.
"""

import argparse
import json
import os
from pathlib import Path

import dask
import dask.array as da
import numpy as np
from distributed import Client


def steps(starts: np.ndarray) -> np.ndarray:
    """Count the steps from each of *starts* down to 1."""
    numbers, counts = starts.copy(), np.zeros(len(starts), dtype=np.int32)
    left = np.flatnonzero(numbers > 1)
    while left.size:
        here = numbers[left]
        numbers[left] = np.where(here % 2, 3 * here + 1, here // 2)
        counts[left] += 1
        left = left[numbers[left] > 1]
    return counts


def solve(below: int, pieces: int) -> dict[str, int]:
    """Say which number below *below* is the longest on its way, on whatever runs Dask's tasks."""
    starts = da.arange(1, below, chunks=-(-below // pieces), dtype=np.int64)
    counts = starts.map_blocks(steps, dtype=np.int32)
    where, most, all_ = dask.compute(counts.argmax(), counts.max(), counts.sum(dtype=np.int64))
    return {"start": int(where) + 1, "steps": int(most), "steps_of_all": int(all_)}


def main() -> None:
    env = os.environ.get
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scheduler", default=env("DASK_SCHEDULER", "tcp://scheduler:8786"))
    parser.add_argument("--workers", type=int, default=2, help="how many to wait for")
    parser.add_argument("--below", type=int, default=300_000)
    parser.add_argument("--pieces", type=int, default=24)
    parser.add_argument("--result", type=Path, default=Path("/home/data/dask/result.json"))
    options = parser.parse_args()
    with Client(options.scheduler) as client:
        print(f"the dashboard is at {client.dashboard_link}", flush=True)
        client.wait_for_workers(options.workers)
        result = solve(options.below, options.pieces)
        workers = client.scheduler_info(n_workers=-1)["workers"]
    result["workers"] = len(workers)
    options.result.parent.mkdir(parents=True, exist_ok=True)
    options.result.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{result['start']:,} takes {result['steps']} steps", flush=True)


if __name__ == "__main__":
    main()
