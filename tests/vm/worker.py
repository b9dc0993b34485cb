"""Programs of a worker that uses the volume; run inside its machine: `python3 worker.py WHAT …`.

Nothing is imported from the project: the machine has Debian's Python alone.
"""

import errno
import fcntl
import itertools
import os
import sys
import time


def append(path: str, log: str) -> None:
    """Append a line and sync it, every 20 ms, for ever; log each that was acknowledged, and when.

    A full volume is waited for; every other error is logged and ends it.
    """
    number = 0
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
    with open(log, "w", buffering=1) as told:
        while True:
            try:
                os.write(file, b"%08d\n" % number)
                os.fsync(file)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    print(f"error {errno.errorcode[error.errno or 0]} {time.time()}", file=told)
                    raise
                print(f"full {number} {time.time()}", file=told)
                time.sleep(0.2)
                continue
            print(f"ack {number} {time.time()}", file=told)
            number += 1
            time.sleep(0.02)


def gap(log: str, since: str) -> None:
    """Print the longest time without an acknowledgment after *since*, and the age of the last."""
    with open(log) as told:
        words = [line.split() for line in told]
    times = [float(one[2]) for one in words if one[0] == "ack"]
    later = [one for one in times if one > float(since)]
    before = [one for one in times if one <= float(since)][-1:]
    whole = [*before, *later]
    longest = max((b - a for a, b in itertools.pairwise(whole)), default=0.0)
    print(f"{longest:.2f} {time.time() - times[-1]:.2f}")


def last(log: str) -> None:
    """Print how many lines were acknowledged."""
    with open(log) as told:
        print(sum(line.startswith("ack ") for line in told))


def fresh(path: str) -> None:
    """Make a new file and write to it."""
    with open(path, "x") as file:
        file.write("new\n")
        file.flush()
        os.fsync(file.fileno())


def hold(path: str, said: str) -> None:
    """Hold a lock for ever, or as long as the machine lives; say so when it is held."""
    with open(path, "a") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        with open(said, "w") as told:
            print("held", file=told)
        while True:
            time.sleep(1)
            file.write("x")
            try:
                file.flush()
                os.fsync(file.fileno())
            except OSError as error:
                with open(said, "a") as told:
                    print(f"error {errno.errorcode[error.errno or 0]}", file=told)
                if error.errno != errno.ENOSPC:
                    raise


def lock(path: str) -> None:
    """Wait for a lock, and let it go."""
    with open(path, "a") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)


def fill(path: str) -> None:
    """Write until there is no room; print the error."""
    try:
        with open(path, "wb", buffering=0) as file:
            while True:
                file.write(b"x" * (1 << 23))
                os.fsync(file.fileno())
    except OSError as error:
        print(errno.errorcode[error.errno or 0])


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
