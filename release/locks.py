"""The part of the lock that an image needs: of requirements.lock, and by what is installed here.

`python -m release.locks` writes it into the image's folder; a test compares.
"""

import importlib.metadata
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[1]
LOCK: Final = ROOT / "requirements.lock"
PYPROJECT: Final = ROOT / "pyproject.toml"
OPERATOR: Final = ROOT / "images" / "operator" / "requirements.lock"


def operator_lock() -> str:
    """Return the part of the lock that the operator needs, and nothing of the CLI's."""
    return locked(operator_closure())


def locked(names: set[str]) -> str:
    """Return the lock's entries for *names*: a file that pip takes with --require-hashes."""
    pinned = parse_lock(LOCK.read_text())
    return "".join(pinned[name] for name in sorted(names))


def parse_lock(text: str) -> dict[str, str]:
    """Split a lock into its entries, by canonical name, each with its hashes."""
    blocks = re.split(r"(?m)^(?=[A-Za-z0-9])", text)
    return {
        canonicalize_name(re.split(r"[=\[ ;]", block, maxsplit=1)[0]): block
        for block in blocks
        if "==" in block.partition("\n")[0]
    }


def operator_closure() -> set[str]:
    """Return the distributions that the operator's extra needs, as installed here."""
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    return closure(project["optional-dependencies"]["operator"])


def closure(requirements: Iterable[str]) -> set[str]:
    """Return the names of all distributions that *requirements* bring, as installed here."""
    waiting = [Requirement(line) for line in requirements]
    found: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in found:
            found.add(name)
            waiting += _needs(name, requirement.extras)
    return found


def _needs(name: str, extras: set[str]) -> list[Requirement]:
    listed = map(Requirement, importlib.metadata.requires(name) or ())
    return [
        item
        for item in listed
        if not item.marker or any(item.marker.evaluate({"extra": e}) for e in extras or {""})
    ]


if __name__ == "__main__":
    OPERATOR.write_text(operator_lock())
