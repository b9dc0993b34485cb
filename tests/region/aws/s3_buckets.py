"""S3's operations on buckets: create, configure, list, delete.

us-east-1 is asked for by not asking: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from tests.region.aws import regions, s3_body
from tests.region.aws.errors import Refusal
from tests.region.aws.request import Answer
from tests.region.aws.s3_scene import Scene
from tests.region.aws.s3_store import Bucket, Version

NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
_NAME: Final = re.compile(r"(?!xn--|\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PUBLIC: Final = (
    "BlockPublicAcls",
    "IgnorePublicAcls",
    "BlockPublicPolicy",
    "RestrictPublicBuckets",
)

# What a new bucket has on AWS without being asked: encrypted, private, owner enforced.
_DEFAULTS: Final[Mapping[str, bytes]] = {
    "encryption": (
        f'<ServerSideEncryptionConfiguration xmlns="{NAMESPACE}"><Rule>'
        "<ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm>"
        "</ApplyServerSideEncryptionByDefault><BucketKeyEnabled>false</BucketKeyEnabled>"
        "</Rule></ServerSideEncryptionConfiguration>"
    ).encode(),
    "publicAccessBlock": (
        f'<PublicAccessBlockConfiguration xmlns="{NAMESPACE}">'
        + "".join(f"<{name}>true</{name}>" for name in _PUBLIC)
        + "</PublicAccessBlockConfiguration>"
    ).encode(),
    "ownershipControls": (
        f'<OwnershipControls xmlns="{NAMESPACE}"><Rule><ObjectOwnership>BucketOwnerEnforced'
        "</ObjectOwnership></Rule></OwnershipControls>"
    ).encode(),
    "versioning": f'<VersioningConfiguration xmlns="{NAMESPACE}"/>'.encode(),
}

# Subresource → the error when it was never put.
_ABSENT: Final[Mapping[str, tuple[str, str]]] = {
    "encryption": (
        "ServerSideEncryptionConfigurationNotFoundError",
        "The server side encryption configuration was not found",
    ),
    "publicAccessBlock": (
        "NoSuchPublicAccessBlockConfiguration",
        "The public access block configuration was not found",
    ),
    "policy": ("NoSuchBucketPolicy", "The bucket policy does not exist"),
    "lifecycle": (
        "NoSuchLifecycleConfiguration",
        "The lifecycle configuration does not exist",
    ),
    "tagging": ("NoSuchTagSet", "The TagSet does not exist"),
    "ownershipControls": (
        "OwnershipControlsNotFoundError",
        "The bucket ownership controls were not found",
    ),
    "cors": ("NoSuchCORSConfiguration", "The CORS configuration does not exist"),
}


def xml(text: str, headers: Mapping[str, str] | None = None) -> Answer:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()
    return Answer(headers={"Content-Type": "application/xml", **(headers or {})}, body=body)


def time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def document(scene: Scene) -> bytes:
    """Return the request's document, checked against its signature and checksums."""
    verified = scene.request.verified
    assert verified is not None
    return s3_body.small(scene.request, verified, scene.world.state_dir / "s3" / ".documents")


def parsed(body: bytes) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(body)
    except ElementTree.ParseError:
        raise Refusal(
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published "
            "schema",
        ) from None


# --- buckets ----------------------------------------------------------------------------------


def _list(scene: Scene) -> Answer:
    items = "".join(
        f"<Bucket><Name>{b.name}</Name><CreationDate>{time(b.created)}</CreationDate>"
        f"<BucketRegion>{b.region}</BucketRegion></Bucket>"
        for b in scene.buckets.all()
        if b.name.startswith(scene.request.params.get("prefix", ""))
    )
    return xml(
        f'<ListAllMyBucketsResult xmlns="{NAMESPACE}"><Owner><ID>region</ID></Owner>'
        f"<Buckets>{items}</Buckets></ListAllMyBucketsResult>"
    )


def _create(scene: Scene) -> Answer:
    body = document(scene)
    region = _location(body)
    here = scene.request.target.region or "us-east-1"
    if not _NAME.fullmatch(scene.name) or ".." in scene.name:
        raise Refusal(
            "InvalidBucketName",
            "The specified bucket is not valid.",
            400,
            {"BucketName": scene.name},
        )
    if not regions.is_one(region) or (region == "us-east-1" and b"LocationConstraint" in body):
        raise Refusal("InvalidLocationConstraint", "The specified location-constraint is not valid")
    if region != here and here != "us-east-1":
        raise Refusal(
            "IllegalLocationConstraintException",
            f"The {region if body else 'unspecified'} location constraint is incompatible for "
            "the region specific endpoint this request was sent to.",
        )
    with scene.buckets.lock:
        _check_free(scene, region)
        bucket = scene.buckets.create(scene.name, region, scene.world.clock())
        bucket.documents.update(_DEFAULTS)
    return Answer(headers={"Location": f"/{scene.name}"})


