"""The bucket of images that clusters share, of which each says there that it uses it."""

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_cli.cluster.file import registry
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import RECORD
from clusterous_cli.plan.kinds import images
from clusterous_cli.plan.kinds.cloud import Site
from clusterous_cli.plan.kinds.files import BLOCKED
from clusterous_cli.plan.kinds.kind import Action, Found, Scope, Step
from clusterous_cli.system import wait

REEF = Identity(name="reef", account="123456789012", region="eu-west-1")
ATOLL = Identity(name="atoll", account="123456789012", region="eu-west-1")
BUCKET = "our-images"
BLOB = f"{registry.PREFIX}blob"
TURN = f"{registry.TURNS}lock.json"


@dataclass(kw_only=True)
class Account:
    """An S3 that takes calls on a bucket only from who says whose it is."""

    region: str = "eu-west-1"
    place: str | None = "eu-west-1"
    buckets: dict[str, dict[str, bytes]] = field(default_factory=dict)
    tags: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    blocked: dict[str, Any] = field(default_factory=dict)
    uploads: list[dict[str, str]] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)

    def call(self, service: str, action: str, **params: Any) -> Any:
        bucket = params["Bucket"]
        if action == "create_bucket":
            assert params["CreateBucketConfiguration"] == {"LocationConstraint": self.region}
            self.buckets[bucket] = {}
            return {}
        assert params["ExpectedBucketOwner"] == REEF.account
        objects = self.buckets[bucket]
        match action:
            case "get_bucket_location":
                return {"LocationConstraint": self.place}
            case "put_bucket_tagging":
                self.tags[bucket] = params["Tagging"]["TagSet"]
            case "put_public_access_block":
                self.blocked[bucket] = params["PublicAccessBlockConfiguration"]
            case "put_object":
                objects[params["Key"]] = params["Body"]
            case "delete_object":
                objects.pop(params["Key"], None)
            case "delete_objects":
                self.batches.append(len(params["Delete"]["Objects"]))
                for one in params["Delete"]["Objects"]:
                    assert one["VersionId"] == "1"
                    del objects[one["Key"]]
            case "abort_multipart_upload":
                self.uploads.remove({"Key": params["Key"], "UploadId": params["UploadId"]})
            case _:
                raise AssertionError(action)
        return {}

    def find(self, service: str, action: str, **params: Any) -> Any | None:
        assert params["ExpectedBucketOwner"] == REEF.account
        bucket = params["Bucket"]
        match action:
            case "head_bucket":
                return {} if bucket in self.buckets else None
            case "get_bucket_tagging":
                return {"TagSet": self.tags[bucket]} if bucket in self.tags else None
            case "get_object":
                body = self.buckets.get(bucket, {}).get(params["Key"])
                return None if body is None else {"Body": io.BytesIO(body)}
            case _:
                raise AssertionError(action)

    def attempt(self, service: str, action: str, *codes: str, **params: Any) -> Any | None:
        if action == "delete_bucket":
            assert params["ExpectedBucketOwner"] == REEF.account
            assert "BucketNotEmpty" in codes
            if self.buckets[params["Bucket"]]:
                return None
            del self.buckets[params["Bucket"]]
            return {}
        return self.call(service, action, **params)

    def pages(self, service: str, action: str, key: str, **params: Any) -> list[Any]:
        assert params["ExpectedBucketOwner"] == REEF.account
        if key == "Uploads":
            return list(self.uploads)
        if key == "DeleteMarkers":
            return []
        assert (action, key) in {
            ("list_objects_v2", "Contents"),
            ("list_object_versions", "Versions"),
        }
        objects = self.buckets[params["Bucket"]]
        listed = [one for one in objects if one.startswith(params["Prefix"])]
        return [{"Key": one, "VersionId": "1"} for one in listed]

    def upload(self, path: Path, *, bucket: str, key: str, owner: str) -> None:
        raise AssertionError(key)


def said(who: Identity) -> dict[str, bytes]:
    return {images.mark(who): json.dumps({"cluster": who.name, "region": who.region}).encode()}


def make(account: Account, **more: str) -> str:
    step = Step(action=Action.CREATE, key="image-bucket", kind=images.SHARED)
    site = Site(cloud=account, who=REEF, pauses=wait.Pauses(), more=more)
    assert images.SHARED.make is not None
    return images.SHARED.make(site, step, images.Shared(name=BUCKET))


def look(account: Account, bucket: str = BUCKET) -> list[Found]:
    told = {"config": {"registry": {"type": "s3", "bucket": bucket}}}
    account.buckets[REEF.bucket] = {RECORD: json.dumps(told).encode()}
    assert images.SHARED.look is not None
    return list(images.SHARED.look(Scope(cloud=account, who=REEF)))


def remove(account: Account) -> None:
    assert images.SHARED.remove is not None
    found = Found(kind=images.SHARED, key="image-bucket", id=BUCKET)
    images.SHARED.remove(Site(cloud=account, who=REEF, pauses=wait.Pauses()), found)


