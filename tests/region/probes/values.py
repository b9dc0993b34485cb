"""What AWS refuses of what is asked for: networks, groups, tags, volumes, policies, regions."""

from __future__ import annotations

from typing import Any, Final

from tests.region.probes.stage import ANYWHERE, NOTHING, TRUST, Row, Stage, tcp

BAD: Final = "InvalidParameterValue"
S3: Final = "com.amazonaws.eu-west-1.s3"


def _subnet(stage: Stage, cidr: str, zone: str = "eu-west-1a") -> Any:
    return stage.ec2.create_subnet(VpcId=stage["vpc"], CidrBlock=cidr, AvailabilityZone=zone)


def _group(stage: Stage, name: str, description: str = "d") -> Any:
    return stage.ec2.create_security_group(
        GroupName=name, Description=description, VpcId=stage["vpc"]
    )


def _open(stage: Stage, group: str, **permission: Any) -> Any:
    return stage.ec2.authorize_security_group_ingress(
        GroupId=stage[group], IpPermissions=[{**tcp(), **permission}]
    )


def _tag(stage: Stage, *keys: str, of: str = "vpc") -> Any:
    id = stage.ids.get(of, of)
    return stage.ec2.create_tags(Resources=[id], Tags=[{"Key": key, "Value": "v"} for key in keys])


def _volume(stage: Stage, **shape: Any) -> Any:
    return stage.ec2.create_volume(**{"AvailabilityZone": "eu-west-1a", **shape})


def _bucket(stage: Stage, region: str, asked: str) -> Any:
    s3 = stage.aws.client("s3", region_name=asked)
    return s3.create_bucket(Bucket="new", CreateBucketConfiguration={"LocationConstraint": region})


NETWORK: Final = (
    Row(
        "VPC CIDR /8",
        "InvalidVpc.Range",
        "The CIDR '10.0.0.0/8' is invalid.",
        lambda s: s.ec2.create_vpc(CidrBlock="10.0.0.0/8"),
    ),
    Row(
        "subnet outside VPC",
        "InvalidSubnet.Range",
        "The CIDR '10.99.0.0/24' is invalid.",
        lambda s: _subnet(s, "10.99.0.0/24"),
    ),
    Row(
        "subnet overlap",
        "InvalidSubnet.Conflict",
        "The CIDR '10.40.1.0/25' conflicts with another subnet",
        lambda s: _subnet(s, "10.40.1.0/25"),
    ),
    Row(
        "subnet bad AZ",
        BAD,
        "Value (eu-west-1z) for parameter availabilityZone is invalid. Subnets can "
        "currently only be created in the following availability zones: eu-west-1a",
        lambda s: _subnet(s, "10.40.20.0/24", "eu-west-1z"),
    ),
    Row(
        "route via nonexistent nat",
        "InvalidNatGatewayID.NotFound",
        f"The natGateway ID 'nat-{NOTHING}' does not exist",
        lambda s: s.ec2.create_route(
            RouteTableId=s["table"], DestinationCidrBlock="1.0.0.0/8", NatGatewayId=f"nat-{NOTHING}"
        ),
    ),
    Row(
        "duplicate route",
        "RouteAlreadyExists",
        "The route identified by 0.0.0.0/0 already exists.",
        lambda s: s.ec2.create_route(
            RouteTableId=s["table"], DestinationCidrBlock=ANYWHERE, GatewayId=s["igw"]
        ),
    ),
    Row(
        "second endpoint",
        "RouteAlreadyExists",
        "route table {table} already has a route with destination-prefix-list-id",
        lambda s: s.ec2.create_vpc_endpoint(
            VpcId=s["vpc"], ServiceName=S3, RouteTableIds=[s["table"]]
        ),
    ),
    Row(
        "endpoint service of another region",
        "InvalidServiceName",
        "The Vpc Endpoint Service 'com.amazonaws.us-east-1.s3' does not exist",
        lambda s: s.ec2.create_vpc_endpoint(
            VpcId=s["vpc"], ServiceName="com.amazonaws.us-east-1.s3", RouteTableIds=[s["table"]]
        ),
    ),
    Row(
        "duplicate SG name in VPC",
        "InvalidGroup.Duplicate",
        "The security group 'nodes' already exists",
        lambda s: _group(s, "nodes"),
    ),
    Row(
        "SG name starting sg-",
        BAD,
        "Group names may not be in the format sg-*.",
        lambda s: _group(s, "sg-x"),
    ),
    Row(
        "SG description with newline",
        BAD,
        "for parameter GroupDescription is invalid.",
        lambda s: _group(s, "x", "a\nb"),
    ),
    Row(
        "duplicate ingress rule",
        "InvalidPermission.Duplicate",
        "already exists",
        lambda s: _open(s, "nodes", FromPort=22, ToPort=22),
    ),
    Row(
        "SG 61 rules (quota 60)",
        "RulesPerSecurityGroupLimitExceeded",
        "The maximum number of rules per security group has been reached.",
        lambda s: _open(s, "full", FromPort=61, ToPort=61),
    ),
    Row(
        "SG rule port 70000",
        BAD,
        "for portRange",
        lambda s: _open(s, "nodes", FromPort=1, ToPort=70000),
    ),
    Row(
        "SG rule without ports",
        BAD,
        "Must specify both from and to ports with TCP.",
        lambda s: _open(s, "nodes"),
    ),
    Row(
        "SG rule bad CIDR",
        BAD,
        "CIDR block 10.0.0.0/99 is malformed",
        lambda s: _open(s, "nodes", FromPort=1, ToPort=2, IpRanges=[{"CidrIp": "10.0.0.0/99"}]),
    ),
    Row(
        "revoke missing rule",
        "InvalidPermission.NotFound",
        "The specified rule does not exist in this security group",
        lambda s: s.ec2.revoke_security_group_ingress(
            GroupId=s["nodes"], IpPermissions=[tcp(FromPort=1, ToPort=2)]
        ),
    ),
)

