"""What AWS refuses, the region refuses, with AWS's code, and nothing has changed afterwards."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.region.aws import images, loopback

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "ec2.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)
NOTHING = "0123456789abcdef0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One account with one of everything, in use."""

    aws: loopback.Account
    ec2: Any
    iam: Any
    efs: Any
    ecr: Any
    ssm: Any
    ids: dict[str, str]

    def __getitem__(self, name: str) -> str:
        return self.ids[name]

    def run(self, **changes: Any) -> Any:
        """Ask for one instance; a None takes an argument away."""
        arguments = {
            "ImageId": self["ami"],
            "InstanceType": "t3.micro",
            "SubnetId": self["private"],
            "SecurityGroupIds": [self["nodes"]],
            "MinCount": 1,
            "MaxCount": 1,
            **changes,
        }
        return self.ec2.run_instances(**{k: v for k, v in arguments.items() if v is not None})


def image(suffix: str) -> str:
    return next(i.id("eu-west-1") for i in images.IMAGES if suffix in i.name)


def network(ec2: Any) -> dict[str, str]:
    ids = {"vpc": ec2.create_vpc(CidrBlock="10.40.0.0/16")["Vpc"]["VpcId"]}
    ids["other-vpc"] = ec2.create_vpc(CidrBlock="10.41.0.0/16")["Vpc"]["VpcId"]
    for name, cidr in (("public", "10.40.0.0/24"), ("private", "10.40.1.0/24")):
        made = ec2.create_subnet(VpcId=ids["vpc"], CidrBlock=cidr, AvailabilityZone="eu-west-1a")
        ids[name] = made["Subnet"]["SubnetId"]
    ids["igw"] = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ids["other-igw"] = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=ids["igw"], VpcId=ids["vpc"])
    ids["eip"] = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=ids["public"], AllocationId=ids["eip"])
    ids["nat"] = nat["NatGateway"]["NatGatewayId"]
    ids["table"] = ec2.create_route_table(VpcId=ids["vpc"])["RouteTable"]["RouteTableId"]
    ec2.create_route(
        RouteTableId=ids["table"], DestinationCidrBlock="0.0.0.0/0", NatGatewayId=ids["nat"]
    )
    ec2.associate_route_table(RouteTableId=ids["table"], SubnetId=ids["private"])
    endpoint = ec2.create_vpc_endpoint(
        VpcId=ids["vpc"],
        ServiceName="com.amazonaws.eu-west-1.s3",
        RouteTableIds=[ids["table"]],
    )
    return {**ids, "endpoint": endpoint["VpcEndpoint"]["VpcEndpointId"]}


