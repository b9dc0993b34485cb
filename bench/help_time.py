"""How long `clusterous --help` takes against Python that does nothing: in pairs, by medians.

    python bench/help_time.py [PAIRS]

Each pair runs one right after the other, so that a busy moment of the machine hits both.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

PYTHON = (sys.executable, "-I", "-c", "pass")
HELP = (str(Path(sys.executable).parent / "clusterous"), "--help")


def seconds(argv: tuple[str, ...]) -> float:
    """Run *argv* once and return how long it took."""
    began = time.perf_counter()
    subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def main() -> None:
    """Print the medians and their ratio."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    seconds(HELP)  # the first one writes the bytecode
    pairs = [(seconds(PYTHON), seconds(HELP)) for _ in range(count)]
    bare = statistics.median(bare for bare, _ in pairs)
    ours = statistics.median(ours for _, ours in pairs)
    ratio = statistics.median(ours / bare for bare, ours in pairs)
    more = statistics.median(ours - bare for bare, ours in pairs)
    print(f"python that does nothing  {bare * 1000:6.1f} ms")
    print(f"clusterous --help         {ours * 1000:6.1f} ms")
    print(f"more                      {more * 1000:6.1f} ms (at most 120 are allowed)")
    print(f"ratio                     {ratio:6.2f}    (medians of {count} pairs)")


if __name__ == "__main__":
    main()
