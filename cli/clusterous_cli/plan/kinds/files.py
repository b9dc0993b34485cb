"""The bucket: private and encrypted, with the record and the files that machines boot from."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from clusterous_api.errors import FailedError
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import (
    ADDONS,
    HOMES,
    NODES,
    PRIVATE,
    RECORD,
    SNAPSHOTS,
    STATE,
    VOLUME,
)
from clusterous_cli.plan.kinds.access import spelled
from clusterous_cli.plan.kinds.cloud import Cloud, Site
from clusterous_cli.plan.kinds.kind import (
    Found,
    Id,
    Item,
    Kind,
    Left,
    Ref,
    Resource,
    Scope,
    Step,
    Value,
    Wish,
)

PART: Final = "files"
# All by which S3 keeps a bucket from the public.
BLOCKED: Final = dict.fromkeys(
    ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
)
# Secrets go only into a bucket that is already closed.
CLOSED: Final = ("bucket-block", "bucket-encryption", "bucket-policy")


# Of what machines write under names that come again, where versions are kept, as an account's rules
# may have it: else those of each quarter of an hour would stay until the cluster goes.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html
FADING: Final = tuple(
    {
        "ID": f"clusterous-{prefix.rstrip('/')}",
        "Status": "Enabled",
        "Filter": {"Prefix": prefix},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
    }
    for prefix in (SNAPSHOTS, NODES)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket(Value):
    """The bucket itself."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block(Value):
    """That nothing in the bucket can be made public."""

    bucket: Id
    blocked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Encryption(Value):
    """How objects are encrypted at rest."""

    bucket: Id
    algorithm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketPolicy(Value):
    """What the bucket refuses, as the JSON of a policy."""

    bucket: Id
    document: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle(Value):
    """Whether versions of before go of what machines write again and again."""

    bucket: Id
    fading: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Object(Value):
    """One object; its digest is known only of those that have one name and many contents."""

    bucket: Id
    key: str
    sha256: str | None = None


def bucket_policy(who: Identity) -> str:
    """Refuse everything that does not come over TLS."""
    bucket = f"arn:{who.partition}:s3:::{who.bucket}"
    statement = {
        "Sid": "OnlyTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [bucket, f"{bucket}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, sort_keys=True)


def _want_bucket(wish: Wish) -> list[Resource]:
    return [Resource(kind=BUCKET, key="bucket", value=Bucket(name=wish.who.bucket))]


def _want_block(wish: Wish) -> list[Resource]:
    value = Block(bucket=Ref("bucket"), blocked=True)
    return [Resource(kind=BLOCK, key="bucket-block", value=value)]


def _want_encryption(wish: Wish) -> list[Resource]:
    value = Encryption(bucket=Ref("bucket"), algorithm="AES256")
    return [Resource(kind=ENCRYPTION, key="bucket-encryption", value=value)]


def _want_policy(wish: Wish) -> list[Resource]:
    value = BucketPolicy(bucket=Ref("bucket"), document=bucket_policy(wish.who))
    return [Resource(kind=BUCKET_POLICY, key="bucket-policy", value=value)]


def _want_lifecycle(wish: Wish) -> list[Resource]:
    value = Lifecycle(bucket=Ref("bucket"), fading=True)
    return [Resource(kind=LIFECYCLE, key="bucket-lifecycle", value=value)]


def _want_objects(wish: Wish) -> list[Resource]:
    return [
        Resource(
            kind=OBJECT,
            key=f"s3:{blob.key}",
            value=Object(bucket=Ref("bucket"), key=blob.key, sha256=blob.sha256),
            needs=CLOSED,
        )
        for blob in wish.blobs
    ]