def groups(ec2: Any, ids: dict[str, str]) -> dict[str, str]:
    def made(name: str, vpc: str) -> str:
        return str(
            ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
        )

    found = {
        "nodes": made("nodes", ids["vpc"]),
        "named": made("named", ids["vpc"]),
        "files": made("files", ids["vpc"]),
        "foreign": made("foreign", ids["other-vpc"]),
    }
    ec2.authorize_security_group_ingress(
        GroupId=found["files"],
        IpPermissions=[
            {
                "IpProtocol": "tcp",
                "FromPort": 2049,
                "ToPort": 2049,
                "UserIdGroupPairs": [{"GroupId": found["named"]}],
            }
        ],
    )
    default = ec2.describe_security_groups(
        Filters=[
            {"Name": "vpc-id", "Values": [ids["vpc"]]},
            {"Name": "group-name", "Values": ["default"]},
        ]
    )
    return {**found, "default": default["SecurityGroups"][0]["GroupId"]}


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with loopback.account() as aws:
        clients = {name: aws.client(name) for name in ("ec2", "iam", "efs", "ecr", "ssm")}
        ec2, iam, efs = clients["ec2"], clients["iam"], clients["efs"]
        ids = network(ec2)
        ids |= groups(ec2, ids)
        ids |= {"ami": image("debian-12-amd64"), "arm-ami": image("debian-12-arm64")}
        iam.create_role(RoleName="node", AssumeRolePolicyDocument=TRUST)
        iam.put_role_policy(
            RoleName="node",
            PolicyName="p",
            PolicyDocument='{"Version":"2012-10-17","Statement":[{"Effect":"Allow",'
            '"Action":"s3:GetObject","Resource":"*"}]}',
        )
        iam.create_instance_profile(InstanceProfileName="node")
        iam.add_role_to_instance_profile(InstanceProfileName="node", RoleName="node")
        iam.create_instance_profile(InstanceProfileName="empty")
        scene = Stage(aws=aws, ids=ids, **clients)
        instance = scene.run(IamInstanceProfile={"Name": "node"}, DisableApiTermination=True)
        ids["instance"] = instance["Instances"][0]["InstanceId"]
        ids["eni"] = instance["Instances"][0]["NetworkInterfaces"][0]["NetworkInterfaceId"]
        gone = scene.run()["Instances"][0]["InstanceId"]
        ec2.terminate_instances(InstanceIds=[gone])
        ids["gone"] = gone
        ids["volume"] = ec2.create_volume(AvailabilityZone="eu-west-1a", Size=1)["VolumeId"]
        ids["far-volume"] = ec2.create_volume(AvailabilityZone="eu-west-1b", Size=1)["VolumeId"]
        root = ec2.describe_volumes(
            Filters=[{"Name": "attachment.instance-id", "Values": [ids["instance"]]}]
        )
        ids["root"] = root["Volumes"][0]["VolumeId"]
        ids["device"] = root["Volumes"][0]["Attachments"][0]["Device"]
        ids["fs"] = efs.create_file_system(CreationToken="t")["FileSystemId"]
        efs.create_mount_target(
            FileSystemId=ids["fs"], SubnetId=ids["public"], SecurityGroups=[ids["files"]]
        )
        clients["ecr"].create_repository(repositoryName="app")
        aws.server.ecr_put_image("app", "v1", "sha256:" + "1" * 64, b"{}", "application/json")
        ec2.import_key_pair(
            KeyName="key",
            PublicKeyMaterial=b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3r0v0o0kq0dN0Yb1Yk7Y9m3rY1Z0"
            b"c5m8Qv9m2b1x4A me",
        )
        yield scene


def tcp(**ends: int) -> list[dict[str, Any]]:
    return [{"IpProtocol": "tcp", **ends, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}]


Refused = tuple[str, Callable[[Stage], Any], str]