TAGS: Final = (
    Row(
        "51 tags",
        "TagLimitExceeded",
        "The maximum number of Tags for a resource has been reached.",
        lambda s: _tag(s, *(f"k{number}" for number in range(51))),
    ),
    Row(
        "51 tags of what is made",
        "TagLimitExceeded",
        "The maximum number of Tags for a resource has been reached.",
        lambda s: _volume(
            s,
            Size=1,
            TagSpecifications=[
                {
                    "ResourceType": "volume",
                    "Tags": [{"Key": f"k{n}", "Value": ""} for n in range(51)],
                }
            ],
        ),
    ),
    Row(
        "tag key aws:x",
        BAD,
        "Tag keys starting with 'aws:' are reserved for internal use",
        lambda s: _tag(s, "aws:x"),
    ),
    Row(
        "tag key 128 chars", BAD, "exceeds the maximum length of 127", lambda s: _tag(s, "k" * 128)
    ),
    Row(
        "tag nonexistent resource",
        "InvalidVpcID.NotFound",
        f"The vpc ID 'vpc-{NOTHING}' does not exist",
        lambda s: _tag(s, "k", of=f"vpc-{NOTHING}"),
    ),
)

VOLUMES: Final = (
    Row(
        "io2 without Iops",
        "MissingParameter",
        "The request must contain the parameter iops",
        lambda s: _volume(s, Size=10, VolumeType="io2"),
    ),
    Row(
        "gp3 throughput 5000",
        BAD,
        "throughput of 5000 is too high; maximum is 1000",
        lambda s: _volume(s, Size=10, VolumeType="gp3", Throughput=5000),
    ),
    Row(
        "volume size 100TB",
        BAD,
        "Volume of 100000GiB is too large for volume type gp2; maximum is 16384GiB.",
        lambda s: _volume(s, Size=100_000),
    ),
    Row(
        "volume bad AZ",
        "InvalidZone.NotFound",
        "The zone 'eu-west-1z' does not exist.",
        lambda s: _volume(s, Size=1, AvailabilityZone="eu-west-1z"),
    ),
    Row(
        "volume without a size",
        "MissingParameter",
        "The request must contain the parameter size/snapshot",
        lambda s: _volume(s),
    ),
    Row(
        "volume of no type",
        "UnknownVolumeType",
        "Value (gp9) for parameter volumeType is invalid.",
        lambda s: _volume(s, Size=1, VolumeType="gp9"),
    ),
    Row(
        "iops of gp2",
        "InvalidParameterCombination",
        "The parameter iops is not supported for gp2 volumes.",
        lambda s: _volume(s, Size=1, VolumeType="gp2", Iops=3000),
    ),
    Row(
        "volume smaller",
        BAD,
        "New size cannot be smaller than existing size",
        lambda s: s.ec2.modify_volume(VolumeId=s["root"], Size=1),
    ),
    Row(
        "modify nothing",
        "MissingParameter",
        "You must specify a size",
        lambda s: s.ec2.modify_volume(VolumeId=s["volume"]),
    ),
    Row(
        "malformed snapshot",
        "InvalidSnapshotID.Malformed",
        'Invalid id: "banana"',
        lambda s: s.ec2.delete_snapshot(SnapshotId="banana"),
    ),
    Row(
        "device name of Linux",
        BAD,
        "/dev/nvme1n1 is not a valid EBS device name.",
        lambda s: s.ec2.attach_volume(
            VolumeId=s["volume"], InstanceId=s["instance"], Device="/dev/nvme1n1"
        ),
    ),
)

