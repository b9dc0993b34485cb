"""Images of an app: their names, what they are built of, and where a manifest names them.

An image is built from its folder and tagged with the hash of what is in it, so that the same
content is never built or pushed twice, and a change is never overlooked.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_cli.images.assembly import references
from clusterous_cli.images.context import taken
from clusterous_cli.images.context.taken import Source

# Annotation `clusterous.io/build.NAME: FOLDER` on a ClusterousApp: `clusterous run` builds the
# image NAME from FOLDER (relative to the file) and puts the reference wherever the spec says
# `image: NAME` or `image: NAME:TAG`.
BUILD_PREFIX: Final = f"{names.DOMAIN}/build."
LATEST: Final = "latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One image to build: its *title* as the file writes it, its *name* without the tag there,
    its *folder* with values for ARGs, and the *tag* of all that when it was looked at.

    *bases* are the person's own images that it builds on: as its recipe names them, and as the
    registry does.
    """

    title: str
    name: str
    folder: Path
    tag: str
    bases: tuple[tuple[str, str], ...] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)

    @property
    def pointer(self) -> str:
        """Return the tag by which people call what was built of it last."""
        return self.title.partition(":")[2] or LATEST

    @property
    def source(self) -> Source:
        return Source(folder=self.folder, bases=self.bases, arguments=self.arguments)


def named(text: str) -> tuple[str, str]:
    """Take NAME[:TAG] apart; without a tag it is `latest`."""
    found = references.own(text)
    if found is None:
        raise UserError(f"{text!r} is no name of an image, such as montecarlo or montecarlo:v1.")
    name, tag = found
    return name, tag or LATEST


def pointing(text: str) -> tuple[str, str]:
    """Take apart a NAME[:TAG] that is to be given to an image."""
    name, tag = named(text)
    for ours in (taken.PREFIX, taken.CACHE):
        if tag.startswith(ours):
            raise UserError(f"A tag that begins with {ours} says what was built: choose another.")
    return name, tag


def reference(place: str, build: Build, digest: str | None = None) -> str:
    """Return the image's full name: by its digest, or by its tag as long as there is none.

    *place* is the registry with the folder of images there, up to a name.
    """
    version = f"@{digest}" if digest else f":{build.tag}"
    return f"{place}{build.name}{version}"


def plan_build(
    name: str,
    folder: Path,
    bases: Mapping[str, str] | None = None,
    arguments: Mapping[str, str] | None = None,
) -> Build:
    """The build of *name* from *folder*, whose content is read to know its tag.

    What it builds on counts as well: *bases*, each with its reference in the registry.
    """
    under = tuple(sorted((bases or {}).items()))
    source = Source(folder=folder, bases=under, arguments=arguments or {})
    return Build(
        title=name,
        name=name.partition(":")[0],
        folder=folder,
        tag=taken.tag(source),
        bases=under,
        arguments=source.arguments,
    )


def build_arguments(given: Iterable[str]) -> dict[str, str]:
    """Read NAME=VALUE for ARGs of a recipe."""
    pairs = [text.partition("=") for text in given]
    for name, equals, _ in pairs:
        if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise UserError(f"--build-arg {name}{equals}: it has to be NAME=VALUE.")
    return {name: value for name, _, value in pairs}


# -- manifests ----------------------------------------------------------------------------


def manifest_builds(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Image name → folder, from the annotations `clusterous.io/build.NAME` of a ClusterousApp."""
    annotations = (manifest.get("metadata") or {}).get("annotations") or {}
    found = {
        str(key).removeprefix(BUILD_PREFIX): str(folder)
        for key, folder in annotations.items()
        if str(key).startswith(BUILD_PREFIX)
    }
    for name in found:
        if references.own(name) != (name, None):
            raise UserError(f"{BUILD_PREFIX}{name}: {name!r} is not the name of an image.")
    return found


def with_images(value: Any, references: Mapping[str, str]) -> Any:
    """A copy of the manifest part *value* in which built images stand under their reference."""
    if isinstance(value, list):
        return [with_images(item, references) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _image(key, item, references) for key, item in value.items()}


def _image(key: str, item: Any, references: Mapping[str, str]) -> Any:
    if key == "image" and isinstance(item, str) and "/" not in item:
        return references.get(item.partition(":")[0], item)
    return with_images(item, references)
