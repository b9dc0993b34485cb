"""Decide what the network should be: a snapshot of the AWS view in, wanted things out."""

import ipaddress
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from tests.region.aws.view import Instance, MountTarget, Snapshot, Vpc
from tests.region.net import addresses, ports, rules
from tests.region.net.wanted import Host, Link, Namespace, Route, Subnet, Wanted, Zone

# The people of the region: who is where, each at the end of a cable of its own.
PEOPLE: Final = (("laptop", addresses.LAPTOP), ("stranger", addresses.STRANGER))
SERVICES: Final = (
    addresses.AWS_API,
    addresses.S3,
    addresses.ECR,
    addresses.WEB,
    addresses.DOCKER_HUB,
    addresses.KUBERNETES,
    addresses.DNS,
)
CARRIER: Final = f"{addresses.CARRIER}/32"


def nothing(aws_region: str) -> Snapshot:
    """Answer the view of an account in which nothing is."""
    return Snapshot(
        generation=0,
        account="",
        region=aws_region,
        vpcs=(),
        subnets=(),
        route_tables=(),
        nat_gateways=(),
        security_groups=(),
        instances=(),
        mount_targets=(),
        public_ips={},
        prefix_lists={},
    )


def wanted(snapshot: Snapshot, region: str) -> Wanted:
    """Answer the whole network of *region* for *snapshot*."""
    return _wanted(_inhabited(snapshot), region)


def _inhabited(snapshot: Snapshot) -> Snapshot:
    """Leave out the VPCs in which nobody lives; each account has such a default one."""
    vpcs = tuple(vpc for vpc in snapshot.vpcs if ports.of_vpc(snapshot, vpc.id))
    return replace(snapshot, vpcs=vpcs)


def _wanted(snapshot: Snapshot, region: str) -> Wanted:
    return Wanted(
        namespaces=frozenset([*_outer_namespaces(region), *_inner_namespaces(snapshot, region)]),
        links=frozenset([*_outer_links(region), *_inner_links(snapshot, region)]),
        routes=frozenset([*_outer_routes(snapshot, region), *_inner_routes(snapshot, region)]),
        rules={
            addresses.vpc_namespace(region, vpc.id): rules.of_vpc(snapshot, vpc.id)
            for vpc in snapshot.vpcs
        },
        zones=_zones(snapshot, region),
    )


def _outer_namespaces(region: str) -> Iterator[Namespace]:
    yield Namespace(name=addresses.namespace(region, "inet"), router=True)
    yield Namespace(name=addresses.namespace(region, "services"))
    for who, _ in PEOPLE:
        yield Namespace(name=addresses.namespace(region, who), resolver=addresses.DNS)


def _outer_links(region: str) -> Iterator[Link]:
    homes = [("services", SERVICES), *((who, (where,)) for who, where in PEOPLE)]
    for name, own in homes:
        yield Link(
            router=addresses.namespace(region, "inet"),
            port=name,
            gateway=CARRIER,
            leaf=addresses.namespace(region, name),
            interface="eth0",
            addresses=tuple(f"{address}/32" for address in own),
        )


def _outer_routes(snapshot: Snapshot, region: str) -> Iterator[Route]:
    """Tell the internet where everybody is; private addresses mean nothing to it."""
    inet = addresses.namespace(region, "inet")
    yield Route(router=inet, destination=addresses.SERVICES, port="services")
    for who, where in PEOPLE:
        yield Route(router=inet, destination=f"{where}/32", port=who)
    for vpc in snapshot.vpcs:
        yield from _routes_to(snapshot, inet, vpc)


def _routes_to(snapshot: Snapshot, inet: str, vpc: Vpc) -> Iterator[Route]:
    port, end = _internet_port(vpc), addresses.carrier_address(vpc.id)
    yield Route(router=inet, destination=f"{end}/32", port=port)
    for public in sorted(_public_addresses(snapshot, vpc)):
        yield Route(router=inet, destination=f"{public}/32", port=port, via=end)


def _public_addresses(snapshot: Snapshot, vpc: Vpc) -> set[str]:
    gateways = {nat.public_ip for nat in snapshot.nat_gateways if nat.vpc_id == vpc.id}
    members = {port.public_address for port in ports.of_vpc(snapshot, vpc.id)}
    return {public for public in gateways | members if public}


def _internet_port(vpc: Vpc) -> str:
    return f"v-{addresses.short(vpc.id)}"


