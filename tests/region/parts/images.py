"""Container images without a container engine: layers, configs, archives and registry storage.

An image is a list of tar files and a JSON document; this module writes both, by their digests.
The same image gives the same bytes each time.
"""

import gzip
import hashlib
import io
import json
import os
import shutil
import stat
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

# Everything that would differ from build to build is held at this moment.
CREATED: Final = "2026-01-01T00:00:00Z"
MANIFEST_TYPE: Final = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE: Final = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_EPOCH: Final = 1767225600
CHUNK: Final = 1 << 20
# What these hold on the machine that assembles an image is not part of it.
_VOLATILE: Final = frozenset({"dev", "proc", "sys", "run"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """An uncompressed tar file and its digest, which the config names as `diff_id`."""

    tar: Path
    diff_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What an archive or a registry is given: a full name with its tag, and the content."""

    name: str
    layers: tuple[Layer, ...]
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    folder: str = "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file (content or source on disk), a symlink or, with neither, a folder of a layer.

    *owner* is a user and the group of that number, *capabilities* those of a program's file.
    """

    content: bytes | None = None
    source: Path | None = None
    link: str | None = None
    mode: int = 0o755
    owner: int = 0
    capabilities: bytes = b""


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def layer_of(tar: Path) -> Layer:
    """Return the layer that a tar file is."""
    with tar.open("rb") as file:
        return Layer(tar=tar, diff_id=f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}")


def layer_from_entries(entries: Mapping[str, Entry], target: Path) -> Layer:
    """Write a layer of the given entries, by their paths inside; folders come by themselves."""
    with _open_tar(target) as tar:
        for path in sorted({*entries, *_parents(entries)}):
            _add_entry(tar, path, entries.get(path, Entry()))
    return layer_of(target)


def layer_from_tree(tree: Path, target: Path, *, below: Path | None = None) -> Layer:
    """Write a layer of a root file system: whole, or what it adds to and lacks of *below*."""
    with _open_tar(target) as tar:
        for path in _walk(tree):
            if below is None or _differs(tree / path, below / path):
                _add_file(tar, tree, path)
        for path in _walk(below) if below else ():
            # The mark of the image format for "this is gone", once for a whole folder.
            if not os.path.lexists(tree / path) and os.path.lexists((tree / path).parent):
                tar.addfile(_header(str(path.with_name(f".wh.{path.name}"))))
    return layer_of(target)


def config(image: Image) -> bytes:
    """Return the document that says how to run the image and of which layers it is made."""
    document = {
        "created": CREATED,
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Env": [f"{name}={value}" for name, value in image.environment.items()],
            "Entrypoint": list(image.entrypoint) or None,
            "Cmd": list(image.command) or None,
            "User": image.user,
            "WorkingDir": image.folder,
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in image.layers]},
        "history": [{"created": CREATED, "created_by": "clusterous"} for _ in image.layers],
    }
    return json.dumps(document, sort_keys=True).encode()


def write_archive(images: Sequence[Image], target: Path) -> None:
    """Write what `docker save` writes: several images in one tar file, shared layers once."""
    written: set[str] = set()
    index = []
    with _open_tar(target) as tar:
        for image in images:
            document = config(image)
            name = f"{_hex(digest_of(document))}.json"
            _add_once(tar, written, name, document)
            for layer in image.layers:
                _add_layer(tar, written, layer)
            layers = [_layer_name(layer) for layer in image.layers]
            index.append({"Config": name, "RepoTags": [image.name], "Layers": layers})
        _add_once(tar, written, "manifest.json", json.dumps(index, sort_keys=True).encode())


def store(image: Image, repository: str, tag: str, storage: Path) -> str:
    """Put an image into the storage folder of a distribution registry; return its digest.

    The folder's layout is that of the registry's "filesystem" driver.
    """
    registry = storage / "docker" / "registry" / "v2"
    home = registry / "repositories" / repository
    layers = [store_layer(registry, home, layer) for layer in image.layers]
    return store_manifest(registry, home, tag, config(image), layers)


def store_manifest(
    registry: Path, home: Path, tag: str, document: bytes, layers: Sequence[Mapping[str, Any]]
) -> str:
    """Let *tag* in the repository *home* stand for a config and *layers*; return its digest."""
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": _store_blob(registry, home / "_layers", CONFIG_TYPE, document),
            "layers": layers,
        },
        sort_keys=True,
    ).encode()
    kept = _store_blob(registry, home / "_manifests" / "revisions", MANIFEST_TYPE, manifest)
    digest = str(kept["digest"])
    _write(home / "_manifests" / "tags" / tag / "current" / "link", digest.encode())
    _link(home / "_manifests" / "tags" / tag / "index", digest)
    return digest


