"""moto's EC2 models made to behave: states that take time, addresses, what a terminate frees.

moto changes state at once and keeps addresses for ever; these patches replace the methods that
do so. What AWS *refuses* is not here but in `ec2_rules`, before moto is asked at all.
"""

from __future__ import annotations

import contextlib
import copy
import ipaddress
from collections.abc import Iterable, Iterator
from typing import Any

from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError, InvalidVPCIdError
from moto.ec2.models import amis, elastic_ip_addresses, elastic_network_interfaces
from moto.ec2.models import nat_gateways as moto_nats
from moto.ec2.models import vpcs as moto_vpcs
from moto.ec2.models.elastic_network_interfaces import NetworkInterfaceBackend
from moto.ec2.models.instances import Instance, InstanceBackend, StateReason
from moto.ec2.models.managed_prefixes import ManagedPrefixListBackend
from moto.ec2.models.nat_gateways import NatGatewayBackend
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ec2.models.subnets import Subnet, SubnetBackend
from moto.ec2.models.vpcs import VPCBackend

from tests.region.aws import images, store
from tests.region.aws.errors import Refusal
from tests.region.aws.request import structures
from tests.region.aws.world import current

_ORIGINAL: dict[str, Any] = {}

STATES = {
    "pending": 0,
    "running": 16,
    "shutting-down": 32,
    "terminated": 48,
    "stopping": 64,
    "stopped": 80,
}


def install() -> None:
    """Patch moto, once per process."""
    if _ORIGINAL:
        return
    _ORIGINAL.update(
        run=InstanceBackend.run_instances,
        start=Instance.start,
        stop=Instance.stop,
        terminate=Instance.terminate,
        create_eni=NetworkInterfaceBackend.create_network_interface,
        create_nat=NatGatewayBackend.create_nat_gateway,
        create_vpc=VPCBackend.create_vpc,
        delete_subnet=SubnetBackend.delete_subnet,
    )
    _patch_addresses()
    _patch_instances()
    _patch_others()


def _put(owner: Any, name: str, value: Any) -> None:
    setattr(owner, name, value)


def _patch_addresses() -> None:
    _put(elastic_network_interfaces, "random_public_ip", free_public_ip)
    _put(elastic_ip_addresses, "random_ip", free_public_ip)
    _put(elastic_network_interfaces, "generate_dns_from_ip", dns_name)
    _put(moto_nats, "random_private_ip", lambda *_: None)
    _put(moto_vpcs, "random_private_ip", lambda *_: None)
    _put(Subnet, "get_available_subnet_ip", _available_ip)
    _put(Subnet, "request_ip", _request_ip)
    _put(Subnet, "del_subnet_ip", lambda self, ip: None)
    _put(NetworkInterfaceBackend, "create_network_interface", _create_eni)


def _patch_instances() -> None:
    _put(InstanceBackend, "run_instances", _run)
    _put(Instance, "start", _start)
    _put(Instance, "stop", _stop)
    _put(Instance, "terminate", _terminate)
    _put(Instance, "setup_defaults", _root_volume)
    _put(Instance, "private_ip", property(_private_ip))
    _put(Instance, "private_ip_address", property(_private_ip))
    _put(Instance, "public_ip", property(_public_ip))
    _put(Instance, "public_ip_address", property(_public_ip))
    _put(Instance, "private_dns_name", property(_private_dns_name))
    _put(Instance, "instance_status", property(_status_checks))
    _put(Instance, "system_status", property(_status_checks))


def _patch_others() -> None:
    _put(InvalidVPCIdError, "__init__", _no_such_vpc)
    _put(NatGatewayBackend, "create_nat_gateway", _create_nat)
    _put(NatGatewayBackend, "delete_nat_gateway", _delete_nat)
    _put(amis.AmiBackend, "_load_amis", _load_images)
    _put(amis.Ami, "block_device_mappings", property(_image_devices))
    _put(VPCBackend, "create_vpc", _create_vpc)
    _put(SubnetBackend, "delete_subnet", _delete_subnet)
    _put(ManagedPrefixListBackend, "create_default_pls", _create_prefix_lists)
    _put(SecurityGroupRule, "__eq__", lambda self, other: _rule_key(self) == _rule_key(other))


def _no_such_vpc(self: Any, vpc_id: Any) -> None:
    message = f"The vpc ID '{vpc_id}' does not exist"
    EC2ClientError.__init__(self, "InvalidVpcID.NotFound", message)


