"""Ports: every address inside a VPC that belongs to somebody, and the ways out that it has."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tests.region.aws.view import Instance, MountTarget, NatGateway, Route, Snapshot, Subnet
from tests.region.net import addresses

# A machine that is being stopped still has its network; one that has stopped has none.
LIVE: Final = frozenset({"pending", "running", "stopping", "shutting-down"})
ANYWHERE: Final = "0.0.0.0/0"
LOCAL: Final = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """One end of a cable in the VPC's router: an elastic network interface, in EC2's words."""

    name: str  # of the interface at the router
    vpc_id: str
    subnet_id: str
    address: str
    public_address: str | None
    group_ids: tuple[str, ...]
    checked: bool = True  # EC2's source/destination check


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """*source* is the address that the destination sees.

    Without one it is that of the router itself: the other side of a gateway endpoint.
    """

    source: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Where a route of the port's subnet leads; a way without an exit is a blackhole."""

    destination: str
    exit: Exit | None


def live(snapshot: Snapshot) -> list[Instance]:
    return [instance for instance in snapshot.instances if instance.state in LIVE]


def mounted(snapshot: Snapshot) -> list[MountTarget]:
    return [target for target in snapshot.mount_targets if target.state == "available"]


def of_instance(instance: Instance) -> Port:
    return Port(
        name=f"i-{addresses.short(instance.id)}",
        vpc_id=instance.vpc_id,
        subnet_id=instance.subnet_id,
        address=instance.private_ip,
        public_address=instance.public_ip,
        group_ids=tuple(instance.group_ids),
        checked=instance.source_dest_check,
    )


def of_mount_target(target: MountTarget) -> Port:
    return Port(
        name=f"mt-{addresses.short(target.id)}",
        vpc_id=target.vpc_id,
        subnet_id=target.subnet_id,
        address=target.ip,
        public_address=None,
        group_ids=tuple(target.group_ids),
    )


def of_vpc(snapshot: Snapshot, vpc_id: str) -> list[Port]:
    """List the ports of a VPC in the order of their names."""
    instances = [of_instance(instance) for instance in live(snapshot)]
    targets = [of_mount_target(target) for target in mounted(snapshot)]
    ports = [port for port in instances + targets if port.vpc_id == vpc_id]
    return sorted(ports, key=lambda port: port.name)


def ways(snapshot: Snapshot, port: Port) -> list[Way]:
    """List *port*'s ways out of the VPC, the most specific destination first.

    A route whose target is gone or not ready still hides less specific ones, as on AWS.
    """
    found = [
        Way(destination=destination, exit=_exit(snapshot, port, route))
        for route in _table_of(snapshot, port.subnet_id)
        if route.target != LOCAL
        for destination in _destinations(snapshot, route)
    ]
    return sorted(found, key=lambda way: -ipaddress.ip_network(way.destination).prefixlen)


def _table_of(snapshot: Snapshot, subnet_id: str) -> tuple[Route, ...]:
    for subnet in snapshot.subnets:
        if subnet.id == subnet_id:
            return _routes_of(snapshot, subnet)
    return ()


def _routes_of(snapshot: Snapshot, subnet: Subnet) -> tuple[Route, ...]:
    for table in snapshot.route_tables:
        if table.id == subnet.route_table_id:
            return table.routes
    return ()


def _destinations(snapshot: Snapshot, route: Route) -> Iterable[str]:
    if route.destination.startswith("pl-"):
        return snapshot.prefix_lists.get(route.destination, ())
    return () if ":" in route.destination else (route.destination,)


def _exit(snapshot: Snapshot, port: Port, route: Route) -> Exit | None:
    public: str | None = None
    match route.target.partition("-")[0]:
        case "vpce":
            return Exit(source=None)
        case "igw" if _is_attached(snapshot, port.vpc_id, route.target):
            public = port.public_address
        case "nat":
            public = _nat_address(snapshot, route.target)
    return Exit(source=public) if public else None


def _is_attached(snapshot: Snapshot, vpc_id: str, gateway_id: str) -> bool:
    return any(vpc.id == vpc_id and vpc.igw_id == gateway_id for vpc in snapshot.vpcs)


def _nat_address(snapshot: Snapshot, gateway_id: str) -> str | None:
    """Answer the public address of a NAT gateway that works: available, and itself connected."""
    for gateway in snapshot.nat_gateways:
        if gateway.id == gateway_id and gateway.state == "available":
            return gateway.public_ip if _is_connected(snapshot, gateway) else None
    return None


def _is_connected(snapshot: Snapshot, gateway: NatGateway) -> bool:
    return any(
        route.destination == ANYWHERE and _is_attached(snapshot, gateway.vpc_id, route.target)
        for route in _table_of(snapshot, gateway.subnet_id)
    )
