"""The network: VPC, subnets, routes, the internet gateway, NAT and the endpoint of S3."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from clusterous_api.errors import FailedError, TransientError
from clusterous_cli.cluster import prices
from clusterous_cli.cluster.payload import SECRETS_KEY
from clusterous_cli.cluster.prices import Prices
from clusterous_cli.cluster.tags import is_named, is_ours, key_of, made_by_aws, tagged
from clusterous_cli.plan.kinds.cloud import Site
from clusterous_cli.plan.kinds.kind import (
    Found,
    Id,
    Item,
    Kind,
    Price,
    Ref,
    Resource,
    Scope,
    Step,
    Value,
    Walk,
    Wish,
)
from clusterous_cli.plan.kinds.kubernetes import balancers
from clusterous_cli.system import wait

PART: Final = "network"
EVERYWHERE: Final = "0.0.0.0/0"
NAT_SECONDS: Final = 600
NAT_PAUSE: Final = 1.0  # between two looks at what all of create may wait for
# Of two creates at once only one can put the cluster's keys into the bucket. What AWS would make
# twice waits for that, so that the other stops before it has made anything of the kind.
LOCK: Final = (f"s3:{SECRETS_KEY}",)


def gone_in(*states: str) -> Callable[[Item], bool]:
    """Tell what is gone already, though it is still listed, by its state."""
    return lambda item: str(item.get("State", "")).lower() in states


# -- the VPC ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Vpc(Value):
    """The network itself."""

    cidr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VpcDns(Value):
    """Names for the network's addresses, without which EFS and S3 have none."""

    vpc: Id
    hostnames: bool


def _want_vpc(wish: Wish) -> list[Resource]:
    return [Resource(kind=VPC, key="vpc", value=Vpc(cidr=wish.config.cidr), needs=LOCK)]


def _want_dns(wish: Wish) -> list[Resource]:
    return [Resource(kind=VPC_DNS, key="vpc-dns", value=VpcDns(vpc=Ref("vpc"), hostnames=True))]


def _look_vpcs(at: Scope) -> list[Found]:
    found = []
    for vpc in at.cloud.pages("ec2", "describe_vpcs", "Vpcs", Filters=tagged(at.who)):
        if not is_named(vpc, at.who) or vpc.get("IsDefault"):
            continue  # a network that others gave our tags to
        id, key = vpc["VpcId"], key_of(vpc, at.who)
        attribute = at.cloud.find(
            "ec2", "describe_vpc_attribute", VpcId=id, Attribute="enableDnsHostnames"
        )
        hostnames = bool(attribute and attribute["EnableDnsHostnames"]["Value"])
        dns = VpcDns(vpc=id, hostnames=hostnames)
        found.append(Found(kind=VPC, key=key, id=id, value=Vpc(cidr=vpc["CidrBlock"]), vpc=id))
        found.append(Found(kind=VPC_DNS, key="vpc-dns", id=id, value=dns, vpc=id))
    return found


def _make_vpc(to: Site, step: Step, wanted: Vpc) -> str:
    answer = to.ec2(
        "create_vpc", CidrBlock=wanted.cidr, TagSpecifications=to.tagged("vpc", step.key)
    )
    return str(answer["Vpc"]["VpcId"])


def _make_dns(to: Site, step: Step, wanted: VpcDns) -> str:
    to.ec2("modify_vpc_attribute", VpcId=wanted.vpc, EnableDnsHostnames={"Value": True})
    return str(wanted.vpc)


def _remove_vpc(to: Site, found: Found) -> None:
    to.ec2("delete_vpc", VpcId=found.id)


VPC: Final = Kind(
    name="vpc",
    part=PART,
    noun="network",
    counted="VPC",
    wants=_want_vpc,
    look=_look_vpcs,
    make=_make_vpc,
    remove=_remove_vpc,
    after=("subnet", "route-table", "security-group", "internet-gateway", "vpc-endpoint"),
    duplicated=True,
    walk=Walk(action="describe_vpcs", key="Vpcs", id="VpcId", placed=True),
)
VPC_DNS: Final = Kind(name="vpc-dns", part=PART, wants=_want_dns, make=_make_dns, changeable=True)


# -- subnets, with their tables and routes ------------------------------------------------


# The subnet of the controller, whose address is always the same: its volumes are in its zone.
CONTROL: Final = "control"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subnet(Value):
    """A part of the network, in one zone."""

    vpc: Id
    cidr: str
    zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Value):
    """A route table."""

    vpc: Id


