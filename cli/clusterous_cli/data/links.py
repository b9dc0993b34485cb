"""Symbolic links that lead out of what is copied: where they arrive, they lead to nothing."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clusterous_api import names
from clusterous_cli.terminal import spell

SHOWN: Final = 3
# rsync's words for a link that --safe-links leaves out.
LEFT_OUT: Final = re.compile(r'ignoring unsafe symlink "(.*)" -> "(.*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link, by its path inside of what is copied, and what it says."""

    path: str
    target: str

    def __str__(self) -> str:
        return f"{self.path} → {self.target}"


def leads_out(path: str, target: str) -> bool:
    """Whether the link at *path* (relative to what is copied) leads out of it.

    An absolute one does, unless it is meant for the volume, where it will be.
    """
    if os.path.isabs(target):
        root = names.VOLUME_PATH
        return target != root and not target.startswith(f"{root}/")
    reached = os.path.normpath(os.path.join(os.path.dirname(path), target))
    return reached == ".." or reached.startswith("../")


def outward(source: str) -> list[Link]:
    """List the links in the local folder *source* that lead out of it."""
    top = Path(source)
    if not top.is_dir():
        return []
    found = [link for link in _links(top) if leads_out(link.path, link.target)]
    above = "" if source.endswith("/") else f"{top.name}/"
    return [Link(path=f"{above}{link.path}", target=link.target) for link in found]


def _links(folder: Path, above: str = "") -> Iterator[Link]:
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except OSError:
        return  # told by who copies it
    for entry in entries:
        if entry.is_symlink():
            yield Link(path=f"{above}{entry.name}", target=os.readlink(entry.path))
        elif entry.is_dir():
            yield from _links(Path(entry.path), f"{above}{entry.name}/")


def left_out(line: str) -> Link | None:
    """Read rsync's word for a link that it left out."""
    found = LEFT_OUT.search(line)
    return Link(path=found[1], target=found[2]) if found else None


def spelled(links: Sequence[Link]) -> str:
    """Say how many links there are, and name the first."""
    more = ", …" if len(links) > SHOWN else ""
    return f"{spell.plural(len(links), 'link')} ({', '.join(map(str, links[:SHOWN]))}{more})"
