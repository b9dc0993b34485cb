"""Time in the region: states that last, what they hold meanwhile, and who is told of changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.region.aws import images, loopback
from tests.region.aws.settings import AS_SLOW_AS_AWS, Settings

SLOW = Settings(
    pending=10,
    stopping=10,
    shutting_down=10,
    nat_pending=10,
    nat_deleting=10,
    efs_creating=10,
    efs_deleting=10,
    mount_target_creating=10,
    mount_target_deleting=10,
    volume_creating=10,
)
AMI = images.IMAGES[0].id("eu-west-1")


@pytest.fixture
def aws() -> Iterator[loopback.Account]:
    with loopback.account(SLOW) as account:
        yield account


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as error:
        call()
    return str(error.value.response["Error"]["Code"])


def subnet(ec2: Any, gateway: bool = True) -> tuple[str, str]:
    vpc = ec2.create_vpc(CidrBlock="10.40.0.0/16")["Vpc"]["VpcId"]
    if gateway:
        igw = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=igw, VpcId=vpc)
    made = ec2.create_subnet(VpcId=vpc, CidrBlock="10.40.0.0/24", AvailabilityZone="eu-west-1a")
    return vpc, made["Subnet"]["SubnetId"]


def launch(ec2: Any, subnet_id: str, **more: Any) -> str:
    started = ec2.run_instances(
        ImageId=AMI,
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
        NetworkInterfaces=[
            {"DeviceIndex": 0, "SubnetId": subnet_id, "AssociatePublicIpAddress": True}
        ],
        **more,
    )
    return str(started["Instances"][0]["InstanceId"])


def state(aws: loopback.Account, id: str) -> str:
    return next(i.state for i in aws.server.snapshot().instances if i.id == id)


def test_an_instance_lives_through_its_states(aws: loopback.Account) -> None:
    ec2 = aws.client("ec2")
    _, subnet_id = subnet(ec2)
    id = launch(ec2, subnet_id)
    seen = [state(aws, id)]
    assert refused(lambda: ec2.stop_instances(InstanceIds=[id])) == "IncorrectInstanceState"
    for call in (None, ec2.stop_instances, ec2.start_instances, ec2.terminate_instances):
        if call:
            call(InstanceIds=[id])
            seen.append(state(aws, id))
        aws.clock.advance(11)
        seen.append(state(aws, id))

    assert seen == [
        "pending",
        "running",
        "stopping",
        "stopped",
        "pending",
        "running",
        "shutting-down",
        "terminated",
    ]


def test_states_can_take_as_long_as_on_aws() -> None:
    """A gateway 90 s, an attachment 5 s, the end of a machine 45 s."""
    with loopback.account(replace(AS_SLOW_AS_AWS, not_found=0.0)) as aws:
        aws.clock.hold()
        ec2 = aws.client("ec2")
        _, subnet_id = subnet(ec2)
        address = ec2.allocate_address(Domain="vpc")["AllocationId"]
        ec2.create_nat_gateway(SubnetId=subnet_id, AllocationId=address)
        id = launch(ec2, subnet_id)
        volume = ec2.create_volume(AvailabilityZone="eu-west-1a", Size=1)["VolumeId"]

        def gateway() -> str:
            return str(ec2.describe_nat_gateways()["NatGateways"][0]["State"])

        def attachment() -> str:
            shown = ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]
            return str(shown["Attachments"][0]["State"])

        seen = []
        for begin, look, seconds in (
            (None, gateway, 90),
            (lambda: attach(ec2, volume, id), attachment, 5),
            (lambda: ec2.terminate_instances(InstanceIds=[id]), lambda: state(aws, id), 45),
        ):
            if begin:
                begin()
            aws.clock.advance(seconds - 1)
            seen.append(look())
            aws.clock.advance(2)
            seen.append(look())

    assert seen == [
        *("pending", "available"),
        *("attaching", "attached"),
        *("shutting-down", "terminated"),
    ]


def attach(ec2: Any, volume: str, id: str) -> None:
    ec2.attach_volume(VolumeId=volume, InstanceId=id, Device="/dev/sdf")


def test_what_is_shutting_down_still_holds_its_subnet(aws: loopback.Account) -> None:
    ec2 = aws.client("ec2")
    _, subnet_id = subnet(ec2)
    id = launch(ec2, subnet_id)
    public = aws.server.snapshot().instances[0].public_ip
    assert public is not None
    assert public.startswith("198.51.100.")
    aws.clock.advance(11)
    ec2.terminate_instances(InstanceIds=[id])

    held = refused(lambda: ec2.delete_subnet(SubnetId=subnet_id))
    aws.clock.advance(11)
    ec2.delete_subnet(SubnetId=subnet_id)

    assert held == "DependencyViolation"
    assert aws.server.snapshot().public_ips == {}
    assert not [line for line in aws.server.leftovers() if line.startswith(("volume", "network"))]


def test_an_address_is_held_until_its_gateway_is_deleted(aws: loopback.Account) -> None:
    ec2 = aws.client("ec2")
    _, subnet_id = subnet(ec2)
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=subnet_id, AllocationId=address)["NatGateway"]
    id = nat["NatGatewayId"]

    def shown() -> str:
        return str(ec2.describe_nat_gateways(NatGatewayIds=[id])["NatGateways"][0]["State"])

    def release() -> Any:
        return ec2.release_address(AllocationId=address)

    states = [shown()]
    aws.clock.advance(11)
    states.append(shown())
    assert refused(release) == "AuthFailure"
    ec2.delete_nat_gateway(NatGatewayId=id)
    states.append(shown())
    assert refused(release) == "AuthFailure"
    aws.clock.advance(11)
    states.append(shown())
    release()

    assert states == ["pending", "available", "deleting", "deleted"]
    assert not aws.server.snapshot().public_ips


def test_a_nat_gateway_without_internet_gateway_fails(aws: loopback.Account) -> None:
    ec2 = aws.client("ec2")
    _, subnet_id = subnet(ec2, gateway=False)
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.create_nat_gateway(SubnetId=subnet_id, AllocationId=address)
    aws.clock.advance(11)

    nat = ec2.describe_nat_gateways()["NatGateways"][0]

    assert (nat["State"], nat["FailureCode"]) == ("failed", "Gateway.NotAttached")
    ec2.release_address(AllocationId=address)


def test_a_file_system_takes_its_time(aws: loopback.Account) -> None:
    ec2, efs = aws.client("ec2"), aws.client("efs")
    _, subnet_id = subnet(ec2)
    fs = efs.create_file_system(CreationToken="c")["FileSystemId"]

    def mount() -> Any:
        return efs.create_mount_target(FileSystemId=fs, SubnetId=subnet_id)

    assert refused(mount) == "IncorrectFileSystemLifeCycleState"
    aws.clock.advance(11)
    target = mount()["MountTargetId"]
    states = [aws.server.snapshot().mount_targets[0].state]
    aws.clock.advance(11)
    states.append(aws.server.snapshot().mount_targets[0].state)
    efs.delete_mount_target(MountTargetId=target)
    states.append(aws.server.snapshot().mount_targets[0].state)
    assert refused(lambda: efs.delete_file_system(FileSystemId=fs)) == "FileSystemInUse"
    assert refused(lambda: ec2.delete_subnet(SubnetId=subnet_id)) == "DependencyViolation"
    aws.clock.advance(11)
    efs.delete_file_system(FileSystemId=fs)
    aws.clock.advance(11)

    assert states == ["creating", "available", "deleting"]
    assert aws.server.snapshot().mount_targets == ()
    assert refused(lambda: efs.describe_file_systems(FileSystemId=fs)) == "FileSystemNotFound"
    ec2.delete_subnet(SubnetId=subnet_id)


@pytest.mark.parametrize(("behaviour", "end"), [("stop", "stopped"), ("terminate", "terminated")])
def test_a_guest_that_powers_off_ends_as_it_was_launched(
    aws: loopback.Account, behaviour: str, end: str
) -> None:
    ec2 = aws.client("ec2")
    _, subnet_id = subnet(ec2)
    id = launch(ec2, subnet_id, InstanceInitiatedShutdownBehavior=behaviour)
    aws.clock.advance(11)
    aws.server.machine_started(id)

    aws.server.machine_stopped(id)
    aws.clock.advance(11)

    assert state(aws, id) == end


@pytest.mark.parametrize(
    ("ran", "reason"),
    [
        (True, "Client.InstanceInitiatedShutdown: Instance initiated shutdown"),
        (False, "Server.InternalError: Internal error on launch"),
    ],
    ids=["its guest powered off", "it never ran"],
)
def test_a_machine_that_ended_by_itself_tells_why(
    aws: loopback.Account, ran: bool, reason: str
) -> None:
    ec2 = aws.client("ec2")
    _, subnet_id = subnet(ec2)
    id = launch(ec2, subnet_id, InstanceInitiatedShutdownBehavior="terminate")
    aws.clock.advance(11)
    if ran:
        aws.server.machine_started(id)

    aws.server.machine_stopped(id)
    at_once = ec2.describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"][0]
    aws.clock.advance(60)
    later = ec2.describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"][0]

    assert [one["State"]["Name"] for one in (at_once, later)] == ["shutting-down", "terminated"]
    assert [one["StateReason"]["Message"] for one in (at_once, later)] == [reason] * 2


def test_a_stop_waits_for_the_machine(aws: loopback.Account) -> None:
    ec2 = aws.client("ec2")
    _, subnet_id = subnet(ec2)
    id = launch(ec2, subnet_id)
    aws.clock.advance(11)
    aws.server.machine_started(id)
    ec2.stop_instances(InstanceIds=[id])
    aws.clock.advance(20)
    waiting = state(aws, id)

    aws.server.machine_stopped(id)
    stopped = state(aws, id)
    ec2.start_instances(InstanceIds=[id])
    aws.clock.advance(100)

    # The limit of the first stop is over long since; it must not stop the machine again.
    assert (waiting, stopped, state(aws, id)) == ("stopping", "stopped", "running")


def test_a_new_id_is_not_found_at_first(aws: loopback.Account) -> None:
    aws.configure(not_found=5.0)
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.40.0.0/16")["Vpc"]["VpcId"]

    early = refused(lambda: ec2.describe_vpcs(VpcIds=[vpc]))
    listed = ec2.describe_vpcs(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Vpcs"]
    aws.clock.advance(6)

    assert (early, listed) == ("InvalidVpcID.NotFound", [])
    assert ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]


def test_whoever_waits_is_told_of_a_change(aws: loopback.Account) -> None:
    ec2 = aws.client("ec2")
    before = aws.server.snapshot()
    assert aws.server.snapshot() is before
    told: list[int] = []
    waiter = threading.Thread(
        target=lambda: told.append(aws.server.wait_for_change(before.generation, 20))
    )
    waiter.start()

    ec2.create_vpc(CidrBlock="10.40.0.0/16")
    waiter.join(20)

    assert told == [before.generation + 1]
    assert len(aws.server.snapshot().vpcs) == 1


def test_console_output_is_what_the_machine_says(aws: loopback.Account) -> None:
    ec2 = aws.client("ec2")
    _, subnet_id = subnet(ec2)
    id = launch(ec2, subnet_id)
    silent = ec2.get_console_output(InstanceId=id).get("Output", "")

    aws.server.console = lambda instance: f"{instance} login:"

    assert silent == ""
    assert ec2.get_console_output(InstanceId=id)["Output"] == f"{id} login:"


@pytest.mark.parametrize("paged", [False, True], ids=["asked", "forced"])
def test_lists_come_in_pages_of_instances(aws: loopback.Account, paged: bool) -> None:
    ec2 = aws.client("ec2")
    _, subnet_id = subnet(ec2)
    ec2.run_instances(
        ImageId=AMI, InstanceType="t3.micro", MinCount=7, MaxCount=7, SubnetId=subnet_id
    )
    if paged:
        aws.configure(page_size=3)

    def pages(operation: str, key: str) -> list[int]:
        config = {} if paged else {"PageSize": 5}
        found = ec2.get_paginator(operation).paginate(PaginationConfig=config)
        return [
            sum(len(r["Instances"]) for r in page[key]) if key == "Reservations" else len(page[key])
            for page in found
        ]

    expected = [3, 3, 1] if paged else [5, 2]
    assert pages("describe_instances", "Reservations") == expected
    assert pages("describe_volumes", "Volumes") == expected
    assert pages("describe_network_interfaces", "NetworkInterfaces") == expected


def test_a_new_profile_is_unknown_to_ec2_at_first(aws: loopback.Account) -> None:
    aws.configure(profile_delay=5.0)
    ec2, iam = aws.client("ec2"), aws.client("iam")
    _, subnet_id = subnet(ec2)
    iam.create_role(RoleName="node", AssumeRolePolicyDocument='{"Version":"2012-10-17"}')
    iam.create_instance_profile(InstanceProfileName="node")
    iam.add_role_to_instance_profile(InstanceProfileName="node", RoleName="node")

    def start() -> str:
        return launch(ec2, subnet_id, IamInstanceProfile={"Name": "node"})

    early = refused(start)
    aws.clock.advance(6)

    assert early == "InvalidParameterValue"
    assert start()


def test_an_elastic_address_survives_its_instance(aws: loopback.Account) -> None:
    ec2 = aws.client("ec2")
    _, subnet_id = subnet(ec2)
    id = launch(ec2, subnet_id)
    aws.clock.advance(11)
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.associate_address(AllocationId=address, InstanceId=id)
    used = refused(lambda: ec2.release_address(AllocationId=address))
    ec2.terminate_instances(InstanceIds=[id])
    aws.clock.advance(11)

    free = ec2.describe_addresses(AllocationIds=[address])["Addresses"][0]
    ec2.release_address(AllocationId=address)

    assert used == "InvalidIPAddress.InUse"
    assert "AssociationId" not in free
    assert "InstanceId" not in free or not free["InstanceId"]
