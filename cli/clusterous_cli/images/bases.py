"""Recipes that build on other images of the person's own: `FROM registry:5000/NAME:TAG`.

That was the name of the predecessor's registry, as its users wrote it in Dockerfiles; it is no
name that a builder can resolve, so the recipe is read with what stands for it.
"""

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from clusterous_cli.images import contexts

REGISTRY: Final = "registry:5000/"
_WORD: Final = rf"(?P<word>{re.escape(REGISTRY)}[^\s'\"]+)"
_BASE: Final = re.compile(
    rf"^(?P<before>[ \t]*FROM[ \t]+(?:--\S+[ \t]+)*|[ \t]*(?:COPY|ADD)\b.*?[ \t]--from=){_WORD}",
    re.IGNORECASE | re.MULTILINE,
)


def named(text: str) -> tuple[str, ...]:
    """Return the images of that registry on which the recipe *text* builds, in their order."""
    return tuple(dict.fromkeys(found["word"] for found in _BASE.finditer(text)))


def rebased(text: str, known: Mapping[str, str]) -> str:
    """Return the recipe with what is *known* to stand for its bases."""
    return _BASE.sub(lambda m: m["before"] + known.get(m["word"], m["word"]), text)


def of(folder: Path) -> tuple[str, ...]:
    """Return the bases of the image that *folder* builds."""
    return named(contexts.containerfile(folder).read_text(errors="replace"))


@contextmanager
def recipe(folder: Path, known: Mapping[str, str]) -> Iterator[Path]:
    """Give the recipe to build *folder* by: its own, or a copy in which what is *known* stands."""
    own = contexts.containerfile(folder)
    if not known:
        yield own
        return
    with tempfile.TemporaryDirectory() as place:
        written = Path(place, own.name)
        written.write_text(
            rebased(own.read_text(errors="surrogateescape"), known), errors="surrogateescape"
        )
        ignored = folder / f"{own.name}{contexts.DOCKERIGNORE}"
        if ignored.is_file():
            shutil.copy(ignored, f"{written}{contexts.DOCKERIGNORE}")
        yield written