DEPENDENCIES: list[Refused] = [
    ("vpc-in-use", lambda s: s.ec2.delete_vpc(VpcId=s["vpc"]), "DependencyViolation"),
    ("vpc-with-group", lambda s: s.ec2.delete_vpc(VpcId=s["other-vpc"]), "DependencyViolation"),
    (
        "subnet-with-instance",
        lambda s: s.ec2.delete_subnet(SubnetId=s["private"]),
        "DependencyViolation",
    ),
    (
        "subnet-with-nat-and-mount-target",
        lambda s: s.ec2.delete_subnet(SubnetId=s["public"]),
        "DependencyViolation",
    ),
    (
        "group-of-instance",
        lambda s: s.ec2.delete_security_group(GroupId=s["nodes"]),
        "DependencyViolation",
    ),
    (
        "group-of-mount-target",
        lambda s: s.ec2.delete_security_group(GroupId=s["files"]),
        "DependencyViolation",
    ),
    (
        "group-named-by-another",
        lambda s: s.ec2.delete_security_group(GroupId=s["named"]),
        "DependencyViolation",
    ),
    (
        "default-group",
        lambda s: s.ec2.delete_security_group(GroupId=s["default"]),
        "CannotDelete",
    ),
    (
        "attached-gateway",
        lambda s: s.ec2.delete_internet_gateway(InternetGatewayId=s["igw"]),
        "DependencyViolation",
    ),
    (
        "detach-gateway-with-addresses",
        lambda s: s.ec2.detach_internet_gateway(InternetGatewayId=s["igw"], VpcId=s["vpc"]),
        "DependencyViolation",
    ),
    (
        "second-gateway",
        lambda s: s.ec2.attach_internet_gateway(InternetGatewayId=s["other-igw"], VpcId=s["vpc"]),
        "InvalidParameterValue",
    ),
    (
        "associated-table",
        lambda s: s.ec2.delete_route_table(RouteTableId=s["table"]),
        "DependencyViolation",
    ),
    (
        "main-table",
        lambda s: s.ec2.delete_route_table(RouteTableId=main_table(s)),
        "DependencyViolation",
    ),
    (
        "address-of-nat",
        lambda s: s.ec2.release_address(AllocationId=s["eip"]),
        "AuthFailure",
    ),
    (
        "nat-with-used-address",
        lambda s: s.ec2.create_nat_gateway(SubnetId=s["public"], AllocationId=s["eip"]),
        "Resource.AlreadyAssociated",
    ),
    (
        "interface-in-use",
        lambda s: s.ec2.delete_network_interface(NetworkInterfaceId=s["eni"]),
        "InvalidNetworkInterface.InUse",
    ),
    ("attached-volume", lambda s: s.ec2.delete_volume(VolumeId=s["root"]), "VolumeInUse"),
    (
        "volume-twice",
        lambda s: s.ec2.attach_volume(
            VolumeId=s["root"], InstanceId=s["instance"], Device="/dev/sdz"
        ),
        "VolumeInUse",
    ),
    (
        "volume-of-another-zone",
        lambda s: s.ec2.attach_volume(
            VolumeId=s["far-volume"], InstanceId=s["instance"], Device="/dev/sdz"
        ),
        "InvalidVolume.ZoneMismatch",
    ),
    (
        "device-taken",
        lambda s: s.ec2.attach_volume(
            VolumeId=s["volume"], InstanceId=s["instance"], Device=s["device"]
        ),
        "InvalidParameterValue",
    ),
    (
        "volume-to-terminated",
        lambda s: s.ec2.attach_volume(
            VolumeId=s["volume"], InstanceId=s["gone"], Device="/dev/sdz"
        ),
        "IncorrectState",
    ),
    (
        "root-of-running",
        lambda s: s.ec2.detach_volume(VolumeId=s["root"]),
        "OperationNotPermitted",
    ),
    (
        "detach-free-volume",
        lambda s: s.ec2.detach_volume(VolumeId=s["volume"]),
        "IncorrectState",
    ),
    (
        "detach-from-another",
        lambda s: s.ec2.detach_volume(VolumeId=s["root"], InstanceId=s["gone"]),
        "InvalidAttachment.NotFound",
    ),
    (
        "snapshot-of-image",
        lambda s: s.ec2.delete_snapshot(SnapshotId=snapshot_of_image(s)),
        "InvalidSnapshot.InUse",
    ),
    (
        "protected-instance",
        lambda s: s.ec2.terminate_instances(InstanceIds=[s["instance"]]),
        "OperationNotPermitted",
    ),
    (
        "start-terminated",
        lambda s: s.ec2.start_instances(InstanceIds=[s["gone"]]),
        "IncorrectInstanceState",
    ),
    (
        "type-of-running",
        lambda s: s.ec2.modify_instance_attribute(
            InstanceId=s["instance"], InstanceType={"Value": "t3.small"}
        ),
        "IncorrectInstanceState",
    ),
    (
        "profile-with-role",
        lambda s: s.iam.delete_instance_profile(InstanceProfileName="node"),
        "DeleteConflict",
    ),
    ("role-in-use", lambda s: s.iam.delete_role(RoleName="node"), "DeleteConflict"),
    (
        "second-role",
        lambda s: s.iam.add_role_to_instance_profile(InstanceProfileName="node", RoleName="node"),
        "LimitExceeded",
    ),
    (
        "file-system-in-use",
        lambda s: s.efs.delete_file_system(FileSystemId=s["fs"]),
        "FileSystemInUse",
    ),
    (
        "second-mount-target-in-zone",
        lambda s: s.efs.create_mount_target(FileSystemId=s["fs"], SubnetId=s["private"]),
        "MountTargetConflict",
    ),
    (
        "same-creation-token",
        lambda s: s.efs.create_file_system(CreationToken="t"),
        "FileSystemAlreadyExists",
    ),
    (
        "repository-with-images",
        lambda s: s.ecr.delete_repository(repositoryName="app"),
        "RepositoryNotEmptyException",
    ),
]


