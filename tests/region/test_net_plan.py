"""What the network should be, decided without making any of it."""

import ipaddress
import string
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.region.aws.view import Route, Rule, Snapshot
from tests.region.net import addresses, dns, plan, ports, rules, samples
from tests.region.net.ports import Exit, Way
from tests.region.net.samples import group, instance, network, rule
from tests.region.net.wanted import Host, Subnet, Zone
from tests.region.storage import efs

REGION = "cr"


def ways_of(snapshot: Snapshot, number: int = 10) -> list[Way]:
    machine = next(one for one in snapshot.instances if one.id.endswith(f"{number:x}"))
    return ports.ways(snapshot, ports.of_instance(machine))


# Ways out


def private(*routes: Route, nat_state: str = "available") -> Snapshot:
    return network(instances=(instance(10, groups=()),), private_routes=routes, nat_state=nat_state)


@pytest.mark.parametrize(
    ("snapshot", "expected"),
    [
        pytest.param(private(), [], id="nowhere"),
        pytest.param(
            private(samples.VIA_NAT),
            [Way(destination="0.0.0.0/0", exit=Exit(source=samples.NAT_ADDRESS))],
            id="nat",
        ),
        pytest.param(
            private(samples.VIA_NAT, nat_state="deleting"),
            [Way(destination="0.0.0.0/0", exit=None)],
            id="nat-going",
        ),
        pytest.param(
            replace(private(samples.VIA_NAT), vpcs=(replace(private().vpcs[0], igw_id=None),)),
            [Way(destination="0.0.0.0/0", exit=None)],
            id="nat-without-internet-gateway",
        ),
        pytest.param(
            replace(
                private(samples.VIA_NAT),
                nat_gateways=(
                    replace(private().nat_gateways[0], subnet_id=samples.PRIVATE_SUBNET),
                ),
            ),
            [Way(destination="0.0.0.0/0", exit=None)],
            id="nat-in-a-private-subnet",
        ),
        pytest.param(
            private(samples.VIA_NAT, samples.VIA_ENDPOINT),
            [
                Way(destination=f"{addresses.S3}/32", exit=Exit(source=None)),
                Way(destination="0.0.0.0/0", exit=Exit(source=samples.NAT_ADDRESS)),
            ],
            id="endpoint-before-nat",
        ),
        pytest.param(
            private(Route(destination="0.0.0.0/0", target=samples.IGW)),
            [Way(destination="0.0.0.0/0", exit=None)],
            id="no-public-address",
        ),
        pytest.param(
            private(Route(destination="0.0.0.0/0", target="nat-gone")),
            [Way(destination="0.0.0.0/0", exit=None)],
            id="blackhole",
        ),
    ],
)
def test_a_route_leads_where_its_target_can_lead(snapshot: Snapshot, expected: list[Way]) -> None:
    assert ways_of(snapshot) == expected


def test_a_public_address_is_seen_outside() -> None:
    gateway = instance(5, groups=(), subnet=samples.PUBLIC_SUBNET, public=samples.GATEWAY_ADDRESS)

    found = ways_of(network(instances=(gateway,)), 5)

    assert found == [
        Way(destination="0.0.0.0/0", exit=Exit(source=samples.GATEWAY_ADDRESS)),
    ]


# Security groups


def allowed(*ingress: Rule, members: int = 2) -> list[str]:
    machines = tuple(instance(10 + each, groups=("sg-a",)) for each in range(members))
    text = rules.of_vpc(network(instances=machines, groups=(group("sg-a", ingress),)), samples.VPC)
    body = text.partition("chain in-i-0000000a {\n")[2].partition("\n}")[0]
    return [line.strip() for line in body.splitlines()]


@pytest.mark.parametrize(
    ("ingress", "line"),
    [
        pytest.param(rule(cidrs=("0.0.0.0/0",)), "accept", id="everything"),
        pytest.param(
            rule("tcp", 22, cidrs=("203.0.113.10/32",)),
            "ip saddr { 203.0.113.10/32 } tcp dport 22 accept",
            id="one-port-from-one-address",
        ),
        pytest.param(
            rule("udp", 30000, 32767, cidrs=("0.0.0.0/0",)),
            "udp dport 30000-32767 accept",
            id="a-span",
        ),
        pytest.param(
            rule("tcp", 6443, groups=("sg-a",)),
            "ip saddr { 10.40.1.10/31 } tcp dport 6443 accept",
            id="members-of-a-group",
        ),
        pytest.param(
            rule("icmp", 8, cidrs=("10.40.0.0/16",)),
            "ip saddr { 10.40.0.0/16 } icmp type 8 accept",
            id="ping",
        ),
        pytest.param(
            rule("icmp", -1, cidrs=("10.40.0.0/16",)),
            "ip saddr { 10.40.0.0/16 } meta l4proto icmp accept",
            id="all-icmp",
        ),
        pytest.param(
            rule("tcp", 443, cidrs=("10.40.0.0/16", "10.40.1.0/24")),
            "ip saddr { 10.40.0.0/16 } tcp dport 443 accept",
            id="overlapping",
        ),
    ],
)
def test_a_rule_of_a_group_becomes_one_line(ingress: Rule, line: str) -> None:
    assert allowed(ingress) == [line, "drop"]


def test_a_group_without_members_lets_nobody_in() -> None:
    assert allowed(rule("tcp", 22, groups=("sg-empty",))) == ["drop"]