@dataclass(frozen=True, slots=True, kw_only=True)
class TableLink(Value):
    """Which table a subnet goes by."""

    table: Id
    subnet: Id


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Value):
    """Where a table leads."""

    table: Id
    destination: str
    target: Id


def _want_subnets(wish: Wish) -> list[Resource]:
    plan = wish.addresses
    sides = {
        "public": (plan.public, wish.zone),
        CONTROL: (plan.control, wish.controls),
        "private": (plan.private, wish.zone),
    }
    return [
        Resource(kind=SUBNET, key=side, value=Subnet(vpc=Ref("vpc"), cidr=cidr, zone=zone))
        for side, (cidr, zone) in sides.items()
    ]


def subnet_key(side: str, zone: str) -> str:
    """Return what the plan calls the subnet of a *side* in another zone than the cluster's."""
    return f"{side}-{zone}"


def beside(side: str, zone: str, cidr: str) -> tuple[Resource, Resource]:
    """Return a subnet like the cluster's of that *side* in another zone, with its way out."""
    return _linked(subnet_key(side, zone), zone, cidr, side)


def control_in(zone: str, cidr: str) -> tuple[Resource, Resource]:
    """Return the controller's subnet in another zone than the cluster's, with its way out."""
    return _linked(CONTROL, zone, cidr, "private")


def _linked(key: str, zone: str, cidr: str, side: str) -> tuple[Resource, Resource]:
    link = TableLink(table=Ref(f"{side}-table"), subnet=Ref(key))
    return (
        Resource(kind=SUBNET, key=key, value=Subnet(vpc=Ref("vpc"), cidr=cidr, zone=zone)),
        Resource(kind=TABLE_LINK, key=f"{key}-link", value=link),
    )


def _want_tables(wish: Wish) -> list[Resource]:
    return [
        Resource(kind=TABLE, key=f"{side}-table", value=Table(vpc=Ref("vpc")))
        for side in ("public", "private")
    ]


def _want_links(wish: Wish) -> list[Resource]:
    tables = {"public": "public", "control": "private", "private": "private"}
    return [
        Resource(
            kind=TABLE_LINK,
            key=f"{side}-link",
            value=TableLink(table=Ref(f"{table}-table"), subnet=Ref(side)),
        )
        for side, table in tables.items()
    ]


def _want_routes(wish: Wish) -> list[Resource]:
    def route(side: str, target: str, *needs: str) -> Resource:
        value = Route(table=Ref(f"{side}-table"), destination=EVERYWHERE, target=Ref(target))
        return Resource(kind=ROUTE, key=f"{side}-route", value=value, needs=needs)

    return [route("public", "igw", "igw-link"), route("private", "nat")]


def _look_subnets(at: Scope) -> list[Found]:
    """Find the subnets, and then the tables, whose links are called by their subnets."""
    subnets = [
        at.found(
            SUBNET,
            one,
            id=one["SubnetId"],
            value=Subnet(vpc=one["VpcId"], cidr=one["CidrBlock"], zone=one["AvailabilityZone"]),
            vpc=one["VpcId"],
        )
        for one in at.placed("describe_subnets", "Subnets")
    ]
    return [*subnets, *_look_tables(at, {one.id: one.key for one in subnets})]


def _look_tables(at: Scope, sides: Mapping[str, str]) -> list[Found]:
    found: list[Found] = []
    for table in at.placed("describe_route_tables", "RouteTables"):
        if not any(link.get("Main") for link in table.get("Associations", ())):
            found += _look_table(at, table, sides)
    return found


def _look_table(at: Scope, table: Item, sides: Mapping[str, str]) -> list[Found]:
    id, vpc, key = table["RouteTableId"], table["VpcId"], key_of(table, at.who)
    links = table.get("Associations", ())
    itself = Found(
        kind=TABLE,
        key=key,
        id=id,
        value=Table(vpc=vpc),
        ours=is_ours(table, at.who),
        vpc=vpc,
        uses=len(links),
    )
    if not key:
        return [itself]
    side = key.removesuffix("-table")
    return [
        itself,
        *(_link(link, id, vpc, sides) for link in links),
        *(_route(route, side, id, vpc) for route in table["Routes"] if _is_default(route)),
    ]


