"""One account with one of everything, in use: what a test asks AWS to take away, or to make again.

The rows of the tables beside this are named as the probes of AWS that they come from.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

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
POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}],
    }
)
NOTHING = "0123456789abcdef0"
ZONE = "eu-west-1a"
KEY = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3r0v0o0kq0dN0Yb1Yk7Y9m3rY1Z0c5m8Qv9m2b1x4A me"
ANYWHERE = "0.0.0.0/0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """*ids* are by what the things are there for."""

    aws: loopback.Account
    ec2: Any
    iam: Any
    efs: Any
    ecr: Any
    ssm: Any
    s3: Any
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

    @contextlib.contextmanager
    def with_settings(self, **changes: Any) -> Iterator[None]:
        before = self.aws.server.world.settings
        self.aws.configure(**changes)
        try:
            yield
        finally:
            self.aws.server.world.settings = before

    def limited(self, call: Callable[[], Any], **changes: Any) -> Any:
        """Make *call* while the account has other limits."""
        with self.with_settings(**changes):
            return call()


class Row(NamedTuple):
    """One thing that AWS refuses. *words* are of its message; ids of the stage go in by name."""

    name: str
    code: str
    words: str
    call: Callable[[Stage], Any]


def image(suffix: str) -> str:
    return next(i.id("eu-west-1") for i in images.IMAGES if suffix in i.name)


def instance(started: Any) -> str:
    return str(started["Instances"][0]["InstanceId"])


@contextlib.contextmanager
def account() -> Iterator[Stage]:
    with loopback.account() as aws:
        aws.configure(vpc_limit=20)
        named = ("ec2", "iam", "efs", "ecr", "ssm", "s3")
        stage = Stage(aws=aws, ids={}, **{name: aws.client(name) for name in named})
        for build in (_network, _vpcs_with_one_thing, _groups, _roles, _machines, _volumes, _rest):
            build(stage)
        yield stage


def _subnet(stage: Stage, vpc: str, cidr: str) -> str:
    made = stage.ec2.create_subnet(VpcId=stage[vpc], CidrBlock=cidr, AvailabilityZone=ZONE)
    return str(made["Subnet"]["SubnetId"])


def _vpc(stage: Stage, name: str, cidr: str) -> None:
    stage.ids[name] = stage.ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]


def _gateway(stage: Stage, name: str, vpc: str | None) -> None:
    id = stage.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    stage.ids[name] = id
    if vpc:
        stage.ec2.attach_internet_gateway(InternetGatewayId=id, VpcId=stage[vpc])


def _network(stage: Stage) -> None:
    """A private network as a cluster has it."""
    ec2, ids = stage.ec2, stage.ids
    _vpc(stage, "vpc", "10.40.0.0/16")
    for number, name in enumerate(("public", "private", "files", "gone-subnet", "empty")):
        ids[name] = _subnet(stage, "vpc", f"10.40.{number}.0/24")
    ids["small"] = _subnet(stage, "vpc", "10.40.9.0/28")
    ec2.delete_subnet(SubnetId=ids["gone-subnet"])
    ec2.create_network_interface(SubnetId=ids["empty"])
    _gateway(stage, "igw", "vpc")
    _gateway(stage, "other-igw", None)
    ids["eip"] = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=ids["public"], AllocationId=ids["eip"])
    ids["nat"] = nat["NatGateway"]["NatGatewayId"]
    ids["table"] = ec2.create_route_table(VpcId=ids["vpc"])["RouteTable"]["RouteTableId"]
    ec2.create_route(
        RouteTableId=ids["table"], DestinationCidrBlock=ANYWHERE, NatGatewayId=ids["nat"]
    )
    ec2.associate_route_table(RouteTableId=ids["table"], SubnetId=ids["private"])
    main = ec2.describe_route_tables(
        Filters=[
            {"Name": "vpc-id", "Values": [ids["vpc"]]},
            {"Name": "association.main", "Values": ["true"]},
        ]
    )
    ids["main-table"] = main["RouteTables"][0]["RouteTableId"]
    ec2.create_vpc_endpoint(
        VpcId=ids["vpc"], ServiceName="com.amazonaws.eu-west-1.s3", RouteTableIds=[ids["table"]]
    )


def _vpcs_with_one_thing(stage: Stage) -> None:
    """VPCs that are held by nothing but what they are named for."""
    for number, thing in enumerate(("subnet", "igw", "group", "table", "acl", "endpoint")):
        _vpc(stage, f"vpc-{thing}", f"10.{50 + number}.0.0/16")
    _subnet(stage, "vpc-subnet", "10.50.0.0/24")
    _gateway(stage, "only-igw", "vpc-igw")
    stage.ids["foreign"] = _group(stage, "foreign", "vpc-group")
    stage.ec2.create_route_table(VpcId=stage["vpc-table"])
    stage.ec2.create_network_acl(VpcId=stage["vpc-acl"])
    stage.ec2.create_vpc_endpoint(
        VpcId=stage["vpc-endpoint"], ServiceName="com.amazonaws.eu-west-1.s3"
    )


def _group(stage: Stage, name: str, vpc: str) -> str:
    made = stage.ec2.create_security_group(GroupName=name, Description=name, VpcId=stage[vpc])
    return str(made["GroupId"])


def _groups(stage: Stage) -> None:
    ec2, ids = stage.ec2, stage.ids
    for name in ("nodes", "named", "naming", "files-group", "full"):
        ids[name] = _group(stage, name, "vpc")
    ec2.authorize_security_group_ingress(
        GroupId=ids["naming"],
        IpPermissions=[
            {
                "IpProtocol": "tcp",
                "FromPort": 2049,
                "ToPort": 2049,
                "UserIdGroupPairs": [{"GroupId": ids["named"]}],
            }
        ],
    )
    ec2.authorize_security_group_ingress(
        GroupId=ids["full"],
        IpPermissions=[tcp(FromPort=port, ToPort=port) for port in range(1, 61)],
    )
    ec2.authorize_security_group_ingress(
        GroupId=ids["nodes"], IpPermissions=[tcp(FromPort=22, ToPort=22)]
    )
    default = ec2.describe_security_groups(
        Filters=[
            {"Name": "vpc-id", "Values": [ids["vpc"]]},
            {"Name": "group-name", "Values": ["default"]},
        ]
    )
    ids["default"] = default["SecurityGroups"][0]["GroupId"]


def tcp(**ends: int) -> dict[str, Any]:
    return {"IpProtocol": "tcp", **ends, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}


def _roles(stage: Stage) -> None:
    """Roles that are held by nothing but what they are named for."""
    iam = stage.iam
    for name in ("used", "inline", "attached"):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    for name in ("used", "empty"):
        made = iam.create_instance_profile(InstanceProfileName=name)
        stage.ids[f"profile-{name}"] = made["InstanceProfile"]["Arn"]
    iam.add_role_to_instance_profile(InstanceProfileName="used", RoleName="used")
    iam.put_role_policy(RoleName="inline", PolicyName="p", PolicyDocument=POLICY)
    policy = iam.create_policy(PolicyName="p", PolicyDocument=POLICY)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="attached", PolicyArn=policy)
    stage.ids["policy"] = policy


def _machines(stage: Stage) -> None:
    ec2, ids = stage.ec2, stage.ids
    ids |= {"ami": image("debian-12-amd64"), "arm-ami": image("debian-12-arm64")}
    shown = ec2.describe_images(ImageIds=[ids["ami"]])["Images"][0]
    ids["snapshot"] = shown["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    started = stage.run(IamInstanceProfile={"Name": "used"}, DisableApiTermination=True)
    ids["instance"] = instance(started)
    ids["eni"] = started["Instances"][0]["NetworkInterfaces"][0]["NetworkInterfaceId"]
    ids["modified"] = instance(stage.run())
    ec2.modify_instance_attribute(InstanceId=ids["modified"], DisableApiTermination={"Value": True})
    ids["gone"] = instance(stage.run())
    ec2.terminate_instances(InstanceIds=[ids["gone"]])
    ids["instance-eip"] = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.associate_address(AllocationId=ids["instance-eip"], InstanceId=ids["instance"])
    address = ec2.describe_addresses(AllocationIds=[ids["instance-eip"]])["Addresses"][0]
    ids["instance-ip"] = address["PublicIp"]


def _volumes(stage: Stage) -> None:
    ec2, ids = stage.ec2, stage.ids
    ids["volume"] = ec2.create_volume(AvailabilityZone=ZONE, Size=1)["VolumeId"]
    ids["far-volume"] = ec2.create_volume(AvailabilityZone="eu-west-1b", Size=1)["VolumeId"]
    root = ec2.describe_volumes(
        Filters=[{"Name": "attachment.instance-id", "Values": [ids["instance"]]}]
    )
    ids["root"] = root["Volumes"][0]["VolumeId"]
    ids["device"] = root["Volumes"][0]["Attachments"][0]["Device"]


def _rest(stage: Stage) -> None:
    efs, ids = stage.efs, stage.ids
    ids["fs"] = efs.create_file_system(CreationToken="t")["FileSystemId"]
    efs.create_mount_target(
        FileSystemId=ids["fs"], SubnetId=ids["files"], SecurityGroups=[ids["files-group"]]
    )
    efs.create_access_point(FileSystemId=ids["fs"], ClientToken="point")
    stage.ecr.create_repository(repositoryName="app")
    digest = "sha256:" + "1" * 64
    stage.aws.server.ecr_put_image("app", "v1", digest, b"{}", "application/json")
    stage.s3.create_bucket(
        Bucket="kept", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    stage.s3.put_object(Bucket="kept", Key="it", Body=b"hi")
    stage.ssm.put_parameter(Name="/kept", Value="x", Type="String")
    stage.ec2.import_key_pair(KeyName="key", PublicKeyMaterial=KEY)
    stage.ids["bystander"] = instance(stage.run(ClientToken="once"))
