"""Every kind of thing that EC2 has in the region, once.

Who may, what is not told yet, what is refused, what is answered and what is left follow from it. A
kind that moto does not know is a module with its value, and a line here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tests.region.aws import ec2_models, ec2_volumes
from tests.region.aws.ec2_kind import Act, Check, Kind


def _instances(backend: Any) -> Iterator[str]:
    for instance in backend.all_instances():
        if instance._state.name != "terminated":
            yield f"{instance.id} ({instance._state.name})"


def _default_vpcs(backend: Any) -> set[str]:
    return {vpc.id for vpc in backend.vpcs.values() if vpc.is_default}


def _vpcs(backend: Any) -> Iterator[str]:
    yield from (id for id in backend.vpcs if id not in _default_vpcs(backend))


def _subnets(backend: Any) -> Iterator[str]:
    yield from (one.id for one in ec2_models.subnets(backend) if not one.default_for_az)


def _route_tables(backend: Any) -> Iterator[str]:
    default = _default_vpcs(backend)
    for table in backend.route_tables.values():
        if not (table.vpc_id in default and table.main_association_id):
            yield table.id


def _groups(backend: Any) -> Iterator[str]:
    default = _default_vpcs(backend)
    for groups in backend.groups.values():
        for group in groups.values():
            if not (group.name == "default" and group.vpc_id in default):
                yield group.id


def _nat_gateways(backend: Any) -> Iterator[str]:
    for nat in backend.nat_gateways.values():
        if nat.state != "deleted":
            yield f"{nat.id} ({nat.state})"


def _endpoints(backend: Any) -> Iterator[str]:
    yield from (one.id for one in backend.vpc_end_points.values() if one.state != "deleted")


def _images(backend: Any) -> Iterator[str]:
    yield from (ami.id for ami in backend.amis.values() if ami.owner_id == backend.account_id)


ALL: Final[tuple[Kind, ...]] = (
    Kind(
        name="instance",
        prefix="i",
        noun="instance",
        made_by=("RunInstances",),
        unknown="InvalidInstanceID.NotFound",
        left=_instances,
    ),
    ec2_volumes.VOLUME,
    Kind(
        name="network-interface",
        prefix="eni",
        noun="network interface",
        made_by=("RunInstances", "CreateNetworkInterface"),
        unknown="InvalidNetworkInterfaceID.NotFound",
        left=lambda backend: backend.enis,
    ),
    Kind(
        name="vpc",
        prefix="vpc",
        noun="vpc",
        made_by=("CreateVpc",),
        unknown="InvalidVpcID.NotFound",
        left=_vpcs,
    ),
    Kind(
        name="subnet",
        prefix="subnet",
        noun="subnet",
        made_by=("CreateSubnet",),
        unknown="InvalidSubnetID.NotFound",
        left=_subnets,
    ),
    Kind(
        name="security-group",
        prefix="sg",
        noun="security group",
        made_by=("CreateSecurityGroup",),
        unknown="InvalidGroup.NotFound",
        left=_groups,
    ),
    Kind(
        name="security-group-rule",
        prefix="sgr",
        made_by=("AuthorizeSecurityGroupIngress", "AuthorizeSecurityGroupEgress"),
    ),
    Kind(
        name="internet-gateway",
        prefix="igw",
        noun="internet gateway",
        made_by=("CreateInternetGateway",),
        unknown="InvalidInternetGatewayID.NotFound",
        left=lambda backend: backend.internet_gateways,
    ),
    Kind(
        name="route-table",
        prefix="rtb",
        noun="route table",
        made_by=("CreateRouteTable",),
        unknown="InvalidRouteTableID.NotFound",
        left=_route_tables,
    ),
    Kind(
        name="natgateway",
        prefix="nat",
        noun="nat gateway",
        made_by=("CreateNatGateway",),
        unknown="NatGatewayNotFound",
        left=_nat_gateways,
    ),
    Kind(
        name="elastic-ip",
        prefix="eipalloc",
        noun="address",
        made_by=("AllocateAddress",),
        unknown="InvalidAllocationID.NotFound",
        left=lambda backend: (f"{a.public_ip} ({a.allocation_id})" for a in backend.addresses),
    ),
    Kind(
        name="vpc-endpoint",
        prefix="vpce",
        noun="vpc endpoint",
        made_by=("CreateVpcEndpoint",),
        unknown="InvalidVpcEndpointId.NotFound",
        left=_endpoints,
    ),
    Kind(name="network-acl", prefix="acl"),
    Kind(
        name="key-pair",
        prefix="key",
        noun="key pair",
        made_by=("CreateKeyPair", "ImportKeyPair"),
        left=lambda backend: backend.key_pairs,
    ),
    Kind(
        name="launch-template",
        prefix="lt",
        noun="launch template",
        made_by=("CreateLaunchTemplate",),
        left=lambda backend: (one.id for one in backend.launch_templates.values()),
    ),
    Kind(name="image", prefix="ami", noun="image", left=_images),
    ec2_volumes.SNAPSHOT,
)


def of_id(id: str) -> Kind | None:
    """Return the kind of thing that an id is of."""
    prefix = id.rpartition("-")[0]
    return next((one for one in ALL if one.prefix == prefix), None)


def made_by(action: str) -> list[Kind]:
    """Return the kinds of which a call makes one."""
    return [one for one in ALL if action in one.made_by]


def answer(action: str) -> Act | None:
    """Return what answers a call in place of moto."""
    return next((one.answers[action] for one in ALL if action in one.answers), None)


def rule(action: str) -> Check | None:
    """Return what a kind's own module checks before a call is carried out."""
    return next((one.rules[action] for one in ALL if action in one.rules), None)


def own_ids(backend: Any) -> Iterator[str]:
    """Return the ids of what moto does not know."""
    yield from (id for kind in ALL for id in kind.own(backend))


def left(backend: Any) -> Iterator[str]:
    """Tell what there is of all kinds."""
    yield from (f"{kind.noun} {one}" for kind in ALL for one in kind.left(backend))
