"""Archives that builders write, opened: docker's and podman's list of an image, or OCI's layout."""

import gzip
import hashlib
import json
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from clusterous_api.errors import FailedError
from clusterous_cli.images.assembly.archives import LAYER_TYPE, Blob

PLATFORM: Final = ("linux", "amd64")
_ZSTD_TYPE: Final = "application/vnd.oci.image.layer.v1.tar+zstd"
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_CHUNK: Final = 1 << 20
# Packed, a layer is some three times smaller; a higher level gains a few percent, and takes longer.
_LEVEL: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer in the archive: under which name, and the digest of what it is unpacked."""

    member: str
    diff_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """The image in an archive."""

    archive: Path
    config: bytes
    layers: tuple[Layer, ...]

    def pack(self, layer: Layer, folder: Path) -> Blob:
        """Put a layer into *folder* as registries have them, having looked that it is whole."""
        target = folder / layer.diff_id.removeprefix("sha256:")
        with _opened(self.archive) as tar, _member(tar, layer.member) as source:
            kind = _packed(source, target, layer)
        with target.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = target.stat().st_size
        return Blob(path=target, digest=f"sha256:{digest}", size=size, media_type=kind)


def read(archive: Path) -> Saved:
    """Find the image for our nodes in *archive*."""
    try:
        with _opened(archive) as tar:
            named = set(tar.getnames())
            found = _listed(tar) if "manifest.json" in named else _laid_out(tar)
    except (
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        StopIteration,
        tarfile.TarError,
    ) as error:
        raise FailedError(f"What the builder wrote is no image: {error!r}") from error
    _check(json.loads(found.config))
    return found


@contextmanager
def _opened(archive: Path) -> Iterator[tarfile.TarFile]:
    with tarfile.open(archive, "r:") as tar:
        yield tar


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    file = tar.extractfile(name)  # follows links inside of the archive
    if file is None:
        raise KeyError(name)
    return file


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    with _member(tar, name) as file:
        return file.read()


def _listed(tar: tarfile.TarFile) -> Saved:
    """Read Docker's list, which names the parts; there may be several images, one a platform."""
    entries = json.loads(_read(tar, "manifest.json"))
    if not entries:
        raise ValueError("an empty list")
    configs = [_read(tar, entry["Config"]) for entry in entries]
    fitting = [n for n, text in enumerate(configs) if _platform(json.loads(text)) == PLATFORM]
    at = fitting[0] if fitting else 0
    return _saved(tar, configs[at], entries[at]["Layers"])


def _laid_out(tar: tarfile.TarFile) -> Saved:
    """Read OCI's layout: an index, perhaps of indices, of manifests."""
    manifest = json.loads(_read(tar, "index.json"))
    while "manifests" in manifest:
        manifest = json.loads(_read(tar, _place(_chosen(manifest["manifests"]))))
    layers = [_place(one) for one in manifest["layers"]]
    return _saved(tar, _read(tar, _place(manifest["config"])), layers)


def _chosen(listed: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return what is for our nodes, else what may be: attestations are for no platform at all."""
    platforms = [_platform(one.get("platform") or {}) for one in listed]
    if PLATFORM in platforms:
        return listed[platforms.index(PLATFORM)]
    return listed[next(n for n, one in enumerate(platforms) if "unknown" not in one)]


def _place(described: Mapping[str, Any]) -> str:
    return f"blobs/{str(described['digest']).replace(':', '/')}"


def _platform(config: Mapping[str, Any]) -> tuple[str, str]:
    return str(config.get("os")), str(config.get("architecture"))


def _saved(tar: tarfile.TarFile, config: bytes, members: list[str]) -> Saved:
    diff_ids = json.loads(config)["rootfs"].get("diff_ids") or []
    pairs = zip(members, diff_ids, strict=True)
    layers = tuple(Layer(member=member, diff_id=diff_id) for member, diff_id in pairs)
    return Saved(archive=Path(str(tar.name)), config=config, layers=layers)


def _check(config: Mapping[str, Any]) -> None:
    if _platform(config) != PLATFORM:
        raise FailedError(
            f"The builder made an image for {'/'.join(_platform(config))}; the nodes are"
            f" {'/'.join(PLATFORM)}. Does the base image exist for them?"
        )


def _packed(source: IO[bytes], target: Path, layer: Layer) -> str:
    """Write a layer as registries have them; return its media type."""
    start = source.read(4)
    source.seek(0)
    if start == _ZSTD:  # its content is checked by whoever unpacks it
        with target.open("wb") as file:
            shutil.copyfileobj(source, file, _CHUNK)
        return _ZSTD_TYPE
    digest = hashlib.sha256()
    if start[:2] == _GZIP:
        with target.open("wb") as file:
            shutil.copyfileobj(source, file, _CHUNK)
        with gzip.open(target) as plain:
            while piece := plain.read(_CHUNK):
                digest.update(piece)
    else:
        with (
            target.open("wb") as file,
            gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed,
        ):
            while piece := source.read(_CHUNK):
                digest.update(piece)
                packed.write(piece)
    if f"sha256:{digest.hexdigest()}" != layer.diff_id:
        raise FailedError(
            f"The builder's archive has a layer that is not what it is called ({layer.diff_id});"
            " nothing of it was pushed. Build it again."
        )
    return LAYER_TYPE
