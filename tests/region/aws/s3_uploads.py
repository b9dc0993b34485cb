"""S3's multipart uploads."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Callable, Mapping
from typing import Final
from xml.sax.saxutils import escape

from tests.region.aws import s3_body, s3_copies, s3_objects
from tests.region.aws.errors import Refusal
from tests.region.aws.request import Answer
from tests.region.aws.s3_buckets import NAMESPACE, document, parsed, time, xml
from tests.region.aws.s3_scene import Scene
from tests.region.aws.s3_store import Part, Upload, Version

_SMALLEST: Final = 5 << 20


def _begin(scene: Scene) -> Answer:
    document(scene)
    upload = Upload(
        id=uuid.uuid4().hex,
        key=scene.key,
        headers=s3_objects.kept_headers(scene),
        tags=s3_objects.request_tags(scene),
        began=scene.world.clock(),
    )
    scene.bucket.uploads[upload.id] = upload
    return xml(
        f'<InitiateMultipartUploadResult xmlns="{NAMESPACE}"><Bucket>{scene.name}</Bucket>'
        f"<Key>{escape(scene.key)}</Key><UploadId>{upload.id}</UploadId>"
        "</InitiateMultipartUploadResult>"
    )


def _upload(scene: Scene) -> Upload:
    upload = scene.bucket.uploads.get(scene.request.params["uploadId"])
    if upload is None or upload.key != scene.key:
        raise Refusal(
            "NoSuchUpload",
            "The specified upload does not exist. The upload ID may be invalid, or the upload "
            "may have been aborted or completed.",
            404,
        )
    return upload


def _number(scene: Scene) -> int:
    text = scene.request.params.get("partNumber", "")
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= number <= 10_000:
        raise Refusal(
            "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive"
        )
    return number


def _part(scene: Scene) -> Answer:
    upload, number = _upload(scene), _number(scene)
    verified = scene.request.verified
    assert verified is not None
    received = s3_body.receive(scene.request, verified, scene.bucket.new_file())
    part = Part(
        path=received.path,
        size=received.size,
        etag=received.md5,
        modified=scene.world.clock(),
    )
    _keep(scene, upload, number, part)
    return Answer(headers={"ETag": f'"{part.etag}"', **received.checksums})


def _copied_part(scene: Scene) -> Answer:
    """Make a part of an object that is there, or of a range of it: UploadPartCopy."""
    document(scene)
    upload, number = _upload(scene), _number(scene)
    with scene.buckets.lock:
        source = s3_copies.source(scene)
        start, length = s3_copies.asked_range(scene, source)
        s3_copies.check_size(length)
        assert source.path is not None
        file = source.path.open("rb")  # it is certain to be there now
    with file:
        path = scene.bucket.new_file()
        etag = s3_copies.copy(file, start, length, path)
    part = Part(path=path, size=length, etag=etag, modified=scene.world.clock())
    _keep(scene, upload, number, part)
    return xml(
        f'<CopyPartResult xmlns="{NAMESPACE}"><LastModified>{time(part.modified)}</LastModified>'
        f"<ETag>&quot;{part.etag}&quot;</ETag></CopyPartResult>",
        {"x-amz-server-side-encryption": "AES256", **s3_copies.copied_from(source)},
    )


def _keep(scene: Scene, upload: Upload, number: int, part: Part) -> None:
    """Let *part* be the upload's part *number*; whatever that was before is gone."""
    with scene.buckets.lock:
        before = upload.parts.get(number)
        upload.parts[number] = part
    if before:
        before.path.unlink(missing_ok=True)


