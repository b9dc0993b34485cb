"""Whatever of a cluster is lost, by somebody's hand or AWS's own failure, the next create mends."""

from collections.abc import Callable
from typing import Any, Final

import pytest

from clusterous_api import names
from clusterous_api.errors import TransientError, UserError
from clusterous_cli.cluster import config
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import SECRETS_KEY
from clusterous_cli.cluster.tags import tagged, tags_of
from clusterous_cli.system import wait
from tests.functional import cloud
from tests.region.aws import ec2_models, store

REEF = config.parse("name: reef\nworkers: 1\nvolume: efs\n")
WHO = Identity(name="reef", account="123456789012", region="eu-west-1")
ROLE = WHO.role("worker")
OWNER = {"Bucket": WHO.bucket, "ExpectedBucketOwner": WHO.account}


def one(world: cloud.World, action: str, key: str, role: str = "") -> dict[str, Any]:
    for item in world.cloud.pages("ec2", action, key, Filters=tagged(WHO)):
        if role in ("", tags_of(item)[names.TAG_ROLE]):
            return dict(item)
    raise AssertionError(role)


def ec2(world: cloud.World, action: str, **params: Any) -> None:
    world.cloud.call("ec2", action, **params)


def iam(world: cloud.World, action: str, **params: Any) -> None:
    world.cloud.call("iam", action, **params)


def nat(world: cloud.World) -> None:
    found = one(world, "describe_nat_gateways", "NatGateways")
    ec2(world, "delete_nat_gateway", NatGatewayId=found["NatGatewayId"])


def endpoint(world: cloud.World) -> None:
    found = one(world, "describe_vpc_endpoints", "VpcEndpoints")
    ec2(world, "delete_vpc_endpoints", VpcEndpointIds=[found["VpcEndpointId"]])


def public_route(world: cloud.World) -> None:
    found = one(world, "describe_route_tables", "RouteTables", "public-table")
    ec2(world, "delete_route", RouteTableId=found["RouteTableId"],
        DestinationCidrBlock="0.0.0.0/0")  # fmt: skip


def table_link(world: cloud.World) -> None:
    found = one(world, "describe_route_tables", "RouteTables", "private-table")
    link = found["Associations"][0]["RouteTableAssociationId"]
    ec2(world, "disassociate_route_table", AssociationId=link)


def names_of_hosts(world: cloud.World) -> None:
    found = one(world, "describe_vpcs", "Vpcs")
    ec2(world, "modify_vpc_attribute", VpcId=found["VpcId"], EnableDnsHostnames={"Value": False})


def rules(world: cloud.World) -> None:
    found = one(world, "describe_security_groups", "SecurityGroups", "worker-group")
    ec2(world, "revoke_security_group_ingress", GroupId=found["GroupId"],
        IpPermissions=found["IpPermissions"])  # fmt: skip


def rules_out(world: cloud.World) -> None:
    found = one(world, "describe_security_groups", "SecurityGroups", "controller-group")
    ec2(world, "revoke_security_group_egress", GroupId=found["GroupId"],
        IpPermissions=found["IpPermissionsEgress"])  # fmt: skip


def role_policy(world: cloud.World) -> None:
    iam(world, "delete_role_policy", RoleName=ROLE, PolicyName="clusterous")


def role_in_profile(world: cloud.World) -> None:
    iam(world, "remove_role_from_instance_profile", InstanceProfileName=ROLE, RoleName=ROLE)


def profile(world: cloud.World) -> None:
    role_in_profile(world)
    iam(world, "delete_instance_profile", InstanceProfileName=ROLE)


def role(world: cloud.World) -> None:
    role_policy(world)
    role_in_profile(world)
    iam(world, "delete_role", RoleName=ROLE)


def bucket_policy(world: cloud.World) -> None:
    world.cloud.call("s3", "delete_bucket_policy", **OWNER)


def bucket_block(world: cloud.World) -> None:
    world.cloud.call("s3", "delete_public_access_block", **OWNER)


def record(world: cloud.World) -> None:
    world.cloud.call("s3", "delete_object", Key="cluster.json", **OWNER)


