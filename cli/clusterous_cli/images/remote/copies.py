"""What the builder says of a copy that it was sent: each file as it is there. Pure."""

import os
import re
import stat
from collections.abc import Iterable, Iterator
from typing import Final

from clusterous_api.errors import FailedError, UserError
from clusterous_cli.images.context.tree import Entry
from clusterous_cli.images.remote.scripts import CONTEXT, NEXT, RECIPE

# A sum, before which there is a backslash where the name has signs that would not be seen.
_SUM: Final = re.compile(rb"\\?([0-9a-f]{64}) ")


def read(said: bytes) -> list[Entry]:
    """Read the builder's list, by paths."""
    *lines, last = said.split(b"\n")
    ends = [at for at, line in enumerate(lines) if line == NEXT.encode()][:3]
    if len(ends) < 3 or last:
        raise FailedError("The builder did not say what it has of the folder.")
    folders, files, sums, links = (
        lines[start:end] for start, end in zip(_after(ends), [*ends, len(lines)], strict=True)
    )
    try:
        found = [*_folders(folders), *_files(files, sums), *_links(links)]
    except (ValueError, IndexError) as error:
        raise FailedError(f"The builder's list of the folder cannot be read: {error}") from error
    return sorted((one for one in found if one.path != "."), key=lambda one: one.path)


def _after(ends: list[int]) -> list[int]:
    return [0, *(end + 1 for end in ends)]


def _folders(lines: Iterable[bytes]) -> Iterator[Entry]:
    for line in lines:
        mode, path = _told(line)
        yield Entry(path=path, mode=mode)


def _files(lines: Iterable[bytes], sums: Iterable[bytes]) -> Iterator[Entry]:
    """Yield files: both lists are in the order in which one and the same folder is read."""
    for line, told in zip(lines, sums, strict=True):
        mode, path = _told(line)
        found = _SUM.match(told)
        if found is None:
            raise ValueError(told[:80])
        yield Entry(path=path, mode=mode, content=bytes.fromhex(found[1].decode()))


def _told(line: bytes) -> tuple[int, str]:
    mode, _, path = line.partition(b" ")
    return int(mode, 16), _path(path)


def _links(lines: list[bytes]) -> Iterator[Entry]:
    for path, target in zip(lines[::2], lines[1::2], strict=True):
        yield Entry(path=_path(path), mode=stat.S_IFLNK | 0o777, content=target)


def _path(said: bytes) -> str:
    return os.fsdecode(said.removeprefix(b"./"))


def within(entries: Iterable[Entry]) -> tuple[bytes, list[Entry]]:
    """Return the sum of the recipe, and what is in the context, by its paths there."""
    recipe, inside = b"", []
    for one in entries:
        if one.path == RECIPE:
            recipe = one.content
        elif one.path.startswith(f"{CONTEXT}/"):
            path = one.path.removeprefix(f"{CONTEXT}/")
            inside.append(Entry(path=path, mode=one.mode, content=one.content))
    return recipe, inside


def check(entries: Iterable[Entry]) -> None:
    """Refuse what lines cannot tell of."""
    for one in entries:
        target = one.content if stat.S_ISLNK(one.mode) else b""
        if "\n" in one.path or b"\n" in target:
            raise UserError(
                f"{one.path!r} has a line break in its name or its target, which the cluster's"
                " builder cannot be told: call it otherwise, or leave it out by a .dockerignore."
            )
