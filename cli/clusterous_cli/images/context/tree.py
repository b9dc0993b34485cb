"""The files of a context: which there are, what they are, and a copy of them.

Of a mode only what git and no umask decides counts: whether a file can be run, and as whom. Times
do not count; a copy's say what is in the files, so that no builder takes one content for another of
the same size and time (https://github.com/moby/buildkit/issues/2592).
"""

import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from clusterous_cli.images.context.ignore import Rules

# In seconds: 2000-01-01, which archives of all kinds can say (zip begins with 1980).
_BEGIN: Final = 946_684_800
_SPAN: Final = 1 << 20
_AS: Final = stat.S_ISUID | stat.S_ISGID


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file, folder or symbolic link; *content* is a file's SHA-256 or where a link leads."""

    path: str
    mode: int
    content: bytes = b""

    @property
    def when(self) -> int:
        """Return a time in nanoseconds that says what is in it."""
        digest = hashlib.sha256(self.content).digest()
        seconds = int.from_bytes(digest[:4]) % _SPAN
        return (_BEGIN + seconds) * 10**9 + int.from_bytes(digest[4:8]) % 10**9


def paths(folder: Path, rules: Rules, without: Iterable[str] = ()) -> list[str]:
    """Return what *rules* leave of *folder*, sorted: files, links, and folders above them.

    What lies at its top and is named in *without* is left out, whatever the rules say.
    """
    top = set(without)
    found = [one for one in _walk(folder, "", rules) if one not in top]
    above = {str(up) for one in found for up in PurePosixPath(one).parents}
    return sorted({*found, *above} - {"."})


def _walk(folder: Path, prefix: str, rules: Rules) -> Iterator[str]:
    for entry in os.scandir(folder):
        path = prefix + entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        is_ignored = rules.ignore(path)
        is_known = is_folder or entry.is_symlink() or entry.is_file(follow_symlinks=False)
        if is_known and not is_ignored:
            yield path
        if is_folder and (not is_ignored or rules.keep_some):
            yield from _walk(folder / entry.name, f"{path}/", rules)


def entries(folder: Path, listed: Iterable[str]) -> list[Entry]:
    """Read what is *listed* of *folder*."""
    return [_entry(folder / path, path) for path in listed]


def _entry(full: Path, path: str) -> Entry:
    mode = full.lstat().st_mode
    content = b""
    if stat.S_ISLNK(mode):
        content = os.fsencode(os.readlink(full))
    elif stat.S_ISREG(mode):
        with full.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").digest()
    return Entry(path=path, mode=plain_mode(mode), content=content)


def plain_mode(mode: int) -> int:
    """Return the mode as a checkout with the usual umask has it, with the kind of file."""
    if stat.S_ISLNK(mode):
        return stat.S_IFLNK | 0o777
    if stat.S_ISDIR(mode):
        return stat.S_IFDIR | 0o755
    runs = bool(mode & stat.S_IXUSR)
    return stat.S_IFMT(mode) | (0o755 | mode & _AS if runs else 0o644)


def copy(folder: Path, listed: Iterable[str], target: Path) -> list[Entry]:
    """Copy what is *listed* of *folder* to *target*, and return what the copy has."""
    target.mkdir()
    kept = list(listed)
    for path in kept:
        _copy(folder / path, target / path)
    made = entries(target, kept)
    for one in reversed(made):  # a folder after all that is in it
        if not stat.S_ISLNK(one.mode):
            os.utime(target / one.path, ns=(one.when, one.when))
    return made


def _copy(source: Path, target: Path) -> None:
    mode = source.lstat().st_mode
    if stat.S_ISDIR(mode):
        target.mkdir()
    else:
        shutil.copyfile(source, target, follow_symlinks=False)
    if not target.is_symlink():
        target.chmod(stat.S_IMODE(plain_mode(mode)))