def _link(link: Item, table: str, vpc: str, sides: Mapping[str, str]) -> Found:
    subnet = link.get("SubnetId", "")
    return Found(
        kind=TABLE_LINK,
        key=f"{sides.get(subnet, '')}-link",
        id=link["RouteTableAssociationId"],
        value=TableLink(table=table, subnet=subnet),
        vpc=vpc,
    )


def _is_default(route: Item) -> bool:
    return route.get("DestinationCidrBlock") == EVERYWHERE


def _route(route: Item, side: str, table: str, vpc: str) -> Found:
    target = route.get("NatGatewayId") or route.get("GatewayId") or ""
    value = Route(table=table, destination=EVERYWHERE, target=target)
    return Found(kind=ROUTE, key=f"{side}-route", id=table, value=value, vpc=vpc)


def _make_subnet(to: Site, step: Step, wanted: Subnet) -> str:
    answer = to.ec2(
        "create_subnet",
        VpcId=wanted.vpc,
        CidrBlock=wanted.cidr,
        AvailabilityZone=wanted.zone,
        TagSpecifications=to.tagged("subnet", step.key),
    )
    return str(answer["Subnet"]["SubnetId"])


def _make_table(to: Site, step: Step, wanted: Table) -> str:
    answer = to.ec2(
        "create_route_table",
        VpcId=wanted.vpc,
        TagSpecifications=to.tagged("route-table", step.key),
    )
    return str(answer["RouteTable"]["RouteTableId"])


def _make_link(to: Site, step: Step, wanted: TableLink) -> str:
    answer = to.ec2("associate_route_table", RouteTableId=wanted.table, SubnetId=wanted.subnet)
    return str(answer["AssociationId"])


def _make_route(to: Site, step: Step, wanted: Route) -> str:
    # After a NAT gateway was lost its route stays and leads nowhere.
    action = "create_route" if step.found is None else "replace_route"
    target = "NatGatewayId" if str(wanted.target).startswith("nat-") else "GatewayId"
    to.ec2(
        action,
        RouteTableId=wanted.table,
        DestinationCidrBlock=wanted.destination,
        **{target: wanted.target},
    )
    return str(wanted.table)


def _remove_subnet(to: Site, found: Found) -> None:
    to.ec2("delete_subnet", SubnetId=found.id)


def _remove_table(to: Site, found: Found) -> None:
    to.ec2("delete_route_table", RouteTableId=found.id)


SUBNET: Final = Kind(
    name="subnet",
    part=PART,
    noun="subnet",
    counted="subnet",
    wants=_want_subnets,
    look=_look_subnets,
    make=_make_subnet,
    remove=_remove_subnet,
    after=("machines", "nat-gateway", "mount-target", "network-interface", "load-balancer"),
    duplicated=True,
    walk=Walk(action="describe_subnets", key="Subnets", id="SubnetId", placed=True),
)
TABLE: Final = Kind(
    name="route-table",
    part=PART,
    noun="route table",
    wants=_want_tables,
    make=_make_table,
    remove=_remove_table,
    after=("subnet", "vpc-endpoint"),
    duplicated=True,
    walk=Walk(
        action="describe_route_tables",
        key="RouteTables",
        id="RouteTableId",
        placed=True,
        gone=lambda item: any(link.get("Main") for link in item.get("Associations", ())),
    ),
)
TABLE_LINK: Final = Kind(
    name="route-table-association", part=PART, wants=_want_links, make=_make_link
)
ROUTE: Final = Kind(name="route", part=PART, wants=_want_routes, make=_make_route, changeable=True)


# -- the way to the internet --------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway(Value):
    """The internet gateway; *attached* is the network that it leads out of, if any."""

    attached: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayLink(Value):
    """Which network the internet gateway leads out of."""

    gateway: Id
    vpc: Id


def _want_gateway(wish: Wish) -> list[Resource]:
    return [Resource(kind=GATEWAY, key="igw", value=Gateway(), needs=LOCK)]


def _want_gateway_link(wish: Wish) -> list[Resource]:
    value = GatewayLink(gateway=Ref("igw"), vpc=Ref("vpc"))
    return [Resource(kind=GATEWAY_LINK, key="igw-link", value=value)]