def _inner_namespaces(snapshot: Snapshot, region: str) -> Iterator[Namespace]:
    for vpc in snapshot.vpcs:
        resolver = addresses.resolver(vpc.cidr)
        name = addresses.vpc_namespace(region, vpc.id)
        yield Namespace(name=name, router=True, addresses=(f"{resolver}/32",))
    for instance in _placed(snapshot):
        yield Namespace(name=addresses.instance_namespace(region, instance.id))
    for target in _placed_targets(snapshot):
        yield Namespace(name=addresses.mount_target_namespace(region, target.id))


def _placed(snapshot: Snapshot) -> list[Instance]:
    subnets = {subnet.id for subnet in snapshot.subnets}
    return [instance for instance in ports.live(snapshot) if instance.subnet_id in subnets]


def _placed_targets(snapshot: Snapshot) -> list[MountTarget]:
    subnets = {subnet.id for subnet in snapshot.subnets}
    return [target for target in ports.mounted(snapshot) if target.subnet_id in subnets]


def _inner_links(snapshot: Snapshot, region: str) -> Iterator[Link]:
    for vpc in snapshot.vpcs:
        yield _vpc_link(vpc, region)
    cidrs = {subnet.id: subnet.cidr for subnet in snapshot.subnets}
    for instance in _placed(snapshot):
        yield _instance_link(instance, cidrs[instance.subnet_id], region)
    for target in _placed_targets(snapshot):
        yield _target_link(target, cidrs[target.subnet_id], region)


def _vpc_link(vpc: Vpc, region: str) -> Link:
    return Link(
        router=addresses.namespace(region, "inet"),
        port=_internet_port(vpc),
        gateway=CARRIER,
        leaf=addresses.vpc_namespace(region, vpc.id),
        interface=addresses.INTERNET_PORT,
        addresses=(f"{addresses.carrier_address(vpc.id)}/32",),
    )


def _instance_link(instance: Instance, cidr: str, region: str) -> Link:
    """An instance learns its address by DHCP, as on EC2; its interface starts without one."""
    return Link(
        router=addresses.vpc_namespace(region, instance.vpc_id),
        port=ports.of_instance(instance).name,
        gateway=f"{addresses.gateway(cidr)}/32",
        leaf=addresses.instance_namespace(region, instance.id),
        interface="eth0",
        mac=instance.mac,
    )


def _target_link(target: MountTarget, cidr: str, region: str) -> Link:
    return Link(
        router=addresses.vpc_namespace(region, target.vpc_id),
        port=ports.of_mount_target(target).name,
        gateway=f"{addresses.gateway(cidr)}/32",
        leaf=addresses.mount_target_namespace(region, target.id),
        interface="eth0",
        addresses=(f"{target.ip}/{ipaddress.ip_network(cidr).prefixlen}",),
    )


def _inner_routes(snapshot: Snapshot, region: str) -> Iterator[Route]:
    for vpc in snapshot.vpcs:
        router = addresses.vpc_namespace(region, vpc.id)
        # Nobody's address inside the VPC must not leave it by the router's own default route.
        yield Route(router=router, destination=vpc.cidr, port=None)
        for port in ports.of_vpc(snapshot, vpc.id):
            yield Route(router=router, destination=f"{port.address}/32", port=port.name)


def _zones(snapshot: Snapshot, region: str) -> dict[str, Zone]:
    services = addresses.namespace(region, "services")
    zones = [Zone(namespace=services, resolver=addresses.DNS)]
    zones += [_zone(snapshot, vpc, region) for vpc in snapshot.vpcs]
    return {zone.namespace: zone for zone in zones}


def _zone(snapshot: Snapshot, vpc: Vpc, region: str) -> Zone:
    machines = [
        Host(name=instance.private_dns_name, address=instance.private_ip, mac=instance.mac)
        for instance in _placed(snapshot)
        if instance.vpc_id == vpc.id
    ]
    return Zone(
        namespace=addresses.vpc_namespace(region, vpc.id),
        resolver=addresses.resolver(vpc.cidr),
        hosts=(*machines, *_file_systems(snapshot, vpc)),
        subnets=tuple(
            Subnet(cidr=subnet.cidr, gateway=addresses.gateway(subnet.cidr))
            for subnet in snapshot.subnets
            if subnet.vpc_id == vpc.id
        ),
    )


def _file_systems(snapshot: Snapshot, vpc: Vpc) -> Iterator[Host]:
    """Name the mount targets; AWS answers with that of the asker's own zone, we with them all."""
    for target in _placed_targets(snapshot):
        if target.vpc_id == vpc.id:
            name = f"{target.file_system_id}.efs.{snapshot.region}.amazonaws.com"
            yield Host(name=name, address=target.ip)
