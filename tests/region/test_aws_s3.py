"""S3: objects in files, versions, conditions, ranges, uploads in parts, and buckets' settings."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from tests.region.aws import loopback

BUCKET = "things-of-mine"
MIB = 1 << 20


@pytest.fixture(scope="module")
def aws() -> Iterator[loopback.Account]:
    with loopback.account() as account:
        yield account


@pytest.fixture
def s3(aws: loopback.Account) -> Iterator[Any]:
    client = aws.client("s3")
    client.create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    yield client
    empty(client)
    client.delete_bucket(Bucket=BUCKET)


def empty(s3: Any) -> None:
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=BUCKET):
        for each in page.get("Versions", []) + page.get("DeleteMarkers", []):
            s3.delete_object(Bucket=BUCKET, Key=each["Key"], VersionId=each["VersionId"])


def refused(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return str(error.value.response["Error"]["Code"])


@pytest.mark.parametrize("parts", [False, True], ids=["whole", "parts"])
def test_a_big_object_comes_back_as_it_was(s3: Any, parts: bool) -> None:
    data = os.urandom(12 * MIB)
    threshold = 5 * MIB if parts else 64 * MIB

    s3.upload_fileobj(
        io.BytesIO(data),
        BUCKET,
        "big",
        Config=TransferConfig(multipart_threshold=threshold, multipart_chunksize=5 * MIB),
    )

    found = s3.get_object(Bucket=BUCKET, Key="big")
    assert found["Body"].read() == data
    assert found["ETag"].endswith('-3"') is parts
    middle = s3.get_object(Bucket=BUCKET, Key="big", Range="bytes=1000-1999")
    assert middle["Body"].read() == data[1000:2000]
    assert middle["ContentRange"] == f"bytes 1000-1999/{len(data)}"
    tail = s3.get_object(Bucket=BUCKET, Key="big", Range="bytes=-10")
    assert tail["Body"].read() == data[-10:]
    assert (
        refused(s3.get_object, Bucket=BUCKET, Key="big", Range=f"bytes={len(data)}-")
        == "InvalidRange"
    )


def test_many_read_at_once(aws: loopback.Account, s3: Any) -> None:
    data = os.urandom(4 * MIB)
    s3.put_object(Bucket=BUCKET, Key="shared", Body=data)
    found: list[bytes] = []

    def read() -> None:
        found.append(s3.get_object(Bucket=BUCKET, Key="shared")["Body"].read())

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(30)

    assert found == [data] * 4


def test_what_was_said_of_an_object_is_told_again(s3: Any) -> None:
    s3.put_object(
        Bucket=BUCKET,
        Key="k",
        Body=b"hello",
        ContentType="text/plain",
        Metadata={"made-by": "me"},
        CacheControl="no-store",
        Tagging="a=b",
    )

    head = s3.head_object(Bucket=BUCKET, Key="k")

    assert head["ContentLength"] == 5
    assert head["ContentType"] == "text/plain"
    assert head["Metadata"] == {"made-by": "me"}
    assert head["ETag"] == f'"{hashlib.md5(b"hello", usedforsecurity=False).hexdigest()}"'
    assert head["ServerSideEncryption"] == "AES256"
    assert s3.get_object_tagging(Bucket=BUCKET, Key="k")["TagSet"] == [{"Key": "a", "Value": "b"}]


def test_two_writers_are_kept_apart_by_conditions(s3: Any) -> None:
    first = s3.put_object(Bucket=BUCKET, Key="lock", Body=b"1", IfNoneMatch="*")["ETag"]

    second = refused(s3.put_object, Bucket=BUCKET, Key="lock", Body=b"2", IfNoneMatch="*")
    s3.put_object(Bucket=BUCKET, Key="lock", Body=b"3", IfMatch=first)
    stale = refused(s3.put_object, Bucket=BUCKET, Key="lock", Body=b"4", IfMatch=first)

    assert (second, stale) == ("PreconditionFailed", "PreconditionFailed")
    assert s3.get_object(Bucket=BUCKET, Key="lock")["Body"].read() == b"3"


def test_of_many_first_writers_one_wins(s3: Any) -> None:
    won: list[str] = []

    def write(name: str) -> None:
        try:
            s3.put_object(Bucket=BUCKET, Key="race", Body=name.encode(), IfNoneMatch="*")
        except ClientError:
            return
        won.append(name)

    writers = [threading.Thread(target=write, args=(str(n),)) for n in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)

    assert len(won) == 1
    assert s3.get_object(Bucket=BUCKET, Key="race")["Body"].read().decode() == won[0]


def test_versions_stay_until_each_is_deleted(s3: Any) -> None:
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    old = s3.put_object(Bucket=BUCKET, Key="k", Body=b"old")["VersionId"]
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"new")
    s3.delete_object(Bucket=BUCKET, Key="k")

    gone = refused(s3.get_object, Bucket=BUCKET, Key="k")
    kept = s3.get_object(Bucket=BUCKET, Key="k", VersionId=old)["Body"].read()
    listed = s3.list_object_versions(Bucket=BUCKET)

    assert (gone, kept) == ("NoSuchKey", b"old")
    assert (len(listed["Versions"]), len(listed["DeleteMarkers"])) == (2, 1)
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET)
    assert refused(s3.delete_bucket, Bucket=BUCKET) == "BucketNotEmpty"


def test_lists_are_sorted_grouped_and_paged(s3: Any) -> None:
    keys = ["a/1", "a/2", "b", "c/x/1", "c/x/2", "ü"]
    for key in reversed(keys):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"")

    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=BUCKET, PaginationConfig={"PageSize": 2}
    )
    grouped = s3.list_objects_v2(Bucket=BUCKET, Delimiter="/")
    inside = s3.list_objects_v2(Bucket=BUCKET, Prefix="c/", Delimiter="/", StartAfter="c/")

    assert [[o["Key"] for o in page["Contents"]] for page in pages] == [
        keys[:2],
        keys[2:4],
        keys[4:],
    ]
    assert [p["Prefix"] for p in grouped["CommonPrefixes"]] == ["a/", "c/"]
    assert [o["Key"] for o in grouped["Contents"]] == ["b", "ü"]
    assert [p["Prefix"] for p in inside["CommonPrefixes"]] == ["c/x/"]


def test_an_upload_in_parts_can_be_refused_and_abandoned(s3: Any) -> None:
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="p")["UploadId"]
    tags = [
        s3.upload_part(Bucket=BUCKET, Key="p", UploadId=upload, PartNumber=n, Body=b"x")["ETag"]
        for n in (1, 2)
    ]
    parts = [{"PartNumber": n, "ETag": tag} for n, tag in enumerate(tags, 1)]

    def complete(listed: list[dict[str, Any]]) -> str:
        return refused(
            s3.complete_multipart_upload,
            Bucket=BUCKET,
            Key="p",
            UploadId=upload,
            MultipartUpload={"Parts": listed},
        )

    assert complete(parts) == "EntityTooSmall"
    assert complete(parts[::-1]) == "InvalidPartOrder"
    assert complete([{"PartNumber": 1, "ETag": "wrong"}]) == "InvalidPart"
    assert len(s3.list_parts(Bucket=BUCKET, Key="p", UploadId=upload)["Parts"]) == 2
    s3.abort_multipart_upload(Bucket=BUCKET, Key="p", UploadId=upload)
    assert complete(parts) == "NoSuchUpload"


def begun(s3: Any, key: str = "whole") -> dict[str, Any]:
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
    return {"Bucket": BUCKET, "Key": key, "UploadId": upload}


def test_parts_are_copied_of_what_is_there(s3: Any) -> None:
    data, upload = os.urandom(6 * MIB), begun(s3)
    s3.put_object(Bucket=BUCKET, Key="from/a b?c", Body=data)
    source = {"Bucket": BUCKET, "Key": "from/a b?c"}

    copies = [
        s3.upload_part_copy(**upload, PartNumber=1, CopySource=source),
        s3.upload_part_copy(
            **upload, PartNumber=2, CopySource=source, CopySourceRange=f"bytes=10-{5 * MIB + 9}"
        ),
    ]
    last = s3.upload_part(**upload, PartNumber=3, Body=b"end")
    tags = [*(one["CopyPartResult"]["ETag"] for one in copies), last["ETag"]]
    parts = [{"PartNumber": n, "ETag": tag} for n, tag in enumerate(tags, 1)]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})

    whole = s3.get_object(Bucket=BUCKET, Key="whole")["Body"].read()
    assert whole == data + data[10 : 5 * MIB + 10] + b"end"
    assert tags[0] == f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param({"CopySourceRange": "bytes=0-"}, "InvalidArgument", id="no end"),
        pytest.param({"CopySourceRange": "bytes=-5"}, "InvalidArgument", id="no start"),
        pytest.param({"CopySourceRange": "bytes=9-5"}, "InvalidArgument", id="backwards"),
        pytest.param(
            {"CopySourceRange": f"bytes=0-{6 * MIB}"}, "InvalidArgument", id="beyond its end"
        ),
        pytest.param(
            {"CopySource": f"{BUCKET}/small", "CopySourceRange": "bytes=0-1"},
            "InvalidRequest", id="a range of what is small",
        ),
        pytest.param({"CopySource": f"{BUCKET}/nothing"}, "NoSuchKey", id="no object"),
        pytest.param({"CopySource": "no-such-bucket-of-ours/k"}, "NoSuchBucket", id="no bucket"),
        pytest.param({"CopySource": BUCKET}, "InvalidArgument", id="no key"),
        pytest.param({"CopySource": f"{BUCKET}/big?versionId=x"}, "NoSuchVersion", id="version"),
        pytest.param({"CopySourceIfMatch": "other"}, "PreconditionFailed", id="another etag"),
        pytest.param({"PartNumber": 10_001}, "InvalidArgument", id="part number"),
        pytest.param({"UploadId": "another"}, "NoSuchUpload", id="no upload"),
        pytest.param({"CopySource": f"{BUCKET}/huge"}, "InvalidRequest", id="more than 5 GiB"),
    ],
)  # fmt: skip
def test_a_part_that_cannot_be_copied(
    aws: loopback.Account, s3: Any, change: dict[str, Any], code: str
) -> None:
    s3.put_object(Bucket=BUCKET, Key="big", Body=bytes(6 * MIB))
    s3.put_object(Bucket=BUCKET, Key="small", Body=b"small")
    s3.put_object(Bucket=BUCKET, Key="huge", Body=b"")
    bucket = aws.server.world.buckets.find(BUCKET)
    assert bucket
    (empty,) = bucket.versions["huge"]
    bucket.versions["huge"] = [replace(empty, size=(5 << 30) + 1)]
    asked = {**begun(s3), "PartNumber": 1, "CopySource": f"{BUCKET}/big", **change}

    assert refused(s3.upload_part_copy, **asked) == code


def test_a_copied_part_needs_to_be_readable(aws: loopback.Account, s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="mine", Body=b"x")
    upload = begun(s3)
    allowed = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}
    everything = aws.server.world.settings.user_policy
    aws.configure(user_policy={"Version": "2012-10-17", "Statement": [allowed]})

    said = refused(s3.upload_part_copy, **upload, PartNumber=1, CopySource=f"{BUCKET}/mine")

    aws.configure(user_policy=everything)
    assert said == "AccessDenied"


def test_a_wrong_checksum_is_refused(s3: Any) -> None:
    assert (
        refused(s3.put_object, Bucket=BUCKET, Key="k", Body=b"x", ChecksumSHA256="A" * 43 + "=")
        == "BadDigest"
    )
    assert (
        refused(s3.put_object, Bucket=BUCKET, Key="k", Body=b"x", ContentMD5="A" * 22 + "==")
        == "BadDigest"
    )


def test_a_copy_is_the_same(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="from", Body=b"same", ContentType="text/plain")

    s3.copy_object(Bucket=BUCKET, Key="to", CopySource={"Bucket": BUCKET, "Key": "from"})

    copy = s3.get_object(Bucket=BUCKET, Key="to")
    assert (copy["Body"].read(), copy["ContentType"]) == (b"same", "text/plain")


def test_a_new_bucket_is_private_and_encrypted(s3: Any) -> None:
    blocked = s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]
    rules = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"]

    assert all(blocked.values())
    assert rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert refused(s3.get_bucket_policy, Bucket=BUCKET) == "NoSuchBucketPolicy"
    assert refused(s3.get_bucket_tagging, Bucket=BUCKET) == "NoSuchTagSet"
    assert "Status" not in s3.get_bucket_versioning(Bucket=BUCKET)
    assert s3.get_bucket_location(Bucket=BUCKET)["LocationConstraint"] == "eu-west-1"


@pytest.mark.parametrize(
    ("name", "place", "code"),
    [
        ("Upper", "eu-west-1", "InvalidBucketName"),
        ("ab", "eu-west-1", "InvalidBucketName"),
        ("fine-name", "eu-west-3", "IllegalLocationConstraintException"),
        (BUCKET, "eu-west-1", "BucketAlreadyOwnedByYou"),
    ],
)
def test_a_bucket_that_may_not_be(
    aws: loopback.Account, s3: Any, name: str, place: str, code: str
) -> None:
    client = aws.client("s3", parameter_validation=False, s3={"addressing_style": "path"})

    assert (
        refused(
            client.create_bucket,
            Bucket=name,
            CreateBucketConfiguration={"LocationConstraint": place},
        )
        == code
    )


def test_a_client_of_another_region_is_led_to_the_bucket(aws: loopback.Account, s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"found")
    elsewhere = aws.client("s3", region_name="us-east-1", retries={"total_max_attempts": 3})

    assert elsewhere.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"found"


def test_nothing_is_left_in_files(aws: loopback.Account, s3: Any) -> None:
    for _ in range(3):
        s3.put_object(Bucket=BUCKET, Key="again", Body=b"x" * 100)
    folder = aws.server.world.state_dir / "s3" / BUCKET

    assert len(list(folder.iterdir())) == 1
