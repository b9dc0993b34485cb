"""In how many ways can ten queens stand on a board without reaching one another?

Each pair of places for the first two queens is a task of its own, which any worker may take.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import ray


def fits(rows: Sequence[int], row: int) -> bool:
    """Tell whether a queen in the next column at *row* is reached by none of those before."""
    before = enumerate(reversed(rows), start=1)
    return all(row != other and abs(row - other) != far for far, other in before)


def ways(size: int, rows: tuple[int, ...]) -> int:
    """Count the boards that begin with queens at *rows*."""
    if len(rows) == size:
        return 1
    return sum(ways(size, (*rows, row)) for row in range(size) if fits(rows, row))


@ray.remote
def task(size: int, rows: tuple[int, ...]) -> tuple[int, str]:
    return ways(size, rows), ray.util.get_node_ip_address()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2, help="how many to wait for")
    parser.add_argument("--result", type=Path, default=Path("/home/data/ray/result.json"))
    options = parser.parse_args()
    ray.init(address="auto")
    while ray.cluster_resources().get("CPU", 0) < options.workers:
        time.sleep(0.5)
    places = range(options.size)
    begun = [(one, two) for one in places for two in places if fits((one,), two)]
    answers = ray.get([task.remote(options.size, rows) for rows in begun])
    result = {
        "size": options.size,
        "ways": sum(count for count, _ in answers),
        "tasks": len(answers),
        "hosts": sorted({host for _, host in answers}),
    }
    options.result.parent.mkdir(parents=True, exist_ok=True)
    options.result.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{result['ways']} ways, by {len(result['hosts'])} workers", flush=True)


if __name__ == "__main__":
    main()
