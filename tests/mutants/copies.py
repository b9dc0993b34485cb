"""Copies of the checkout, in a temporary folder, in which faults are tried."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("cli", "crds", "operator")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How many seconds tests may take: of CPU, and by the clock, for what sleeps for ever."""

    cpu: float
    wall: float


@dataclass(slots=True, kw_only=True)
class Copy:
    """One copy, with a warm pytest in it."""

    folder: Path
    process: subprocess.Popen[str]
    _writes: int = field(default=0, init=False)

    def ask(self, tests: tuple[str, ...], bound: Bound) -> dict[str, Any]:
        """Run *tests*, which may take so long; return what was said."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(
            json.dumps({"tests": tests, "cpu": bound.cpu, "wall": bound.wall}) + "\n"
        )
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the warm pytest ended: {self.process.wait()}")
        said: dict[str, Any] = json.loads(line)
        return said

    @contextlib.contextmanager
    def wrong(self, path: str, code: str) -> Iterator[None]:
        """Have another *code* in the module at *path* for as long as it is tried."""
        right = (self.folder / path).read_text()
        self._put(path, code)
        try:
            yield
        finally:
            self._put(path, right)

    def _put(self, path: str, code: str) -> None:
        # Python knows what it compiled by size and second: each writing gets a second of its own.
        self._writes += 1
        file = self.folder / path
        file.write_text(code)
        os.utime(file, (self._writes, self._writes))


def listed(*where: str) -> list[str]:
    """Return what git knows or would add, in order; some of it may be gone.

    Raises subprocess.CalledProcessError outside a checkout.
    """
    argv = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *where)
    said = subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return sorted(filter(None, said.split("\0")))


@contextlib.contextmanager
def copy(folder: Path) -> Iterator[Copy]:
    """Copy what git knows or would add, and start a warm pytest there; end it in any case."""
    for name in listed():
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    # Before the folders that the environment names, which are the checkout's.
    first = os.pathsep.join(str(folder / one) for one in PACKAGES)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.mutants.warm"], cwd=folder, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": first, "PYTHONHASHSEED": "0"},
    )  # fmt: skip
    try:
        yield Copy(folder=folder, process=process)
    finally:
        process.terminate()
        process.wait()
