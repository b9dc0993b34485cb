"""S3's operations on objects: put, get by range, copy, delete, tags."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Any, Final
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from tests.region.aws import s3_body, s3_copies
from tests.region.aws.errors import Refusal
from tests.region.aws.log import Told
from tests.region.aws.request import Answer, FilePart
from tests.region.aws.s3_buckets import NAMESPACE, document, parsed, time, xml
from tests.region.aws.s3_scene import Scene
from tests.region.aws.s3_store import Version

# Bytes of a document of a machine's that the log keeps.
_MOST_TOLD: Final = 64 << 10
# Headers that are kept with an object and given back.
_KEPT: Final = (
    "content-type",
    "content-encoding",
    "content-disposition",
    "content-language",
    "cache-control",
    "expires",
    "x-amz-storage-class",
)


def kept_headers(scene: Scene) -> dict[str, str]:
    headers = scene.request.headers
    kept = {k: v for k, v in headers.items() if k in _KEPT or k.startswith("x-amz-meta-")}
    encodings = [e.strip() for e in kept.pop("content-encoding", "").split(",")]
    # aws-chunked is how the body travelled, not what it is.
    real = [e for e in encodings if e and e != "aws-chunked"]
    if real:
        kept["content-encoding"] = ",".join(real)
    kept.setdefault("content-type", "binary/octet-stream")
    return kept


def request_tags(scene: Scene) -> dict[str, str]:
    return dict(parse_qsl(scene.request.headers.get("x-amz-tagging", "")))


def check_conditions(scene: Scene) -> None:
    """Check If-None-Match and If-Match of a write: how two writers are kept apart."""
    headers = scene.request.headers
    existing = scene.bucket.latest(scene.key)
    if headers.get("if-none-match") == "*" and existing:
        raise _precondition("If-None-Match")
    wanted = headers.get("if-match")
    if wanted is None:
        return
    if existing is None:
        raise no_such_key(scene)
    if wanted != "*" and wanted.strip('"') != existing.etag:
        raise _precondition("If-Match")


def _precondition(header: str) -> Refusal:
    return Refusal(
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold",
        412,
        {"Condition": header},
    )


def no_such_key(scene: Scene) -> Refusal:
    """A missing object; who may not list the bucket is not even told that it is missing."""
    if not scene.may("s3:ListBucket", scene.name):
        return Refusal("AccessDenied", "Access Denied", 403)
    return Refusal("NoSuchKey", "The specified key does not exist.", 404, {"Key": scene.key})


# --- writing ----------------------------------------------------------------------------------


def _put(scene: Scene) -> Answer:
    with scene.buckets.lock:
        check_conditions(scene)
    if len(scene.key.encode()) > 1024:
        raise Refusal("KeyTooLongError", "Your key is too long")
    verified = scene.request.verified
    assert verified is not None
    received = s3_body.receive(scene.request, verified, scene.bucket.new_file())
    version = Version(
        key=scene.key,
        id=scene.bucket.new_version_id(),
        path=received.path,
        size=received.size,
        etag=received.md5,
        modified=scene.world.clock(),
        headers=kept_headers(scene),
        checksums=received.checksums,
        tags=request_tags(scene),
    )
    store(scene, version)
    _note_told(scene, version)
    return Answer(headers={**written(version), **version.checksums})


def _note_told(scene: Scene, version: Version) -> None:
    """Keep what a machine told: in the bucket its next document takes the place of this one."""
    identity = scene.request.identity
    if identity is None or identity.role is None or not scene.key.endswith(".json"):
        return
    if version.path is not None and version.size <= _MOST_TOLD:
        scene.world.log.tell(
            Told(
                time=version.modified,
                caller=identity.label,
                resource=f"{scene.name}/{scene.key}",
                text=version.path.read_text(errors="replace"),
            )
        )


def store(scene: Scene, version: Version) -> None:
    """Put *version* in place, unless its conditions have become untrue while it came in."""
    with scene.buckets.lock:
        try:
            check_conditions(scene)
        except Refusal:
            if version.path:
                version.path.unlink()
            raise
        scene.bucket.put(version)


def written(version: Version) -> dict[str, str]:
    headers = {"ETag": f'"{version.etag}"', "x-amz-server-side-encryption": "AES256"}
    if version.id != "null":
        headers["x-amz-version-id"] = version.id
    return headers


def _copy(scene: Scene) -> Answer:
    source = s3_copies.source(scene)
    s3_copies.check_size(source.size)
    assert source.path is not None
    headers = scene.request.headers
    path = scene.bucket.new_file()
    os.link(source.path, path)
    replaced = headers.get("x-amz-metadata-directive") == "REPLACE"
    version = Version(
        key=scene.key,
        id=scene.bucket.new_version_id(),
        path=path,
        size=source.size,
        etag=source.etag.partition("-")[0],
        modified=scene.world.clock(),
        headers=kept_headers(scene) if replaced else source.headers,
        checksums=source.checksums,
        tags=source.tags,
    )
    store(scene, version)
    return xml(
        f'<CopyObjectResult xmlns="{NAMESPACE}"><LastModified>{time(version.modified)}'
        f"</LastModified><ETag>&quot;{version.etag}&quot;</ETag></CopyObjectResult>",
        {**written(version), **s3_copies.copied_from(source)},
    )


# --- reading ----------------------------------------------------------------------------------


def _get(scene: Scene) -> Answer:
    with scene.buckets.lock:
        version = _wanted(scene)
        headers = _described(scene, version)
        early = _unchanged(scene, version)
        if early:
            return Answer(status=early, headers=headers)
        start, length, status = _range(scene, version)
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{version.size}"
        headers["Content-Length"] = str(length)
        if scene.request.method == "HEAD":
            return Answer(status=status, headers=headers)
        # Opened while it is certain to be there: somebody may replace the object now.
        return Answer(status=status, headers=headers, body=_part(version, start, length))


def _part(version: Version, start: int, length: int) -> FilePart:
    assert version.path is not None
    file = version.path.open("rb")
    file.seek(start)
    return FilePart(file=file, length=length)


def _wanted(scene: Scene) -> Version:
    id = scene.request.params.get("versionId")
    if id is None:
        version = scene.bucket.latest(scene.key)
        if version is None:
            raise no_such_key(scene)
        return version
    version = scene.bucket.version(scene.key, id)
    if version is None:
        raise Refusal("NoSuchVersion", "The specified version does not exist.", 404)
    if version.path is None:
        raise Refusal(
            "MethodNotAllowed", "The specified method is not allowed against this resource.", 405
        )
    return version


_OVERRIDES: Final = {
    "response-content-type": "content-type",
    "response-content-disposition": "content-disposition",
    "response-content-encoding": "content-encoding",
    "response-cache-control": "cache-control",
}


def _described(scene: Scene, version: Version) -> dict[str, str]:
    headers = {
        **written(version),
        **version.headers,
        "Last-Modified": formatdate(version.modified, usegmt=True),
        "Accept-Ranges": "bytes",
    }
    if version.tags:
        headers["x-amz-tagging-count"] = str(len(version.tags))
    if (
        scene.request.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED"
        and "range" not in scene.request.headers
    ):
        headers |= version.checksums
    for name, header in _OVERRIDES.items():
        if name in scene.request.params:
            headers[header] = scene.request.params[name]
    return headers


def _unchanged(scene: Scene, version: Version) -> int | None:
    headers = scene.request.headers
    match = headers.get("if-match")
    if match and match != "*" and match.strip('"') != version.etag:
        raise _precondition("If-Match")
    none = headers.get("if-none-match")
    if none and (none == "*" or none.strip('"') == version.etag):
        return 304
    return None


def _range(scene: Scene, version: Version) -> tuple[int, int, int]:
    """Return start, length and status for the request's Range header."""
    text = scene.request.headers.get("range", "")
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", text)
    if not found or not (found[1] or found[2]):
        return 0, version.size, 200
    if not found[1]:
        length = min(int(found[2]), version.size)
        return version.size - length, length, 206
    start = int(found[1])
    end = min(int(found[2]) if found[2] else version.size - 1, version.size - 1)
    if start >= version.size or end < start:
        raise Refusal(
            "InvalidRange",
            "The requested range is not satisfiable",
            416,
            {"RangeRequested": text, "ActualObjectSize": str(version.size)},
        )
    return start, end - start + 1, 206


