"""Makes an image of a folder of `images/`: with the builder that is there, else without one."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clusterous_api.errors import ClusterousError, UserError
from clusterous_cli.images import builder, recipes
from clusterous_cli.images.assembly import (
    archives,
    compiling,
    debs,
    layers,
    pull,
    references,
    wheels,
)
from clusterous_cli.images.assembly.archives import CONFIG_TYPE, MANIFEST_TYPE, Blob, Image
from clusterous_cli.images.assembly.layers import Node
from clusterous_cli.images.recipes import Recipe
from clusterous_cli.system import download, pins
from clusterous_cli.system.download import Tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """An image that can be made: everything is known of it but its bytes.

    *base* bears a digest where one is pinned.
    """

    recipe: Recipe
    base: str
    own: Mapping[str, bytes] = field(repr=False)
    tag: str

    @property
    def reference(self) -> str:
        """Return the image's full name."""
        return f"{self.recipe.name}:{self.tag}"

    @property
    def title(self) -> str:
        """Return the last part of its name."""
        return self.recipe.name.rpartition("/")[2]

    @property
    def filename(self) -> str:
        """Return the name of its archive."""
        return f"{self.title}-{self.tag}-amd64.tar"


def plan(folder: Path) -> Plan:
    """Read what is made of *folder*; ask nobody."""
    recipe = recipes.read(folder)
    base = pins.read().pinned(recipe.base)
    own = recipes.own_files(recipe)
    return Plan(recipe=recipe, base=base, own=own, tag=recipes.tag(recipe, base, own))


def archive(what: Plan, tell: Tell, progress: download.Progress) -> Path:
    """Return the archive of an image, made unless it was made before."""
    target = download.cache() / "images" / what.filename
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        make(what, what.reference, target, tell, progress)
        download.tidy()
    return download.used(target)


def make(what: Plan, name: str, target: Path, tell: Tell, progress: download.Progress) -> None:
    """Write the archive of the image, called *name*."""
    try:
        found = builder.find(os.environ)
    except UserError:
        return assemble(what, name, target, tell, progress)
    try:
        return build(what, found, name, target, tell, progress)
    except ClusterousError as error:
        tell(f"{found.kind} did not make the image ({error}); going on without it")
        return assemble(what, name, target, tell, progress)


# -- with a builder -----------------------------------------------------------------------


def build(
    what: Plan,
    with_: builder.Builder,
    name: str,
    target: Path,
    tell: Tell,
    progress: download.Progress,
) -> None:
    """Let a builder make the image."""
    with tempfile.TemporaryDirectory() as scratch:
        context = Path(scratch)
        _write(context / "app", files(what))
        if outside := root(what, tell, progress):
            layers.write(outside, context, 0).blob.path.rename(context / recipes.ROOT)
        recipe = context / "Containerfile"
        recipe.write_text(recipes.containerfile(what.recipe, what.base))
        try:
            builder.build(with_, name, context, recipe, tell)
            fresh = context / "image.tar"
            builder.save(with_, name, fresh, tell)
        finally:
            builder.tidy(with_)
        shutil.move(fresh, target)


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


# -- without ------------------------------------------------------------------------------


def assemble(
    what: Plan,
    name: str,
    target: Path,
    tell: Tell,
    progress: download.Progress,
    hosts: Mapping[str, str] | None = None,
) -> None:
    """Put the image together: the base image's layers, and one of ours.

    The same base, code and Python give the same bytes.
    """
    tell(f"{what.title}: {what.base}")
    kept = download.cache() / "blobs"
    below = pull.Registry(references.parse(what.base), hosts or {}).image(kept, progress)
    told = json.loads(below.config.path.read_bytes())
    outside = root(what, tell, progress)
    if what.recipe.lock:
        tell(f"{what.title}: wheels")
    content = files(what)
    program = compiling.interpreter(what.recipe.python)
    if program:
        content |= compiling.compiled(content, program)
    else:
        tell(
            f"there is no Python {what.recipe.python} here to compile with: the image will do so at"
            " each of its starts"
        )
    inside = what.recipe.folder.strip("/")
    with tempfile.TemporaryDirectory() as scratch:
        placed = {f"{inside}/{path}": Node(content=text) for path, text in content.items()}
        layer = layers.write({**outside, **placed}, Path(scratch), 0)
        image = _on_top(what.recipe, below, told, layer, Path(scratch))
        archives.write(image, name, target)


def files(what: Plan) -> dict[str, bytes]:
    """Return the files of the image, by their paths in its folder: wheels, then ours."""
    if not what.recipe.lock:
        return dict(what.own)
    with wheels_of(what) as fetched:
        found = {path: text for one in fetched for path, text in wheels.unpacked(one).items()}
    return {**found, **what.own}


def root(what: Plan, tell: Tell, progress: download.Progress) -> dict[str, Node]:
    """Return what lies outside that folder: Debian's packages, and links."""
    links = {path.strip("/"): Node(mode=0o777, link=to) for path, to in what.recipe.links.items()}
    if not what.recipe.debs:
        return links
    tell(f"{what.title}: Debian's packages")
    fetched = debs.fetch(what.recipe.debs, download.cache() / "debs", progress)
    return {**debs.together(fetched), **links}


@contextmanager
def wheels_of(what: Plan) -> Iterator[list[Path]]:
    """Have the wheels of the image for a while."""
    with tempfile.TemporaryDirectory() as scratch:
        lock = Path(scratch) / "requirements.lock"
        lock.write_text(what.recipe.lock)
        yield wheels.fetch(lock, what.recipe.python, Path(scratch) / "wheels")


def _on_top(
    recipe: Recipe,
    below: Image,
    told: Mapping[str, Any],
    layer: layers.Layer,
    folder: Path,
) -> Image:
    """Return the image of *below* with one layer more."""
    created = told.get("created", "1970-01-01T00:00:00Z")
    step = {"created": created, "created_by": "clusterous", "comment": recipe.name}
    document = {
        **told,
        "created": created,
        "config": recipes.settings(recipe, told.get("config") or {}),
        "rootfs": {"type": "layers", "diff_ids": [*told["rootfs"]["diff_ids"], layer.diff_id]},
        "history": [*(told.get("history") or ()), step],
    }
    config = _blob(document, folder, CONFIG_TYPE)
    stack = (*(archives.as_oci(one) for one in below.layers), layer.blob)
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": config.described,
            "layers": [one.described for one in stack],
        },
        sort_keys=True,
    ).encode()
    return Image(
        name=recipe.name,
        digest=f"sha256:{hashlib.sha256(manifest).hexdigest()}",
        manifest=manifest,
        media_type=MANIFEST_TYPE,
        config=config,
        layers=stack,
    )


def _blob(document: Mapping[str, Any], folder: Path, kind: str) -> Blob:
    content = json.dumps(document, sort_keys=True).encode()
    digest = hashlib.sha256(content).hexdigest()
    path = folder / digest
    path.write_bytes(content)
    return Blob(path=path, digest=f"sha256:{digest}", size=len(content), media_type=kind)
