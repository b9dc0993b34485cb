"""Archives of one image, as `docker save` writes them: OCI's layout, and Docker's list of it.

containerd (so k3s), docker, podman and kind read them.
"""

import io
import json
import os
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from clusterous_api.errors import UserError

MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
_OCI: Final = {"application/vnd.docker.image.rootfs.diff.tar.gzip": LAYER_TYPE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A part of an image: a file, by its digest."""

    path: Path
    digest: str
    size: int
    media_type: str

    @property
    def described(self) -> dict[str, Any]:
        """Return how a manifest speaks of it."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image with all of its parts."""

    name: str
    digest: str
    manifest: bytes
    media_type: str
    config: Blob
    layers: tuple[Blob, ...]


def as_oci(layer: Blob) -> Blob:
    """Return a layer under OCI's name of its kind: one manifest does not mix them with Docker's."""
    return replace(layer, media_type=_OCI.get(layer.media_type, layer.media_type))


def write(image: Image, name: str, target: Path) -> None:
    """Write *image*, called *name*, to *target*, which is at no moment half."""
    fresh = target.with_name(f"{target.name}.{os.getpid()}.new")
    with tarfile.open(fresh, "w", format=tarfile.PAX_FORMAT) as tar:
        for blob in sorted({one.digest: one for one in (image.config, *image.layers)}.items()):
            _add_file(tar, blob[1])
        _add(tar, _place(image.digest), image.manifest)
        _add(tar, "index.json", _json(_index(image, name)))
        _add(tar, "manifest.json", _json(_list(image, name)))
        _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
    fresh.replace(target)


def name_in(path: Path) -> str:
    """Return the only name that an archive gives to its only image."""
    try:
        with tarfile.open(path) as tar:
            listed = tar.extractfile("manifest.json")
            entries = json.load(listed) if listed else []
        names = [name for entry in entries for name in entry.get("RepoTags") or ()]
    except (OSError, KeyError, ValueError, AttributeError, TypeError, tarfile.TarError) as error:
        raise UserError(
            f"{path} is no archive of an image, as `docker save` writes it: {error}"
        ) from error
    if len(names) != 1:
        raise UserError(
            f"{path} holds {len(names)} names of images ({', '.join(names) or 'none'}); it has to"
            " be one: docker save -o FILE REPOSITORY:TAG"
        )
    return str(names[0])


def _index(image: Image, name: str) -> dict[str, Any]:
    described = {
        "mediaType": image.media_type,
        "digest": image.digest,
        "size": len(image.manifest),
        "annotations": {
            "io.containerd.image.name": name,
            "org.opencontainers.image.ref.name": name.rpartition(":")[2],
        },
    }
    kind = "application/vnd.oci.image.index.v1+json"
    return {"schemaVersion": 2, "mediaType": kind, "manifests": [described]}


def _list(image: Image, name: str) -> list[dict[str, Any]]:
    layers = [_place(layer.digest) for layer in image.layers]
    return [{"Config": _place(image.config.digest), "RepoTags": [name], "Layers": layers}]


def _place(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    tar.addfile(info, io.BytesIO(content))


def _add_file(tar: tarfile.TarFile, blob: Blob) -> None:
    info = tarfile.TarInfo(_place(blob.digest))
    info.size, info.mode = blob.size, 0o644
    with blob.path.open("rb") as file:
        tar.addfile(info, file)
