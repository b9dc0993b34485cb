"""What others do at the same time, or did before: two creates, things lost, roles of others."""

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clusterous_api.errors import ClusterousError, FailedError
from clusterous_cli.aws.client import Aws
from clusterous_cli.cluster import config
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.tags import tagged, tags_of
from clusterous_cli.plan import converge
from clusterous_cli.plan.kinds import machines
from tests.functional import cloud

REEF = config.parse("name: reef\nworkers: 1\n")
WHO = Identity(name="reef", account="123456789012", region="eu-west-1")


def there(world: cloud.World, action: str, key: str) -> list[Any]:
    return world.cloud.pages("ec2", action, key, Filters=tagged(WHO))


def fetched(world: cloud.World, name: str) -> Any:
    """Have the published files, each process in a place of its own."""

    def fetch(artifact: Any, sha256: str, progress: Any) -> Path:
        path = world.folder / f"{name}-{artifact.name}"
        path.write_bytes(artifact.name.encode())
        return path

    return fetch


# -- two creates at once --------------------------------------------------------------------


def test_of_two_creates_at_once_one_stops(world: cloud.World) -> None:
    both = [replace(world.converge(REEF), fetched=fetched(world, name)) for name in "ab"]
    ends: list[str] = []

    def execute(create: converge.Create) -> None:
        failed = create.execute().failed
        ends.append(str(failed[0][1]) if failed else "")

    threads = [threading.Thread(target=execute, args=(one,)) for one in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(ends)[0] == ""
    assert "Another create of reef is at work" in sorted(ends)[1]
    assert len(there(world, "describe_vpcs", "Vpcs")) == 1
    assert len(there(world, "describe_addresses", "Addresses")) == 1
    reservations = there(world, "describe_instances", "Reservations")
    assert sum(len(one["Instances"]) for one in reservations) == 4
    assert not world.design(REEF).plan.pending


def test_a_create_that_was_drawn_before_another_stops(world: cloud.World) -> None:
    late = world.converge(REEF)
    world.converge(REEF).execute()
    before = world.mutating()

    (step, error), *_ = late.execute().failed

    assert step.key == "s3:private/secrets.json"
    assert isinstance(error, FailedError)
    assert not {"ec2:RunInstances", "ec2:CreateVpc"} & set(world.mutating()[len(before) :])


def test_keys_whose_answer_was_lost_are_our_own(world: cloud.World) -> None:
    world.fault(service="s3", action="PutObject", resource="*secrets.json", kind="lost", times=1)

    assert world.converge(REEF).execute().failed == ()


# -- what is lost once ----------------------------------------------------------------------


def test_a_nat_gateway_that_is_lost_is_made_anew(world: cloud.World) -> None:
    world.laid(REEF)
    (gateway,) = there(world, "describe_nat_gateways", "NatGateways")
    world.cloud.call("ec2", "delete_nat_gateway", NatGatewayId=gateway["NatGatewayId"])
    _until_gone(world, gateway["NatGatewayId"])

    assert world.converge(REEF).execute().failed == ()
    assert world.converge(REEF).execute().failed == ()

    states = [one["State"] for one in there(world, "describe_nat_gateways", "NatGateways")]
    assert sorted(states) == ["available", "deleted"]
    assert not world.design(REEF).plan.pending


def _until_gone(world: cloud.World, id: str) -> None:
    for _ in range(50):
        (one,) = world.cloud.call("ec2", "describe_nat_gateways", NatGatewayIds=[id])["NatGateways"]
        if one["State"] == "deleted":
            return
    raise AssertionError(one)


def test_an_endpoint_that_is_lost_is_made_anew(world: cloud.World) -> None:
    world.laid(REEF)
    (endpoint,) = there(world, "describe_vpc_endpoints", "VpcEndpoints")
    world.cloud.call("ec2", "delete_vpc_endpoints", VpcEndpointIds=[endpoint["VpcEndpointId"]])

    assert world.converge(REEF).execute().failed == ()

    living = [
        one
        for one in there(world, "describe_vpc_endpoints", "VpcEndpoints")
        if one["State"].lower() == "available"
    ]
    assert len(living) == 1
    assert not world.design(REEF).plan.pending


def test_a_launch_that_is_asked_for_again_in_the_next_hour_is_the_same(
    world: cloud.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = iter(range(100))
    monkeypatch.setattr(machines, "_hour", lambda: next(hours))
    world.fault(service="ec2", action="RunInstances", kind="lost", times=3)

    assert world.converge(REEF).execute().failed == ()

    reservations = there(world, "describe_instances", "Reservations")
    assert sum(len(one["Instances"]) for one in reservations) == 4


# -- what others made -----------------------------------------------------------------------


def trusting(service: str) -> str:
    statement = {"Effect": "Allow", "Principal": {"AWS": service}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_a_role_of_somebody_else_is_not_taken_for_ours(world: cloud.World) -> None:
    world.cloud.call(
        "iam", "create_role", RoleName=WHO.role("controller"),
        AssumeRolePolicyDocument=trusting("arn:aws:iam::123456789012:root"),
    )  # fmt: skip

    failed = world.converge(REEF).execute().failed

    assert "role clusterous-reef" in str(failed[0][1])
    assert "clusterous did not make" in str(failed[0][1])
    assert not there(world, "describe_instances", "Reservations")


@pytest.mark.parametrize("way", ["trust", "policy", "attached"])
def test_a_role_that_was_changed_is_told(world: cloud.World, way: str) -> None:
    world.laid(REEF)
    name = WHO.role("controller")
    if way == "trust":
        document = trusting("arn:aws:iam::123456789012:root")
        world.cloud.call("iam", "update_assume_role_policy", RoleName=name, PolicyDocument=document)
    elif way == "policy":
        statement = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        world.cloud.call(
            "iam", "put_role_policy", RoleName=name, PolicyName="more", PolicyDocument=document
        )
    else:
        arn = "arn:aws:iam::aws:policy/AdministratorAccess"
        world.cloud.call("iam", "attach_role_policy", RoleName=name, PolicyArn=arn)

    with pytest.raises(ClusterousError, match="controller-role"):
        world.design(REEF)


def test_a_profile_of_somebody_else_is_not_taken_for_ours(world: cloud.World) -> None:
    name = WHO.role("worker")
    world.cloud.call("iam", "create_instance_profile", InstanceProfileName=name)

    failed = world.converge(REEF).execute().failed

    assert "instance profile clusterous-reef" in str(failed[0][1])


# -- what a failed create leaves ------------------------------------------------------------


def test_a_create_that_fails_says_what_it_made_and_what_that_costs(world: cloud.World) -> None:
    world.configure(eip_limit=0)
    with pytest.raises(ClusterousError) as told, converge.accounted(world.cloud, WHO):
        world.converge(REEF).run(seconds=1)
    world.configure(eip_limit=5)

    assert "What was made stays: " in str(told.value)
    assert "1 bucket" in str(told.value)
    assert "`clusterous destroy reef` removes it" in str(told.value)


def test_where_nothing_was_made_nothing_is_said(world: cloud.World) -> None:
    cloud_: Aws = world.cloud
    with pytest.raises(FailedError) as told, converge.accounted(cloud_, WHO):
        raise FailedError("no")

    assert str(told.value) == "no"


# -- what an organisation demands -----------------------------------------------------------


def test_everything_bears_the_persons_tags_from_the_call_that_makes_it(
    world: cloud.World,
) -> None:
    """A service control policy refuses what is made without them."""
    reef = config.parse("name: reef\nworkers: 1\ntags: {owner: ocean}\n")

    assert world.converge(reef).execute().failed == ()

    for action, key in (
        ("describe_vpcs", "Vpcs"),
        ("describe_subnets", "Subnets"),
        ("describe_addresses", "Addresses"),
        ("describe_nat_gateways", "NatGateways"),
        ("describe_security_groups", "SecurityGroups"),
        ("describe_volumes", "Volumes"),
    ):
        found = there(world, action, key)
        assert found, action
        assert {tags_of(one).get("owner") for one in found} == {"ocean"}, action
    reservations = there(world, "describe_instances", "Reservations")
    for one in reservations:
        assert tags_of(one["Instances"][0])["owner"] == "ocean"
    role = world.cloud.call("iam", "get_role", RoleName=WHO.role("worker"))["Role"]
    assert tags_of(role)["owner"] == "ocean"
