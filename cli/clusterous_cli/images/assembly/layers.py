"""A layer: files in a tar archive, the same bytes for the same files, whoever packs it and when."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from clusterous_cli.images.assembly.archives import LAYER_TYPE, Blob


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A file of a layer, or with *link* a symbolic link."""

    content: bytes = b""
    mode: int = 0o644
    link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What was packed, and the digest of its content before that."""

    blob: Blob
    diff_id: str


def write(files: Mapping[str, Node], folder: Path, when: int) -> Layer:
    """Pack *files*, by their paths from the root, into *folder*; all are of the second *when*."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted({*files, *_folders(files)}):
            tar.addfile(*_entry(path, files.get(path), when))
    content = plain.getvalue()
    packed = gzip.compress(content, compresslevel=6, mtime=0)
    digest = hashlib.sha256(packed).hexdigest()
    path_of = folder / digest
    folder.mkdir(parents=True, exist_ok=True)
    path_of.write_bytes(packed)
    blob = Blob(path=path_of, digest=f"sha256:{digest}", size=len(packed), media_type=LAYER_TYPE)
    return Layer(blob=blob, diff_id=f"sha256:{hashlib.sha256(content).hexdigest()}")


def _entry(path: str, node: Node | None, when: int) -> tuple[tarfile.TarInfo, io.BytesIO]:
    info = tarfile.TarInfo(path)
    info.mtime = when
    if node is None:
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        return info, io.BytesIO()
    info.mode = node.mode
    if node.link:
        info.type, info.linkname = tarfile.SYMTYPE, node.link
    info.size = len(node.content)
    return info, io.BytesIO(node.content)


def _folders(files: Mapping[str, Node]) -> set[str]:
    return {str(above) for path in files for above in PurePosixPath(path).parents} - {"."}