def _look_gateways(at: Scope) -> list[Found]:
    found = []
    for one in at.cloud.pages(
        "ec2", "describe_internet_gateways", "InternetGateways", Filters=tagged(at.who)
    ):
        vpcs = [attached["VpcId"] for attached in one.get("Attachments", ())]
        vpc, id = next(iter(vpcs), ""), one["InternetGatewayId"]
        if not at.owns(one, vpc):
            continue
        found.append(at.found(GATEWAY, one, id=id, value=Gateway(attached=vpc), uses=len(vpcs)))
        if vpc:
            link = GatewayLink(gateway=id, vpc=vpc)
            found.append(Found(kind=GATEWAY_LINK, key="igw-link", id=id, value=link, vpc=vpc))
    return found


def _make_gateway(to: Site, step: Step, wanted: Gateway) -> str:
    answer = to.ec2(
        "create_internet_gateway", TagSpecifications=to.tagged("internet-gateway", step.key)
    )
    return str(answer["InternetGateway"]["InternetGatewayId"])


def _make_gateway_link(to: Site, step: Step, wanted: GatewayLink) -> str:
    to.ec2("attach_internet_gateway", InternetGatewayId=wanted.gateway, VpcId=wanted.vpc)
    return str(wanted.gateway)


def _remove_gateway(to: Site, found: Found) -> None:
    if found.value and found.value.attached:
        to.cloud.attempt(
            "ec2",
            "detach_internet_gateway",
            "Gateway.NotAttached",
            "InvalidInternetGatewayID.NotFound",
            InternetGatewayId=found.id,
            VpcId=found.value.attached,
        )
    to.ec2("delete_internet_gateway", InternetGatewayId=found.id)


GATEWAY: Final = Kind(
    name="internet-gateway",
    part=PART,
    noun="internet gateway",
    counted="internet gateway",
    wants=_want_gateway,
    look=_look_gateways,
    make=_make_gateway,
    remove=_remove_gateway,
    after=("nat-gateway", "elastic-ip", "machines", "load-balancer"),
    duplicated=True,
    walk=Walk(action="describe_internet_gateways", key="InternetGateways", id="InternetGatewayId"),
)
GATEWAY_LINK: Final = Kind(
    name="internet-gateway-attachment", part=PART, wants=_want_gateway_link, make=_make_gateway_link
)


# -- NAT, and its address -----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Address(Value):
    """A public address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nat(Value):
    """The NAT gateway, which lets the private subnets out; *state* is AWS's word."""

    subnet: Id
    address: Id | None = None
    ready: bool
    state: str | None = None


def _want_address(wish: Wish) -> list[Resource]:
    return [Resource(kind=ADDRESS, key="nat-address", value=Address(), needs=LOCK)]


def _want_nat(wish: Wish) -> list[Resource]:
    return [
        Resource(
            kind=NAT,
            key="nat",
            value=Nat(subnet=Ref("public"), address=Ref("nat-address"), ready=True),
            needs=("igw-link", "public-route", "public-link"),
        )
    ]


def _look_addresses(at: Scope) -> list[Found]:
    listed = at.cloud.pages("ec2", "describe_addresses", "Addresses", Filters=tagged(at.who))
    return [
        at.found(
            ADDRESS,
            one,
            id=one["AllocationId"],
            value=Address(),
            uses=int(bool(one.get("AssociationId"))),
        )
        for one in listed
        if at.owns(one, _network_of(at, one))
    ]


def _network_of(at: Scope, address: Item) -> str:
    """Return the network of what an address leads to."""
    if not address.get("NetworkInterfaceId"):
        return ""
    ids = [address["NetworkInterfaceId"]]
    answer = at.cloud.find("ec2", "describe_network_interfaces", NetworkInterfaceIds=ids) or {}
    return next((str(one["VpcId"]) for one in answer.get("NetworkInterfaces", ())), "")


def _look_nats(at: Scope) -> list[Found]:
    listed = at.placed("describe_nat_gateways", "NatGateways")
    return [
        _nat(at, one) for one in listed if one["State"] != "deleted" and one["VpcId"] in at.networks
    ]


def _nat(at: Scope, one: Item) -> Found:
    state, ready = one["State"], one["State"] == "available"
    return at.found(
        NAT,
        one,
        id=one["NatGatewayId"],
        value=Nat(subnet=one["SubnetId"], ready=ready, state=state),
        vpc=one["VpcId"],
        ready=ready,
        broken=state not in ("available", "pending"),
    )


def _make_address(to: Site, step: Step, wanted: Address) -> str:
    answer = to.ec2(
        "allocate_address", Domain="vpc", TagSpecifications=to.tagged("elastic-ip", step.key)
    )
    return str(answer["AllocationId"])


