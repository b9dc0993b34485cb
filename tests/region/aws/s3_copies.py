"""What S3 copies: the object that a request names as its source, and which bytes of it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import unquote

from tests.region.aws.errors import Refusal
from tests.region.aws.request import Request
from tests.region.aws.s3_scene import Scene
from tests.region.aws.s3_store import Version

# In bytes: what one call copies at most, and what an object must have more of for a range of it.
LARGEST: Final = 5 << 30
_LEAST: Final = 5 << 20
_PIECE: Final = 1 << 20
_SOURCE: Final = "x-amz-copy-source"
_RANGE: Final = "x-amz-copy-source-range"


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What the header names; *version* is empty where it names none."""

    bucket: str
    key: str
    version: str


def named(request: Request) -> Named:
    """Read the header: a path, encoded as in a URL, and perhaps a version."""
    path, _, version = request.headers[_SOURCE].partition("?versionId=")
    bucket, slash, key = unquote(path).removeprefix("/").partition("/")
    if not (bucket and slash and key):
        raise Refusal(
            "InvalidArgument",
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
            400,
            _argument(_SOURCE, request.headers[_SOURCE]),
        )
    return Named(bucket=bucket, key=key, version=version)


def source(scene: Scene) -> Version:
    """Return the object that is to be copied, which must be as the request wants it."""
    wanted = named(scene.request)
    bucket = scene.buckets.find(wanted.bucket)
    if bucket is None:
        details = {"BucketName": wanted.bucket}
        raise Refusal("NoSuchBucket", "The specified bucket does not exist", 404, details)
    if wanted.version:
        found = bucket.version(wanted.key, wanted.version)
        if found is None:
            raise Refusal("NoSuchVersion", "The specified version does not exist.", 404)
    else:
        found = bucket.latest(wanted.key)
    if found is None or found.path is None:
        details = {"Key": wanted.key}
        raise Refusal("NoSuchKey", "The specified key does not exist.", 404, details)
    _check_conditions(scene, found)
    return found


def _check_conditions(scene: Scene, found: Version) -> None:
    for name, holds in (("if-match", True), ("if-none-match", False)):
        etag = scene.request.headers.get(f"{_SOURCE}-{name}")
        if etag is not None and (etag.strip('"') == found.etag) is not holds:
            raise Refusal(
                "PreconditionFailed",
                "At least one of the pre-conditions you specified did not hold",
                412,
                {"Condition": f"{_SOURCE}-{name}"},
            )


def asked_range(scene: Scene, found: Version) -> tuple[int, int]:
    """Return start and length of the bytes that the request wants: all, unless it says."""
    text = scene.request.headers.get(_RANGE)
    if text is None:
        return 0, found.size
    match = re.fullmatch(r"bytes=([0-9]+)-([0-9]+)", text)
    if not match or int(match[1]) > int(match[2]):
        raise Refusal(
            "InvalidArgument",
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first "
            "and last are the zero-based offsets of the first and last bytes to copy",
            400,
            _argument(_RANGE, text),
        )
    if int(match[2]) >= found.size:
        raise Refusal(
            "InvalidArgument",
            f"Range specified is not valid for source object of size: {found.size}",
            400,
            _argument(_RANGE, text),
        )
    if found.size <= _LEAST:
        raise Refusal(
            "InvalidRequest",
            "The specified copy source is not supported as a byte-range copy source",
        )
    return int(match[1]), int(match[2]) - int(match[1]) + 1


def _argument(name: str, value: str) -> dict[str, str]:
    return {"ArgumentName": name, "ArgumentValue": value}


def check_size(size: int) -> None:
    """Refuse what is more than one call copies."""
    if size > LARGEST:
        raise Refusal(
            "InvalidRequest",
            "The specified copy source is larger than the maximum allowable size for a copy "
            f"source: {LARGEST}",
        )


def copy(file: BinaryIO, start: int, length: int, target: Path) -> str:
    """Write *length* bytes of *file* to *target*; return their MD5."""
    md5 = hashlib.md5(usedforsecurity=False)
    file.seek(start)
    with target.open("wb") as fresh:
        while length:
            piece = file.read(min(length, _PIECE))
            fresh.write(piece)
            md5.update(piece)
            length -= len(piece)
    return md5.hexdigest()


def copied_from(found: Version) -> dict[str, str]:
    """Return the header that says which version was copied, where there are versions."""
    return {} if found.id == "null" else {f"{_SOURCE}-version-id": found.id}