def snapshot_of_image(stage: Stage) -> str:
    shown = stage.ec2.describe_images(ImageIds=[stage["ami"]])["Images"][0]
    return str(shown["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"])


def main_table(stage: Stage) -> str:
    tables = stage.ec2.describe_route_tables(
        Filters=[
            {"Name": "vpc-id", "Values": [stage["vpc"]]},
            {"Name": "association.main", "Values": ["true"]},
        ]
    )
    return str(tables["RouteTables"][0]["RouteTableId"])


UNKNOWN: list[Refused] = [
    (
        "subnet",
        lambda s: s.ec2.delete_subnet(SubnetId=f"subnet-{NOTHING}"),
        "InvalidSubnetID.NotFound",
    ),
    (
        "group",
        lambda s: s.ec2.delete_security_group(GroupId=f"sg-{NOTHING}"),
        "InvalidGroup.NotFound",
    ),
    ("vpc", lambda s: s.ec2.delete_vpc(VpcId=f"vpc-{NOTHING}"), "InvalidVpcID.NotFound"),
    (
        "delete-nat",
        lambda s: s.ec2.delete_nat_gateway(NatGatewayId=f"nat-{NOTHING}"),
        "NatGatewayNotFound",
    ),
    (
        "describe-nat",
        lambda s: s.ec2.describe_nat_gateways(NatGatewayIds=[f"nat-{NOTHING}"]),
        "NatGatewayNotFound",
    ),
    (
        "instance",
        lambda s: s.ec2.terminate_instances(InstanceIds=[f"i-{NOTHING}"]),
        "InvalidInstanceID.NotFound",
    ),
    (
        "malformed-instance",
        lambda s: s.ec2.terminate_instances(InstanceIds=["banana"]),
        "InvalidInstanceID.Malformed",
    ),
    (
        "address",
        lambda s: s.ec2.release_address(AllocationId=f"eipalloc-{NOTHING}"),
        "InvalidAllocationID.NotFound",
    ),
    ("volume", lambda s: s.ec2.delete_volume(VolumeId=f"vol-{NOTHING}"), "InvalidVolume.NotFound"),
    (
        "describe-volume",
        lambda s: s.ec2.describe_volumes(VolumeIds=[f"vol-{NOTHING}"]),
        "InvalidVolume.NotFound",
    ),
    (
        "snapshot",
        lambda s: s.ec2.delete_snapshot(SnapshotId=f"snap-{NOTHING}"),
        "InvalidSnapshot.NotFound",
    ),
    (
        "describe-snapshot",
        lambda s: s.ec2.describe_snapshots(SnapshotIds=[f"snap-{NOTHING}"]),
        "InvalidSnapshot.NotFound",
    ),
    (
        "volume-from-snapshot",
        lambda s: s.ec2.create_volume(AvailabilityZone="eu-west-1a", SnapshotId=f"snap-{NOTHING}"),
        "InvalidSnapshot.NotFound",
    ),
    (
        "modification",
        lambda s: s.ec2.describe_volumes_modifications(VolumeIds=[s["volume"]]),
        "InvalidVolumeModification.NotFound",
    ),
    (
        "template",
        lambda s: s.ec2.delete_launch_template(LaunchTemplateId=f"lt-{NOTHING}"),
        "InvalidLaunchTemplateId.NotFound",
    ),
    (
        "file-system",
        lambda s: s.efs.delete_file_system(FileSystemId=f"fs-{NOTHING}"),
        "FileSystemNotFound",
    ),
    (
        "mount-target",
        lambda s: s.efs.delete_mount_target(MountTargetId=f"fsmt-{NOTHING}"),
        "MountTargetNotFound",
    ),
    ("profile", lambda s: s.iam.delete_instance_profile(InstanceProfileName="no"), "NoSuchEntity"),
    ("parameter", lambda s: s.ssm.get_parameter(Name="/aws/service/no"), "ParameterNotFound"),
    ("own-parameter", lambda s: s.ssm.delete_parameter(Name="/no"), "ParameterNotFound"),
    (
        "repository",
        lambda s: s.ecr.delete_repository(repositoryName="no"),
        "RepositoryNotFoundException",
    ),
    (
        "tagged",
        lambda s: s.ec2.create_tags(
            Resources=[f"vpc-{NOTHING}"], Tags=[{"Key": "a", "Value": "b"}]
        ),
        "InvalidVpcID.NotFound",
    ),
    (
        "service-of-ours",
        lambda s: s.ec2.create_placement_group(GroupName="g", Strategy="cluster"),
        "RegionNotImplemented",
    ),
    (
        "filter",
        lambda s: s.ec2.describe_nat_gateways(Filter=[{"Name": "x", "Values": ["y"]}]),
        "InvalidParameterValue",
    ),
]

