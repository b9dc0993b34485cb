"""What `destroy` may remove: what is in the cluster's network or made as ours."""

from typing import Any

import pytest

from clusterous_api import names
from clusterous_api.errors import LeftBehindError
from clusterous_cli import main
from clusterous_cli.cluster import config, record
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.tags import as_items
from tests.functional import cloud

REEF = config.parse("name: reef\nworkers: 1\n")
WHO = Identity(name="reef", account="123456789012", region="eu-west-1")
UID = [{"Key": names.TAG_UID, "Value": WHO.uid}]
ALL = as_items(WHO.tags("worker"))


def elsewhere(ec2: Any) -> str:
    """Make a network of somebody else's, and return its one subnet."""
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    made = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24", AvailabilityZone="eu-west-1a")
    return str(made["Subnet"]["SubnetId"])


def stays(world: cloud.World, id: str) -> None:
    """Destroy the cluster, and hear that *id* was left alone."""
    with pytest.raises(LeftBehindError) as told:
        world.destroy("reef")

    line, *others = [line for line in str(told.value).splitlines() if id in line]
    assert not others
    assert "bears the cluster's tags, but is not in its network" in line
    assert "1 thing would not go" in str(told.value)


def test_a_machine_of_another_network_is_not_ended_for_its_tags(world: cloud.World) -> None:
    world.laid(REEF)
    ec2 = world.cloud.client("ec2")
    (image,) = {m["ImageId"] for m in machines(world)}
    made = ec2.run_instances(
        ImageId=image, InstanceType="t3.small", MinCount=1, MaxCount=1, SubnetId=elsewhere(ec2)
    )["Instances"][0]["InstanceId"]
    ec2.create_tags(Resources=[made], Tags=ALL)

    assert not world.design(REEF).plan.pending
    known = [one["InstanceId"] for one in record.machines(world.cloud, WHO)]
    assert len(known) == 4
    assert made not in known
    stays(world, made)

    (left,) = [m for m in machines(world) if m["State"]["Name"] != "terminated"]
    assert left["InstanceId"] == made


def machines(world: cloud.World) -> list[Any]:
    groups = world.cloud.pages("ec2", "describe_instances", "Reservations")
    return [machine for group in groups for machine in group["Instances"]]


@pytest.mark.parametrize("kind", ["network", "disk", "public address", "internet gateway"])
def test_what_merely_bears_our_uid_is_listed(world: cloud.World, kind: str) -> None:
    world.laid(REEF)
    ec2 = world.cloud.client("ec2")
    match kind:
        case "network":
            id = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
        case "disk":
            id = ec2.create_volume(AvailabilityZone="eu-west-1a", Size=1)["VolumeId"]
        case "public address":
            id = ec2.allocate_address(Domain="vpc")["AllocationId"]
        case _:
            id = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.create_tags(Resources=[id], Tags=UID)

    assert not world.design(REEF).plan.pending
    stays(world, id)


def test_the_way_out_of_another_network_stays_whatever_its_tags(world: cloud.World) -> None:
    world.laid(REEF)
    ec2 = world.cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.create_tags(Resources=[gateway], Tags=ALL)

    stays(world, gateway)

    (left,) = ec2.describe_internet_gateways(InternetGatewayIds=[gateway])["InternetGateways"]
    assert left["Attachments"][0]["VpcId"] == vpc


def test_an_address_that_leads_into_another_network_stays(world: cloud.World) -> None:
    world.laid(REEF)
    ec2 = world.cloud.client("ec2")
    interface = ec2.create_network_interface(SubnetId=elsewhere(ec2))["NetworkInterface"]
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.associate_address(AllocationId=address, NetworkInterfaceId=interface["NetworkInterfaceId"])
    ec2.create_tags(Resources=[address], Tags=ALL)

    stays(world, address)


def test_a_file_system_of_others_stays_whatever_its_tags(world: cloud.World) -> None:
    world.laid(REEF)
    efs = world.cloud.client("efs")
    id = efs.create_file_system(CreationToken="theirs", Tags=ALL)["FileSystemId"]

    stays(world, id)