# --- deleting ---------------------------------------------------------------------------------


def _delete(scene: Scene) -> Answer:
    return Answer(
        status=204, headers=_remove(scene, scene.key, scene.request.params.get("versionId"))
    )


def _remove(scene: Scene, key: str, id: str | None) -> dict[str, str]:
    """Delete for good, or mark as deleted; what is not there is no error."""
    bucket = scene.bucket
    with scene.buckets.lock:
        if id is not None:
            bucket.remove(key, id)
            return {"x-amz-version-id": id}
        if not bucket.versioning:
            bucket.remove(key, "null")
            return {}
        marker = Version(
            key=key,
            id=bucket.new_version_id(),
            path=None,
            size=0,
            etag="",
            modified=scene.world.clock(),
        )
        bucket.put(marker)
        return {"x-amz-version-id": marker.id, "x-amz-delete-marker": "true"}


def _delete_many(scene: Scene) -> Answer:
    headers = scene.request.headers
    told = "content-md5" in headers or any(h.startswith("x-amz-checksum-") for h in headers)
    if not told and "x-amz-trailer" not in headers:
        raise Refusal("InvalidRequest", "Missing required header for this request: Content-MD5")
    root = parsed(document(scene))
    objects = [
        {_name(child): child.text or "" for child in each}
        for each in root
        if _name(each) == "Object"
    ]
    if not 0 < len(objects) <= 1000:
        raise Refusal(
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published "
            "schema",
        )
    quiet = any(_name(each) == "Quiet" and each.text == "true" for each in root)
    results = [_delete_one(scene, o["Key"], o.get("VersionId")) for o in objects]
    shown = "".join(text for text, failed in results if failed or not quiet)
    return xml(f'<DeleteResult xmlns="{NAMESPACE}">{shown}</DeleteResult>')