def _make_nat(to: Site, step: Step, wanted: Nat) -> str:
    if step.found is None:
        id = to.alive(lambda more: _new_nat(to, step, wanted, more), lambda id: _nat_lives(to, id))
    else:
        id = step.found.id
    return wait.until(
        lambda: _nat_ready(to, id), "The NAT gateway", to.pauses,
        timeout=NAT_SECONDS, longest=NAT_PAUSE,
    )  # fmt: skip


def _nat_ready(to: Site, id: str) -> str | None:
    answer = to.cloud.find("ec2", "describe_nat_gateways", NatGatewayIds=[id])
    if answer is None:
        return None
    gateway = answer["NatGateways"][0]
    if gateway["State"] in ("failed", "deleting", "deleted"):
        raise FailedError(
            f"AWS could not make the NAT gateway: {gateway.get('FailureMessage', gateway['State'])}"
        )
    return id if gateway["State"] == "available" else None


def _new_nat(to: Site, step: Step, wanted: Nat, more: str) -> str:
    answer = to.ec2(
        "create_nat_gateway",
        SubnetId=wanted.subnet,
        AllocationId=wanted.address,
        ClientToken=to.token("nat", wanted.subnet, f"{wanted.address}{more}"),
        TagSpecifications=to.tagged("natgateway", step.key),
    )
    return str(answer["NatGateway"]["NatGatewayId"])


def _nat_lives(to: Site, id: str, *over: str) -> str | None:
    state = _nat_state(to, id)
    return None if state in (over or ("deleting", "failed")) else state


def _remove_address(to: Site, found: Found) -> None:
    to.ec2("release_address", AllocationId=found.id)


def _remove_nat(to: Site, found: Found) -> None:
    if found.value is None or found.value.state != "deleting":
        to.ec2("delete_nat_gateway", NatGatewayId=found.id)
    # One that failed costs nothing, holds nothing, and is shown for an hour yet.
    to.gone(lambda: _nat_lives(to, found.id, "failed"), "Deleting the NAT gateway")


def _nat_state(to: Site, id: str) -> str | None:
    answer = to.cloud.find("ec2", "describe_nat_gateways", NatGatewayIds=[id]) or {}
    states = [gateway["State"] for gateway in answer.get("NatGateways", ())]
    return next((state for state in states if state != "deleted"), None)


def _bill_address(value: Address, known: Prices) -> Price:
    return Price(hourly=known.address)


def _bill_nat(value: Nat, known: Prices) -> Price:
    failed = value.state == "failed"
    return Price(hourly=0.0 if failed else known.nat)


ADDRESS: Final = Kind(
    name="elastic-ip",
    part=PART,
    noun="public address",
    wants=_want_address,
    look=_look_addresses,
    make=_make_address,
    remove=_remove_address,
    after=("nat-gateway", "machines"),
    duplicated=True,
    billed=lambda config: (Address(),),
    bill=_bill_address,
    walk=Walk(
        action="describe_addresses",
        key="Addresses",
        id="AllocationId",
        hourly=lambda item: prices.PUBLIC_ADDRESS,
    ),
)
NAT: Final = Kind(
    name="nat-gateway",
    part=PART,
    noun="NAT gateway",
    counted="NAT gateway",
    wants=_want_nat,
    look=_look_nats,
    make=_make_nat,
    remove=_remove_nat,
    changeable=True,
    billed=lambda config: (Nat(subnet="", ready=True),),
    bill=_bill_nat,
    walk=Walk(
        action="describe_nat_gateways",
        key="NatGateways",
        id="NatGatewayId",
        placed=True,
        hourly=lambda item: prices.NAT_GATEWAY,
        gone=gone_in("deleted", "failed"),
    ),
)


# -- the endpoint of S3 -------------------------------------------------------------------


# The states of an endpoint that leads nowhere, and never will again.
ENDPOINT_OVER: Final = ("deleting", "deleted", "failed", "rejected", "expired")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint(Value):
    """The way to S3 that needs no internet."""

    vpc: Id
    service: str
    tables: tuple[Id, ...]


def _want_endpoint(wish: Wish) -> list[Resource]:
    value = Endpoint(
        vpc=Ref("vpc"),
        service=f"com.amazonaws.{wish.who.region}.s3",
        tables=(Ref("private-table"), Ref("public-table")),
    )
    return [Resource(kind=ENDPOINT, key="s3-endpoint", value=value)]