INVALID: list[Refused] = [
    ("ami", lambda s: s.run(ImageId=f"ami-{NOTHING}"), "InvalidAMIID.NotFound"),
    ("malformed-ami", lambda s: s.run(ImageId="ubuntu"), "InvalidAMIID.Malformed"),
    ("type", lambda s: s.run(InstanceType="t9.huge"), "InvalidParameterValue"),
    ("key", lambda s: s.run(KeyName="no"), "InvalidKeyPair.NotFound"),
    ("group", lambda s: s.run(SecurityGroupIds=[f"sg-{NOTHING}"]), "InvalidGroup.NotFound"),
    ("foreign-group", lambda s: s.run(SecurityGroupIds=[s["foreign"]]), "InvalidParameter"),
    ("subnet", lambda s: s.run(SubnetId=f"subnet-{NOTHING}"), "InvalidSubnetID.NotFound"),
    ("profile", lambda s: s.run(IamInstanceProfile={"Name": "no"}), "InvalidParameterValue"),
    (
        "empty-profile",
        lambda s: s.run(IamInstanceProfile={"Name": "empty"}),
        "InvalidParameterValue",
    ),
    ("architecture", lambda s: s.run(ImageId=s["arm-ami"]), "InvalidParameterValue"),
    ("not-in-zone", lambda s: s.run(InstanceType=nowhere()), "Unsupported"),
    ("user-data", lambda s: s.run(UserData="x" * 16_385), "InvalidParameterValue"),
    ("min-over-max", lambda s: s.run(MinCount=3), "InvalidParameterCombination"),
    (
        "small-root",
        lambda s: s.run(
            BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 2}}]
        ),
        "InvalidBlockDeviceMapping",
    ),
    ("tokens", lambda s: s.run(MetadataOptions={"HttpTokens": "maybe"}), "InvalidParameterValue"),
    (
        "hops",
        lambda s: s.run(MetadataOptions={"HttpPutResponseHopLimit": 65}),
        "InvalidParameterValue",
    ),
    ("address-outside", lambda s: s.run(PrivateIpAddress="10.99.0.1"), "InvalidParameterValue"),
    (
        "subnet-beside-interfaces",
        lambda s: s.run(
            SecurityGroupIds=None, NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": s["private"]}]
        ),
        "InvalidParameterCombination",
    ),
    ("vcpus", lambda s: s.run(MinCount=200, MaxCount=200), "VcpuLimitExceeded"),
    ("vpc-too-big", lambda s: s.ec2.create_vpc(CidrBlock="10.0.0.0/8"), "InvalidVpc.Range"),
    (
        "subnet-outside",
        lambda s: s.ec2.create_subnet(VpcId=s["vpc"], CidrBlock="10.99.0.0/24"),
        "InvalidSubnet.Range",
    ),
    (
        "subnet-overlap",
        lambda s: s.ec2.create_subnet(VpcId=s["vpc"], CidrBlock="10.40.1.0/25"),
        "InvalidSubnet.Conflict",
    ),
    (
        "group-name",
        lambda s: s.ec2.create_security_group(GroupName="sg-x", Description="d", VpcId=s["vpc"]),
        "InvalidParameterValue",
    ),
    (
        "group-description",
        lambda s: s.ec2.create_security_group(GroupName="x", Description="a\nb", VpcId=s["vpc"]),
        "InvalidParameterValue",
    ),
    (
        "group-twice",
        lambda s: s.ec2.create_security_group(GroupName="nodes", Description="d", VpcId=s["vpc"]),
        "InvalidGroup.Duplicate",
    ),
    (
        "port",
        lambda s: s.ec2.authorize_security_group_ingress(
            GroupId=s["nodes"], IpPermissions=tcp(FromPort=1, ToPort=70000)
        ),
        "InvalidParameterValue",
    ),
    (
        "no-port",
        lambda s: s.ec2.authorize_security_group_ingress(GroupId=s["nodes"], IpPermissions=tcp()),
        "InvalidParameterValue",
    ),
    (
        "missing-rule",
        lambda s: s.ec2.revoke_security_group_ingress(
            GroupId=s["nodes"], IpPermissions=tcp(FromPort=1, ToPort=2)
        ),
        "InvalidPermission.NotFound",
    ),
    (
        "aws-tag",
        lambda s: s.ec2.create_tags(Resources=[s["vpc"]], Tags=[{"Key": "aws:x", "Value": "y"}]),
        "InvalidParameterValue",
    ),
    (
        "route-via-nothing",
        lambda s: s.ec2.create_route(
            RouteTableId=s["table"], DestinationCidrBlock="1.0.0.0/8", NatGatewayId=f"nat-{NOTHING}"
        ),
        "InvalidNatGatewayID.NotFound",
    ),
    (
        "second-default-route",
        lambda s: s.ec2.create_route(
            RouteTableId=s["table"], DestinationCidrBlock="0.0.0.0/0", GatewayId=s["igw"]
        ),
        "RouteAlreadyExists",
    ),
    (
        "second-endpoint",
        lambda s: s.ec2.create_vpc_endpoint(
            VpcId=s["vpc"], ServiceName="com.amazonaws.eu-west-1.s3", RouteTableIds=[s["table"]]
        ),
        "RouteAlreadyExists",
    ),
    (
        "endpoint-service",
        lambda s: s.ec2.create_vpc_endpoint(
            VpcId=s["vpc"], ServiceName="com.amazonaws.us-east-1.s3", RouteTableIds=[s["table"]]
        ),
        "InvalidServiceName",
    ),
    (
        "volume-zone",
        lambda s: s.ec2.create_volume(AvailabilityZone="eu-west-1z", Size=1),
        "InvalidZone.NotFound",
    ),
    (
        "volume-of-no-size",
        lambda s: s.ec2.create_volume(AvailabilityZone="eu-west-1a"),
        "MissingParameter",
    ),
    (
        "volume-of-no-type",
        lambda s: s.ec2.create_volume(AvailabilityZone="eu-west-1a", Size=1, VolumeType="gp9"),
        "UnknownVolumeType",
    ),
    (
        "iops-of-gp2",
        lambda s: s.ec2.create_volume(
            AvailabilityZone="eu-west-1a", Size=1, VolumeType="gp2", Iops=3000
        ),
        "InvalidParameterCombination",
    ),
    (
        "iops-left-out",
        lambda s: s.ec2.create_volume(AvailabilityZone="eu-west-1a", Size=10, VolumeType="io2"),
        "MissingParameter",
    ),
    (
        "volume-smaller",
        lambda s: s.ec2.modify_volume(VolumeId=s["root"], Size=1),
        "InvalidParameterValue",
    ),
    (
        "modify-nothing",
        lambda s: s.ec2.modify_volume(VolumeId=s["volume"]),
        "MissingParameter",
    ),
    (
        "malformed-snapshot",
        lambda s: s.ec2.delete_snapshot(SnapshotId="banana"),
        "InvalidSnapshotID.Malformed",
    ),
    (
        "device-name",
        lambda s: s.ec2.attach_volume(
            VolumeId=s["volume"], InstanceId=s["instance"], Device="/dev/nvme1n1"
        ),
        "InvalidParameterValue",
    ),
    (
        "volume-size",
        lambda s: s.ec2.create_volume(AvailabilityZone="eu-west-1a", Size=100_000),
        "InvalidParameterValue",
    ),
    ("key-twice", lambda s: s.ec2.create_key_pair(KeyName="key"), "InvalidKeyPair.Duplicate"),
    (
        "key-material",
        lambda s: s.ec2.import_key_pair(KeyName="k2", PublicKeyMaterial=b"rubbish"),
        "InvalidKey.Format",
    ),
    (
        "policy",
        lambda s: s.iam.put_role_policy(RoleName="node", PolicyName="bad", PolicyDocument="{"),
        "MalformedPolicyDocument",
    ),
    (
        "long-role",
        lambda s: s.iam.create_role(RoleName="r" * 65, AssumeRolePolicyDocument=TRUST),
        "ValidationError",
    ),
    (
        "big-parameter",
        lambda s: s.ssm.put_parameter(Name="/p", Value="x" * 4097, Type="String"),
        "ValidationException",
    ),
    (
        "mount-target-group",
        lambda s: s.efs.create_mount_target(
            FileSystemId=s["fs"], SubnetId=s["private"], SecurityGroups=[s["foreign"]]
        ),
        "SecurityGroupNotFound",
    ),
]