def _rule_key(rule: Any) -> tuple[Any, ...]:
    """What makes two rules the same rule to AWS: not their descriptions, as moto thinks."""
    ports = () if rule.ip_protocol == "-1" else (rule.from_port, rule.to_port)
    peers = (rule.ip_range or {}, rule.source_group or {}, rule.prefix_list_id or {})
    names = ("CidrIp", "CidrIpv6", "GroupId", "PrefixListId")
    return (rule.ip_protocol, *ports, *(peer.get(name) for peer in peers for name in names))


# --- images and prefix lists ------------------------------------------------------------------


def _load_images(self: Any) -> None:
    for each in images.described(self.region_name):
        self.amis[each["ami_id"]] = amis.Ami(self, **each)


def _image_devices(self: Any) -> list[dict[str, Any]]:
    device = {
        "SnapshotId": self.ebs_snapshot.id,
        "VolumeSize": images.size(self.ec2_backend.region_name, self.id),
        "DeleteOnTermination": True,
        "VolumeType": "gp3",
        "Encrypted": False,
    }
    return [{"DeviceName": self.root_device_name, "Ebs": device}]


# S3's addresses in the region. A rule or a route that names the prefix list means these.
S3_NETWORKS = ("192.0.2.20/32",)


def _create_prefix_lists(self: Any) -> None:
    entries = [{"Cidr": cidr, "Description": "default"} for cidr in S3_NETWORKS]
    for service in ("s3", "dynamodb"):
        name = f"com.amazonaws.{self.region_name}.{service}"
        self._create_aws_managed_prefix_list(
            name=name, address_family="IPv4", entries=entries if service == "s3" else []
        )


def _create_vpc(self: Any, *args: Any, **kwargs: Any) -> Any:
    """A VPC's default group lets its members talk to each other; moto's lets nothing in."""
    vpc = _ORIGINAL["create_vpc"](self, *args, **kwargs)
    default = self.get_default_security_group(vpc.id)
    default.ingress_rules.append(
        SecurityGroupRule(
            self, "-1", default.id, None, None, {}, {"GroupId": default.id}, is_egress=False
        )
    )
    return vpc


def _delete_subnet(self: Any, subnet_id: str) -> Any:
    """A subnet takes its route table association with it."""
    for table in self.route_tables.values():
        for association, target in list(table._associations.items()):
            if target == subnet_id:
                del table._associations[association]
    return _ORIGINAL["delete_subnet"](self, subnet_id)


# --- addresses --------------------------------------------------------------------------------


def free_public_ip() -> str:
    """Return the next public address that nobody has; addresses rest before they come again."""
    world = current()
    first = int(ipaddress.ip_address(world.settings.first_public_ip))
    last = int(ipaddress.ip_address(world.settings.last_public_ip))
    taken = public_ips_taken()
    for _ in range(last - first + 1):
        world.last_ip = first if not first <= world.last_ip < last else world.last_ip + 1
        address = str(ipaddress.ip_address(world.last_ip))
        if address not in taken:
            return address
    raise Refusal("InsufficientAddressCapacity", "Not enough address capacity.")


def public_ips_taken() -> set[str]:
    taken: set[str] = set()
    for backend in store.all_ec2():
        taken |= {address.public_ip for address in backend.addresses}
        taken |= {eni.public_ip for eni in backend.enis.values() if eni.public_ip}
    return taken


def _in_subnet(subnet: Any) -> set[str]:
    return {
        address["PrivateIpAddress"]
        for eni in subnet.ec2_backend.enis.values()
        if eni.subnet.id == subnet.id
        for address in eni.private_ip_addresses
    }


def _numbers(subnet: Any) -> range:
    """Return the numbers of the subnet's addresses; AWS keeps the first four and the last."""
    network = ipaddress.ip_network(subnet.cidr_block)
    return range(int(network.network_address) + 4, int(network.broadcast_address))


def private_room(subnet: Any) -> int:
    """Count the subnet's free addresses."""
    numbers = _numbers(subnet)
    return len(numbers) - sum(_number(ip) in numbers for ip in _in_subnet(subnet))


def _free_private_ips(subnet: Any) -> Iterator[str]:
    """Yield them; an address just given back is not the next to be given out, as on EC2."""
    numbers, taken = _numbers(subnet), _in_subnet(subnet)
    after = getattr(subnet, "region_last_ip", numbers.start - 1) + 1
    for number in (*range(after, numbers.stop), *range(numbers.start, after)):
        if (ip := str(ipaddress.ip_address(number))) not in taken:
            yield ip


