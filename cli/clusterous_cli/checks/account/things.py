"""What actions are about, where IAM lets a policy name it: things of a kind, by the kind's ARN.

Of each action only the kinds that its call names or makes here, as the Service Authorization
Reference has them (https://docs.aws.amazon.com/service-authorization/latest/reference/). What is
not in the table has none: a policy allows it on everything, or not at all.
"""

from collections.abc import Mapping
from typing import Final

from clusterous_cli.cluster.identity import Identity

# The kinds, and how ids of theirs begin: a policy may say so much of them.
IDS: Final[Mapping[str, str]] = {
    "elastic-ip": "eipalloc",
    "file-system": "fs",
    "image": "ami",
    "instance": "i",
    "internet-gateway": "igw",
    "natgateway": "nat",
    "network-interface": "eni",
    "route-table": "rtb",
    "security-group": "sg",
    "subnet": "subnet",
    "volume": "vol",
    "vpc": "vpc",
    "vpc-endpoint": "vpce",
}
ABOUT: Final[Mapping[str, tuple[str, ...]]] = {
    "ec2:AllocateAddress": ("elastic-ip",),
    "ec2:AssociateRouteTable": ("route-table", "subnet"),
    "ec2:AttachInternetGateway": ("internet-gateway", "vpc"),
    "ec2:AttachVolume": ("instance", "volume"),
    "ec2:AuthorizeSecurityGroupIngress": ("security-group",),
    "ec2:CreateInternetGateway": ("internet-gateway",),
    "ec2:CreateNatGateway": ("elastic-ip", "natgateway", "subnet"),
    "ec2:CreateRoute": ("route-table",),
    "ec2:CreateRouteTable": ("route-table", "vpc"),
    "ec2:CreateSecurityGroup": ("security-group", "vpc"),
    "ec2:CreateSubnet": ("subnet", "vpc"),
    "ec2:CreateTags": (
        *("elastic-ip", "instance", "internet-gateway", "natgateway", "network-interface"),
        *("route-table", "security-group", "subnet", "volume", "vpc", "vpc-endpoint"),
    ),
    "ec2:CreateVolume": ("volume",),
    "ec2:CreateVpc": ("vpc",),
    "ec2:CreateVpcEndpoint": ("route-table", "vpc", "vpc-endpoint"),
    "ec2:DeleteInternetGateway": ("internet-gateway",),
    "ec2:DeleteNatGateway": ("natgateway",),
    "ec2:DeleteRouteTable": ("route-table",),
    "ec2:DeleteSecurityGroup": ("security-group",),
    "ec2:DeleteSubnet": ("subnet",),
    "ec2:DeleteVolume": ("volume",),
    "ec2:DeleteVpc": ("vpc",),
    "ec2:DeleteVpcEndpoints": ("vpc-endpoint",),
    "ec2:DetachInternetGateway": ("internet-gateway", "vpc"),
    "ec2:ModifyInstanceAttribute": ("instance",),
    "ec2:ModifyVpcAttribute": ("vpc",),
    "ec2:ReleaseAddress": ("elastic-ip",),
    "ec2:RevokeSecurityGroupIngress": ("security-group",),
    "ec2:RunInstances": (
        *("image", "instance", "network-interface", "security-group", "subnet", "volume"),
    ),
    "ec2:TerminateInstances": ("instance",),
    "elasticfilesystem:CreateMountTarget": ("file-system",),
    "elasticfilesystem:DeleteFileSystem": ("file-system",),
    "elasticfilesystem:DeleteMountTarget": ("file-system",),
    "elasticfilesystem:TagResource": ("file-system",),
}


def of(who: Identity, action: str) -> tuple[str, ...]:
    """Return the ARNs of things that an action would be about, one of each kind."""
    service = action.partition(":")[0]
    return tuple(_arn(who, service, kind) for kind in ABOUT.get(action, ()))


def _arn(who: Identity, service: str, kind: str) -> str:
    account = "" if kind == "image" else who.account  # images are public
    id = f"{IDS[kind]}-0123456789abcdef0"
    return f"arn:{who.partition}:{service}:{who.region}:{account}:{kind}/{id}"