def _complete(scene: Scene) -> Answer:
    upload = _upload(scene)
    parts = _chosen(upload, document(scene))
    with scene.buckets.lock:
        s3_objects.check_conditions(scene)
    path = scene.bucket.new_file()
    with path.open("wb") as whole:
        for part in parts:
            with part.path.open("rb") as piece:
                shutil.copyfileobj(piece, whole, 1 << 20)
    digests = b"".join(bytes.fromhex(part.etag) for part in parts)
    etag = hashlib.md5(digests, usedforsecurity=False).hexdigest()
    version = Version(
        key=scene.key,
        id=scene.bucket.new_version_id(),
        path=path,
        size=sum(part.size for part in parts),
        etag=f"{etag}-{len(parts)}",
        modified=scene.world.clock(),
        headers=upload.headers,
        tags=upload.tags,
    )
    s3_objects.store(scene, version)
    _forget(scene, upload)
    return xml(
        f'<CompleteMultipartUploadResult xmlns="{NAMESPACE}">'
        f"<Location>https://{scene.name}.s3.{scene.bucket.region}.amazonaws.com/"
        f"{escape(scene.key)}</Location><Bucket>{scene.name}</Bucket>"
        f"<Key>{escape(scene.key)}</Key><ETag>&quot;{version.etag}&quot;</ETag>"
        "</CompleteMultipartUploadResult>",
        s3_objects.written(version),
    )


def _chosen(upload: Upload, body: bytes) -> list[Part]:
    """Return the parts that the client lists, in order, complete and big enough."""
    listed = [
        {child.tag.rpartition("}")[2]: (child.text or "").strip('"') for child in each}
        for each in parsed(body)
    ]
    numbers = [int(each.get("PartNumber", "0")) for each in listed]
    if not numbers:
        raise Refusal("MalformedXML", "You must specify at least one part")
    if numbers != sorted(set(numbers)):
        raise Refusal("InvalidPartOrder", "The list of parts was not in ascending order.")
    for each, number in zip(listed, numbers, strict=True):
        if number not in upload.parts or upload.parts[number].etag != each.get("ETag"):
            raise Refusal(
                "InvalidPart",
                "One or more of the specified parts could not be found. The part may not have "
                "been uploaded, or the specified entity tag may not match the part's entity tag.",
            )
    parts = [upload.parts[number] for number in numbers]
    if any(part.size < _SMALLEST for part in parts[:-1]):
        raise Refusal(
            "EntityTooSmall",
            "Your proposed upload is smaller than the minimum allowed size",
        )
    return parts


def _forget(scene: Scene, upload: Upload) -> None:
    scene.bucket.uploads.pop(upload.id, None)
    for part in upload.parts.values():
        part.path.unlink(missing_ok=True)


def _abort(scene: Scene) -> Answer:
    _forget(scene, _upload(scene))
    return Answer(status=204)


def _list_parts(scene: Scene) -> Answer:
    upload = _upload(scene)
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{part.etag}&quot;</ETag>"
        f"<Size>{part.size}</Size><LastModified>{time(part.modified)}</LastModified></Part>"
        for number, part in sorted(upload.parts.items())
    )
    return xml(
        f'<ListPartsResult xmlns="{NAMESPACE}"><Bucket>{scene.name}</Bucket>'
        f"<Key>{escape(scene.key)}</Key><UploadId>{upload.id}</UploadId>"
        f"<IsTruncated>false</IsTruncated>{parts}</ListPartsResult>"
    )


def _list_uploads(scene: Scene) -> Answer:
    uploads = "".join(
        f"<Upload><Key>{escape(u.key)}</Key><UploadId>{u.id}</UploadId>"
        f"<Initiated>{time(u.began)}</Initiated></Upload>"
        for u in scene.bucket.uploads.values()
    )
    return xml(
        f'<ListMultipartUploadsResult xmlns="{NAMESPACE}"><Bucket>{scene.name}</Bucket>'
        f"<IsTruncated>false</IsTruncated>{uploads}</ListMultipartUploadsResult>"
    )


OPERATIONS: Final[Mapping[str, Callable[[Scene], Answer]]] = {
    "CreateMultipartUpload": _begin,
    "UploadPart": _part,
    "UploadPartCopy": _copied_part,
    "CompleteMultipartUpload": _complete,
    "AbortMultipartUpload": _abort,
    "ListParts": _list_parts,
    "ListMultipartUploads": _list_uploads,
}
