"""Debian's packages in an image: fetched as locked, unpacked by us, their scripts never run.

A package is an archive of `ar`, with its files as a tar (deb(5)): no dpkg is needed for that, which
a laptop may not have. Only packages will do that work without having been configured.
"""

import hashlib
import io
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

from clusterous_api.errors import FailedError
from clusterous_cli.images.assembly.layers import Node
from clusterous_cli.system import download
from clusterous_cli.system.download import Progress

# A package leaves Debian's pool when the next point release has a newer one; what was there on any
# day is kept by snapshot.debian.org, which is slow.
POOL: Final = "https://deb.debian.org/{path}"
KEPT: Final = "https://snapshot.debian.org/archive/{archive}/{day}/{rest}"
# What is read by people at a machine; copyright stays.
UNREAD: Final = re.compile(r"usr/share/(man|locale|info|lintian|bug|doc/(?!.*/copyright$))|.*\.la$")
# In Debian 12 these are links into /usr. A folder in a layer would take their place.
MERGED: Final = ("bin", "lib", "lib64", "sbin")
_LOCKED: Final = re.compile(r"(?P<sha256>[0-9a-f]{64})  (?P<path>[a-z-]+/pool/[\w./+~%-]+\.deb)")
_AR: Final = b"!<arch>\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package by its place in Debian's archives, which begins with the archive's name."""

    path: str
    sha256: str

    @property
    def filename(self) -> str:
        return PurePosixPath(self.path).name

    def urls(self, day: str) -> tuple[str, str]:
        """Return where it is, and where it will always have been, as of *day*."""
        archive, _, rest = self.path.partition("/")
        return POOL.format(path=self.path), KEPT.format(archive=archive, day=day, rest=rest)


def locked(text: str) -> tuple[str, tuple[Package, ...]]:
    """Read a lock: the day on which it was written, and the packages."""
    day, *lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    found = [_LOCKED.fullmatch(line) for line in lines]
    if not day.startswith("at ") or not all(found):
        raise ValueError("this is no lock of Debian's packages, as `make debs` writes it")
    return day[3:], tuple(Package(**one.groupdict()) for one in found if one)


def fetch(text: str, folder: Path, tell: Progress) -> list[Path]:
    """Return the packages of a lock; *folder* keeps them."""
    day, packages = locked(text)
    return [_fetched(one, day, folder, tell) for one in packages]


def _fetched(package: Package, day: str, folder: Path, tell: Progress) -> Path:
    first, last = package.urls(day)

    def get(part: Path) -> str:
        try:
            url = first
            download.fetch(url, part, partial(tell, package.filename))
        except download.Missing:
            url = last
            download.fetch(url, part, partial(tell, package.filename))
        return url

    wrong = "has another checksum than this version of clusterous knows"
    return download.kept(folder / f"{package.sha256}.deb", package.sha256, get, wrong)


def unpacked(package: Path) -> dict[str, Node]:
    """Return the files of a package, by their paths from the root of a Debian 12."""
    members = dict(_members(package.read_bytes(), package.name))
    (data,) = (content for name, content in members.items() if name.startswith("data.tar"))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return dict(_files(tar, package.name))


def _members(content: bytes, name: str) -> Iterator[tuple[str, bytes]]:
    """Yield the members of an archive of `ar`."""
    if not content.startswith(_AR):
        raise FailedError(f"{name} is no package of Debian's.")
    at = len(_AR)
    while at < len(content):
        header = content[at : at + 60]
        size = int(header[48:58])
        yield header[:16].decode().strip().rstrip("/"), content[at + 60 : at + 60 + size]
        at += 60 + size + size % 2


def _files(tar: tarfile.TarFile, name: str) -> Iterator[tuple[str, Node]]:
    for entry in tar:
        path = _placed(entry.name, name)
        if entry.isdir() or UNREAD.match(path):
            continue
        if entry.issym():
            yield path, Node(mode=0o777, link=entry.linkname)
        elif file := tar.extractfile(entry):  # also of a hard link, whose content is another's
            # Nothing gives anybody more rights than they have.
            yield path, Node(content=file.read(), mode=entry.mode & 0o755)
        else:
            raise FailedError(f"{name} holds {entry.name!r}, which is neither file nor link.")


def _placed(entry: str, name: str) -> str:
    parts = PurePosixPath(entry).parts
    if ".." in parts or entry.startswith("/"):
        raise FailedError(f"{name} would leave its folder: {entry!r}.")
    return str(PurePosixPath(*(("usr",) if parts[:1] and parts[0] in MERGED else ()), *parts))


def digest(text: str) -> str:
    """Return what stands for a lock in the tag of an image: another day is no other image."""
    return hashlib.sha256("".join(one.sha256 for one in locked(text)[1]).encode()).hexdigest()


def together(packages: list[Path]) -> Mapping[str, Node]:
    """Return the files of all packages."""
    return {path: node for one in packages for path, node in unpacked(one).items()}
