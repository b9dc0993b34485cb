"""Where images are kept that `run` makes: ECR's repositories, which are never wanted by create, but
found by destroy; and the bucket of a registry on the cluster, which clusters share.

Both may outlast the cluster. Of the bucket that is the rule while another cluster uses it: each has
a mark of its own there.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_cli.cluster.file import registry
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import RECORD
from clusterous_cli.cluster.records import formats
from clusterous_cli.cluster.tags import (
    OWN,
    as_items,
    belongs_to,
    is_kept_from,
    is_ours,
    tags_of,
)
from clusterous_cli.plan.kinds.cloud import Cloud, Site
from clusterous_cli.plan.kinds.files import BLOCKED, placed
from clusterous_cli.plan.kinds.kind import Found, Kind, Left, Resource, Scope, Step, Value, Wish

# How many objects S3 removes in one call.
AT_ONCE: Final = 1000


def _near(cloud: Cloud, who: Identity) -> list[tuple[str, dict[str, Any]]]:
    """List the repositories under the cluster's name, with their tags."""
    listed = cloud.pages("ecr", "describe_repositories", "repositories")
    mine = [one for one in listed if one["repositoryName"].startswith(who.repositories)]
    return [(one["repositoryName"], _tags(cloud, one["repositoryArn"])) for one in mine]


def _tags(cloud: Cloud, arn: str) -> dict[str, Any]:
    answer = cloud.call("ecr", "list_tags_for_resource", resourceArn=arn)
    return {"Tags": answer.get("tags", ())}


def ours(cloud: Cloud, who: Identity) -> list[str]:
    """List the repositories that were made for a cluster; others may be called like them."""
    return [name for name, tags in _near(cloud, who) if is_ours(tags, who)]


def _look(at: Scope) -> list[Found]:
    return [Found(kind=REPOSITORY, key=name, id=name) for name in ours(at.cloud, at.who)]


def _remove(to: Site, found: Found) -> None:
    to.cloud.call("ecr", "delete_repository", repositoryName=found.id, force=True)


def _keep(to: Site, found: Found) -> None:
    arn = f"arn:{to.who.partition}:ecr:{to.who.region}:{to.who.account}:repository/{found.id}"
    kept = as_items({names.TAG_KEPT: to.who.name})
    to.cloud.call("ecr", "tag_resource", resourceArn=arn, tags=kept)
    to.cloud.call("ecr", "untag_resource", resourceArn=arn, tagKeys=list(OWN))


def _walk(cloud: Cloud, who: Identity) -> list[Left]:
    left = []
    for name, listed in _near(cloud, who):
        tags = tags_of(listed)
        kept = is_kept_from(tags, who)
        if kept or belongs_to(tags, who):
            one = Left(kind=REPOSITORY.noun, id=name, ours=not kept, hourly=None, kept=kept)
            left.append(one)
    return left


REPOSITORY: Final = Kind(
    name="image-repository",
    part="files",
    noun="image repository",
    deep=_look,
    remove=_remove,
    keep=_keep,
    walked=_walk,
)


# -- a bucket that is shared --------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared(Value):
    """The bucket with the images, and that the cluster says there that it uses them.

    *others* are the clusters that say so, too: their names by their uids.
    """

    name: str
    others: tuple[tuple[str, str], ...] | None = None


def _want_shared(wish: Wish) -> list[Resource]:
    there = wish.config.registry
    if not there.on_cluster:
        return []
    return [Resource(kind=SHARED, key="image-bucket", value=Shared(name=bucket_of(wish)))]


def bucket_of(wish: Wish) -> str:
    """Return the bucket of images that a cluster wants."""
    return wish.config.registry.bucket or wish.who.image_bucket


def named(text: str | None, who: Identity) -> str | None:
    """Return the bucket of images that the text of a record names, if it names any.

    What is half a record, or one of before there were registries, names none.
    """
    there = _within(_within(_parsed(text), "config"), "registry")
    if there.get("type") != registry.RegistryType.S3:
        return None
    return str(there.get("bucket") or who.image_bucket)


def _parsed(text: str | None) -> Mapping[str, Any]:
    try:
        return formats.parsed(text or "{}", "")
    except UserError:  # destroy needs none that can be read
        return {}


