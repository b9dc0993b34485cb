"""What EC2 refuses: one check per action, over the request and what exists.

Moto allows most of this. Each check raises AWS's own code, before moto changes anything.
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html has the codes,
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Tag.html what a tag may be. That an
interface in use is an InvalidParameterValue is not there, but seen
(https://github.com/gruntwork-io/cloud-nuke/pull/1132).
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from moto.ec2.utils import public_key_parse

from tests.region.aws import ec2_capacity, ec2_filters, ec2_models, ec2_table, errors, store
from tests.region.aws.ec2_kind import Check
from tests.region.aws.errors import Refusal
from tests.region.aws.request import members, structures
from tests.region.aws.world import World

Params = Mapping[str, str]


# moto carries these out with instances that nothing here has checked or given states.
_UNCHECKED: Final = {
    "RequestSpotInstances",
    "RequestSpotFleet",
    "CreateFleet",
    "ImportInstance",
    "RunScheduledInstances",
}


def check_form(action: str, params: Params) -> None:
    """Raise what AWS would answer to *action* whatever exists: of ids, tags and filters."""
    if action in _UNCHECKED:
        raise errors.not_implemented(f"ec2 {action}")
    _check_ids(params)
    _check_tags(action, params)
    ec2_filters.check(action, params)


def check(world: World, action: str, params: Params, region: str) -> None:
    """Raise what AWS would answer to *action* if what exists is in its way."""
    backend = store.ec2(region)
    rule = _RULES.get(action) or ec2_table.rule(action)
    if rule:
        rule(world, backend, params)


def after(world: World, action: str, params: Params, region: str) -> None:
    """Do what moto forgets once *action* has succeeded."""
    backend = store.ec2(region)
    follow = _FOLLOW_UPS.get(action)
    if follow:
        follow(world, backend, params)
    if action.startswith("Delete") or action == "ReleaseAddress":
        ec2_models.forget_deleted(backend, ec2_table.own_ids(backend))


def _dependency(kind: str, id: str) -> Refusal:
    return Refusal(
        "DependencyViolation", f"The {kind} '{id}' has dependencies and cannot be deleted."
    )


# --- ids and tags -----------------------------------------------------------------------------

_MALFORMED: Final = {
    "InstanceId": ("i-", "InvalidInstanceID.Malformed"),
    "ImageId": ("ami-", "InvalidAMIID.Malformed"),
    "SubnetId": ("subnet-", "InvalidSubnetID.Malformed"),
    "VpcId": ("vpc-", "InvalidVpcID.Malformed"),
    "GroupId": ("sg-", "InvalidGroupId.Malformed"),
    "SecurityGroupId": ("sg-", "InvalidGroupId.Malformed"),
    "NatGatewayId": ("nat-", "InvalidNatGatewayID.Malformed"),
    "VolumeId": ("vol-", "InvalidParameterValue"),
    "SnapshotId": ("snap-", "InvalidSnapshotID.Malformed"),
}
_MOST_TAGS: Final = 50
_HEX: Final = re.compile(r"(?:[0-9a-f]{8}|[0-9a-f]{17})")


def _check_ids(params: Params) -> None:
    for name, value in params.items():
        kind = _MALFORMED.get(name.partition(".")[0])
        if kind is None or (name.count(".") and not name.rpartition(".")[2].isdigit()):
            continue
        prefix, code = kind
        resolved_later = value.startswith("resolve:ssm:")
        well_formed = value.startswith(prefix) and _HEX.fullmatch(value.removeprefix(prefix))
        if not resolved_later and not well_formed:
            raise Refusal(code, f'Invalid id: "{value}" (expecting "{prefix}...")')


def _check_tags(action: str, params: Params) -> None:
    given = [structures(each, "Tag") for each in structures(params, "TagSpecification")]
    if any(len(each) > _MOST_TAGS for each in given):
        raise Refusal(
            "TagLimitExceeded", "The maximum number of Tags for a resource has been reached."
        )
    tags = [tag for each in given for tag in each]
    if action == "CreateTags":
        tags += structures(params, "Tag")
    for tag in tags:
        key, value = tag.get("Key", ""), tag.get("Value", "")
        if key.startswith("aws:"):
            raise Refusal(
                "InvalidParameterValue",
                f"Value ( {key} ) for parameter key is invalid. "
                "Tag keys starting with 'aws:' are reserved for internal use",
            )
        if not 1 <= len(key) <= 127:
            raise Refusal("InvalidParameterValue", "Tag key exceeds the maximum length of 127")
        if len(value) > 256:
            raise Refusal("InvalidParameterValue", "Tag value exceeds the maximum length of 256")


# --- interfaces: what holds a subnet, a group, a gateway --------------------------------------


def _enis(backend: Any, matches: Callable[[Any], bool]) -> Iterator[Any]:
    return (eni for eni in list(backend.enis.values()) if matches(eni))


def _delete_subnet(_: World, backend: Any, params: Params) -> None:
    subnet = backend.get_subnet(params["SubnetId"])
    if any(_enis(backend, lambda eni: eni.subnet.id == subnet.id)):
        raise _dependency("subnet", subnet.id)


def _delete_group(_: World, backend: Any, params: Params) -> None:
    group = _group(backend, params)
    if group is None:
        return
    if group.name == "default":
        raise Refusal(
            "CannotDelete",
            f'the specified group: "{group.id}" name: "default" cannot be deleted by a user',
        )
    used = any(_enis(backend, lambda eni: group.id in {g.id for g in eni.group_set}))
    if used or _named_by_others(backend, group):
        raise Refusal("DependencyViolation", f"resource {group.id} has a dependent object")


def _group(backend: Any, params: Params) -> Any:
    if "GroupId" in params:
        group = backend.get_security_group_from_id(params["GroupId"])
        if group is None:
            raise Refusal(
                "InvalidGroup.NotFound",
                f"The security group '{params['GroupId']}' does not exist",
            )
        return group
    return None


def _named_by_others(backend: Any, group: Any) -> bool:
    return any(
        rule.source_group.get("GroupId") == group.id
        for groups in backend.groups.values()
        for other in groups.values()
        if other.id != group.id
        for rule in (*other.ingress_rules, *other.egress_rules)
    )


def _delete_vpc(_: World, backend: Any, params: Params) -> None:
    vpc = backend.get_vpc(params["VpcId"])
    id = vpc.id
    own_groups = [g for g in backend.groups.get(id, {}).values() if g.name != "default"]
    tables = [t for t in backend.route_tables.values() if t.vpc_id == id]
    endpoints = [
        e for e in backend.vpc_end_points.values() if e.vpc_id == id and e.state != "deleted"
    ]
    acls = [a for a in backend.network_acls.values() if a.vpc_id == id and not _is_default(a)]
    gateways = [g for g in backend.internet_gateways.values() if g.vpc and g.vpc.id == id]
    held = any(s.vpc_id == id for s in ec2_models.subnets(backend))
    if held or own_groups or len(tables) > 1 or endpoints or acls or gateways:
        raise _dependency("vpc", id)


def _create_subnet(_: World, backend: Any, params: Params) -> None:
    zone = params.get("AvailabilityZone")
    zones = [each.name for each in backend.describe_availability_zones()]
    if zone and zone not in zones:
        raise Refusal(
            "InvalidParameterValue",
            f"Value ({zone}) for parameter availabilityZone is invalid. Subnets can currently only "
            f"be created in the following availability zones: {', '.join(zones)}.",
        )


def _is_default(acl: Any) -> bool:
    return str(acl.default).lower() == "true"


def _delete_route_table(_: World, backend: Any, params: Params) -> None:
    table = backend.get_route_table(params["RouteTableId"])
    if table.main_association_id or table.associations:
        raise _dependency("routeTable", table.id)


# --- gateways and addresses -------------------------------------------------------------------


def _detach_gateway(_: World, backend: Any, params: Params) -> None:
    vpc_id = params["VpcId"]
    backend.get_internet_gateway(params["InternetGatewayId"])
    mapped = _enis(backend, lambda eni: eni.subnet.vpc_id == vpc_id and eni.public_ip)
    if any(mapped):
        raise Refusal(
            "DependencyViolation",
            f"Network {vpc_id} has some mapped public address(es). "
            "Please unmap those public address(es) before detaching the gateway.",
        )


def _attach_gateway(_: World, backend: Any, params: Params) -> None:
    vpc_id = params["VpcId"]
    gateway = backend.get_internet_gateway(params["InternetGatewayId"])
    if gateway.vpc:
        raise Refusal(
            "Resource.AlreadyAssociated",
            f"resource {gateway.id} is already attached to network {gateway.vpc.id}",
        )
    for other in backend.internet_gateways.values():
        if other.vpc and other.vpc.id == vpc_id:
            raise Refusal(
                "InvalidParameterValue",
                f"Network {vpc_id} already has an internet gateway attached",
            )


def _delete_gateway(_: World, backend: Any, params: Params) -> None:
    gateway = backend.get_internet_gateway(params["InternetGatewayId"])
    if gateway.vpc:
        raise _dependency("internetGateway", gateway.id)


def _release(world: World, backend: Any, params: Params) -> None:
    address = _address(backend, params)
    for nat in backend.nat_gateways.values():
        if address.public_ip != nat.address_set[0].get("publicIp"):
            continue
        gone = nat.state in ("deleted", "failed")
        since = world.clock() - getattr(nat, "region_deleted", 0.0)
        if not gone or (nat.state == "deleted" and since < world.settings.eip_release_lag):
            raise Refusal(
                "AuthFailure",
                "You do not have permission to access the specified resource.",
                400,
            )
    if address.association_id:
        raise Refusal("InvalidIPAddress.InUse", f"Address {address.public_ip} is in use.")


def _address(backend: Any, params: Params) -> Any:
    id = params.get("AllocationId")
    for address in backend.addresses:
        if id in (None, address.allocation_id) and params.get("PublicIp") in (
            None,
            address.public_ip,
        ):
            return address
    raise Refusal("InvalidAllocationID.NotFound", f"The allocation ID '{id}' does not exist")


def _allocate(world: World, backend: Any, _: Params) -> None:
    if len(backend.addresses) >= world.settings.eip_limit:
        raise Refusal("AddressLimitExceeded", "The maximum number of addresses has been reached.")


def _create_vpc(world: World, backend: Any, params: Params) -> None:
    network = ipaddress.ip_network(params.get("CidrBlock", ""), strict=False)
    if str(network) != params["CidrBlock"] and 16 <= network.prefixlen <= 28:
        raise Refusal(
            "InvalidParameterValue",
            f"Value ({params['CidrBlock']}) for parameter cidrBlock is invalid. "
            "This is not a valid CIDR block.",
        )
    if len(backend.vpcs) >= world.settings.vpc_limit:
        raise Refusal("VpcLimitExceeded", "The maximum number of VPCs has been reached.")


def _delete_eni(_: World, backend: Any, params: Params) -> None:
    eni = backend.get_network_interface(params["NetworkInterfaceId"])
    if eni.status == "in-use":
        raise Refusal("InvalidParameterValue", f"Network interface '{eni.id}' is currently in use.")


# --- NAT gateways and routes ------------------------------------------------------------------


def _create_nat(world: World, backend: Any, params: Params) -> None:
    zone = backend.get_subnet(params["SubnetId"]).availability_zone
    beside = [
        one
        for one in backend.nat_gateways.values()
        if one.state in ("pending", "available", "deleting")
        and backend.get_subnet(one.subnet_id).availability_zone == zone
    ]
    if len(beside) >= world.settings.nat_limit:
        raise Refusal(
            "NatGatewayLimitExceeded",
            "The maximum number of NAT gateways in this Availability Zone has been reached.",
        )
    if params.get("ConnectivityType") == "private":
        return
    if "AllocationId" not in params:
        raise Refusal("MissingParameter", "The request must contain the parameter AllocationId")
    address = _address(backend, params)
    if address.association_id:
        raise Refusal(
            "Resource.AlreadyAssociated",
            f"Elastic IP address [{address.allocation_id}] is already associated",
        )


def _known_nat(backend: Any, id: str) -> None:
    if id not in backend.nat_gateways:
        raise Refusal("NatGatewayNotFound", f"The Nat Gateway {id} was not found")


def _delete_nat(_: World, backend: Any, params: Params) -> None:
    _known_nat(backend, params["NatGatewayId"])


def _describe_nats(_: World, backend: Any, params: Params) -> None:
    for id in members(params, "NatGatewayId"):
        _known_nat(backend, id)


def _create_route(_: World, backend: Any, params: Params) -> None:
    table = backend.get_route_table(params["RouteTableId"])
    nat = params.get("NatGatewayId")
    if nat and (nat not in backend.nat_gateways or backend.nat_gateways[nat].state == "deleted"):
        raise Refusal("InvalidNatGatewayID.NotFound", f"The natGateway ID '{nat}' does not exist")
    _check_gateway_of(backend, table, params.get("GatewayId"))
    destination = params.get("DestinationCidrBlock")
    same = [r for r in table.routes if destination and r.destination_cidr_block == destination]
    if same and not _points_to_the_same(same[0], params):
        raise Refusal(
            "RouteAlreadyExists", f"The route identified by {destination} already exists."
        )


def _points_to_the_same(route: Any, params: Params) -> bool:
    """Saying again what stands already is no error on AWS."""
    wanted = params.get("GatewayId") or params.get("NatGatewayId")
    return bool(wanted and wanted in (route.gateway_id, route.nat_gateway_id))


def _check_gateway_of(backend: Any, table: Any, id: str | None) -> None:
    if id is None or not id.startswith("igw-"):
        return
    gateway = backend.get_internet_gateway(id)
    if gateway.vpc is None or gateway.vpc.id != table.vpc_id:
        raise Refusal(
            "InvalidParameterValue",
            f"route table {table.id} and network gateway {id} belong to different networks",
        )


def _replace_route(_: World, backend: Any, params: Params) -> None:
    table = backend.get_route_table(params["RouteTableId"])
    if params.get("NatGatewayId"):
        _known_nat(backend, params["NatGatewayId"])
    _check_gateway_of(backend, table, params.get("GatewayId"))


def _associate_table(_: World, backend: Any, params: Params) -> None:
    if "SubnetId" not in params:
        return
    table = backend.get_route_table(params["RouteTableId"])
    subnet = backend.get_subnet(params["SubnetId"])
    if table.vpc_id != subnet.vpc_id:
        raise Refusal(
            "InvalidParameterValue",
            f"Route table {table.id} and subnet {subnet.id} belong to different networks",
        )
    for other in backend.route_tables.values():
        holds = any(a.get("SubnetId") == subnet.id for a in other.associations)
        if other.id != table.id and holds:
            raise Refusal(
                "Resource.AlreadyAssociated",
                "the specified association for route table "
                f"{table.id} conflicts with an existing association",
            )


# --- endpoints --------------------------------------------------------------------------------


def _create_endpoint(_: World, backend: Any, params: Params) -> None:
    vpc = backend.get_vpc(params["VpcId"])
    service = params.get("ServiceName", "")
    region = backend.region_name
    if not service.startswith(f"com.amazonaws.{region}."):
        raise Refusal("InvalidServiceName", f"The Vpc Endpoint Service '{service}' does not exist")
    tables = members(params, "RouteTableId")
    for id in tables:
        if backend.get_route_table(id).vpc_id != vpc.id:
            raise Refusal("InvalidRouteTableId", f"The route table {id} is not in {vpc.id}")
    for endpoint in backend.vpc_end_points.values():
        shared = set(tables) & set(endpoint.route_table_ids or [])
        if endpoint.service_name == service and endpoint.state != "deleted" and shared:
            raise Refusal(
                "RouteAlreadyExists",
                f"route table {shared.pop()} already has a route with destination-prefix-list-id",
            )


# --- security groups --------------------------------------------------------------------------


def _create_group(_: World, backend: Any, params: Params) -> None:
    name = params.get("GroupName", "")
    if name.startswith("sg-"):
        raise Refusal(
            "InvalidParameterValue",
            f"Value ({name}) for parameter GroupName is invalid. Group names may not be in "
            "the format sg-*.",
        )
    for parameter in ("GroupName", "GroupDescription"):
        text = params.get(parameter, "")
        if len(text) > 255 or not re.fullmatch(r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]*", text):
            raise Refusal(
                "InvalidParameterValue",
                f"Value ({text}) for parameter {parameter} is invalid. Character sets beyond "
                "ASCII are not supported.",
            )
    if "VpcId" in params:
        backend.get_vpc(params["VpcId"])


def _authorize(_: World, backend: Any, params: Params) -> None:
    group = _group(backend, params)
    for permission in structures(params, "IpPermissions"):
        _check_ports(permission)
        for range in structures(permission, "IpRanges"):
            _check_cidr(range.get("CidrIp", ""))
        for pair in structures(permission, "Groups"):
            source = pair.get("GroupId")
            other = backend.get_security_group_from_id(source) if source else None
            if source and (other is None or (group and other.vpc_id != group.vpc_id)):
                raise Refusal(
                    "InvalidGroup.NotFound",
                    f"You have specified two resources that belong to different networks: {source}"
                    if other
                    else f"The security group '{source}' does not exist",
                )
        for prefix_list in structures(permission, "PrefixListIds"):
            id = prefix_list.get("PrefixListId", "")
            if id not in backend.managed_prefix_lists:
                raise Refusal(
                    "InvalidPrefixListID.NotFound", f"The prefix list ID '{id}' does not exist"
                )


def _check_ports(permission: Mapping[str, str]) -> None:
    protocol = permission.get("IpProtocol", "")
    if protocol not in ("tcp", "udp", "6", "17"):
        return
    if "FromPort" not in permission or "ToPort" not in permission:
        raise Refusal(
            "InvalidParameterValue",
            f"Invalid value 'Must specify both from and to ports with {protocol.upper()}.' "
            "for portRange.",
        )
    low, high = int(permission["FromPort"]), int(permission["ToPort"])
    if not (0 <= low <= 65535 and 0 <= high <= 65535 and low <= high):
        raise Refusal("InvalidParameterValue", f"Invalid value '{low}-{high}' for portRange.")


def _check_cidr(text: str) -> None:
    try:
        ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        raise Refusal("InvalidParameterValue", f"CIDR block {text} is malformed") from None


# --- instances --------------------------------------------------------------------------------


def _state_of(backend: Any, params: Params, bad: tuple[str, ...], verb: str) -> None:
    for id in members(params, "InstanceId"):
        instance = backend.get_instance(id)
        if instance._state.name in bad:
            raise Refusal(
                "IncorrectInstanceState",
                f"The instance '{id}' is not in a state from which it can be {verb}.",
            )


def _start(world: World, backend: Any, params: Params) -> None:
    _state_of(backend, params, ("stopping", "shutting-down", "terminated"), "started")
    ec2_capacity.check_start(world, backend, list(members(params, "InstanceId")))


def _stop(_: World, backend: Any, params: Params) -> None:
    _state_of(backend, params, ("pending", "shutting-down", "terminated"), "stopped")


def _reboot(_: World, backend: Any, params: Params) -> None:
    bad = ("pending", "stopping", "stopped", "shutting-down", "terminated")
    _state_of(backend, params, bad, "rebooted")


def _terminate(_: World, backend: Any, params: Params) -> None:
    """All or none: a bad id or a protected instance among them stops the whole call."""
    for id in members(params, "InstanceId"):
        instance = backend.get_instance(id)
        if instance.disable_api_termination:
            raise Refusal(
                "OperationNotPermitted",
                f"The instance '{id}' may not be terminated. Modify its "
                "'disableApiTermination' instance attribute and try again.",
            )


def _modify_instance(_: World, backend: Any, params: Params) -> None:
    instance = backend.get_instance(params["InstanceId"])
    stopped_only = ("InstanceType.Value", "UserData.Value", "EbsOptimized.Value")
    if instance._state.name != "stopped" and any(name in params for name in stopped_only):
        raise Refusal(
            "IncorrectInstanceState", f"The instance '{instance.id}' is not in the 'stopped' state."
        )


def _modified_instance(_: World, backend: Any, params: Params) -> None:
    """moto changes the instance's groups and forgets its interface's."""
    groups = members(params, "GroupId")
    if groups:
        instance = backend.get_instance(params["InstanceId"])
        instance.nics[0]._group_set = [backend.get_security_group_from_id(g) for g in groups]


def _modified_eni(_: World, backend: Any, params: Params) -> None:
    groups = members(params, "SecurityGroupId")
    eni = backend.get_network_interface(params["NetworkInterfaceId"])
    if groups and eni.instance:
        eni._group_set = [backend.get_security_group_from_id(g) for g in groups]
        eni.instance.security_groups = list(eni._group_set)


def _modify_metadata(_: World, backend: Any, params: Params) -> None:
    backend.get_instance(params["InstanceId"])
    check_metadata(params, "")


def check_metadata(params: Params, prefix: str) -> None:
    tokens = params.get(f"{prefix}HttpTokens", "optional")
    if tokens not in ("optional", "required"):
        raise Refusal(
            "InvalidParameterValue", f"Value ( {tokens} ) for parameter httpTokens is invalid."
        )
    hops = int(params.get(f"{prefix}HttpPutResponseHopLimit", "1"))
    if not 1 <= hops <= 64:
        raise Refusal(
            "InvalidParameterValue",
            f"Value ( {hops} ) for parameter httpPutResponseHopLimit is invalid.",
        )


def _import_key(_: World, backend: Any, params: Params) -> None:
    try:
        public_key_parse(base64.b64decode(params.get("PublicKeyMaterial", "")))
    except ValueError:
        raise Refusal(
            "InvalidKey.Format", "Key is not in valid OpenSSH public key format"
        ) from None


def _delete_template(_: World, backend: Any, params: Params) -> None:
    id = params.get("LaunchTemplateId")
    if id and id not in backend.launch_templates:
        raise Refusal(
            "InvalidLaunchTemplateId.NotFound",
            f"The specified launch template, with template ID {id}, does not exist.",
        )


_RULES: Final[Mapping[str, Check]] = {
    "CreateSubnet": _create_subnet,
    "DeleteSubnet": _delete_subnet,
    "DeleteSecurityGroup": _delete_group,
    "DeleteVpc": _delete_vpc,
    "DeleteRouteTable": _delete_route_table,
    "DetachInternetGateway": _detach_gateway,
    "AttachInternetGateway": _attach_gateway,
    "DeleteInternetGateway": _delete_gateway,
    "ReleaseAddress": _release,
    "AllocateAddress": _allocate,
    "CreateVpc": _create_vpc,
    "DeleteNetworkInterface": _delete_eni,
    "CreateNatGateway": _create_nat,
    "DeleteNatGateway": _delete_nat,
    "DescribeNatGateways": _describe_nats,
    "CreateRoute": _create_route,
    "ReplaceRoute": _replace_route,
    "AssociateRouteTable": _associate_table,
    "CreateVpcEndpoint": _create_endpoint,
    "CreateSecurityGroup": _create_group,
    "AuthorizeSecurityGroupIngress": _authorize,
    "AuthorizeSecurityGroupEgress": _authorize,
    "StartInstances": _start,
    "StopInstances": _stop,
    "RebootInstances": _reboot,
    "TerminateInstances": _terminate,
    "ModifyInstanceAttribute": _modify_instance,
    "ModifyInstanceMetadataOptions": _modify_metadata,
    "DeleteLaunchTemplate": _delete_template,
    "ImportKeyPair": _import_key,
}

_FOLLOW_UPS: Final[Mapping[str, Check]] = {
    "ModifyInstanceAttribute": _modified_instance,
    "ModifyNetworkInterfaceAttribute": _modified_eni,
}
