"""What the examples need of PyPI, exactly as locked: the region's index has that, and no more.

`python -m tests.region.parts.packages [EXAMPLES]` writes their locks anew: what pip takes for the
requirements in their folders, on the nodes' platform, with the sums of these very files.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from clusterous_cli.images.assembly import wheels
from tests.region.parts import debian
from tests.region.parts.cache import Found, Tell

ROOT: Final = Path(__file__).parents[3]
PYTHON: Final = debian.PYTHON_ENVIRONMENT["PYTHON_VERSION"]
EXAMPLES: Final = ("mpi", "dask", "jupyter", "ray", "spark")
# By their parts: base images that nothing else in the region needs.
BASES: Final = {"spark": ("temurin",)}
# There are no wheels of these: pip builds one, in the image.
SOURCES: Final = ("pyspark",)


def part(example: str) -> str:
    """Return the name of the part with what *example* needs."""
    return f"packages_{example}"


def needed(example: str) -> tuple[str, ...]:
    """Return the parts without which *example* cannot be built: packages, and base images."""
    return (part(example), *BASES.get(example, ()))


def lock(example: str) -> Path:
    return Path(__file__).parent / "locks" / f"{example}.lock"


def builder(example: str) -> Callable[[Path, Found, Tell], None]:
    """Return what downloads the packages of *example*, verified by the sums of its lock."""

    def build(target: Path, found: Found, tell: Tell) -> None:
        wanted, sources = apart(lock(example).read_text().splitlines())
        tell(f"downloading {len(wanted) + len(sources)} packages")
        with listed(wanted) as path:
            wheels.fetch(path, PYTHON, target)
        for one in sources:
            with listed([one]) as path:
                pip("download", *AS_SOURCE, "--require-hashes", f"--dest={target}", f"-r{path}")

    return build


def apart(lines: Iterable[str]) -> tuple[list[str], list[str]]:
    """Tell requirements that have wheels from those that are sources."""
    found: tuple[list[str], list[str]] = ([], [])
    for line in lines:
        found[named(line) in SOURCES].append(line)
    return found


def named(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9_.-]", requirement, maxsplit=1)[0].lower()


AS_SOURCE: Final = ("--no-deps", "--no-binary=:all:")


def pip(verb: str, *options: str) -> None:
    argv = [sys.executable, "-m", "pip", verb, "--quiet", "--no-input", *options]
    subprocess.run([*argv, "--disable-pip-version-check"], check=True)


@contextmanager
def listed(lines: Iterable[str]) -> Iterator[Path]:
    """Write requirements into a file, for as long as it is needed."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "requirements.txt")
        path.write_text("".join(f"{line}\n" for line in lines))
        yield path


# -- the locks ----------------------------------------------------------------------------


def report(*options: str) -> list[dict[str, Any]]:
    """Ask pip what it would install: the `install` of its own report."""
    with tempfile.TemporaryDirectory() as scratch:
        places = (f"--target={scratch}/none", f"--report={scratch}/report")
        pip("install", "--dry-run", "--ignore-installed", *places, *options)
        installs: list[dict[str, Any]] = json.loads(Path(scratch, "report").read_text())["install"]
    return installs


def resolved(requirements: Sequence[str], known: Iterable[str]) -> list[dict[str, Any]]:
    """Ask what pip would install for *requirements*; where versions are *known*, these."""
    wanted, sources = apart(requirements)
    found = [one for line in sources for one in report(*AS_SOURCE, line)]
    needs = [need for one in found for need in one["metadata"].get("requires_dist", ())]
    with listed([*wanted, *needs]) as asked, listed(known) as constraints:
        options = (*wheels.for_nodes(PYTHON), f"-r{asked}", f"-c{constraints}")
        return [*found, *report(*options)]


def locked(installs: Iterable[dict[str, Any]]) -> str:
    """Write a report's packages as a lock, a line each."""
    return "".join(
        sorted(
            f"{one['metadata']['name'].lower()}=={one['metadata']['version']}"
            f" --hash=sha256:{one['download_info']['archive_info']['hashes']['sha256']}\n"
            for one in installs
        )
    )


def pins(text: str) -> list[str]:
    """Return the versions of a lock, without the sums."""
    return re.findall(r"(?m)^\S+==\S+", text)


def main(examples: Sequence[str]) -> None:
    """Lock *examples*, or all; they agree on versions, since one index has them all."""
    chosen = examples or EXAMPLES
    others = [one for one in EXAMPLES if one not in chosen]
    known = {pin for one in others for pin in pins(lock(one).read_text())}
    for one in chosen:
        asked = (ROOT / "examples" / one / "image" / "requirements.txt").read_text()
        text = locked(resolved(asked.split(), sorted(known)))
        lock(one).write_text(text)
        known |= set(pins(text))


if __name__ == "__main__":
    main(sys.argv[1:])