OTHERS: Final = (
    Row(
        "create duplicate key",
        "InvalidKeyPair.Duplicate",
        "already exists",
        lambda s: s.ec2.create_key_pair(KeyName="key"),
    ),
    Row(
        "import_key_pair garbage",
        "InvalidKey.Format",
        "Key is not in valid OpenSSH public key format",
        lambda s: s.ec2.import_key_pair(KeyName="k2", PublicKeyMaterial=b"rubbish"),
    ),
    Row(
        "iam put_role_policy malformed",
        "MalformedPolicyDocument",
        "Syntax errors in policy.",
        lambda s: s.iam.put_role_policy(RoleName="used", PolicyName="bad", PolicyDocument="{"),
    ),
    Row(
        "iam add second role (limit 1)",
        "LimitExceeded",
        "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1",
        lambda s: s.iam.add_role_to_instance_profile(InstanceProfileName="used", RoleName="inline"),
    ),
    Row(
        "iam long role name",
        "ValidationError",
        "Member must have length less than or equal to 64",
        lambda s: s.iam.create_role(RoleName="r" * 65, AssumeRolePolicyDocument=TRUST),
    ),
    Row(
        "efs mount target same AZ twice",
        "MountTargetConflict",
        "mount target already exists in this AZ",
        lambda s: s.efs.create_mount_target(FileSystemId=s["fs"], SubnetId=s["private"]),
    ),
    Row(
        "efs mount target with foreign group",
        "SecurityGroupNotFound",
        "{foreign}",
        lambda s: s.efs.create_mount_target(
            FileSystemId=s["fs"], SubnetId=s["private"], SecurityGroups=[s["foreign"]]
        ),
    ),
    Row(
        "efs create_file_system same CreationToken",
        "FileSystemAlreadyExists",
        "File system '{fs}' already exists with creation token 't'",
        lambda s: s.efs.create_file_system(CreationToken="t"),
    ),
    Row(
        "efs access point same ClientToken",
        "AccessPointAlreadyExists",
        "already exists",
        lambda s: s.efs.create_access_point(FileSystemId=s["fs"], ClientToken="point"),
    ),
    Row(
        "s3 create_bucket wrong LocationConstraint",
        "InvalidLocationConstraint",
        "The specified location-constraint is not valid",
        lambda s: _bucket(s, "nowhere", "us-east-1"),
    ),
    Row(
        "s3 create_bucket for another region",
        "IllegalLocationConstraintException",
        "The us-west-2 location constraint is incompatible for the region specific "
        "endpoint this request was sent to.",
        lambda s: _bucket(s, "us-west-2", "eu-west-1"),
    ),
    Row(
        "ssm put_parameter no overwrite",
        "ParameterAlreadyExists",
        "The parameter already exists. To overwrite this value, set the overwrite option "
        "in the request to true.",
        lambda s: s.ssm.put_parameter(Name="/kept", Value="y", Type="String"),
    ),
    Row(
        "ssm put_parameter >4KB standard tier",
        "ValidationException",
        "Standard tier parameters support a maximum parameter value of 4096 characters.",
        lambda s: s.ssm.put_parameter(Name="/p", Value="x" * 4097, Type="String"),
    ),
    Row(
        "opt-in region not enabled (me-south-1)",
        "AuthFailure",
        "AWS was not able to validate the provided access credentials",
        lambda s: s.aws.client("ec2", region_name="me-south-1").describe_vpcs(),
    ),
    Row(
        "opt-in region not enabled, of STS",
        "InvalidClientTokenId",
        "The security token included in the request is invalid",
        lambda s: s.aws.client("sts", region_name="me-south-1").get_caller_identity(),
    ),
    Row(
        "opt-in region not enabled, of ECR",
        "UnrecognizedClientException",
        "The security token included in the request is invalid",
        lambda s: s.aws.client("ecr", region_name="me-south-1").describe_repositories(),
    ),
)
