"""What AWS does not take away: what is in use, and what there is not."""

from __future__ import annotations

from typing import Final

from tests.region.probes.stage import NOTHING, Row

HELD: Final = "DependencyViolation"

DEPENDENCIES: Final = (
    Row(
        "delete_vpc with subnets only",
        HELD,
        "The vpc '{vpc-subnet}' has dependencies and cannot be deleted.",
        lambda s: s.ec2.delete_vpc(VpcId=s["vpc-subnet"]),
    ),
    Row(
        "delete_vpc with attached IGW",
        HELD,
        "The vpc '{vpc-igw}' has dependencies and cannot be deleted.",
        lambda s: s.ec2.delete_vpc(VpcId=s["vpc-igw"]),
    ),
    Row(
        "delete_internet_gateway while attached",
        HELD,
        "The internetGateway '{only-igw}' has dependencies and cannot be deleted.",
        lambda s: s.ec2.delete_internet_gateway(InternetGatewayId=s["only-igw"]),
    ),
    Row(
        "delete_vpc with custom SG",
        HELD,
        "The vpc '{vpc-group}' has dependencies and cannot be deleted.",
        lambda s: s.ec2.delete_vpc(VpcId=s["vpc-group"]),
    ),
    Row(
        "delete_vpc with custom route table",
        HELD,
        "The vpc '{vpc-table}' has dependencies and cannot be deleted.",
        lambda s: s.ec2.delete_vpc(VpcId=s["vpc-table"]),
    ),
    Row(
        "delete_vpc with custom NACL",
        HELD,
        "The vpc '{vpc-acl}' has dependencies and cannot be deleted.",
        lambda s: s.ec2.delete_vpc(VpcId=s["vpc-acl"]),
    ),
    Row(
        "delete_vpc with S3 gateway endpoint",
        HELD,
        "The vpc '{vpc-endpoint}' has dependencies and cannot be deleted.",
        lambda s: s.ec2.delete_vpc(VpcId=s["vpc-endpoint"]),
    ),
    Row(
        "delete_subnet with running instance",
        HELD,
        "The subnet '{private}' has dependencies and cannot be deleted.",
        lambda s: s.ec2.delete_subnet(SubnetId=s["private"]),
    ),
    Row(
        "delete_vpc with running instance",
        HELD,
        "The vpc '{vpc}' has dependencies and cannot be deleted.",
        lambda s: s.ec2.delete_vpc(VpcId=s["vpc"]),
    ),
    Row(
        "delete_subnet with unattached ENI",
        HELD,
        "The subnet '{empty}' has dependencies and cannot be deleted.",
        lambda s: s.ec2.delete_subnet(SubnetId=s["empty"]),
    ),
    Row(
        "delete_subnet holding NAT gateway",
        HELD,
        "The subnet '{public}' has dependencies and cannot be deleted.",
        lambda s: s.ec2.delete_subnet(SubnetId=s["public"]),
    ),
    Row(
        "second NAT with same EIP",
        "Resource.AlreadyAssociated",
        "Elastic IP address [{eip}] is already associated",
        lambda s: s.ec2.create_nat_gateway(SubnetId=s["public"], AllocationId=s["eip"]),
    ),
    Row(
        "release_address in use by NAT",
        "AuthFailure",
        "You do not have permission to access the specified resource.",
        lambda s: s.ec2.release_address(AllocationId=s["eip"]),
    ),
    Row(
        "delete_vpc with NAT only left (subnets there)",
        HELD,
        "The vpc '{vpc}' has dependencies and cannot be deleted.",
        lambda s: s.ec2.delete_vpc(VpcId=s["vpc"]),
    ),
    Row(
        "delete_security_group used by instance",
        HELD,
        "resource {nodes} has a dependent object",
        lambda s: s.ec2.delete_security_group(GroupId=s["nodes"]),
    ),
    Row(
        "delete_security_group referenced by other SG",
        HELD,
        "resource {named} has a dependent object",
        lambda s: s.ec2.delete_security_group(GroupId=s["named"]),
    ),
    Row(
        "delete default SG",
        "CannotDelete",
        'the specified group: "{default}" name: "default" cannot be deleted by a user',
        lambda s: s.ec2.delete_security_group(GroupId=s["default"]),
    ),
    Row(
        "delete_route_table associated",
        HELD,
        "The routeTable '{table}' has dependencies and cannot be deleted.",
        lambda s: s.ec2.delete_route_table(RouteTableId=s["table"]),
    ),
    Row(
        "delete main route table",
        HELD,
        "The routeTable '{main-table}' has dependencies and cannot be deleted.",
        lambda s: s.ec2.delete_route_table(RouteTableId=s["main-table"]),
    ),
    Row(
        "detach IGW with mapped EIP",
        HELD,
        "Network {vpc} has some mapped public address(es). Please unmap those public "
        "address(es) before detaching the gateway.",
        lambda s: s.ec2.detach_internet_gateway(InternetGatewayId=s["igw"], VpcId=s["vpc"]),
    ),
    Row(
        "attach second IGW to vpc",
        "InvalidParameterValue",
        "Network {vpc} already has an internet gateway attached",
        lambda s: s.ec2.attach_internet_gateway(InternetGatewayId=s["other-igw"], VpcId=s["vpc"]),
    ),
    Row(
        "attached IGW to another vpc",
        "Resource.AlreadyAssociated",
        "resource {only-igw} is already attached to network {vpc-igw}",
        lambda s: s.ec2.attach_internet_gateway(
            InternetGatewayId=s["only-igw"], VpcId=s["vpc-acl"]
        ),
    ),
    Row(
        "release_address associated to instance",
        "InvalidIPAddress.InUse",
        "Address {instance-ip} is in use.",
        lambda s: s.ec2.release_address(AllocationId=s["instance-eip"]),
    ),
    Row(
        "associate_address elsewhere AllowReassociation=False",
        "Resource.AlreadyAssociated",
        "is already associated",
        lambda s: s.ec2.associate_address(
            AllocationId=s["instance-eip"], InstanceId=s["modified"], AllowReassociation=False
        ),
    ),
    Row(
        "delete_volume attached",
        "VolumeInUse",
        "Volume {root} is currently attached to {instance}",
        lambda s: s.ec2.delete_volume(VolumeId=s["root"]),
    ),
    Row(
        "attach volume twice",
        "VolumeInUse",
        "{root} is already attached to an instance",
        lambda s: s.ec2.attach_volume(
            VolumeId=s["root"], InstanceId=s["modified"], Device="/dev/sdz"
        ),
    ),
    Row(
        "attach volume from other AZ",
        "InvalidVolume.ZoneMismatch",
        "The volume '{far-volume}' is not in the same availability zone as instance '{instance}'",
        lambda s: s.ec2.attach_volume(
            VolumeId=s["far-volume"], InstanceId=s["instance"], Device="/dev/sdz"
        ),
    ),
    Row(
        "attach volume device name in use",
        "InvalidParameterValue",
        "Attachment point {device} is already in use",
        lambda s: s.ec2.attach_volume(
            VolumeId=s["volume"], InstanceId=s["instance"], Device=s["device"]
        ),
    ),
    Row(
        "detach root of running",
        "OperationNotPermitted",
        "Unable to detach root volume '{device}' from instance '{instance}'",
        lambda s: s.ec2.detach_volume(VolumeId=s["root"]),
    ),
    Row(
        "detach free volume",
        "IncorrectState",
        "Volume '{volume}' is in the 'available' state.",
        lambda s: s.ec2.detach_volume(VolumeId=s["volume"]),
    ),
    Row(
        "detach from another",
        "InvalidAttachment.NotFound",
        "The volume '{root}' is not attached to instance '{gone}'",
        lambda s: s.ec2.detach_volume(VolumeId=s["root"], InstanceId=s["gone"]),
    ),
    Row(
        "terminate protected instance",
        "OperationNotPermitted",
        "The instance '{instance}' may not be terminated. Modify its "
        "'disableApiTermination' instance attribute and try again.",
        lambda s: s.ec2.terminate_instances(InstanceIds=[s["instance"]]),
    ),
    Row(
        "terminate protected (set by modify)",
        "OperationNotPermitted",
        "The instance '{modified}' may not be terminated. Modify its "
        "'disableApiTermination' instance attribute and try again.",
        lambda s: s.ec2.terminate_instances(InstanceIds=[s["modified"]]),
    ),
    Row(
        "delete primary ENI in use",
        "InvalidParameterValue",
        "Network interface '{eni}' is currently in use.",
        lambda s: s.ec2.delete_network_interface(NetworkInterfaceId=s["eni"]),
    ),
    Row(
        "iam delete_instance_profile with role",
        "DeleteConflict",
        "must remove roles from instance profile first.",
        lambda s: s.iam.delete_instance_profile(InstanceProfileName="used"),
    ),
    Row(
        "iam delete_role in instance profile",
        "DeleteConflict",
        "must remove roles from instance profile first.",
        lambda s: s.iam.delete_role(RoleName="used"),
    ),
    Row(
        "iam delete_role with inline policy",
        "DeleteConflict",
        "must delete policies first.",
        lambda s: s.iam.delete_role(RoleName="inline"),
    ),
    Row(
        "iam delete_role with attached policy",
        "DeleteConflict",
        "must detach all policies first.",
        lambda s: s.iam.delete_role(RoleName="attached"),
    ),
    Row(
        "iam delete_policy attached",
        "DeleteConflict",
        "Cannot delete a policy attached to entities.",
        lambda s: s.iam.delete_policy(PolicyArn=s["policy"]),
    ),
    Row(
        "efs delete_file_system with mount target",
        "FileSystemInUse",
        "mount targets",
        lambda s: s.efs.delete_file_system(FileSystemId=s["fs"]),
    ),
    Row(
        "delete_security_group used by EFS mount target",
        HELD,
        "resource {files-group} has a dependent object",
        lambda s: s.ec2.delete_security_group(GroupId=s["files-group"]),
    ),
    Row(
        "delete_subnet with EFS mount target",
        HELD,
        "The subnet '{files}' has dependencies and cannot be deleted.",
        lambda s: s.ec2.delete_subnet(SubnetId=s["files"]),
    ),
    Row(
        "ecr delete_repository with images",
        "RepositoryNotEmptyException",
        "The repository with name 'app' in registry with id '123456789012' cannot be "
        "deleted because it still contains images",
        lambda s: s.ecr.delete_repository(repositoryName="app"),
    ),
    Row(
        "delete_snapshot in use by AMI",
        "InvalidSnapshot.InUse",
        "The snapshot {snapshot} is currently in use by {ami}",
        lambda s: s.ec2.delete_snapshot(SnapshotId=s["snapshot"]),
    ),
    Row(
        "s3 delete non-empty bucket",
        "BucketNotEmpty",
        "The bucket you tried to delete is not empty",
        lambda s: s.s3.delete_bucket(Bucket="kept"),
    ),
)