def _look_endpoints(at: Scope) -> list[Found]:
    listed = at.placed("describe_vpc_endpoints", "VpcEndpoints")
    return [
        at.found(
            ENDPOINT,
            one,
            id=one["VpcEndpointId"],
            value=Endpoint(
                vpc=one["VpcId"],
                service=one["ServiceName"],
                tables=tuple(sorted(one.get("RouteTableIds", ()))),
            ),
            vpc=one["VpcId"],
            broken=_is_over(one),
            managed=bool(made_by_aws(one)),
        )
        for one in listed
        if one.get("State", "").lower() not in ("deleted", "deleting")
    ]


def _make_endpoint(to: Site, step: Step, wanted: Endpoint) -> str:
    def made(more: str) -> str:
        answer = to.ec2(
            "create_vpc_endpoint",
            VpcEndpointType="Gateway",
            VpcId=wanted.vpc,
            ServiceName=wanted.service,
            RouteTableIds=list(wanted.tables),
            ClientToken=to.token("endpoint", *wanted.tables, *([more] if more else [])),
            TagSpecifications=to.tagged("vpc-endpoint", step.key),
        )
        return str(answer["VpcEndpoint"]["VpcEndpointId"])

    return to.alive(made, lambda id: _endpoint_lives(to, id))


def _is_over(one: Item) -> bool:
    return str(one.get("State", "")).lower() in ENDPOINT_OVER


def _endpoint_lives(to: Site, id: str) -> str | None:
    answer = to.cloud.find("ec2", "describe_vpc_endpoints", VpcEndpointIds=[id]) or {}
    states = [str(one.get("State", "")).lower() for one in answer.get("VpcEndpoints", ())]
    return next((state for state in states if state not in ENDPOINT_OVER), None)


def _remove_endpoint(to: Site, found: Found) -> None:
    answer = to.ec2("delete_vpc_endpoints", VpcEndpointIds=[found.id])
    refused = [one["Error"] for one in answer.get("Unsuccessful", ()) if one.get("Error")]
    if refused and "NotFound" not in refused[0].get("Code", ""):
        raise TransientError(f"The S3 endpoint stays: {refused[0].get('Message')}")


ENDPOINT: Final = Kind(
    name="vpc-endpoint",
    part=PART,
    noun="endpoint",
    counted="S3 endpoint",
    wants=_want_endpoint,
    look=_look_endpoints,
    make=_make_endpoint,
    remove=_remove_endpoint,
    walk=Walk(
        action="describe_vpc_endpoints",
        key="VpcEndpoints",
        id="VpcEndpointId",
        placed=True,
        hourly=lambda item: 0.0 if item.get("VpcEndpointType", "Gateway") == "Gateway" else None,
        gone=gone_in("deleted", "deleting"),
        says=lambda item: made_by_aws(item) or str(item.get("ServiceName", "")),
    ),
)


# -- what others put into the network -----------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface(Value):
    """A network interface; *says* is its description, *instance* the machine that has it."""

    says: str
    instance: str

    def made_for(self, ids: set[str]) -> bool:
        """Whether AWS made it for one of the things *ids*."""
        owners = (self.instance, *ids)
        return self.instance in ids or any(owner and owner in self.says for owner in owners)


def _look_interfaces(at: Scope) -> list[Found]:
    """Find the interfaces, and by them the load balancers."""
    listed = at.placed("describe_network_interfaces", "NetworkInterfaces")
    found = [
        at.found(
            INTERFACE,
            one,
            id=one["NetworkInterfaceId"],
            value=Interface(
                says=one.get("Description", ""),
                instance=(one.get("Attachment") or {}).get("InstanceId", ""),
            ),
            vpc=one["VpcId"],
            busy=one.get("Status", "") != "available",
        )
        for one in listed
    ]
    return [*found, *balancers.of(at, listed)]


def _remove_interface(to: Site, found: Found) -> None:
    to.ec2("delete_network_interface", NetworkInterfaceId=found.id)


INTERFACE: Final = Kind(
    name="network-interface",
    part=PART,
    noun="network interface",
    deep=_look_interfaces,
    remove=_remove_interface,
    after=("machines", "nat-gateway", "mount-target", "load-balancer"),
    walk=Walk(
        action="describe_network_interfaces",
        key="NetworkInterfaces",
        id="NetworkInterfaceId",
        placed=True,
        says=lambda item: str(item.get("Description", "")),
    ),
)