def _within(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    inner = content.get(key)
    return inner if isinstance(inner, dict) else {}


def mark(who: Identity) -> str:
    """Return where a cluster says in a bucket of images that it uses it."""
    return f"{registry.USERS}{who.uid}.json"


def users(cloud: Cloud, who: Identity, bucket: str) -> dict[str, str]:
    """Return who says that it uses a bucket of images: names of clusters by their uids."""
    owner = {"Bucket": bucket, "ExpectedBucketOwner": who.account}
    listed = cloud.pages("s3", "list_objects_v2", "Contents", Prefix=registry.USERS, **owner)
    found = {}
    for one in listed:
        answer = cloud.find("s3", "get_object", Key=one["Key"], **owner)
        if answer is not None:
            uid = one["Key"].removeprefix(registry.USERS).removesuffix(".json")
            said = _parsed(answer["Body"].read().decode(errors="replace"))
            found[uid] = str(said.get("cluster", uid))  # it uses them, whatever it says of itself
    return found


def _look_shared(at: Scope) -> list[Found]:
    bucket = named(at.told(RECORD), at.who)
    if bucket is None:
        return []
    owner = {"Bucket": bucket, "ExpectedBucketOwner": at.who.account}
    if at.cloud.find("s3", "head_bucket", **owner) is None:
        return []
    there = users(at.cloud, at.who, bucket)
    if there.pop(at.who.uid, None) is None:
        return []
    value = Shared(name=bucket, others=tuple(sorted(there.items())))
    return [Found(kind=SHARED, key="image-bucket", id=bucket, value=value)]


def _make_shared(to: Site, step: Step, wanted: Shared) -> str:
    owner = {"Bucket": wanted.name, "ExpectedBucketOwner": to.who.account}
    if to.cloud.find("s3", "head_bucket", **owner) is None:
        extra = placed(to.cloud.region)
        to.cloud.attempt(
            "s3", "create_bucket", "BucketAlreadyOwnedByYou", Bucket=wanted.name, **extra
        )
        # No cluster's: it outlasts them.
        tags = [{"Key": key, "Value": value} for key, value in to.more.items()]
        made = [*tags, {"Key": names.TAG_KEPT, "Value": wanted.name}]
        to.cloud.call("s3", "put_bucket_tagging", Tagging={"TagSet": made}, **owner)
    else:
        _check_place(to, wanted.name, owner)
    closed = {"PublicAccessBlockConfiguration": BLOCKED}
    to.cloud.call("s3", "put_public_access_block", **closed, **owner)
    body = json.dumps({"cluster": to.who.name, "region": to.who.region}).encode()
    to.cloud.call("s3", "put_object", Key=mark(to.who), Body=body, **owner)
    return wanted.name


def _check_place(to: Site, bucket: str, owner: dict[str, str]) -> None:
    """Refuse a bucket of another region: the registry signs for its own, and the way would cost."""
    there = to.cloud.call("s3", "get_bucket_location", **owner).get("LocationConstraint")
    if (there or "us-east-1") != to.cloud.region:
        raise UserError(
            f"The bucket {bucket} is in {there or 'us-east-1'}, and {to.who.name} in"
            f" {to.cloud.region}: registry.bucket must name one of the cluster's own region."
        )


def _remove_shared(to: Site, found: Found) -> None:
    """Remove the images, unless another cluster uses them, and the mark last: by it all is found.

    The bucket goes with them if it was made by us and nothing is left in it.
    """
    owner = {"Bucket": found.id, "ExpectedBucketOwner": to.who.account}
    others = users(to.cloud, to.who, found.id).keys() - {to.who.uid}
    if not others:
        for prefix in (registry.PREFIX, registry.TURNS):
            for batch in _batches(to.cloud, owner, prefix):
                to.cloud.call("s3", "delete_objects", Delete={"Objects": batch}, **owner)
        for one in to.cloud.pages("s3", "list_multipart_uploads", "Uploads", **owner):
            if one["Key"].startswith(registry.PREFIX):
                upload = {"Key": one["Key"], "UploadId": one["UploadId"]}
                to.cloud.call("s3", "abort_multipart_upload", **upload, **owner)
    to.cloud.call("s3", "delete_object", Key=mark(to.who), **owner)
    if not others and _made_by_us(to.cloud, found.id, owner):
        to.cloud.attempt("s3", "delete_bucket", "BucketNotEmpty", "NoSuchBucket", **owner)


def _made_by_us(cloud: Cloud, bucket: str, owner: dict[str, str]) -> bool:
    answer = cloud.find("s3", "get_bucket_tagging", **owner) or {}
    tags = {one["Key"]: one["Value"] for one in answer.get("TagSet", ())}
    return tags.get(names.TAG_KEPT) == bucket


def _batches(cloud: Cloud, owner: dict[str, str], prefix: str) -> Iterator[list[dict[str, str]]]:
    listed = [
        {"Key": one["Key"], "VersionId": one["VersionId"]}
        for key in ("Versions", "DeleteMarkers")
        for one in cloud.pages("s3", "list_object_versions", key, Prefix=prefix, **owner)
    ]
    for start in range(0, len(listed), AT_ONCE):
        yield listed[start : start + AT_ONCE]


def _keep_shared(to: Site, found: Found) -> None:
    """Say no more that the cluster uses the images; they stay."""
    owner = {"Bucket": found.id, "ExpectedBucketOwner": to.who.account}
    to.cloud.call("s3", "delete_object", Key=mark(to.who), **owner)


SHARED: Final = Kind(
    name="image-bucket",
    part="files",
    counted="bucket of images",
    wants=_want_shared,
    look=_look_shared,
    make=_make_shared,
    remove=_remove_shared,
    keep=_keep_shared,
    changeable=True,
    # Who pushes has gone, and so has the registry.
    after=("machines",),
)
# What keeps images; whether they outlast their cluster is one question.
KINDS: Final = (REPOSITORY, SHARED)