def free_private_ip(subnet: Any) -> str:
    """Return the next of the subnet's free addresses."""
    ip = next(_free_private_ips(subnet), None)
    if ip is None:
        raise Refusal(
            "InsufficientFreeAddressesInSubnet",
            f"There are not enough free addresses in subnet '{subnet.id}' "
            "to satisfy the requested number of instances.",
        )
    subnet.region_last_ip = _number(ip)
    return ip


def _number(ip: str) -> int:
    return int(ipaddress.ip_address(ip))


def _available_ip(self: Any, instance: Any) -> str:
    return free_private_ip(self)


def _request_ip(self: Any, ip: str, instance: Any) -> None:
    if ipaddress.ip_address(ip) not in self.cidr:
        raise Refusal(
            "InvalidParameterValue",
            f"Address {ip} does not fall within the subnet's address range",
        )
    if _number(ip) not in _numbers(self) or ip in _in_subnet(self):
        raise Refusal("InvalidIPAddress.InUse", f"Address {ip} is in use.")


def _create_eni(self: Any, subnet: Any, private_ip_address: Any, *rest: Any, **more: Any) -> Any:
    if isinstance(subnet, str):
        subnet = self.get_subnet(subnet)
    given = private_ip_address
    address = (given or [None])[0] if isinstance(given, list) else given
    if not address and not (rest and rest[0]) and not more.get("private_ip_addresses"):
        address = free_private_ip(subnet)
    return _ORIGINAL["create_eni"](self, subnet, address, *rest, **more)


# --- instances --------------------------------------------------------------------------------


def _set_state(instance: Any, name: str) -> None:
    instance._state.name = name
    instance._state.code = STATES[name]


def _later(seconds: float, instance: Any, expected: str, state: str) -> None:
    """Bring *instance* to *state* unless something else happened to it meanwhile."""

    def change() -> None:
        if instance._state.name == expected:
            _set_state(instance, state)

    current().timers.after(seconds, change)


def _run(
    self: Any, image_id: str, count: int, user_data: Any, security_group_names: Any, **kwargs: Any
) -> Any:
    before = set(self.reservations)
    try:
        reservation = _ORIGINAL["run"](
            self, image_id, count, user_data, security_group_names, **kwargs
        )
    except Exception:
        _undo_run(self, before)
        raise
    params = current().params
    for instance in reservation.instances:
        _settle(self, instance, params)
    for instance in reservation.instances[1:]:
        _associate_profile(self, instance, kwargs)
    return reservation


def _undo_run(backend: Any, before: set[str]) -> None:
    """RunInstances starts all that it promised or nothing."""
    for reservation_id in set(backend.reservations) - before:
        for instance in backend.reservations.pop(reservation_id).instances:
            with contextlib.suppress(Exception):
                _finish_terminate(instance)


def _settle(backend: Any, instance: Any, params: Any) -> None:
    """Put right what moto leaves out of a launch."""
    settings = current().settings
    instance.disable_api_termination = params.get("DisableApiTermination") == "true"
    _settle_interfaces(instance, params)
    _settle_root(instance, params)
    _tag_interfaces(instance, params)
    instance.region_since = current().clock()
    _set_state(instance, "pending")
    _later(settings.pending, instance, "pending", "running")
    for _, device in instance.get_block_device_mapping:
        backend.volumes[device.volume_id].region_ready = 0.0


def _settle_interfaces(instance: Any, params: Any) -> None:
    for index, eni in instance.nics.items():
        prefix = f"NetworkInterface.{index + 1}."
        given = params.get(prefix + "NetworkInterfaceId")
        eni.delete_on_termination = (
            not given and params.get(prefix + "DeleteOnTermination") != "false"
        )
    instance.security_groups = list(instance.nics[0]._group_set)


def _tag_interfaces(instance: Any, params: Any) -> None:
    for specification in structures(params, "TagSpecification"):
        if specification.get("ResourceType") == "network-interface":
            tags = {t["Key"]: t.get("Value", "") for t in structures(specification, "Tag")}
            for eni in instance.nics.values():
                eni.add_tags(tags)


