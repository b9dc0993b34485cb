"""Wheels for the nodes' platform, whatever the laptop is: fetched by pip as locked, unpacked by us.

pip brings what people have set up for it: an index of their own, a proxy, authorities. Nothing of a
wheel runs here; the programs that it would put on a PATH are left out.
"""

import stat
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from clusterous_api.errors import FailedError
from clusterous_cli.system import shell

# The C libraries that the base image's is new enough for; glibc 2.36 is Debian 12's.
GLIBC: Final = ("2_36", "2_34", "2_31", "2_28", "2_27", "2_24", "2_17", "2_12", "2_5")
SECONDS: Final = 600.0


def fetch(lock: Path, python: str, folder: Path) -> list[Path]:
    """Return the wheels that *lock* names, for *python* on Linux; *folder* is theirs alone."""
    folder.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "pip", "download", *for_nodes(python)]
    argv += [
        "--require-hashes",
        "--no-deps",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
    ]
    try:
        shell.run([*argv, "--dest", str(folder), "--requirement", str(lock)], timeout=SECONDS)
    except shell.CommandFailed as error:
        raise FailedError(
            f"pip could not fetch what the image needs, as {lock.name} has it:\n{error.said}"
        ) from error
    return sorted(folder.glob("*.whl"))


def for_nodes(python: str) -> list[str]:
    """Return by which options pip takes what is for the nodes' platform, and not the laptop's."""
    abi = f"cp{python.replace('.', '')}"
    platforms = [*(f"manylinux_{one}_x86_64" for one in GLIBC), "manylinux2014_x86_64"]
    return [
        *("--only-binary=:all:", "--implementation=cp", f"--python-version={python}"),
        *(f"--abi={one}" for one in (abi, "abi3", "none")),
        *(f"--platform={one}" for one in (*platforms, "linux_x86_64")),
    ]


def unpacked(wheel: Path) -> dict[str, bytes]:
    """Return the importable files of a wheel, and what it says of itself."""
    with zipfile.ZipFile(wheel) as packed:
        return {
            path: packed.read(entry)
            for entry in packed.infolist()
            if not entry.is_dir() and (path := _path(wheel, entry))
        }


def _path(wheel: Path, entry: zipfile.ZipInfo) -> str | None:
    """Where a file of a wheel goes; None for what is no library."""
    parts = PurePosixPath(entry.filename).parts
    if ".." in parts or entry.filename.startswith("/") or stat.S_ISLNK(entry.external_attr >> 16):
        raise FailedError(f"{wheel.name} would leave its folder: {entry.filename!r}.")
    if parts[0].endswith(".data"):
        return "/".join(parts[2:]) if parts[1] in ("purelib", "platlib") else None
    return entry.filename


def named(wheels: list[Path]) -> Iterator[tuple[str, str]]:
    """Yield name and version of each wheel."""
    for wheel in wheels:
        name, version, *_ = wheel.name.split("-")
        yield name, version