def nowhere() -> str:
    """Return an instance type that eu-west-1a does not offer."""
    from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS, INSTANCE_TYPES

    offered: Any = INSTANCE_TYPE_OFFERINGS["availability-zone"]["eu-west-1"]
    here = {o["InstanceType"] for o in offered if o["Location"] == "eu-west-1a"}
    types: Any = INSTANCE_TYPES
    names = (
        str(name)
        for name, kind in types.items()
        if name not in here and "x86_64" in kind["ProcessorInfo"]["SupportedArchitectures"]
    )
    return next(names)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        pytest.param(call, code, id=f"{kind}-{name}")
        for kind, table in (("deps", DEPENDENCIES), ("unknown", UNKNOWN), ("invalid", INVALID))
        for name, call, code in table
    ],
)
def test_refuses_as_aws_does(stage: Stage, call: Callable[[Stage], Any], code: str) -> None:
    before = stage.aws.server.leftovers()

    with pytest.raises(ClientError) as error:
        call(stage)

    assert error.value.response["Error"]["Code"] == code, error.value
    assert stage.aws.server.leftovers() == before


DRY: list[tuple[str, Callable[[Stage], Any]]] = [
    ("run", lambda s: s.run(DryRun=True)),
    ("vpc", lambda s: s.ec2.create_vpc(CidrBlock="10.50.0.0/16", DryRun=True)),
    (
        "subnet",
        lambda s: s.ec2.create_subnet(VpcId=s["vpc"], CidrBlock="10.40.9.0/24", DryRun=True),
    ),
    ("address", lambda s: s.ec2.allocate_address(DryRun=True)),
    ("table", lambda s: s.ec2.create_route_table(VpcId=s["vpc"], DryRun=True)),
    ("volume", lambda s: s.ec2.delete_volume(VolumeId=s["volume"], DryRun=True)),
    ("describe", lambda s: s.ec2.describe_instances(DryRun=True)),
]