def _look_bucket(at: Scope) -> list[Found]:
    name = at.who.bucket
    owner = {"Bucket": name, "ExpectedBucketOwner": at.who.account}
    if at.cloud.find("s3", "head_bucket", **owner) is None:
        return []
    found = [Found(kind=BUCKET, key="bucket", id=name, value=Bucket(name=name))]
    block = at.cloud.find("s3", "get_public_access_block", **owner)
    if block:
        whole = all(block["PublicAccessBlockConfiguration"].values())
        closed = Block(bucket=name, blocked=whole)
        found.append(Found(kind=BLOCK, key="bucket-block", id=name, value=closed))
    encryption = at.cloud.find("s3", "get_bucket_encryption", **owner)
    if encryption:
        rule = encryption["ServerSideEncryptionConfiguration"]["Rules"][0]
        algorithm = rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"]
        secret = Encryption(bucket=name, algorithm=algorithm)
        found.append(Found(kind=ENCRYPTION, key="bucket-encryption", id=name, value=secret))
    policy = at.cloud.find("s3", "get_bucket_policy", **owner)
    if policy:
        value = BucketPolicy(bucket=name, document=spelled(policy["Policy"]))
        found.append(Found(kind=BUCKET_POLICY, key="bucket-policy", id=name, value=value))
    lifecycle = at.cloud.find("s3", "get_bucket_lifecycle_configuration", **owner)
    if lifecycle:
        rules = lifecycle.get("Rules", ())
        fading = all(any(_is_like(rule, there) for there in rules) for rule in FADING)
        goes = Lifecycle(bucket=name, fading=fading)
        found.append(Found(kind=LIFECYCLE, key="bucket-lifecycle", id=name, value=goes))
    return [*found, *_look_objects(at)]


def _is_like(rule: Item, there: Item) -> bool:
    """Whether a rule is there; S3 may say more of it than it was told."""
    return all(there.get(key) == value for key, value in rule.items())


def _look_objects(at: Scope) -> list[Found]:
    owner = {"Bucket": at.who.bucket, "ExpectedBucketOwner": at.who.account}
    listed = at.cloud.pages("s3", "list_objects_v2", "Contents", **owner)
    keys = [one["Key"] for one in listed]
    # Boot files carry their hash in their name. The record does not: it is read and hashed.
    digests = {RECORD: _digest(at)} if RECORD in keys else {}
    return [
        Found(
            kind=OBJECT,
            key=f"s3:{key}",
            id=key,
            value=Object(bucket=at.who.bucket, key=key, sha256=digests.get(key)),
        )
        for key in keys
        if not key.startswith(NODES) and key not in (ADDONS, HOMES, VOLUME, STATE)
    ]


def _digest(at: Scope) -> str:
    owner = {"Bucket": at.who.bucket, "ExpectedBucketOwner": at.who.account}
    answer = at.cloud.call("s3", "get_object", Key=RECORD, **owner)
    return hashlib.sha256(answer["Body"].read()).hexdigest()


def placed(region: str) -> dict[str, Any]:
    """Return what a call that makes a bucket says of its *region*."""
    # S3's own us-east-1 takes no constraint and wants none.
    place = {"LocationConstraint": region}
    return {} if region == "us-east-1" else {"CreateBucketConfiguration": place}


def _make_bucket(to: Site, step: Step, wanted: Bucket) -> str:
    extra = placed(to.cloud.region)
    to.cloud.attempt("s3", "create_bucket", "BucketAlreadyOwnedByYou", Bucket=wanted.name, **extra)
    to.s3("put_bucket_tagging", Tagging={"TagSet": to.tags(step.key)})
    return wanted.name


def _make_block(to: Site, step: Step, wanted: Block) -> str:
    to.s3("put_public_access_block", PublicAccessBlockConfiguration=BLOCKED)
    return to.who.bucket


def _make_encryption(to: Site, step: Step, wanted: Encryption) -> str:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": wanted.algorithm}}
    to.s3("put_bucket_encryption", ServerSideEncryptionConfiguration={"Rules": [rule]})
    return to.who.bucket


def _make_policy(to: Site, step: Step, wanted: BucketPolicy) -> str:
    to.s3("put_bucket_policy", Policy=wanted.document)
    return to.who.bucket


def _make_lifecycle(to: Site, step: Step, wanted: Lifecycle) -> str:
    # A bucket has one set of rules: those of others stay.
    owner = {"Bucket": to.who.bucket, "ExpectedBucketOwner": to.who.account}
    there = to.cloud.find("s3", "get_bucket_lifecycle_configuration", **owner) or {}
    ours = {rule["ID"] for rule in FADING}
    rules = [one for one in there.get("Rules", ()) if one.get("ID") not in ours]
    to.s3("put_bucket_lifecycle_configuration", LifecycleConfiguration={"Rules": [*rules, *FADING]})
    return to.who.bucket