def test_one_that_is_not_there_is_made_for_whoever_comes_and_closed() -> None:
    account = Account()

    assert make(account, team="corals") == BUCKET

    assert account.buckets == {BUCKET: said(REEF)}
    tags = {"team": "corals", names.TAG_KEPT: BUCKET}
    assert {one["Key"]: one["Value"] for one in account.tags[BUCKET]} == tags
    assert account.blocked == {BUCKET: BLOCKED}


def test_one_that_is_there_gets_our_mark_and_none_of_our_tags() -> None:
    account = Account(buckets={BUCKET: {"thesis.tex": b"x"}})

    make(account)

    assert account.buckets == {BUCKET: {"thesis.tex": b"x", **said(REEF)}}
    assert (account.tags, account.blocked) == ({}, {BUCKET: BLOCKED})


@pytest.mark.parametrize(
    ("region", "place", "refused"),
    [
        ("eu-west-1", "eu-west-1", ""),
        ("us-east-1", None, ""),
        ("eu-west-1", None, "is in us-east-1, and reef in eu-west-1"),
        ("us-east-1", "eu-west-1", "is in eu-west-1, and reef in us-east-1"),
    ],
)
def test_one_of_another_region_is_refused_before_anything_is_put_there(
    region: str, place: str | None, refused: str
) -> None:
    account = Account(region=region, place=place, buckets={BUCKET: {}})

    if refused:
        with pytest.raises(UserError, match=refused):
            make(account)
        assert (account.buckets, account.blocked) == ({BUCKET: {}}, {})
    else:
        make(account)


def test_it_is_found_by_our_mark_with_who_else_uses_it() -> None:
    account = Account(buckets={BUCKET: {**said(ATOLL), **said(REEF), BLOB: b"x"}})

    (found,) = look(account)

    assert (found.key, found.id) == ("image-bucket", BUCKET)
    assert found.value == images.Shared(name=BUCKET, others=((ATOLL.uid, "atoll"),))


@pytest.mark.parametrize("objects", [None, {}, said(ATOLL)], ids=["gone", "empty", "another's"])
def test_one_without_our_mark_is_not_found(objects: dict[str, bytes] | None) -> None:
    assert look(Account(buckets={} if objects is None else {BUCKET: dict(objects)})) == []


def test_the_last_one_takes_the_images_and_what_was_made_for_them() -> None:
    half = {"Key": BLOB, "UploadId": "u-1"}
    account = Account(buckets={BUCKET: {**said(REEF), BLOB: b"x", TURN: b"x"}}, uploads=[half])
    account.tags[BUCKET] = [{"Key": names.TAG_KEPT, "Value": BUCKET}]

    remove(account)

    assert (account.buckets, account.uploads) == ({}, [])


@pytest.mark.parametrize("kept", [None, "another", BUCKET], ids=["no tags", "another's", "made"])
def test_what_is_not_ours_stays_and_so_does_its_bucket(kept: str | None) -> None:
    theirs = {"Key": "thesis.pdf", "UploadId": "u-1"}
    account = Account(
        buckets={BUCKET: {**said(REEF), BLOB: b"x", "thesis.tex": b"x"}}, uploads=[theirs]
    )
    if kept is not None:
        account.tags[BUCKET] = [{"Key": names.TAG_KEPT, "Value": kept}]

    remove(account)

    assert (account.buckets, account.uploads) == ({BUCKET: {"thesis.tex": b"x"}}, [theirs])


def test_a_bucket_that_was_there_before_stays_though_it_is_empty() -> None:
    account = Account(buckets={BUCKET: said(REEF)})

    remove(account)

    assert account.buckets == {BUCKET: {}}


def test_only_our_mark_goes_while_another_cluster_uses_it() -> None:
    half = {"Key": BLOB, "UploadId": "u-1"}
    account = Account(
        buckets={BUCKET: {**said(REEF), **said(ATOLL), BLOB: b"x", TURN: b"x"}}, uploads=[half]
    )
    account.tags[BUCKET] = [{"Key": names.TAG_KEPT, "Value": BUCKET}]

    remove(account)

    assert account.buckets == {BUCKET: {**said(ATOLL), BLOB: b"x", TURN: b"x"}}
    assert account.uploads == [half]


def test_no_call_removes_more_images_than_s3_takes() -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html takes 1000 keys."""
    many = {f"{registry.PREFIX}{number}": b"x" for number in range(2001)}
    account = Account(buckets={BUCKET: {**said(REEF), **many}})

    remove(account)

    assert account.batches == [1000, 1000, 1]
    assert account.buckets == {BUCKET: {}}


def test_who_keeps_images_takes_only_the_mark() -> None:
    account = Account(buckets={BUCKET: {**said(REEF), BLOB: b"x"}})
    assert images.SHARED.keep is not None

    found = Found(kind=images.SHARED, key="image-bucket", id=BUCKET)
    images.SHARED.keep(Site(cloud=account, who=REEF, pauses=wait.Pauses()), found)

    assert account.buckets == {BUCKET: {BLOB: b"x"}}
