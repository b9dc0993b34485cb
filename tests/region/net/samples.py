"""Snapshots made by hand, for tests of the network without an AWS API in front of it."""

from dataclasses import replace
from typing import Final

from tests.region.aws.view import (
    Instance,
    MountTarget,
    NatGateway,
    Route,
    RouteTable,
    Rule,
    SecurityGroup,
    Snapshot,
    Subnet,
    Vpc,
)
from tests.region.net import addresses, plan

VPC: Final = "vpc-00000000000000a1"
PUBLIC_SUBNET: Final = "subnet-00000000000000b1"
PRIVATE_SUBNET: Final = "subnet-00000000000000b2"
PUBLIC_TABLE: Final = "rtb-00000000000000c1"
PRIVATE_TABLE: Final = "rtb-00000000000000c2"
IGW: Final = "igw-00000000000000d1"
NAT: Final = "nat-00000000000000d2"
S3_ENDPOINT: Final = "vpce-00000000000000d3"
S3_LIST: Final = "pl-6da54004"
NAT_ADDRESS: Final = "198.51.100.20"
GATEWAY_ADDRESS: Final = "198.51.100.30"

NOTHING: Final = replace(plan.nothing("eu-west-1"), prefix_lists={S3_LIST: (f"{addresses.S3}/32",)})


def rule(
    protocol: str = "-1",
    first: int | None = None,
    last: int | None = None,
    *,
    cidrs: tuple[str, ...] = (),
    groups: tuple[str, ...] = (),
) -> Rule:
    """Make a rule; with one port only, it is for that port."""
    return Rule(
        protocol=protocol,
        from_port=first,
        to_port=first if last is None else last,
        cidrs=cidrs,
        group_ids=groups,
    )


EVERYTHING: Final = (rule(cidrs=("0.0.0.0/0",)),)


def group(
    identifier: str, ingress: tuple[Rule, ...] = (), egress: tuple[Rule, ...] = EVERYTHING
) -> SecurityGroup:
    return SecurityGroup(id=identifier, vpc_id=VPC, name=identifier, ingress=ingress, egress=egress)


def instance(
    number: int,
    *,
    groups: tuple[str, ...],
    subnet: str = PRIVATE_SUBNET,
    public: str | None = None,
    state: str = "running",
) -> Instance:
    """Make machine *number*: its address ends with it, in the network of *subnet*."""
    third = 0 if subnet == PUBLIC_SUBNET else 1
    address = f"10.40.{third}.{number}"
    return Instance(
        id=f"i-{number:017x}",
        state=state,
        vpc_id=VPC,
        subnet_id=subnet,
        zone="eu-west-1a",
        private_ip=address,
        mac=f"02:00:00:00:{third:02x}:{number:02x}",
        public_ip=public,
        private_dns_name=f"ip-{address.replace('.', '-')}.eu-west-1.compute.internal",
        group_ids=groups,
        image_id="ami-1",
        instance_type="t3.medium",
        vcpus=2,
        memory_mib=4096,
        user_data=b"",
        role_name=None,
        profile_arn=None,
        http_tokens="required",
        hop_limit=1,
        tags={},
        launch_index=0,
        reservation_id="r-1",
        key_name=None,
        public_key=None,
    )


def mount_target(address: str, *, groups: tuple[str, ...]) -> MountTarget:
    return MountTarget(
        id="fsmt-00000000000000e1",
        file_system_id="fs-00000000000000e2",
        vpc_id=VPC,
        subnet_id=PRIVATE_SUBNET,
        ip=address,
        group_ids=groups,
        state="available",
    )


def network(
    *,
    instances: tuple[Instance, ...] = (),
    groups: tuple[SecurityGroup, ...] = (),
    mount_targets: tuple[MountTarget, ...] = (),
    private_routes: tuple[Route, ...] = (),
    nat_state: str = "available",
) -> Snapshot:
    """Make a VPC with a public and a private subnet, and a NAT gateway in the public one."""
    local = Route(destination="10.40.0.0/16", target="local")
    outside = Route(destination="0.0.0.0/0", target=IGW)
    tables = (
        RouteTable(id=PUBLIC_TABLE, vpc_id=VPC, main=True, routes=(local, outside)),
        RouteTable(id=PRIVATE_TABLE, vpc_id=VPC, main=False, routes=(local, *private_routes)),
    )
    return replace(
        NOTHING,
        generation=1,
        vpcs=(Vpc(id=VPC, cidr="10.40.0.0/16", igw_id=IGW),),
        subnets=(
            _subnet(PUBLIC_SUBNET, "10.40.0.0/24", PUBLIC_TABLE),
            _subnet(PRIVATE_SUBNET, "10.40.1.0/24", PRIVATE_TABLE),
        ),
        route_tables=tables,
        nat_gateways=(_nat(nat_state),),
        security_groups=groups,
        instances=instances,
        mount_targets=mount_targets,
    )


VIA_NAT: Final = Route(destination="0.0.0.0/0", target=NAT)
VIA_ENDPOINT: Final = Route(destination=S3_LIST, target=S3_ENDPOINT)


def _subnet(identifier: str, cidr: str, table: str) -> Subnet:
    return Subnet(id=identifier, vpc_id=VPC, cidr=cidr, zone="eu-west-1a", route_table_id=table)


def _nat(state: str) -> NatGateway:
    return NatGateway(
        id=NAT,
        vpc_id=VPC,
        subnet_id=PUBLIC_SUBNET,
        state=state,
        public_ip=NAT_ADDRESS,
        private_ip="10.40.0.250",
    )