UNKNOWN: Final = (
    Row(
        "delete_subnet twice",
        "InvalidSubnetID.NotFound",
        "The subnet ID '{gone-subnet}' does not exist",
        lambda s: s.ec2.delete_subnet(SubnetId=s["gone-subnet"]),
    ),
    Row(
        "delete_security_group nonexistent",
        "InvalidGroup.NotFound",
        f"The security group 'sg-{NOTHING}' does not exist",
        lambda s: s.ec2.delete_security_group(GroupId=f"sg-{NOTHING}"),
    ),
    Row(
        "delete_vpc nonexistent",
        "InvalidVpcID.NotFound",
        f"The vpc ID 'vpc-{NOTHING}' does not exist",
        lambda s: s.ec2.delete_vpc(VpcId=f"vpc-{NOTHING}"),
    ),
    Row(
        "delete_nat nonexistent",
        "NatGatewayNotFound",
        f"nat-{NOTHING} was not found",
        lambda s: s.ec2.delete_nat_gateway(NatGatewayId=f"nat-{NOTHING}"),
    ),
    Row(
        "describe_nat nonexistent",
        "NatGatewayNotFound",
        f"nat-{NOTHING} was not found",
        lambda s: s.ec2.describe_nat_gateways(NatGatewayIds=[f"nat-{NOTHING}"]),
    ),
    Row(
        "terminate nonexistent",
        "InvalidInstanceID.NotFound",
        f"The instance ID 'i-{NOTHING}' does not exist",
        lambda s: s.ec2.terminate_instances(InstanceIds=[f"i-{NOTHING}"]),
    ),
    Row(
        "terminate malformed id",
        "InvalidInstanceID.Malformed",
        'Invalid id: "banana"',
        lambda s: s.ec2.terminate_instances(InstanceIds=["banana"]),
    ),
    Row(
        "terminate [good,bad] is atomic",
        "InvalidInstanceID.NotFound",
        f"The instance ID 'i-{NOTHING}' does not exist",
        lambda s: s.ec2.terminate_instances(InstanceIds=[s["bystander"], f"i-{NOTHING}"]),
    ),
    Row(
        "release nonexistent EIP",
        "InvalidAllocationID.NotFound",
        f"The allocation ID 'eipalloc-{NOTHING}' does not exist",
        lambda s: s.ec2.release_address(AllocationId=f"eipalloc-{NOTHING}"),
    ),
    Row(
        "delete_volume nonexistent",
        "InvalidVolume.NotFound",
        f"The volume 'vol-{NOTHING}' does not exist.",
        lambda s: s.ec2.delete_volume(VolumeId=f"vol-{NOTHING}"),
    ),
    Row(
        "describe_volumes nonexistent",
        "InvalidVolume.NotFound",
        f"The volume 'vol-{NOTHING}' does not exist.",
        lambda s: s.ec2.describe_volumes(VolumeIds=[f"vol-{NOTHING}"]),
    ),
    Row(
        "delete_snapshot nonexistent",
        "InvalidSnapshot.NotFound",
        f"The snapshot 'snap-{NOTHING}' does not exist.",
        lambda s: s.ec2.delete_snapshot(SnapshotId=f"snap-{NOTHING}"),
    ),
    Row(
        "describe_snapshots nonexistent",
        "InvalidSnapshot.NotFound",
        f"The snapshot 'snap-{NOTHING}' does not exist.",
        lambda s: s.ec2.describe_snapshots(SnapshotIds=[f"snap-{NOTHING}"]),
    ),
    Row(
        "create_volume from nonexistent snapshot",
        "InvalidSnapshot.NotFound",
        f"The snapshot 'snap-{NOTHING}' does not exist.",
        lambda s: s.ec2.create_volume(AvailabilityZone="eu-west-1a", SnapshotId=f"snap-{NOTHING}"),
    ),
    Row(
        "describe_volumes_modifications of none",
        "InvalidVolumeModification.NotFound",
        "Modification for volume '{volume}' does not exist.",
        lambda s: s.ec2.describe_volumes_modifications(VolumeIds=[s["volume"]]),
    ),
    Row(
        "delete_launch_template nonexistent",
        "InvalidLaunchTemplateId.NotFound",
        f"The specified launch template, with template ID lt-{NOTHING}, does not exist.",
        lambda s: s.ec2.delete_launch_template(LaunchTemplateId=f"lt-{NOTHING}"),
    ),
    Row(
        "efs delete nonexistent",
        "FileSystemNotFound",
        f"File system 'fs-{NOTHING}' does not exist.",
        lambda s: s.efs.delete_file_system(FileSystemId=f"fs-{NOTHING}"),
    ),
    Row(
        "efs delete_mount_target nonexistent",
        "MountTargetNotFound",
        f"Mount target 'fsmt-{NOTHING}' does not exist.",
        lambda s: s.efs.delete_mount_target(MountTargetId=f"fsmt-{NOTHING}"),
    ),
    Row(
        "iam delete_instance_profile nonexistent",
        "NoSuchEntity",
        "nope",
        lambda s: s.iam.delete_instance_profile(InstanceProfileName="nope"),
    ),
    Row(
        "s3 delete nonexistent bucket",
        "NoSuchBucket",
        "The specified bucket does not exist",
        lambda s: s.s3.delete_bucket(Bucket="nope"),
    ),
    Row(
        "ssm delete_parameter nonexistent",
        "ParameterNotFound",
        "",
        lambda s: s.ssm.delete_parameter(Name="/nope"),
    ),
    Row(
        "ssm get_parameter nonexistent",
        "ParameterNotFound",
        "",
        lambda s: s.ssm.get_parameter(Name="/aws/service/no"),
    ),
    Row(
        "ecr delete nonexistent",
        "RepositoryNotFoundException",
        "The repository with name 'nope' does not exist in the registry with id '123456789012'",
        lambda s: s.ecr.delete_repository(repositoryName="nope"),
    ),
)