def _settle_root(instance: Any, params: Any) -> None:
    names = [name for name, _ in instance.get_block_device_mapping]
    root = instance.root_device_name
    if root not in names:
        _root_volume(instance)
    index = names.index(root) + 1 if root in names else 0
    if params.get(f"BlockDeviceMapping.{index}.Ebs.DeleteOnTermination") != "false":
        instance.block_device_mapping[root].delete_on_termination = True


def _root_volume(self: Any) -> None:
    backend = self.ec2_backend
    size = images.size(backend.region_name, self.image_id)
    volume = backend.create_volume(size=size, zone_name=self.placement.zone, volume_type="gp3")
    backend.attach_volume(volume.id, self.id, self.root_device_name, True)


def _associate_profile(backend: Any, instance: Any, kwargs: Any) -> None:
    name, arn = kwargs.get("iam_instance_profile_name"), kwargs.get("iam_instance_profile_arn")
    if name or arn:
        backend.associate_iam_instance_profile(
            instance_id=instance.id, iam_instance_profile_name=name, iam_instance_profile_arn=arn
        )


def _start(self: Any) -> Any:
    previous = copy.copy(self._state)
    if previous.name in ("running", "pending"):
        return previous
    _ORIGINAL["start"](self)
    self.launch_time = utcnow()  # which EC2 gives anew, and moto does not
    self.region_since = current().clock()
    _set_state(self, "pending")
    _later(current().settings.pending, self, "pending", "running")
    return previous


def _stop(self: Any) -> Any:
    previous = copy.copy(self._state)
    if previous.name in ("stopping", "stopped"):
        return previous
    _set_state(self, "stopping")
    settings = current().settings
    waits = self.id in current().machines
    seconds = settings.stop_limit if waits else settings.stopping
    # A machine that came off in time may run again when this is due: then it is not meant.
    this = self.region_stop = object()

    def off() -> None:
        if self.region_stop is this and self._state.name == "stopping":
            finish_stop(self)

    current().timers.after(seconds, off)
    return previous


def finish_stop(instance: Any) -> None:
    """The guest is off: *instance* is stopped and its automatic public address is gone."""
    if instance._state.name in ("stopping", "running", "pending"):
        _ORIGINAL["stop"](instance)
        _set_state(instance, "stopped")
        current().machines.discard(instance.id)


def _terminate(self: Any) -> Any:
    previous = copy.copy(self._state)
    if previous.name in ("shutting-down", "terminated"):
        return previous
    _set_state(self, "shutting-down")
    current().timers.after(current().settings.shutting_down, lambda: _finish_terminate(self))
    return previous


def end(instance: Any, reason: str) -> None:
    """Terminate *instance* without having been asked to, for EC2's own *reason*."""
    instance.terminate()
    _give_reason(instance, reason)
    instance.region_reason = reason


def _give_reason(instance: Any, reason: str) -> None:
    instance.state_reason = StateReason(reason, reason.partition(":")[0])


def _finish_terminate(instance: Any) -> None:
    """Free all that the instance held: its addresses, interfaces and volumes."""
    backend = instance.ec2_backend
    for address in backend.addresses:
        if address.instance is instance or address.eni in instance.nics.values():
            backend.disassociate_address(association_id=address.association_id)
    enis = list(instance.nics.values())
    _ORIGINAL["terminate"](instance)
    if reason := getattr(instance, "region_reason", ""):
        _give_reason(instance, reason)
    for eni in enis:
        if eni.id in backend.enis:
            instance.detach_eni(eni)
    instance.nics = {}
    instance._subnet_id = None
    instance.security_groups = []
    current().machines.discard(instance.id)


def _primary(instance: Any) -> Any:
    return instance.nics.get(0)


def _private_ip(self: Any) -> str | None:
    return _primary(self).private_ip_address if _primary(self) else None


def _public_ip(self: Any) -> str | None:
    return _primary(self).public_ip if _primary(self) else None


def private_dns_name(address: str, region: str) -> str:
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    return f"ip-{address.replace('.', '-')}.{domain}"


def _private_dns_name(self: Any) -> str:
    address = _private_ip(self)
    return private_dns_name(address, self.ec2_backend.region_name) if address else ""


def dns_name(address: str, *_: Any) -> str:
    """Return the name that AWS gives *address*, by whether it is a public one."""
    settings = current().settings
    first, last = _number(settings.first_public_ip), _number(settings.last_public_ip)
    if first <= _number(address) <= last:
        return f"ec2-{address.replace('.', '-')}.{settings.region}.compute.amazonaws.com"
    return private_dns_name(address, settings.region)