@pytest.mark.parametrize("call", [pytest.param(call, id=name) for name, call in DRY])
def test_a_dry_run_changes_nothing(stage: Stage, call: Callable[[Stage], Any]) -> None:
    before = stage.aws.server.leftovers()

    with pytest.raises(ClientError) as error:
        call(stage)

    assert error.value.response["Error"]["Code"] == "DryRunOperation"
    assert stage.aws.server.leftovers() == before


def test_the_same_client_token_starts_nothing_new(stage: Stage) -> None:
    first = stage.run(ClientToken="one")["Instances"][0]["InstanceId"]

    again = stage.run(ClientToken="one")["Instances"][0]["InstanceId"]

    assert again == first
    with pytest.raises(ClientError, match="IdempotentParameterMismatch"):
        stage.run(ClientToken="one", InstanceType="t3.small")
    stage.ec2.terminate_instances(InstanceIds=[first])


def test_terminate_is_all_or_nothing(stage: Stage) -> None:
    good = stage.run()["Instances"][0]["InstanceId"]

    with pytest.raises(ClientError, match=r"InvalidInstanceID\.NotFound"):
        stage.ec2.terminate_instances(InstanceIds=[good, f"i-{NOTHING}"])

    states = {i.id: i.state for i in stage.aws.server.snapshot().instances}
    assert states[good] == "running"
    stage.ec2.terminate_instances(InstanceIds=[good])


