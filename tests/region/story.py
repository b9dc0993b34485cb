"""What stories of a whole cluster share: a region, a person who types there, and patience."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.region.region import Region


@contextmanager
def up(name: str) -> Iterator[Region]:
    """Bring the region *name* up, and down again."""
    with Region(name).held(tell=print) as made:
        yield made


def run(region: Region, folder: Path, *argv: str) -> str:
    """Type what has to succeed, and return what it printed."""
    done = region.laptop_run(argv, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return str(done.stdout)


def clusterous(region: Region, folder: Path, *argv: str) -> str:
    return run(region, folder, "clusterous", *argv)


def machine(region: Region, role: str) -> dict[str, Any]:
    """Return the one machine of a role that has not ended."""
    (found,) = (
        each
        for each in region.instances()
        if each["tags"].get("clusterous.io/role") == role and each["state"] != "terminated"
    )
    return dict(found)


def on(region: Region, role: str, script: str) -> str:
    """Return what a script says on the machine of a role, whether it succeeds or not."""
    argv = ["sh", "-c", script]
    done = region.exec(machine(region, role)["id"], argv, capture_output=True, text=True)
    return f"{done.stdout}{done.stderr}".strip()


def until(check: Callable[[], object], what: str, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    asked = time.monotonic()
    while not check():
        now = time.monotonic()
        assert now < deadline, f"not within {seconds:.0f} s: {what}"
        # A question starts programs, which are not to take the time from what is waited for.
        time.sleep(max(1.0, 2 * (now - asked)))
        asked = time.monotonic()