def _status_checks(self: Any) -> dict[str, Any]:
    if self._state.name != "running":
        return {"Status": "not-applicable"}
    world = current()
    age = world.clock() - getattr(self, "region_since", 0.0)
    passed = age >= world.settings.pending + world.settings.status_checks
    detail = "passed" if passed else "initializing"
    return {
        "Details": [{"Name": "reachability", "Status": detail}],
        "Status": "ok" if passed else "initializing",
    }


# --- NAT gateways -----------------------------------------------------------------------------


def _create_nat(
    self: Any,
    subnet_id: str,
    allocation_id: str,
    tags: Any = None,
    connectivity_type: str = "public",
) -> Any:
    nat = _ORIGINAL["create_nat"](self, subnet_id, allocation_id, tags, connectivity_type)
    eni = nat._eni
    eni.interface_type = "nat_gateway"
    eni.description = f"Interface for NAT Gateway {nat.id}"
    eni.status = "in-use"
    eni.requester_managed = True
    nat.private_ip = eni.private_ip_address
    nat.state = "pending"
    nat.region_failure = None
    current().timers.after(current().settings.nat_pending, lambda: _nat_ready(self, nat))
    return nat


def _nat_ready(backend: Any, nat: Any) -> None:
    if nat.state != "pending":
        return
    attached = any(
        igw.vpc and igw.vpc.id == nat.vpc_id for igw in backend.internet_gateways.values()
    )
    if attached or nat.connectivity_type == "private":
        nat.state = "available"
        return
    nat.state = "failed"
    nat.region_failure = (
        "Gateway.NotAttached",
        f"Network {nat.vpc_id} has no Internet gateway attached",
    )
    _free_nat(backend, nat)


def _delete_nat(self: Any, nat_gateway_id: str) -> Any:
    nat = self.nat_gateways[nat_gateway_id]
    if nat.state in ("pending", "available"):
        nat.state = "deleting"
        current().timers.after(current().settings.nat_deleting, lambda: _nat_gone(self, nat))
    elif nat.state == "failed":
        nat.state = "deleted"
    return nat


def _nat_gone(backend: Any, nat: Any) -> None:
    nat.state = "deleted"
    nat.region_deleted = current().clock()
    _free_nat(backend, nat)


def _free_nat(backend: Any, nat: Any) -> None:
    for address in backend.addresses:
        if address.eni is nat._eni:
            backend.disassociate_address(association_id=address.association_id)
    backend.enis.pop(nat._eni.id, None)


# --- what is gone is gone ---------------------------------------------------------------------


def forget_deleted(backend: Any, others: Iterable[str]) -> None:
    """Drop deleted endpoints, and the tags of whatever no longer exists: moto keeps both.

    *others* are the ids of what exists and moto does not know.
    """
    for id, endpoint in list(backend.vpc_end_points.items()):
        if endpoint.state == "deleted":
            del backend.vpc_end_points[id]
    existing = {*_ids(backend), *others}
    for id in [id for id in backend.tags if id not in existing]:
        del backend.tags[id]


def _ids(backend: Any) -> set[str]:
    groups = [group for by_id in backend.groups.values() for group in by_id.values()]
    rules = [rule for group in groups for rule in (*group.ingress_rules, *group.egress_rules)]
    listed = [*backend.all_instances(), *subnets(backend), *backend.addresses, *groups, *rules]
    listed += backend.key_pairs.values()
    keyed = (
        backend.vpcs,
        backend.internet_gateways,
        backend.nat_gateways,
        backend.route_tables,
        backend.vpc_end_points,
        backend.volumes,
        backend.enis,
        backend.amis,
        backend.snapshots,
        backend.network_acls,
        backend.launch_templates,
        backend.managed_prefix_lists,
        backend.dhcp_options_sets,
    )
    return {each.id for each in listed} | {id for store in keyed for id in store}


# --- reading ----------------------------------------------------------------------------------


def subnets(backend: Any) -> list[Any]:
    return [subnet for by_zone in backend.subnets.values() for subnet in by_zone.values()]


def mount_target_groups(target: Any) -> list[str]:
    """Return the groups of *target*; without any it has its VPC's default group, as an ENI has."""
    backend = target._file_system._context.ec2_backend
    eni = backend.enis.get(target.network_interface_id)
    if eni is not None:
        return [group.id for group in eni._group_set]
    default = store.ec2().get_default_security_group(target.vpc_id)
    return list(target.security_groups or ([default.id] if default else []))