def _location(body: bytes) -> str:
    if not body:
        return "us-east-1"
    return next(
        (
            e.text or "us-east-1"
            for e in parsed(body).iter()
            if e.tag.endswith("LocationConstraint")
        ),
        "us-east-1",
    )


def _check_free(scene: Scene, region: str) -> None:
    existing = scene.buckets.find(scene.name)
    if existing is None:
        return
    raise Refusal(
        "BucketAlreadyOwnedByYou",
        "Your previous request to create the named bucket succeeded and you already own it.",
        409,
        {"BucketName": scene.name},
    )


def _delete(scene: Scene) -> Answer:
    with scene.buckets.lock:
        if scene.bucket.versions:
            versioned = " You must delete all versions in the bucket."
            raise Refusal(
                "BucketNotEmpty",
                "The bucket you tried to delete is not empty."
                + (versioned if scene.bucket.versioning else ""),
                409,
                {"BucketName": scene.name},
            )
        scene.buckets.delete(scene.name)
    return Answer(status=204)


def _head(scene: Scene) -> Answer:
    return Answer(headers={"x-amz-bucket-region": scene.bucket.region})


def _location_of(scene: Scene) -> Answer:
    region = "" if scene.bucket.region == "us-east-1" else scene.bucket.region
    return xml(f'<LocationConstraint xmlns="{NAMESPACE}">{region}</LocationConstraint>')


def _acl(scene: Scene) -> Answer:
    owner = "<ID>region</ID><DisplayName>you</DisplayName>"
    return xml(
        f'<AccessControlPolicy xmlns="{NAMESPACE}"><Owner>{owner}</Owner><AccessControlList>'
        '<Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:type="CanonicalUser">{owner}</Grantee><Permission>FULL_CONTROL</Permission></Grant>'
        "</AccessControlList></AccessControlPolicy>"
    )


# --- configurations ---------------------------------------------------------------------------


def _get_document(name: str) -> Callable[[Scene], Answer]:
    def get(scene: Scene) -> Answer:
        found = scene.bucket.documents.get(name)
        if found is None:
            code, message = _ABSENT[name]
            raise Refusal(code, message, 404, {"BucketName": scene.name})
        kind = "application/json" if name == "policy" else "application/xml"
        return Answer(headers={"Content-Type": kind}, body=found)

    return get


def _put_document(name: str) -> Callable[[Scene], Answer]:
    def put(scene: Scene) -> Answer:
        body = document(scene)
        _check_document(name, body)
        scene.bucket.documents[name] = body
        return Answer(status=204 if name in ("policy", "tagging") else 200)

    return put


def _check_document(name: str, body: bytes) -> None:
    if name != "policy":
        parsed(body)
        return
    try:
        json.loads(body)
    except ValueError:
        raise Refusal(
            "MalformedPolicy",
            "Policies must be valid JSON and the first byte must be '{'",
        ) from None


def _delete_document(name: str) -> Callable[[Scene], Answer]:
    def delete(scene: Scene) -> Answer:
        scene.bucket.documents.pop(name, None)
        if name == "encryption":  # S3 always encrypts: deleting goes back to the default.
            scene.bucket.documents[name] = _DEFAULTS[name]
        return Answer(status=204)

    return delete


# --- listing ----------------------------------------------------------------------------------


def _encoder(scene: Scene) -> Callable[[str], str]:
    if scene.request.params.get("encoding-type") == "url":
        return lambda text: quote(text, safe="/-_.~*'()")
    return escape


def _grouped(
    bucket: Bucket, prefix: str, delimiter: str, after: str
) -> Iterator[tuple[str, Version | None]]:
    """Yield objects, and common prefixes (with None), in order and after *after*."""
    last = None
    for version in bucket.current():
        key = version.key
        if not key.startswith(prefix):
            continue
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        if cut >= 0:
            common = key[: cut + len(delimiter)]
            if common != last and common > after:
                last = common
                yield common, None
        elif key > after:
            yield key, version


def _objects(scene: Scene) -> Answer:
    """Answer ListObjectsV2 and its older brother."""
    params = scene.request.params
    second = params.get("list-type") == "2"
    after = params.get("continuation-token" if second else "marker", "")
    after = max(after, params.get("start-after", "")) if second else after
    prefix, delimiter = params.get("prefix", ""), params.get("delimiter", "")
    most = min(int(params.get("max-keys") or 1000), 1000)
    with scene.buckets.lock:
        found = _grouped(scene.bucket, prefix, delimiter, after)
        entries = [entry for entry, _ in zip(found, range(most + 1), strict=False)]
    page, more = entries[:most], len(entries) > most
    encode = _encoder(scene)
    contents = "".join(_entry(v, encode) for _, v in page if v)
    common = "".join(
        f"<CommonPrefixes><Prefix>{encode(name)}</Prefix></CommonPrefixes>"
        for name, v in page
        if v is None
    )
    head = _head_of_list(scene, second, page[-1][0] if more and page else None, len(page), encode)
    return xml(f'<ListBucketResult xmlns="{NAMESPACE}">{head}{contents}{common}</ListBucketResult>')