def test_rules_for_the_other_internet_protocol_mean_nothing_here() -> None:
    assert allowed(rule("tcp", 22, cidrs=("::/0",))) == ["drop"]


@given(
    cidrs=st.lists(
        st.builds(
            lambda number, prefix: str(ipaddress.ip_network((number, prefix), strict=False)),
            st.integers(0, 2**32 - 1),
            st.integers(1, 32),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_a_set_of_networks_never_overlaps_itself_and_loses_nobody(cidrs: list[str]) -> None:
    line = allowed(rule("tcp", 22, cidrs=tuple(cidrs)))[0]

    text = line.partition("{")[2].partition("}")[0]
    listed = [ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip()]
    found = listed or [ipaddress.ip_network("0.0.0.0/0")]
    assert not any(one.overlaps(other) for one in found for other in found if one is not other)
    assert all(
        any(ipaddress.ip_network(cidr).subnet_of(one) for one in found)  # type: ignore[arg-type]
        for cidr in cidrs
    )


def test_routes_are_judged_before_what_is_established() -> None:
    text = rules.of_vpc(private(samples.VIA_NAT), samples.VPC)

    forward = text.partition("chain forward")[2]
    assert forward.index("jump way-i-0000000a") < forward.index("ct state established")


# Namespaces, cables, routes


@pytest.mark.parametrize(
    ("state", "lives"),
    [
        ("pending", True),
        ("running", True),
        ("stopping", True),
        ("shutting-down", True),
        ("stopped", False),
        ("terminated", False),
    ],
)
def test_a_machine_has_a_network_while_it_may_use_it(state: str, lives: bool) -> None:
    snapshot = network(instances=(instance(10, groups=(), state=state),))

    names = {space.name for space in plan.wanted(snapshot, REGION).namespaces}

    assert ("cr-i-0000000a" in names) is lives


def test_a_vpc_in_which_nobody_lives_costs_nothing() -> None:
    assert plan.wanted(network(), REGION) == plan.wanted(plan.nothing("eu-west-1"), REGION)


def test_the_internet_knows_public_addresses_only() -> None:
    gateway = instance(5, groups=(), subnet=samples.PUBLIC_SUBNET, public=samples.GATEWAY_ADDRESS)
    wanted = plan.wanted(network(instances=(gateway, instance(10, groups=()))), REGION)

    known = {route.destination for route in wanted.routes if route.router == "cr-inet"}

    assert known == {
        addresses.SERVICES,
        f"{addresses.LAPTOP}/32",
        f"{addresses.STRANGER}/32",
        f"{samples.GATEWAY_ADDRESS}/32",
        f"{samples.NAT_ADDRESS}/32",
        f"{addresses.carrier_address(samples.VPC)}/32",
    }


def test_everything_stands_on_a_namespace_and_interface_names_fit() -> None:
    machines = (instance(10, groups=()), instance(11, groups=()))
    target = samples.mount_target("10.40.1.77", groups=())
    wanted = plan.wanted(network(instances=machines, mount_targets=(target,)), "longname")

    names = {space.name for space in wanted.namespaces}

    assert {link.router for link in wanted.links} | {link.leaf for link in wanted.links} <= names
    assert {route.router for route in wanted.routes} <= names
    assert set(wanted.rules) | set(wanted.zones) <= names
    assert max(len(link.port) for link in wanted.links) <= 15


@given(st.text(string.hexdigits.lower()[:16], min_size=17, max_size=17))
def test_each_vpc_has_an_address_at_the_carrier(identifier: str) -> None:
    address = ipaddress.ip_address(addresses.carrier_address(f"vpc-{identifier}"))

    assert address in ipaddress.ip_network("100.64.0.0/10")
    assert str(address) != addresses.CARRIER


# Names


def test_a_machine_is_named_by_dns_and_dhcp() -> None:
    machine = Host(name="ip-10-40-1-10.eu-west-1.compute.internal", address="10.40.1.10", mac="m")
    volume = Host(name="fs-1.efs.eu-west-1.amazonaws.com", address="10.40.1.77")
    zone = Zone(namespace="cr-vpc-1", resolver="10.40.0.2", hosts=(machine, volume))

    assert dns.names(zone) == (
        "10.40.1.10 ip-10-40-1-10.eu-west-1.compute.internal\n"
        "10.40.1.77 fs-1.efs.eu-west-1.amazonaws.com\n"
    )
    assert dns.machines(zone) == "m,10.40.1.10,ip-10-40-1-10,1h\n"


def test_dhcp_serves_each_subnet_with_its_own_gateway() -> None:
    subnets = (
        Subnet(cidr="10.40.0.0/24", gateway="10.40.0.1"),
        Subnet(cidr="10.40.16.0/20", gateway="10.40.16.1"),
    )
    zone = Zone(namespace="cr-vpc-1", resolver="10.40.0.2", subnets=subnets)

    lines = dns.config(zone, "eu-west-1", Path("/nowhere")).splitlines()

    assert "dhcp-range=set:net-10-40-16-0,10.40.16.0,static,255.255.240.0,1h" in lines
    assert "dhcp-option=tag:net-10-40-16-0,option:router,10.40.16.1" in lines
    assert "dhcp-option=option:dns-server,10.40.0.2" in lines


def test_file_systems_are_found_by_the_address_of_their_door() -> None:
    target = samples.mount_target("10.40.1.77", groups=())

    assert efs.links(network(mount_targets=(target,))) == {
        f"{samples.VPC}/10.40.1.77": "../../fs-00000000000000e2"
    }
