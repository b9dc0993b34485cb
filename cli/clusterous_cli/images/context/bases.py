"""Recipes that build on other images of the person's own: `FROM registry:5000/NAME:TAG`.

That was the name of the predecessor's registry, as its users wrote it in Dockerfiles; it is no
name that a builder can resolve, so the recipe is read with what stands for it.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from clusterous_cli.images.context import recipe

REGISTRY: Final = "registry:5000/"
# What a recipe makes of its arguments only the builder knows.
_WORD: Final = rf"(?P<word>{re.escape(REGISTRY)}[^\s'\"$]+)(?=\s|$)"
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


def by_tag(reference: str) -> str:
    """Return the name by which a builder can be given an image: it knows no digests of others."""
    name, at, _ = reference.partition("@")
    return name if at and ":" in name.rpartition("/")[2] else reference


def by_digest(reference: str) -> str:
    """Return the name that stands for one image for ever, where it is known."""
    name, at, digest = reference.partition("@")
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}@{digest}" if at else reference


def of(folder: Path) -> tuple[str, ...]:
    """Return the bases of the image that *folder* builds."""
    return named(recipe.find(folder).content.decode(errors="replace"))