def _entry(version: Version, encode: Callable[[str], str]) -> str:
    return (
        f"<Contents><Key>{encode(version.key)}</Key>"
        f"<LastModified>{time(version.modified)}</LastModified>"
        f"<ETag>&quot;{version.etag}&quot;</ETag><Size>{version.size}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
    )


def _head_of_list(
    scene: Scene, second: bool, last: str | None, count: int, encode: Callable[[str], str]
) -> str:
    params = scene.request.params
    fields = {
        "Name": scene.name,
        "Prefix": encode(params.get("prefix", "")),
        "Delimiter": encode(params.get("delimiter", "")),
        "MaxKeys": params.get("max-keys", "1000"),
        "EncodingType": params.get("encoding-type", ""),
        "IsTruncated": "true" if last is not None else "false",
    }
    if second:
        fields |= {
            "KeyCount": str(count),
            "StartAfter": encode(params.get("start-after", "")),
            "ContinuationToken": escape(params.get("continuation-token", "")),
            "NextContinuationToken": escape(last or ""),
        }
    else:
        fields |= {"Marker": encode(params.get("marker", "")), "NextMarker": encode(last or "")}
    always = ("Name", "Prefix", "MaxKeys", "IsTruncated", "KeyCount")
    return "".join(f"<{k}>{v}</{k}>" for k, v in fields.items() if v or k in always)


def _versions(scene: Scene) -> Answer:
    params = scene.request.params
    prefix = params.get("prefix", "")
    marker, id_marker = params.get("key-marker", ""), params.get("version-id-marker", "")
    most = min(int(params.get("max-keys") or 1000), 1000)
    with scene.buckets.lock:
        found = [
            (version, version is kept[-1])
            for key, kept in sorted(scene.bucket.versions.items())
            if key.startswith(prefix)
            for version in reversed(kept)
        ]
    if marker:
        places = [n for n, (v, _) in enumerate(found) if (v.key, v.id) == (marker, id_marker)]
        start = places[0] + 1 if places else sum(v.key <= marker for v, _ in found)
        found = found[start:]
    page, more = found[:most], len(found) > most
    encode = _encoder(scene)
    items = "".join(_version(v, latest, encode) for v, latest in page)
    tail = f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>"
    if more:
        last = page[-1][0]
        tail += f"<NextKeyMarker>{encode(last.key)}</NextKeyMarker>"
        tail += f"<NextVersionIdMarker>{last.id}</NextVersionIdMarker>"
    encoding = params.get("encoding-type", "")
    shown = f"<EncodingType>{encoding}</EncodingType>" if encoding else ""
    return xml(
        f'<ListVersionsResult xmlns="{NAMESPACE}"><Name>{scene.name}</Name>'
        f"<Prefix>{encode(prefix)}</Prefix><MaxKeys>{most}</MaxKeys>{shown}{tail}{items}"
        "</ListVersionsResult>"
    )


def _version(version: Version, latest: bool, encode: Callable[[str], str]) -> str:
    kind = "Version" if version.path else "DeleteMarker"
    body = (
        f"<Size>{version.size}</Size><ETag>&quot;{version.etag}&quot;</ETag>"
        "<StorageClass>STANDARD</StorageClass>"
        if version.path
        else ""
    )
    return (
        f"<{kind}><Key>{encode(version.key)}</Key><VersionId>{version.id}</VersionId>"
        f"<IsLatest>{'true' if latest else 'false'}</IsLatest>"
        f"<LastModified>{time(version.modified)}</LastModified>{body}</{kind}>"
    )


OPERATIONS: Final[Mapping[str, Callable[[Scene], Answer]]] = {
    "ListBuckets": _list,
    "CreateBucket": _create,
    "DeleteBucket": _delete,
    "HeadBucket": _head,
    "GetBucketLocation": _location_of,
    "GetBucketAcl": _acl,
    "ListObjects": _objects,
    "ListObjectsV2": _objects,
    "ListObjectVersions": _versions,
    **{
        f"{verb}{noun}": make(name)
        for name, noun in (
            ("encryption", "BucketEncryption"),
            ("publicAccessBlock", "PublicAccessBlock"),
            ("policy", "BucketPolicy"),
            ("versioning", "BucketVersioning"),
            ("lifecycle", "BucketLifecycleConfiguration"),
            ("tagging", "BucketTagging"),
            ("ownershipControls", "BucketOwnershipControls"),
            ("cors", "BucketCors"),
        )
        for verb, make in (
            ("Get", _get_document),
            ("Put", _put_document),
            ("Delete", _delete_document),
        )
    },
    "DeleteBucketLifecycle": _delete_document("lifecycle"),
}
