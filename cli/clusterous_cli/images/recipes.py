"""Recipes: what an image of ours is made of, in `image.toml` of its folder in `images/`.

The same few lines serve a builder, as a Containerfile, and us where there is none.
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from clusterous_cli.images.assembly import compiling, debs
from clusterous_cli.images.context import taken
from clusterous_cli.system import assets

FILE: Final = "image.toml"
# What a builder gets beside the files: what lies outside the program's own folder.
ROOT: Final = "root.tar.gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A Python program as an image: *packages* of ours, the wheels of *lock*, *files* in *folder*.

    *base* is an image with Python *python*; *name* is the image's, without a tag. *debs* is a lock
    of Debian's packages, *links* are symbolic ones, by their paths; both may be empty.
    """

    name: str
    base: str
    python: str
    packages: tuple[str, ...]
    lock: str
    debs: str
    files: Mapping[str, bytes]
    links: Mapping[str, str]
    folder: str
    user: str
    entrypoint: tuple[str, ...]
    environment: Mapping[str, str]


def read(folder: Path) -> Recipe:
    """Read the recipe of *folder*."""
    said = tomllib.loads((folder / FILE).read_text(encoding="utf-8"))
    return Recipe(
        name=said["name"],
        base=said["base"],
        python=said["python"],
        packages=tuple(said.get("packages", ())),
        lock=_text(folder, said.get("lock")),
        debs=_text(folder, said.get("debs")),
        files={name: (folder / name).read_bytes() for name in said.get("files", ())},
        links=said.get("links", {}),
        folder=said["folder"],
        user=said["user"],
        entrypoint=tuple(said["entrypoint"]),
        environment=said["environment"],
    )


def _text(folder: Path, name: str | None) -> str:
    return (folder / name).read_text(encoding="utf-8") if name else ""


def own_files(recipe: Recipe) -> dict[str, bytes]:
    """Return our own files of the image, by their paths in its folder."""
    if not recipe.packages:
        return dict(recipe.files)
    files = {path: text for name in recipe.packages for path, text in assets.package(name).items()}
    version = assets.version()
    card = f"Metadata-Version: 2.1\nName: clusterous\nVersion: {version}\n"
    return {**files, **recipe.files, f"clusterous-{version}.dist-info/METADATA": card.encode()}


def tag(recipe: Recipe, base: str, own: Mapping[str, bytes]) -> str:
    """Return a tag that changes with all that the image is made of; *base* may be pinned."""
    digest = hashlib.sha256(json.dumps(_described(recipe, base), sort_keys=True).encode())
    for path, content in sorted(own.items()):
        digest.update(f"{path}:{len(content)}:".encode())
        digest.update(content)
    return f"{assets.version()}-{digest.hexdigest()[:12]}"


def _described(recipe: Recipe, base: str) -> dict[str, Any]:
    return {
        "base": base,
        "lock": recipe.lock,
        "asked": taken.ASKED,
        "config": settings(recipe, {}),
        "compiled": compiling.OPTIONS,
        **({"debs": debs.digest(recipe.debs)} if recipe.debs else {}),
        **({"links": dict(recipe.links)} if recipe.links else {}),
    }


def settings(recipe: Recipe, below: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the image is run: as the base image *below* says, but for what is ours."""
    known = dict(line.partition("=")[::2] for line in below.get("Env") or ())
    environment = {**known, **recipe.environment}
    return {
        **below,
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "User": recipe.user,
        "Entrypoint": list(recipe.entrypoint),
        "Cmd": None,
    }


def containerfile(recipe: Recipe, base: str) -> str:
    """Return the recipe for a builder, whose context has the image's files in `app/`."""
    root = f"ADD {ROOT} /\n" if recipe.debs or recipe.links else ""
    environment = " ".join(
        f"{name}={json.dumps(value)}" for name, value in recipe.environment.items()
    )
    return (
        f"FROM {base}\n{root}"
        f"COPY app/ {recipe.folder}/\n"
        f"RUN python -m compileall {' '.join(compiling.OPTIONS)} {recipe.folder} || true\n"
        f"ENV {environment}\n"
        f"USER {recipe.user}\n"
        f"ENTRYPOINT {json.dumps(list(recipe.entrypoint))}\n"
    )
