"""Base images as they are where the region's authority is one that the world trusts.

Docker's image of Python comes with the authorities of the public internet, by which pip knows the
index that it fetches from. The region's sites are signed by an authority of its own, made when the
region comes up: so that image gets one more layer, with what the laptop trusts, too.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tests.region.parts import images
from tests.region.parts.images import Entry

# Of Debian's slim image Docker leaves the authorities out.
WITH_AUTHORITIES: Final = ("library/python",)
BUNDLE: Final = "etc/ssl/certs/ca-certificates.crt"
# Where `update-ca-certificates` finds it, should a recipe run that.
ADDED: Final = "usr/local/share/ca-certificates/region.crt"


def extend(storages: Sequence[Path], target: Path, authority: bytes, bundle: bytes) -> None:
    """Make *target* a registry's storage with all that is in *storages*.

    Images that know authorities get *authority*, and all that they are to know as a *bundle*.
    """
    for storage in storages:
        shutil.copytree(storage, target, copy_function=_take, dirs_exist_ok=True)
    registry = target / "docker" / "registry" / "v2"
    entries = {
        ADDED: Entry(content=authority, mode=0o644),
        BUNDLE: Entry(content=bundle, mode=0o644),
    }
    with tempfile.TemporaryDirectory(dir=target) as scratch:
        layer = images.layer_from_entries(entries, Path(scratch) / "layer.tar")
        for name in WITH_AUTHORITIES:
            home = registry / "repositories" / name
            for tag in sorted((home / "_manifests" / "tags").iterdir()):
                _extend(registry, home, tag.name, layer)


def _take(source: str, target: str) -> None:
    """Leave contents where they are; what names them is written anew.

    Where images of two storages have a layer in common, either's will do: its name is its hash.
    """
    if Path(source).name == "data":
        with suppress(FileExistsError):
            os.symlink(source, target)
    else:
        shutil.copyfile(source, target)


def _extend(registry: Path, home: Path, tag: str, layer: images.Layer) -> None:
    current = home / "_manifests" / "tags" / tag / "current" / "link"
    manifest = _read(registry, current.read_text())
    config = _read(registry, manifest["config"]["digest"])
    config["rootfs"]["diff_ids"].append(layer.diff_id)
    config["history"].append({"created": images.CREATED, "created_by": "authorities"})
    layers = [*manifest["layers"], images.store_layer(registry, home, layer)]
    document = json.dumps(config, sort_keys=True).encode()
    images.store_manifest(registry, home, tag, document, layers)


def _read(registry: Path, digest: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(images.blob(registry, digest).read_bytes())
    return content