def _make_object(to: Site, step: Step, wanted: Object) -> str:
    content = to.supply(wanted.key)
    if isinstance(content, bytes):
        if wanted.key.startswith(PRIVATE):
            _put_once(to, wanted.key, content)
        else:
            to.s3("put_object", Key=wanted.key, Body=content)
    else:
        to.cloud.upload(content, bucket=to.who.bucket, key=wanted.key, owner=to.who.account)
    return wanted.key


def _put_once(to: Site, key: str, content: bytes) -> None:
    """Put the cluster's keys, of which there can be only one set: of two creates one loses here."""
    owner = {"Bucket": to.who.bucket, "ExpectedBucketOwner": to.who.account, "Key": key}
    taken = ("PreconditionFailed", "412")
    if to.cloud.attempt("s3", "put_object", *taken, Body=content, IfNoneMatch="*", **owner):
        return
    if to.cloud.call("s3", "get_object", **owner)["Body"].read() != content:
        raise FailedError(
            f"Another create of {to.who.name} is at work, or was a moment ago: its keys are the"
            " cluster's. This one stops, and none of its machines was started. When the other has"
            " ended, run create again: it finds what there is."
        )


def _remove_bucket(to: Site, found: Found) -> None:
    for batch in _batches(to, found.id):
        to.s3("delete_objects", Delete={"Objects": batch, "Quiet": True})
    owner = {"Bucket": found.id, "ExpectedBucketOwner": to.who.account}
    for upload in to.cloud.pages("s3", "list_multipart_uploads", "Uploads", **owner):
        to.s3("abort_multipart_upload", Key=upload["Key"], UploadId=upload["UploadId"])
    to.s3("delete_bucket")


def _batches(to: Site, bucket: str) -> Iterator[list[dict[str, str]]]:
    """List all versions, marks of deletion among them: an account's rules may switch them on."""
    owner = {"Bucket": bucket, "ExpectedBucketOwner": to.who.account}
    listed = [
        {"Key": one["Key"], "VersionId": one["VersionId"]}
        for key in ("Versions", "DeleteMarkers")
        for one in to.cloud.pages("s3", "list_object_versions", key, **owner)
    ]
    for start in range(0, len(listed), 1000):
        yield listed[start : start + 1000]


def _walk_buckets(cloud: Cloud, who: Identity) -> list[Left]:
    listed = cloud.pages("s3", "list_buckets", "Buckets")
    found = [one["Name"] for one in listed if one["Name"].startswith(who.bucket)]
    return [Left(kind=BUCKET.noun, id=name, ours=True, hourly=None) for name in found]


BUCKET: Final = Kind(
    name="bucket",
    part=PART,
    noun="bucket",
    wants=_want_bucket,
    look=_look_bucket,
    make=_make_bucket,
    remove=_remove_bucket,
    # The record goes last: while anything is left, it can still be read.
    after=("machines", "vpc", "file-system", "shared-volume", "state-volume", "image-bucket"),
    walked=_walk_buckets,
)
BLOCK: Final = Kind(
    name="bucket-public-access-block",
    part=PART,
    wants=_want_block,
    make=_make_block,
    changeable=True,
)
ENCRYPTION: Final = Kind(
    name="bucket-encryption",
    part=PART,
    wants=_want_encryption,
    make=_make_encryption,
    changeable=True,
)
BUCKET_POLICY: Final = Kind(
    name="bucket-policy", part=PART, wants=_want_policy, make=_make_policy, changeable=True
)
LIFECYCLE: Final = Kind(
    name="bucket-lifecycle",
    part=PART,
    wants=_want_lifecycle,
    make=_make_lifecycle,
    changeable=True,
)
OBJECT: Final = Kind(
    name="object",
    part=PART,
    counted="file",
    wants=_want_objects,
    make=_make_object,
    changeable=True,
)
