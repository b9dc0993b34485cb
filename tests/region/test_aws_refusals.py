"""What AWS refuses, the region refuses, with AWS's code and words, and nothing has changed then."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, ProxyConnectionError
from botocore.parsers import ResponseParserError

from tests.region.probes import deletes, dryruns, launches, stage, values
from tests.region.probes.stage import Row, Stage

TABLES: dict[str, tuple[Row, ...]] = {
    "deps": deletes.DEPENDENCIES,
    "notfound": deletes.UNKNOWN,
    "launch": launches.LAUNCHES,
    "network": values.NETWORK,
    "tags": values.TAGS,
    "volumes": values.VOLUMES,
    "other": values.OTHERS,
    "dryrun": dryruns.DRY,
}


@pytest.fixture(scope="module", name="stage")
def made() -> Iterator[Stage]:
    with stage.account() as scene:
        yield scene


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=f"{table}: {row.name}")
        for table, rows in TABLES.items()
        for row in rows
    ],
)
def test_refuses_as_aws_does(stage: Stage, row: Row) -> None:
    before = stage.aws.server.leftovers()

    with pytest.raises(ClientError) as error:
        row.call(stage)

    said = error.value.response["Error"]
    assert said["Code"] == row.code, error.value
    assert row.words.format_map(stage.ids) in said["Message"]
    assert stage.aws.server.leftovers() == before


def test_no_probe_is_there_twice() -> None:
    names = [row.name for rows in TABLES.values() for row in rows]

    assert sorted(set(names)) == sorted(names)


def test_what_was_made_with_the_same_token_is_told(stage: Stage) -> None:
    again: list[Callable[[], Any]] = [
        lambda: stage.efs.create_file_system(CreationToken="t"),
        lambda: stage.efs.create_access_point(FileSystemId=stage["fs"], ClientToken="point"),
    ]
    refused: list[dict[str, Any]] = []
    for call in again:
        with pytest.raises(ClientError) as error:
            call()
        refused.append(dict(error.value.response))

    points = stage.efs.describe_access_points(FileSystemId=stage["fs"])["AccessPoints"]
    assert refused[0]["FileSystemId"] == stage["fs"]
    assert refused[1]["AccessPointId"] == points[0]["AccessPointId"]


def test_a_region_that_there_is_not_has_no_address(stage: Stage) -> None:
    nowhere = stage.aws.client("ec2", region_name="eu-nowhere-1")

    with pytest.raises(ProxyConnectionError):
        nowhere.describe_vpcs()


def test_a_region_that_is_enabled_answers(stage: Stage) -> None:
    with stage.with_settings(regions=("eu-west-1", "me-south-1")):
        found = stage.aws.client("ec2", region_name="me-south-1").describe_vpcs()

    assert all(vpc["IsDefault"] for vpc in found["Vpcs"])


def test_a_service_that_the_region_lacks_is_refused_loudly(stage: Stage) -> None:
    """There are no Auto Scaling groups here, so none with instances can be deleted."""
    groups = stage.aws.client("autoscaling")

    with pytest.raises(ResponseParserError, match=r"does not serve autoscaling\.eu-west-1"):
        groups.delete_auto_scaling_group(AutoScalingGroupName="demo")


def test_the_same_client_token_starts_nothing_new(stage: Stage) -> None:
    again = stage.run(ClientToken="once")["Instances"][0]["InstanceId"]

    assert again == stage["bystander"]


def test_as_many_start_as_there_is_room_for(stage: Stage) -> None:
    """Three live already, one more fits: of one to five, exactly one starts."""
    with stage.with_settings(capacity={"t3.micro@eu-west-1a": 4}):
        started = stage.run(MinCount=1, MaxCount=5)["Instances"]
        with pytest.raises(ClientError, match="choosing eu-west-1b, eu-west-1c"):
            stage.run()
    stage.ec2.terminate_instances(InstanceIds=[i["InstanceId"] for i in started])

    assert len(started) == 1


def test_a_full_subnet_gives_addresses_back(stage: Stage) -> None:
    subnet = stage["small"]
    for _ in range(2):
        started = stage.run(SubnetId=subnet, MinCount=11, MaxCount=11)["Instances"]
        with pytest.raises(ClientError, match="InsufficientFreeAddressesInSubnet"):
            stage.run(SubnetId=subnet)
        stage.ec2.terminate_instances(InstanceIds=[i["InstanceId"] for i in started])

    assert len({i["PrivateIpAddress"] for i in started}) == 11


def test_user_data_of_the_largest_size_arrives(stage: Stage) -> None:
    id = stage.run(UserData="x" * 16_384)["Instances"][0]["InstanceId"]

    read = stage.ec2.describe_instance_attribute(InstanceId=id, Attribute="userData")

    assert len(base64.b64decode(read["UserData"]["Value"])) == 16_384
    stage.ec2.terminate_instances(InstanceIds=[id])
