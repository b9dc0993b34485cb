"""moto says the same, whether what it works out anew at every call was kept or not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.region.aws import images, known, loopback

TAGS = [{"Key": "Name", "Value": "reef <1>"}, {"Key": "of", "Value": "atoll"}]
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "ec2.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def tagged(*kinds: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": TAGS} for kind in kinds]


def make(ec2: Any, iam: Any) -> None:
    """Make a machine with a role, in a network, with a disk; and things that have no tags."""
    made = ec2.create_vpc(CidrBlock="10.40.0.0/16", TagSpecifications=tagged("vpc"))
    vpc = made["Vpc"]["VpcId"]
    place = {"CidrBlock": "10.40.0.0/24", "AvailabilityZone": "eu-west-1a"}
    subnet = ec2.create_subnet(VpcId=vpc, **place)["Subnet"]["SubnetId"]
    ec2.create_subnet(VpcId=vpc, CidrBlock="10.40.1.0/24", TagSpecifications=tagged("subnet"))
    iam.create_role(RoleName="reef", AssumeRolePolicyDocument=json.dumps(TRUST), Tags=TAGS)
    iam.create_instance_profile(InstanceProfileName="reef")
    iam.add_role_to_instance_profile(InstanceProfileName="reef", RoleName="reef")
    ec2.run_instances(
        ImageId=images.IMAGES[0].id("eu-west-1"), InstanceType="t3.micro", MinCount=2, MaxCount=2,
        NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": subnet}],
        IamInstanceProfile={"Name": "reef"}, TagSpecifications=tagged("instance"),
    )  # fmt: skip
    ec2.create_volume(
        AvailabilityZone="eu-west-1a", Size=1, TagSpecifications=tagged("volume"),
    )  # fmt: skip
    ec2.create_volume(AvailabilityZone="eu-west-1a", Size=2)


def look(ec2: Any, iam: Any) -> dict[str, Any]:
    asked = {
        **{name: getattr(ec2, name) for name in (
            "describe_instances", "describe_volumes", "describe_vpcs", "describe_subnets",
            "describe_route_tables", "describe_security_groups", "describe_network_interfaces",
            "describe_images", "describe_tags", "describe_instance_status",
        )},
        "describe_instance_type_offerings": lambda: ec2.describe_instance_type_offerings(
            LocationType="availability-zone",
            Filters=[{"Name": "instance-type", "Values": ["t3.large", "t3.micro"]}],
        ),
        "get_role": lambda: iam.get_role(RoleName="reef"),
        "get_instance_profile": lambda: iam.get_instance_profile(InstanceProfileName="reef"),
    }  # fmt: skip
    answers = {name: ask() for name, ask in asked.items()}
    for answer in answers.values():
        del answer["ResponseMetadata"]
    return answers


def test_what_is_kept_changes_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with loopback.account() as aws:
        ec2, iam = aws.client("ec2"), aws.client("iam")
        make(ec2, iam)
        first, again = look(ec2, iam), look(ec2, iam)
        assert len(known.ORIGINAL) == 5
        for (owner, name), original in known.ORIGINAL.items():
            monkeypatch.setattr(owner, name, original)

        assert first == again == look(ec2, iam)