def _name(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _delete_one(scene: Scene, key: str, id: str | None) -> tuple[str, bool]:
    action = "s3:DeleteObjectVersion" if id else "s3:DeleteObject"
    shown = f"<Key>{escape(key)}</Key>" + (f"<VersionId>{id}</VersionId>" if id else "")
    if not scene.may(action, f"{scene.name}/{key}"):
        said = "<Code>AccessDenied</Code><Message>Access Denied</Message>"
        return f"<Error>{shown}{said}</Error>", True
    told = _remove(scene, key, id)
    if "x-amz-delete-marker" in told:
        shown += "<DeleteMarker>true</DeleteMarker>"
        shown += f"<DeleteMarkerVersionId>{told['x-amz-version-id']}</DeleteMarkerVersionId>"
    return f"<Deleted>{shown}</Deleted>", False


# --- tags -------------------------------------------------------------------------------------


def _get_tags(scene: Scene) -> Answer:
    tags = "".join(
        f"<Tag><Key>{escape(k)}</Key><Value>{escape(v)}</Value></Tag>"
        for k, v in _wanted(scene).tags.items()
    )
    return xml(f'<Tagging xmlns="{NAMESPACE}"><TagSet>{tags}</TagSet></Tagging>')


OPERATIONS: Final[Mapping[str, Callable[[Scene], Answer]]] = {
    "PutObject": _put,
    "CopyObject": _copy,
    "GetObject": _get,
    "HeadObject": _get,
    "DeleteObject": _delete,
    "DeleteObjects": _delete_many,
    "GetObjectTagging": _get_tags,
}