def test_every_call_about_a_bucket_says_whose_it_must_be(world: cloud.World) -> None:
    """Names of buckets are of all the world: one that was lost may be somebody else's by now."""
    s3 = world.cloud.client("s3")
    unsaid: set[str] = set()

    def look(params: dict[str, Any], model: Any, **more: Any) -> None:
        may = "ExpectedBucketOwner" in (model.input_shape.members if model.input_shape else {})
        if may and params.get("ExpectedBucketOwner") != WHO.account:
            unsaid.add(model.name)

    for client in (s3, world.cloud.client("s3", reads=True)):
        client.meta.events.register("before-parameter-build.s3", look)

    world.converge(REEF).execute()
    world.design(REEF)
    world.destroy("reef")

    assert unsaid == set()


def test_a_bucket_that_keeps_versions_goes_with_all_of_them(world: cloud.World) -> None:
    world.laid(REEF)
    s3 = world.cloud.client("s3")
    s3.put_bucket_versioning(Bucket=WHO.bucket, VersioningConfiguration={"Status": "Enabled"})
    for _ in range(2):
        s3.put_object(Bucket=WHO.bucket, Key="record.json", Body=b"{}")
    s3.delete_object(Bucket=WHO.bucket, Key="private/secrets.json")

    world.destroy("reef")

    assert world.server.leftovers() == []


def test_a_bucket_goes_with_more_marks_of_deletion_than_one_call_takes(world: cloud.World) -> None:
    s3 = world.cloud.client("s3")
    place = {"LocationConstraint": "eu-west-1"}
    s3.create_bucket(Bucket=WHO.bucket, CreateBucketConfiguration=place)
    s3.put_bucket_versioning(Bucket=WHO.bucket, VersioningConfiguration={"Status": "Enabled"})
    gone = [{"Key": f"nodes/{number}.json"} for number in range(1001)]
    for some in (gone[:1000], gone[1000:]):
        s3.delete_objects(Bucket=WHO.bucket, Delete={"Objects": some})
    marks = world.cloud.pages("s3", "list_object_versions", "DeleteMarkers", Bucket=WHO.bucket)
    assert len(marks) == 1001

    world.destroy("reef")

    assert world.server.leftovers() == []


def test_what_a_node_says_while_its_bucket_goes_is_removed_too(
    world: cloud.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.laid(REEF)
    call, late = world.cloud.call, iter([b"{}"])

    def called(service: str, action: str, **params: Any) -> Any:
        if action == "delete_bucket" and (body := next(late, None)):
            call("s3", "put_object", Bucket=WHO.bucket, Key="nodes/i-0.json", Body=body)
        return call(service, action, **params)

    monkeypatch.setattr(world.cloud, "call", called)

    world.destroy("reef")

    assert world.mutating().count("s3:DeleteBucket") == 2
    assert world.server.leftovers() == []
    # All that could write ended before.
    asked = world.mutating()
    assert asked.index("ec2:TerminateInstances") < asked.index("s3:DeleteBucket")


@pytest.mark.parametrize("flag", [True, False])
def test_what_guardduty_made_by_itself_goes_if_the_person_wants(
    world: cloud.World, monkeypatch: pytest.MonkeyPatch, flag: bool
) -> None:
    monkeypatch.setattr("clusterous_cli.plan.converge.SECONDS_WITH_FOREIGN", 1.0)
    world.laid(REEF)
    ec2 = world.cloud.client("ec2")
    (subnet,) = ec2.describe_subnets(Filters=[{"Name": "tag:Name", "Values": ["reef-private"]}])[
        "Subnets"
    ]
    mark = [{"Key": "GuardDutyManaged", "Value": "true"}]
    group = ec2.create_security_group(
        GroupName=f"GuardDutyManagedSecurityGroup-{subnet['VpcId']}", VpcId=subnet["VpcId"],
        Description="Associated with VPC",
        TagSpecifications=[{"ResourceType": "security-group", "Tags": mark}],
    )["GroupId"]  # fmt: skip
    endpoint = ec2.create_vpc_endpoint(
        VpcEndpointType="Interface", VpcId=subnet["VpcId"], SubnetIds=[subnet["SubnetId"]],
        ServiceName="com.amazonaws.eu-west-1.guardduty-data", SecurityGroupIds=[group],
        TagSpecifications=[{"ResourceType": "vpc-endpoint", "Tags": mark}],
    )["VpcEndpoint"]["VpcEndpointId"]  # fmt: skip
    monkeypatch.setattr("clusterous_cli.aws.client.connect", lambda *_: world.cloud)

    code = main.run(["destroy", "reef", "--yes", *(["--guardduty"] if flag else [])])

    assert code == (0 if flag else 3)
    left = " ".join(world.server.leftovers())
    assert (endpoint in left, group in left) == (not flag, not flag)
