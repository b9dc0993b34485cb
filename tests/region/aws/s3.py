"""S3: which operation a request is, what it must be permitted, and where it is carried out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from tests.region.aws import errors, s3_buckets, s3_copies, s3_objects, s3_uploads
from tests.region.aws.policies import Access
from tests.region.aws.request import Answer, Request
from tests.region.aws.s3_scene import Scene
from tests.region.aws.s3_store import Buckets
from tests.region.aws.service import Service
from tests.region.aws.signatures import Verified
from tests.region.aws.world import World


def reset(world: World) -> None:
    world.buckets = Buckets(world.state_dir / "s3")


def buckets(world: World) -> list[str]:
    return [bucket.name for bucket in world.buckets.all()]


def region_of(world: World, request: Request) -> str | None:
    bucket = world.buckets.find(request.params.get("bucket", ""))
    return bucket.region if bucket else None


# --- which operation --------------------------------------------------------------------------

_SUBRESOURCES: Final = {
    "encryption": "BucketEncryption",
    "publicAccessBlock": "PublicAccessBlock",
    "policy": "BucketPolicy",
    "versioning": "BucketVersioning",
    "lifecycle": "BucketLifecycleConfiguration",
    "tagging": "BucketTagging",
    "ownershipControls": "BucketOwnershipControls",
    "cors": "BucketCors",
    "location": "BucketLocation",
    "policyStatus": "BucketPolicyStatus",
    "acl": "BucketAcl",
}
_VERBS: Final = {"GET": "Get", "PUT": "Put", "DELETE": "Delete"}
# In a query beside these, the operation is decided; SDKs add x-id, presigned URLs X-Amz-….
_OBJECT: Final = {
    "GET": "GetObject",
    "HEAD": "HeadObject",
    "PUT": "PutObject",
    "DELETE": "DeleteObject",
}


def _read(request: Request) -> None:
    bucket, key = _names(request)
    query = request.query
    request.params = {"bucket": bucket, "key": key, **query}
    request.resource = f"{bucket}/{key}" if key else bucket
    request.action = _action(request, bucket, key, query)


def _names(request: Request) -> tuple[str, str]:
    """Return bucket and key; either may be empty. The path is decoded exactly once."""
    path = unquote(request.raw_path).removeprefix("/")
    if request.target.bucket:
        return request.target.bucket, path
    bucket, _, key = path.partition("/")
    return bucket, key


def _action(request: Request, bucket: str, key: str, query: Mapping[str, str]) -> str:
    if not bucket:
        return "ListBuckets" if request.method == "GET" else _unknown(request)
    if key:
        return _object_action(request, query)
    return _bucket_action(request, query)


def _bucket_action(request: Request, query: Mapping[str, str]) -> str:
    for name, noun in _SUBRESOURCES.items():
        if name in query and request.method in _VERBS:
            return _bucket_verb(request.method, noun)
    match request.method:
        case "GET" if "versions" in query:
            return "ListObjectVersions"
        case "GET" if "uploads" in query:
            return "ListMultipartUploads"
        case "GET":
            return "ListObjectsV2" if query.get("list-type") == "2" else "ListObjects"
        case "HEAD":
            return "HeadBucket"
        case "PUT":
            return "CreateBucket"
        case "DELETE":
            return "DeleteBucket"
        case "POST" if "delete" in query:
            return "DeleteObjects"
    return _unknown(request)


def _bucket_verb(method: str, noun: str) -> str:
    if method == "DELETE":
        # The API's own irregularity: the lifecycle is deleted by a shorter name.
        noun = noun.replace("LifecycleConfiguration", "Lifecycle")
    return _VERBS[method] + noun


def _object_action(request: Request, query: Mapping[str, str]) -> str:
    if "tagging" in query:
        return _VERBS.get(request.method, "Get") + "ObjectTagging"
    if "uploadId" in query:
        copies = "x-amz-copy-source" in request.headers
        return {
            "PUT": "UploadPartCopy" if copies else "UploadPart",
            "POST": "CompleteMultipartUpload",
            "DELETE": "AbortMultipartUpload",
            "GET": "ListParts",
        }.get(request.method) or _unknown(request)
    if request.method == "POST":
        return "CreateMultipartUpload" if "uploads" in query else _unknown(request)
    if request.method == "PUT" and "x-amz-copy-source" in request.headers:
        return "CopyObject"
    odd = {"acl", "attributes", "legal-hold", "retention", "torrent", "restore", "select"}
    return _unknown(request) if odd & set(query) else _OBJECT[request.method]


def _unknown(request: Request) -> str:
    raise errors.not_implemented(f"S3 {request.method} {request.raw_path}?{request.raw_query}")


# --- what it must be permitted ----------------------------------------------------------------

_PERMISSIONS: Final = {
    "HeadObject": "GetObject",
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListBuckets": "ListAllMyBuckets",
    "ListObjectVersions": "ListBucketVersions",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListParts": "ListMultipartUploadParts",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "DeleteBucketTagging": "PutBucketTagging",
    "GetBucketCors": "GetBucketCORS",
    "PutBucketCors": "PutBucketCORS",
    "DeleteBucketCors": "PutBucketCORS",
}


def _needs(_: World, request: Request) -> Sequence[Access]:
    bucket, key = request.params["bucket"], request.params["key"]
    name = _PERMISSIONS.get(request.action, request.action)
    if "versionId" in request.params and name in ("GetObject", "DeleteObject"):
        name += "Version"
    context = _context(request)
    if request.action == "DeleteObjects":
        return ()  # Each key is decided by itself, and refused by itself, in the answer.
    resource = "*" if not bucket else f"arn:aws:s3:::{bucket}" + (f"/{key}" if key else "")
    needs = [Access(action=f"s3:{name}", resource=resource, context=context)]
    if request.action in ("CopyObject", "UploadPartCopy"):
        source = s3_copies.named(request)
        read = "GetObjectVersion" if source.version else "GetObject"
        resource = f"arn:aws:s3:::{source.bucket}/{source.key}"
        needs.append(Access(action=f"s3:{read}", resource=resource))
    return needs


def _context(request: Request) -> dict[str, Any]:
    context: dict[str, Any] = {}
    for name in ("prefix", "delimiter", "max-keys"):
        if name in request.params:
            context[f"s3:{name}"] = request.params[name]
    encryption = request.headers.get("x-amz-server-side-encryption")
    if encryption:
        context["s3:x-amz-server-side-encryption"] = encryption
    for key, value in parse_qsl(request.headers.get("x-amz-tagging", "")):
        context[f"s3:requestobjecttag/{key.lower()}"] = value
    return context


# --- doing it ---------------------------------------------------------------------------------


def attach_body(request: Request, verified: Verified) -> None:
    """Keep *verified* with the request: the body is checked against it while it streams in."""
    request.verified = verified


def _act(world: World, request: Request) -> Answer:
    scene = Scene(world, request)
    if request.action in ("ListBuckets", "CreateBucket"):
        operation = s3_buckets.OPERATIONS[request.action]
        return operation(scene)
    scene.require_bucket()
    return _OPERATIONS[request.action](scene)


_OPERATIONS: Final[Mapping[str, Callable[[Scene], Answer]]] = {
    **s3_buckets.OPERATIONS,
    **s3_objects.OPERATIONS,
    **s3_uploads.OPERATIONS,
}

SERVICE: Final = Service(read=_read, needs=_needs, act=_act)
