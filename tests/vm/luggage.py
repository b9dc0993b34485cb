"""What is handed to the virtual machine, on a second disk: a clone, Go, wheels, built parts.

The machine mounts it as root's ~/.cache, so that the parts lie where the project looks for them.
Where all parts are handed in, the machine needs no network at all.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from release import locks
from tests.host import facts
from tests.region.parts import cache, parts
from tests.region.parts.cache import Found, Recipe, Tell
from tests.vm import image

ROOT: Final = Path(__file__).parents[2]
# Room for what is built inside, when not everything could be handed in.
SIZE: Final = "24G"
# Who builds these has to be root of a tree; and so has who builds what needs them.
PRIVILEGED: Final = frozenset({"trees", "rootfs"})
# The way to the registries, if the machine outside has one of its own.
WAYS: Final = (
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "GOPROXY", "GOSUMDB"),
)
TRUSTED: Final = Path("/etc/ssl/certs/ca-certificates.crt")


class UncommittedError(Exception):
    """The checkout is not what a clone of it would be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Luggage:
    """The disk, and what is not on it: names of parts that have to be built inside."""

    disk: Path
    missing: Sequence[str]


def pack(folder: Path, tell: Tell) -> Luggage:
    """Gather everything in the new *folder* and write the disk there."""
    handed, missing = _parts(tell)
    found = cache.ensure(
        {_WHEELS.name: _WHEELS}, [_WHEELS.name], root=cache.default_root(), tell=tell
    )
    tell("packing the clone, Go, wheels and parts")
    tree = folder / "tree"
    _gather(tree, handed, found[_WHEELS.name])
    disk = folder / "luggage.ext4"
    words = image.write_disk(tree, disk, SIZE)
    image.run(image.as_root(["sh", "-c", words], is_root=os.geteuid() == 0))
    shutil.rmtree(tree)
    return Luggage(disk=disk, missing=missing)


def require_committed() -> None:
    changed = _git("status", "--porcelain").splitlines()
    if changed:
        shown = "\n".join(f"  {line}" for line in changed[:10])
        raise UncommittedError(
            "The virtual machine gets a clone of HEAD, and these files differ from it:\n"
            f"{shown}\nCommit them, or put them away with `git stash --include-untracked`."
        )


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout


def _parts(tell: Tell) -> tuple[Mapping[str, Path], Sequence[str]]:
    """Build what can be built here; return the parts that are there, and what is missing."""
    names = list(dict.fromkeys(name for name, _ in parts.PLACES.values()))
    root = cache.default_root()
    if os.geteuid() == 0 and facts.can_mount():
        parts.paths(names, tell)
    known = cache.entries(parts.RECIPES, names, root)
    if missing_of(names, known):
        cache.ensure(parts.RECIPES, buildable(parts.RECIPES, names), root=root, tell=tell)
    handed = {name: entry.path for name, entry in known.items() if entry.path.exists()}
    return handed, missing_of(names, known)


def buildable(recipes: Mapping[str, Recipe], names: Iterable[str]) -> list[str]:
    """Return those of *names* that can be built without any right."""
    return [
        name
        for name in names
        if not any(needed.name in PRIVILEGED for needed in cache.closure(recipes, [name]))
    ]


def missing_of(names: Iterable[str], known: Mapping[str, cache.Entry]) -> list[str]:
    """Return those of *names* that are not in the cache."""
    return [name for name in names if not known[name].path.exists()]


def _gather(tree: Path, handed: Mapping[str, Path], wheelhouse: Path) -> None:
    (tree / "clusterous/parts").mkdir(parents=True)
    for path in handed.values():
        _copy(path, tree / "clusterous/parts" / path.name)
    _copy(wheelhouse, tree / "wheels")
    _copy(_goroot(), tree / "go")
    # Not a shallow one: a clone is what the README asks for.
    subprocess.run(
        [
            "git",
            "clone",
            "--quiet",
            "--bare",
            "--no-hardlinks",
            str(ROOT),
            str(tree / "clusterous.git"),
        ],
        check=True,
    )
    (tree / "way.sh").write_text(way(os.environ))
    if TRUSTED.exists():
        shutil.copy(TRUSTED, tree)


def way(environment: Mapping[str, str]) -> str:
    """Return the shell's words that tell the machine how registries are reached from here."""
    return "".join(
        f"export {name}='{value}'\n"
        for name in WAYS
        if (value := environment.get(name, "")) and "'" not in value
    )


def _copy(source: Path, target: Path) -> None:
    """Copy a folder; as hard links where both are on one disk, for they are only read."""
    done = subprocess.run(["cp", "-al", str(source), str(target)], check=False, capture_output=True)
    if done.returncode:
        shutil.rmtree(target, ignore_errors=True)
        image.run(["cp", "-a", str(source), str(target)])


def _goroot() -> Path:
    done = subprocess.run(["go", "env", "GOROOT"], check=True, capture_output=True, text=True)
    return Path(done.stdout.strip())


def _build_wheels(target: Path, found: Found, tell: Tell) -> None:
    tell("downloading everything in requirements.lock")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--no-deps"),
            # For the machine's Python, whatever runs here.
            *("--only-binary=:all:", "--python-version=3.11", f"--dest={target}"),
            f"--requirement={locks.LOCK}",
        ],
        check=True,
    )


_WHEELS: Final = Recipe(
    name="vm_wheels", build=_build_wheels, sources=(locks.LOCK,), estimate_seconds=20
)
