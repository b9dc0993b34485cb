"""Which port of this machine a page has: the same one each time, and never another page's."""

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final

from clusterous_api.errors import FailedError
from clusterous_cli.system import private

FILE: Final = "ports.json"
TRIES: Final = 100


def key(app: str, page: str) -> str:
    """How a page is known: by its app (NAMESPACE/NAME) and its name."""
    return f"{app}/{page}"


def chosen(kept: Mapping[str, int], page: str, wanted: int, is_free: Callable[[int], bool]) -> int:
    """The port of *page*: its own of before, else the one *wanted*, or one near it that is free.

    8080 or so where 80 may not be opened. What is another page's stays so, though that is closed.
    """
    mine = kept.get(page)
    if mine is not None and is_free(mine):
        return mine
    others = {port for one, port in kept.items() if one != page}
    first = wanted if wanted >= 1024 or is_free(wanted) else 8000 + wanted
    for port in range(first, min(first + TRIES, 65536)):
        if port not in others and is_free(port):
            return port
    raise FailedError(f"None of the ports {first} to {first + TRIES - 1} is free here.")


def divided(
    kept: Mapping[str, int], apps: Collection[str]
) -> tuple[dict[str, int], dict[str, int]]:
    """Divide what is *kept*: of *apps* that there are, and of those that there are no more."""
    there = {one: port for one, port in kept.items() if one.rpartition("/")[0] in apps}
    return there, {one: port for one, port in kept.items() if one not in there}


def read(home: Path) -> dict[str, int]:
    """The ports that the pages of a cluster have; none where the file cannot be read."""
    try:
        found = json.loads((home / FILE).read_text())
        return {str(page): int(port) for page, port in found.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def write(home: Path, kept: Mapping[str, int]) -> None:
    """Keep them."""
    private.write(home / FILE, json.dumps(dict(kept), indent=1))
