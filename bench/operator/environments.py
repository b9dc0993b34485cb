"""Python environments of what is measured, kept in the cache outside of the checkout."""

import hashlib
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.region.parts import cache, parts

Tell = Callable[[str], None]
_DASK: Final = Path(__file__).with_name("dask-requirements.txt")


def operator_dependencies(tell: Tell) -> Path:
    """Return a folder with the packages of the operator's image, as the lock pins them."""
    wheels = parts.paths(["wheels"], tell)["wheels"]

    def fill(target: Path) -> None:
        found = [str(one) for one in wheels.glob("*.whl")]
        flags = ("--quiet", "--no-index", "--no-deps", "--no-compile", f"--target={target}")
        _pip(sys.executable, *flags, *found)
        shutil.rmtree(target / "bin", ignore_errors=True)
        subprocess.run([sys.executable, "-m", "compileall", "-q", str(target)], check=True)

    return _kept(f"operator-{wheels.name}", fill, tell)


def dask(tell: Tell) -> Path:
    """Return a virtual environment with the dask-kubernetes operator."""
    key = hashlib.sha256(_DASK.read_bytes()).hexdigest()[:16]

    def fill(target: Path) -> None:
        venv.create(target, with_pip=True)
        python = str(target / "bin" / "python")
        _pip(python, "--quiet", "--no-deps", f"--requirement={_DASK}")

    return _kept(f"dask-{key}", fill, tell)


def _kept(name: str, fill: Callable[[Path], None], tell: Tell) -> Path:
    """Return a folder of the cache; what is half filled is never taken for whole."""
    folder = cache.default_root().parent / "bench" / name
    if not folder.exists():
        tell(f"making {folder.name}")
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        fill(partial)
        partial.rename(folder)
    return folder


def _pip(python: str, *arguments: str) -> None:
    subprocess.run(
        [python, "-m", "pip", "install", "--disable-pip-version-check", *arguments], check=True
    )
