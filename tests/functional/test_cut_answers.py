"""Answers of which only a part came: asked for again, or told as lost."""

from typing import Any

import pytest

from clusterous_api.errors import TransientError
from clusterous_cli.plan import design
from tests.functional import cloud

BUCKET = "a-bucket-of-ours"
READS = {
    "XML": ("ec2", "describe_vpcs", {}),
    "JSON": ("ssm", "get_parameter", {"Name": design.PARAMETERS["debian-12"]}),
    "object": ("s3", "get_object", {"Bucket": BUCKET, "Key": "key"}),
}

of_each_kind = pytest.mark.parametrize(("service", "action", "asked"), READS.values(), ids=READS)


@pytest.fixture
def bucket(world: cloud.World) -> None:
    where = {"LocationConstraint": world.cloud.region}
    world.cloud.call("s3", "create_bucket", Bucket=BUCKET, CreateBucketConfiguration=where)
    world.cloud.call("s3", "put_object", Bucket=BUCKET, Key="key", Body=b"x" * 1000)


def cut(world: cloud.World, action: str, times: int) -> None:
    name = "".join(part.capitalize() for part in action.split("_"))
    world.fault(kind="truncate", action=name, times=times)


@pytest.mark.usefixtures("bucket")
@of_each_kind
def test_what_was_cut_is_asked_for_again(
    world: cloud.World, service: str, action: str, asked: dict[str, Any]
) -> None:
    cut(world, action, 1)

    answer = world.cloud.call(service, action, **asked)

    if action == "get_object":
        assert answer["Body"].read() == b"x" * 1000
    else:
        assert set(answer) & {"Vpcs", "Parameter"}


@pytest.mark.usefixtures("bucket")
@of_each_kind
def test_what_is_cut_again_and_again_is_told_as_lost(
    world: cloud.World, service: str, action: str, asked: dict[str, Any]
) -> None:
    cut(world, action, 0)

    with pytest.raises(TransientError, match="was lost"):
        world.cloud.call(service, action, **asked)


def test_pages_that_are_cut_are_asked_for_again(world: cloud.World) -> None:
    cut(world, "describe_vpcs", 1)

    assert isinstance(world.cloud.pages("ec2", "describe_vpcs", "Vpcs"), list)


def test_what_changes_something_is_not_done_again(world: cloud.World) -> None:
    cut(world, "create_vpc", 1)
    before = len(world.mutating())

    with pytest.raises(TransientError, match="was lost"):
        world.cloud.call("ec2", "create_vpc", CidrBlock="10.9.0.0/16")

    assert world.mutating()[before:] == ["ec2:CreateVpc"]
