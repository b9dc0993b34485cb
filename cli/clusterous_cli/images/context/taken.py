"""Takes a copy of a folder for a builder, under the hash of that very copy.

What changes while it is read is read again, so that a tag never stands for anything else than what
was built under it (https://github.com/bazelbuild/bazel/issues/3360 is what happens otherwise).
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from clusterous_api.errors import FailedError
from clusterous_cli.images.context import bases, ignore, recipe, tree
from clusterous_cli.images.context.ignore import Rules
from clusterous_cli.images.context.recipe import Recipe
from clusterous_cli.images.context.tree import Entry

# What every builder is asked beside the folder: the nodes are Intel's and AMD's, whatever the
# laptop is. All of it is in the tag, so that what is built otherwise is another image.
PLATFORM: Final = "linux/amd64"
ASKED: Final = ("--platform", PLATFORM)
# How tags begin: those of content, and those of caches of builds.
PREFIX: Final = "src-"
CACHE: Final = "cache-"
ROUNDS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What an image is built of: a *folder*, and values for the ARGs of its recipe.

    *bases* are the person's own images below it: as the recipe names them, and as the registry
    does, with the tag of their content.
    """

    folder: Path
    bases: tuple[tuple[str, str], ...] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)

    @property
    def asked(self) -> tuple[str, ...]:
        """Return what a builder is asked, in its own words."""
        given = sorted(self.arguments.items())
        return (*ASKED, *(f"--build-arg={name}={value}" for name, value in given))


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A copy for a builder: the *context*, the *recipe* beside it, and the *tag* of both.

    *entries* are the context's, and *found* is the recipe as the folder has it.
    """

    context: Path
    recipe: Path
    source: Source
    found: Recipe
    entries: tuple[Entry, ...]
    tag: str

    @property
    def asked(self) -> tuple[str, ...]:
        """Return what a builder is asked, in its own words."""
        return self.source.asked

    def tag_of(self, entries: Iterable[Entry]) -> str:
        """Return the tag of what a builder elsewhere has of this copy."""
        return _tag(self.source, self.found, entries)


def tag(source: Source) -> str:
    """Return the tag of the folder as it is now."""
    found, rules = _read(source.folder)
    listed = tree.paths(source.folder, rules, ignore.FILES)
    return _tag(source, found, tree.entries(source.folder, listed))


def files(folder: Path) -> list[str]:
    """Return what a builder would get of *folder*, as sorted relative paths."""
    return tree.paths(folder, _read(folder)[1], ignore.FILES)


def _read(folder: Path) -> tuple[Recipe, Rules]:
    found = recipe.find(folder)
    for name in ignore.names(found.name):
        if (path := folder / name).is_file():
            return found, ignore.read(path.read_text("utf-8", "surrogateescape"), str(path))
    return found, Rules()


def _tag(source: Source, found: Recipe, entries: Iterable[Entry]) -> str:
    digest = hashlib.sha256()
    parts = [b"asked", *(_bytes(word) for word in source.asked), b"recipe", found.content]
    for _, reference in source.bases:
        parts += [b"base", reference.rpartition("/")[2].encode()]
    for entry in entries:
        parts += [_bytes(entry.path), f"{entry.mode:o}".encode(), entry.content]
    for part in parts:  # each with its length, so that no two contents can look the same
        digest.update(f"{len(part)}:".encode())
        digest.update(part)
    return f"{PREFIX}{digest.hexdigest()[:16]}"


def _bytes(text: str) -> bytes:
    """Return what a file's name or a word of the command line was, also where it is no UTF-8."""
    return text.encode(errors="surrogateescape")


def _rebased(content: bytes, known: Mapping[str, str]) -> bytes:
    text = content.decode(errors="surrogateescape")
    return _bytes(bases.rebased(text, known))


@contextmanager
def copy(source: Source, within: Path) -> Iterator[Taken]:
    """Have a copy of the folder in *within* for a while, taken while nothing changed in it."""
    with tempfile.TemporaryDirectory(dir=within) as place:
        for number in range(ROUNDS):
            fresh = Path(place, str(number))
            try:
                taken = _take(source, fresh)
                if tag(source) == taken.tag:
                    break
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                pass  # it went, or became something else, while it was read
            shutil.rmtree(fresh)
        else:
            raise FailedError(
                f"{source.folder} changed each time that it was read ({ROUNDS} times): nothing was"
                " built of it. Let what writes there end, or leave it out by a .dockerignore."
            )
        yield taken


def _take(source: Source, place: Path) -> Taken:
    place.mkdir()
    found, rules = _read(source.folder)
    listed = tree.paths(source.folder, rules, ignore.FILES)
    entries = tree.copy(source.folder, listed, place / "context")
    written = place / "Containerfile"
    written.write_bytes(_rebased(found.content, dict(source.bases)))
    return Taken(
        context=place / "context",
        recipe=written,
        source=source,
        found=found,
        entries=tuple(entries),
        tag=_tag(source, found, entries),
    )