def boot_files(world: cloud.World) -> None:
    for item in world.cloud.pages("s3", "list_objects_v2", "Contents", **OWNER):
        if not item["Key"].startswith("private/"):
            world.cloud.call("s3", "delete_object", Key=item["Key"], **OWNER)


def machine(kind: str) -> Callable[[cloud.World], None]:
    def ended(world: cloud.World) -> None:
        ids = [id for id, role in machines(world).items() if role == kind]
        world.end(*ids)

    return ended


def machines(world: cloud.World) -> dict[str, str]:
    listed = world.cloud.pages("ec2", "describe_instances", "Reservations", Filters=tagged(WHO))
    found = [one for group in listed for one in group["Instances"]]
    return {one["InstanceId"]: tags_of(one)[names.TAG_ROLE] for one in found}


def mount_target(world: cloud.World) -> None:
    (found,) = world.cloud.pages("efs", "describe_file_systems", "FileSystems")
    (target,) = world.cloud.call(
        "efs", "describe_mount_targets", FileSystemId=found["FileSystemId"]
    )["MountTargets"]
    world.cloud.call("efs", "delete_mount_target", MountTargetId=target["MountTargetId"])


def address(world: cloud.World) -> None:
    nat(world)
    found = one(world, "describe_addresses", "Addresses")
    wait.until(lambda: released(world, found["AllocationId"]), "Release", wait.Pauses(), timeout=20)


def released(world: cloud.World, id: str) -> bool | None:
    try:
        ec2(world, "release_address", AllocationId=id)
    except TransientError:
        return None  # the NAT gateway has it still
    return True


# -- what AWS itself gives up ---------------------------------------------------------------


def failed_nat(world: cloud.World) -> None:
    found = one(world, "describe_nat_gateways", "NatGateways")
    nat = store.ec2().nat_gateways[found["NatGatewayId"]]
    nat.state = "failed"
    ec2_models._free_nat(store.ec2(), nat)


def failed_endpoint(world: cloud.World) -> None:
    found = one(world, "describe_vpc_endpoints", "VpcEndpoints")
    store.ec2().vpc_end_points[found["VpcEndpointId"]].state = "failed"


def failed_mount_target(world: cloud.World) -> None:
    (target,) = store.efs().mount_targets_by_id.values()
    target.life_cycle_state = "error"


# What does not touch the same thing is lost together.
LOST: Final = {
    "a": (nat, public_route, names_of_hosts, rules, rules_out, role_policy, bucket_policy,
          bucket_block, record, machine("worker")),
    "b": (endpoint, table_link, role_in_profile, boot_files, machine("controller"), mount_target),
    "c": (address, profile, machine("gateway")),
    "d": (role,),
    "failed": (failed_nat, failed_endpoint, failed_mount_target),
}  # fmt: skip


@pytest.mark.parametrize("slow", [False, True], ids=["gone", "going"])
@pytest.mark.parametrize("losses", LOST.values(), ids=LOST.keys())
def test_what_is_lost_is_made_anew(
    world: cloud.World, losses: tuple[Callable[[cloud.World], None], ...], slow: bool
) -> None:
    assert world.converge(REEF).execute().failed == ()
    if slow:
        world.configure(nat_deleting=2.0, mount_target_deleting=2.0, shutting_down=2.0)
    for lose in losses:
        lose(world)

    failed = world.converge(REEF).execute().failed

    assert [(step.key, str(error)) for step, error in failed] == []
    assert [str(step.key) for step in world.design(REEF).plan.pending] == []


def test_keys_that_are_lost_while_machines_run_are_not_made_anew(world: cloud.World) -> None:
    world.laid(REEF)
    world.cloud.call("s3", "delete_object", Key=SECRETS_KEY, **OWNER)
    before = world.mutating()

    with pytest.raises(UserError, match="no machine of reef can be reached any more"):
        world.design(REEF)
    assert world.mutating() == before


def test_keys_that_are_lost_with_all_machines_are_made_anew(world: cloud.World) -> None:
    world.laid(REEF)
    world.cloud.call("s3", "delete_object", Key=SECRETS_KEY, **OWNER)
    world.end(*machines(world))

    assert world.converge(REEF).execute().failed == ()
