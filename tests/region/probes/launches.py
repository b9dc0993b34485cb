"""What RunInstances refuses, and the calls on an instance that is in another state."""

from __future__ import annotations

from typing import Any, Final

from tests.region.probes.stage import NOTHING, Row, Stage

BAD: Final = "InvalidParameterValue"


def _nowhere() -> str:
    """Return an instance type that eu-west-1a does not offer."""
    from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS, INSTANCE_TYPES

    offered: Any = INSTANCE_TYPE_OFFERINGS["availability-zone"]["eu-west-1"]
    here = {o["InstanceType"] for o in offered if o["Location"] == "eu-west-1a"}
    types: Any = INSTANCE_TYPES
    return next(
        str(name)
        for name, kind in types.items()
        if name not in here and "x86_64" in kind["ProcessorInfo"]["SupportedArchitectures"]
    )


def _small_root(stage: Stage) -> Any:
    root = {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 2}}
    return stage.run(BlockDeviceMappings=[root])


def _interface_beside_subnet(stage: Stage) -> Any:
    interface = {"DeviceIndex": 0, "SubnetId": stage["private"]}
    return stage.run(SecurityGroupIds=None, NetworkInterfaces=[interface])


LAUNCHES: Final = (
    Row(
        "run_instances unknown AMI",
        "InvalidAMIID.NotFound",
        f"The image id '[ami-{NOTHING}]' does not exist",
        lambda s: s.run(ImageId=f"ami-{NOTHING}"),
    ),
    Row(
        "run_instances malformed AMI",
        "InvalidAMIID.Malformed",
        'Invalid id: "ubuntu" (expecting "ami-...")',
        lambda s: s.run(ImageId="ubuntu"),
    ),
    Row(
        "run_instances unknown type",
        BAD,
        "Invalid value 't9.huge' for InstanceType.",
        lambda s: s.run(InstanceType="t9.huge"),
    ),
    Row(
        "run_instances unknown key",
        "InvalidKeyPair.NotFound",
        "The key pair 'no' does not exist",
        lambda s: s.run(KeyName="no"),
    ),
    Row(
        "run_instances unknown SG",
        "InvalidGroup.NotFound",
        f"The security group 'sg-{NOTHING}' does not exist",
        lambda s: s.run(SecurityGroupIds=[f"sg-{NOTHING}"]),
    ),
    Row(
        "run_instances unknown subnet",
        "InvalidSubnetID.NotFound",
        f"The subnet ID 'subnet-{NOTHING}' does not exist",
        lambda s: s.run(SubnetId=f"subnet-{NOTHING}"),
    ),
    Row(
        "run_instances unknown instance profile",
        BAD,
        "Value (no) for parameter iamInstanceProfile.name is invalid. Invalid IAM "
        "Instance Profile name",
        lambda s: s.run(IamInstanceProfile={"Name": "no"}),
    ),
    Row(
        "SG of another VPC",
        "InvalidParameter",
        "Security group {foreign} and subnet {private} belong to different networks.",
        lambda s: s.run(SecurityGroupIds=[s["foreign"]]),
    ),
    Row(
        "instance profile w/o role",
        BAD,
        'IAM Instance Profile "{profile-empty}" has no associated IAM Roles',
        lambda s: s.run(IamInstanceProfile={"Name": "empty"}),
    ),
    Row(
        "arm64 AMI on x86 type",
        BAD,
        "The architecture 'x86_64' of the specified instance type does not match the "
        "architecture 'arm64' of the specified AMI.",
        lambda s: s.run(ImageId=s["arm-ami"]),
    ),
    Row(
        "instance type not offered in AZ",
        "Unsupported",
        "is not supported in your requested Availability Zone (eu-west-1a). Please retry "
        "your request by not specifying an Availability Zone or choosing ",
        lambda s: s.run(InstanceType=_nowhere()),
    ),
    Row(
        "user-data 16385 bytes",
        BAD,
        "User data is limited to 16384 bytes",
        lambda s: s.run(UserData="x" * 16_385),
    ),
    Row(
        "user-data 64KB",
        BAD,
        "User data is limited to 16384 bytes",
        lambda s: s.run(UserData="x" * 65_536),
    ),
    Row(
        "launch template user data not base64",
        "InvalidUserData.Malformed",
        "Invalid BASE64 encoding of user data.",
        lambda s: s.ec2.create_launch_template(
            LaunchTemplateName="t", LaunchTemplateData={"UserData": "#!/bin/sh"}
        ),
    ),
    Row(
        "root volume smaller than AMI snapshot",
        "InvalidBlockDeviceMapping",
        "Volume of size 2GB is smaller than snapshot '{snapshot}', expect size >= 8GB",
        _small_root,
    ),
    Row(
        "private IP outside subnet",
        BAD,
        "Address 10.99.0.1 does not fall within the subnet's address range",
        lambda s: s.run(PrivateIpAddress="10.99.0.1"),
    ),
    Row(
        "subnet /28 (11 usable) with 12 instances",
        "InsufficientFreeAddressesInSubnet",
        "There are not enough free addresses in subnet '{small}' to satisfy the "
        "requested number of instances.",
        lambda s: s.run(SubnetId=s["small"], MinCount=12, MaxCount=12),
    ),
    Row(
        "MinCount>MaxCount",
        "InvalidParameterCombination",
        "minCount must not exceed maxCount",
        lambda s: s.run(MinCount=3),
    ),
    Row(
        "SG+subnet with NetworkInterfaces",
        "InvalidParameterCombination",
        "may not be specified on the same request",
        _interface_beside_subnet,
    ),
    Row(
        "HttpTokens bad value",
        BAD,
        "Value ( maybe ) for parameter httpTokens is invalid.",
        lambda s: s.run(MetadataOptions={"HttpTokens": "maybe"}),
    ),
    Row(
        "HttpPutResponseHopLimit 65",
        BAD,
        "Value ( 65 ) for parameter httpPutResponseHopLimit is invalid.",
        lambda s: s.run(MetadataOptions={"HttpPutResponseHopLimit": 65}),
    ),
    Row(
        "modify instance type while running",
        "IncorrectInstanceState",
        "The instance '{instance}' is not in the 'stopped' state.",
        lambda s: s.ec2.modify_instance_attribute(
            InstanceId=s["instance"], InstanceType={"Value": "t3.small"}
        ),
    ),
    Row(
        "start terminated instance",
        "IncorrectInstanceState",
        "The instance '{gone}' is not in a state from which it can be started.",
        lambda s: s.ec2.start_instances(InstanceIds=[s["gone"]]),
    ),
    Row(
        "attach volume to terminated",
        "IncorrectState",
        "Instance '{gone}' is not 'running'.",
        lambda s: s.ec2.attach_volume(
            VolumeId=s["volume"], InstanceId=s["gone"], Device="/dev/sdz"
        ),
    ),
    Row(
        "terminate [good,bad]",
        "InvalidInstanceID.NotFound",
        f"The instance ID 'i-{NOTHING}' does not exist",
        lambda s: s.ec2.terminate_instances(InstanceIds=[s["bystander"], f"i-{NOTHING}"]),
    ),
    Row(
        "run_instances same ClientToken different params",
        "IdempotentParameterMismatch",
        "Arguments on this idempotent request are inconsistent with arguments used in "
        "previous request(s).",
        lambda s: s.run(ClientToken="once", InstanceType="t3.small"),
    ),
    Row(
        "6 EIPs (quota 5)",
        "AddressLimitExceeded",
        "The maximum number of addresses has been reached.",
        lambda s: s.limited(s.ec2.allocate_address, eip_limit=2),
    ),
    Row(
        "VPCs beyond 5",
        "VpcLimitExceeded",
        "The maximum number of VPCs has been reached.",
        lambda s: s.limited(lambda: s.ec2.create_vpc(CidrBlock="10.90.0.0/16"), vpc_limit=5),
    ),
    Row(
        "run 2000 t3.micro one call",
        "VcpuLimitExceeded",
        "You have requested more vCPU capacity than your current vCPU limit of 256 allows",
        lambda s: s.run(MinCount=2000, MaxCount=2000),
    ),
    Row(
        "no capacity",
        "InsufficientInstanceCapacity",
        "We currently do not have sufficient m5.large capacity in the Availability Zone "
        "you requested (eu-west-1a).",
        lambda s: s.limited(lambda: s.run(InstanceType="m5.large"), capacity={"m5.*": 0}),
    ),
    Row(
        "describe_instance_types unknown",
        "InvalidInstanceType",
        "The following supplied instance types do not exist: [zz.big]",
        lambda s: s.ec2.describe_instance_types(InstanceTypes=["zz.big"]),
    ),
    Row(
        "describe_instances filter bogus name",
        BAD,
        "The filter 'bogus' is invalid",
        lambda s: s.ec2.describe_instances(Filters=[{"Name": "bogus", "Values": ["x"]}]),
    ),
    Row(
        "describe_nat_gateways filter bogus name",
        BAD,
        "The filter 'bogus' is invalid",
        lambda s: s.ec2.describe_nat_gateways(Filter=[{"Name": "bogus", "Values": ["x"]}]),
    ),
    Row(
        "describe_instances MaxResults+InstanceIds",
        "InvalidParameterCombination",
        "The parameter instancesSet cannot be used with the parameter maxResults",
        lambda s: s.ec2.describe_instances(InstanceIds=[s["instance"]], MaxResults=5),
    ),
    Row(
        "create_placement_group (ours, not AWS's)",
        "RegionNotImplemented",
        "does not implement",
        lambda s: s.ec2.create_placement_group(GroupName="g", Strategy="cluster"),
    ),
)