def store_layer(registry: Path, home: Path, layer: Layer) -> dict[str, Any]:
    """Put a layer into a repository, and return how a manifest names it."""
    partial = registry / f".{_hex(layer.diff_id)}.partial"
    partial.parent.mkdir(parents=True, exist_ok=True)
    with (
        partial.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="", compresslevel=6) as packed,
        layer.tar.open("rb") as source,
    ):
        shutil.copyfileobj(source, packed, CHUNK)
    digest = layer_of(partial).diff_id
    place = blob(registry, digest)
    place.parent.mkdir(parents=True, exist_ok=True)
    partial.replace(place)
    _link(home / "_layers", digest)
    return _descriptor(LAYER_TYPE, place.stat().st_size, digest)


def blob(registry: Path, digest: str) -> Path:
    """Return where the content of a digest lies."""
    name = _hex(digest)
    return registry / "blobs" / "sha256" / name[:2] / name / "data"


def _store_blob(registry: Path, links: Path, kind: str, content: bytes) -> dict[str, Any]:
    digest = digest_of(content)
    _write(blob(registry, digest), content)
    _link(links, digest)
    return _descriptor(kind, len(content), digest)


def _descriptor(kind: str, size: int, digest: str) -> dict[str, Any]:
    return {"mediaType": kind, "size": size, "digest": digest}


def _link(folder: Path, digest: str) -> None:
    _write(folder / "sha256" / _hex(digest) / "link", digest.encode())


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _layer_name(layer: Layer) -> str:
    return f"{_hex(layer.diff_id)}.tar"


def _open_tar(target: Path) -> tarfile.TarFile:
    # PAX keeps what dpkg may have set: file capabilities, long names, sub-second times are cut.
    return tarfile.open(target, "w", format=tarfile.PAX_FORMAT)


def _header(path: str, *, size: int = 0, mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.size, info.mode = size, mode
    return info


def _add_once(tar: tarfile.TarFile, written: set[str], name: str, content: bytes) -> None:
    if name not in written:
        written.add(name)
        tar.addfile(_header(name, size=len(content)), io.BytesIO(content))


def _add_layer(tar: tarfile.TarFile, written: set[str], layer: Layer) -> None:
    name = _layer_name(layer)
    if name not in written:
        written.add(name)
        with layer.tar.open("rb") as file:
            tar.addfile(_header(name, size=layer.tar.stat().st_size), file)


def _parents(paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        yield from (str(parent) for parent in Path(path).parents if str(parent) != ".")


def _add_entry(tar: tarfile.TarFile, path: str, entry: Entry) -> None:
    info = _header(path, mode=entry.mode)
    info.uid = info.gid = entry.owner
    if entry.capabilities:
        # An attribute is bytes; what is no text goes into the header as it is.
        value = entry.capabilities.decode(errors="surrogateescape")
        info.pax_headers = {"SCHILY.xattr.security.capability": value}
    if entry.link is not None:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
        tar.addfile(info)
    elif entry.source is not None:
        with entry.source.open("rb") as file:
            info.size = entry.source.stat().st_size
            tar.addfile(info, file)
    elif entry.content is not None:
        info.size = len(entry.content)
        tar.addfile(info, io.BytesIO(entry.content))
    else:
        info.type = tarfile.DIRTYPE
        tar.addfile(info)


def _walk(tree: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(tree):
        folders.sort()
        here = Path(folder).relative_to(tree)
        yield from sorted(here / name for name in [*folders, *files])
        if here == Path():
            folders[:] = [name for name in folders if name not in _VOLATILE]


def _differs(path: Path, other: Path) -> bool:
    if not os.path.lexists(other):
        return True
    mine, theirs = path.lstat(), other.lstat()
    if (mine.st_mode, mine.st_uid, mine.st_gid) != (theirs.st_mode, theirs.st_uid, theirs.st_gid):
        return True
    if stat.S_ISLNK(mine.st_mode):
        return os.readlink(path) != os.readlink(other)
    return stat.S_ISREG(mine.st_mode) and path.read_bytes() != other.read_bytes()


def _add_file(tar: tarfile.TarFile, tree: Path, path: Path) -> None:
    info = tar.gettarinfo(tree / path, arcname=str(path))
    # A hard link may lead into a layer below, or to what was left out: each file is a copy.
    if info.islnk():
        info.type, info.linkname = tarfile.REGTYPE, ""
        info.size = (tree / path).stat().st_size
    info.mtime, info.uname, info.gname = min(int(info.mtime), _EPOCH), "", ""
    if info.isreg():
        with (tree / path).open("rb") as file:
            tar.addfile(info, file)
    elif not info.ischr() and not info.isblk():
        tar.addfile(info)