def test_quotas_and_capacity(stage: Stage) -> None:
    stage.aws.configure(eip_limit=1, vpc_limit=2, capacity={"t3.micro@eu-west-1a": 2, "m5.*": 0})
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: stage.ec2.allocate_address(), "AddressLimitExceeded"),
        (lambda: stage.ec2.create_vpc(CidrBlock="10.60.0.0/16"), "VpcLimitExceeded"),
        (lambda: stage.run(InstanceType="m5.large"), "InsufficientInstanceCapacity"),
    ]
    try:
        for call, code in calls:
            with pytest.raises(ClientError, match=code):
                call()
        # One lives already, two fit: of one to five, exactly one more starts.
        started = stage.run(MinCount=1, MaxCount=5)["Instances"]
        with pytest.raises(ClientError, match="choosing eu-west-1b, eu-west-1c"):
            stage.run()
    finally:
        stage.aws.configure(eip_limit=5, vpc_limit=5, capacity={})
        stage.ec2.terminate_instances(InstanceIds=[i["InstanceId"] for i in started])
    assert len(started) == 1


def test_a_full_subnet_gives_addresses_back(stage: Stage) -> None:
    subnet = stage.ec2.create_subnet(
        VpcId=stage["vpc"], CidrBlock="10.40.8.0/28", AvailabilityZone="eu-west-1a"
    )["Subnet"]["SubnetId"]
    for _ in range(2):
        started = stage.run(SubnetId=subnet, MinCount=11, MaxCount=11)["Instances"]
        with pytest.raises(ClientError, match="InsufficientFreeAddressesInSubnet"):
            stage.run(SubnetId=subnet)
        stage.ec2.terminate_instances(InstanceIds=[i["InstanceId"] for i in started])

    stage.ec2.delete_subnet(SubnetId=subnet)

    assert len({i["PrivateIpAddress"] for i in started}) == 11


def test_user_data_of_the_largest_size_arrives(stage: Stage) -> None:
    id = stage.run(UserData="x" * 16_384)["Instances"][0]["InstanceId"]

    read = stage.ec2.describe_instance_attribute(InstanceId=id, Attribute="userData")

    assert len(base64.b64decode(read["UserData"]["Value"])) == 16_384
    stage.ec2.terminate_instances(InstanceIds=[id])


def test_a_server_starts_fast() -> None:
    began = time.perf_counter()
    with loopback.account():
        assert time.perf_counter() - began < 3
