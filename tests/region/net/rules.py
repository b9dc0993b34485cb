"""nftables rules of a VPC's router: routes, address translation and security groups, as text.

The rules name the router's own interfaces, one per machine, so nothing that a machine does to its
own network (k3s writes hundreds of rules there) can weaken them.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tests.region.aws.view import Rule, Snapshot
from tests.region.net import addresses, ports
from tests.region.net.ports import ANYWHERE, Exit, Port, Way

WAN = addresses.INTERNET_PORT
TABLE = "region"


def of_vpc(snapshot: Snapshot, vpc_id: str) -> str:
    """Write the whole table anew; nftables replaces the old one in the same transaction."""
    members = ports.of_vpc(snapshot, vpc_id)
    ways = {port.name: ports.ways(snapshot, port) for port in members}
    return _table(
        [
            *_owners(members),
            *_translate_in(members, ways),
            *_translate_out(members, ways),
            *_own_services(),
            *_forward(members),
            *(line for port in members for line in _way(port, ways[port.name])),
            *(line for port in members for line in _groups(snapshot, port)),
        ]
    )


def _table(lines: Iterable[str]) -> str:
    body = "\n".join(lines)
    return f"table ip {TABLE}\ndelete table ip {TABLE}\ntable ip {TABLE} {{\n{body}\n}}\n"


def _chain(name: str, lines: Iterable[str]) -> Iterator[str]:
    yield f"chain {name} {{"
    yield from (f"  {line}" for line in lines)
    yield "}"


def _owners(members: Sequence[Port]) -> Iterator[str]:
    """Drop what does not come from its sender's own address: EC2's source/destination check."""
    lines = [
        "type filter hook prerouting priority raw; policy drop;",
        f'iifname {{ "lo", "{WAN}" }} accept',
        "ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept",
        *(_owner(port) for port in members),
    ]
    return _chain("owners", lines)


def _owner(port: Port) -> str:
    return f'iifname "{port.name}" {f"ip saddr {port.address} " if port.checked else ""}accept'


def _translate_in(members: Sequence[Port], ways: Mapping[str, Sequence[Way]]) -> Iterator[str]:
    """Lead a public address to its machine, provided that its subnet has an internet gateway."""
    lines = [
        f'iifname "{WAN}" ip daddr {port.public_address} dnat to {port.address}'
        for port in members
        if port.public_address and _is_public(port, ways[port.name])
    ]
    return _chain("translate-in", ["type nat hook prerouting priority dstnat;", *lines])


def _is_public(port: Port, ways: Iterable[Way]) -> bool:
    return any(way.exit and way.exit.source == port.public_address for way in ways)


def _translate_out(members: Sequence[Port], ways: Mapping[str, Sequence[Way]]) -> Iterator[str]:
    lines = [
        f'oifname "{WAN}" ip saddr {port.address} ip daddr {way.destination} {_source(way.exit)}'
        for port in members
        for way in ways[port.name]
        if way.exit
    ]
    return _chain("translate-out", ["type nat hook postrouting priority srcnat;", *lines])


def _source(way: Exit) -> str:
    return f"snat to {way.source}" if way.source else "masquerade"


def _own_services() -> Iterator[str]:
    """The router itself answers DHCP and DNS only; security groups do not filter these on AWS."""
    lines = [
        "type filter hook input priority filter; policy drop;",
        'iifname "lo" accept',
        "ct state established,related accept",
        f'iifname != "{WAN}" udp dport {{ 53, 67 }} accept',
        f'iifname != "{WAN}" tcp dport 53 accept',
    ]
    return _chain("own-services", lines)


def _forward(members: Sequence[Port]) -> Iterator[str]:
    """The order matters: routes have no memory, so they come before what is established."""
    lines = [
        "type filter hook forward priority filter; policy drop;",
        f'iifname "{WAN}" oifname "{WAN}" drop',
        *(f'iifname "{port.name}" oifname "{WAN}" jump way-{port.name}' for port in members),
        "ct state established,related accept",
        "ct state invalid drop",
        *(f'iifname "{port.name}" jump out-{port.name}' for port in members),
        f'oifname "{WAN}" accept',
        *(f'oifname "{port.name}" jump in-{port.name}' for port in members),
    ]
    return _chain("forward", lines)


def _way(port: Port, ways: Iterable[Way]) -> Iterator[str]:
    lines = [f"ip daddr {way.destination} {'return' if way.exit else 'drop'}" for way in ways]
    return _chain(f"way-{port.name}", [*lines, "drop"])


def _groups(snapshot: Snapshot, port: Port) -> Iterator[str]:
    """Groups of a port add up: what one of them allows is allowed."""
    groups = [group for group in snapshot.security_groups if group.id in port.group_ids]
    ingress = [rule for group in groups for rule in group.ingress]
    egress = [rule for group in groups for rule in group.egress]
    yield from _chain(f"in-{port.name}", [*_allow(snapshot, ingress, "saddr", "accept"), "drop"])
    yield from _chain(f"out-{port.name}", [*_allow(snapshot, egress, "daddr", "return"), "drop"])


def _allow(snapshot: Snapshot, allowed: Iterable[Rule], side: str, verdict: str) -> Iterator[str]:
    for rule in allowed:
        peers = _peers(snapshot, rule)
        for traffic in _traffic(rule) if peers else ():
            who = "" if peers == [ANYWHERE] else f"ip {side} {{ {', '.join(peers)} }}"
            yield " ".join(part for part in (who, traffic, verdict) if part)


def _peers(snapshot: Snapshot, rule: Rule) -> list[str]:
    """List the networks that *rule* means; nftables refuses a set that overlaps itself."""
    blocks = [cidr for cidr in rule.cidrs if ":" not in cidr]
    blocks += [block for each in rule.prefix_list_ids for block in snapshot.prefix_lists[each]]
    blocks += [address for group in rule.group_ids for address in _members(snapshot, group)]
    networks = (ipaddress.IPv4Network(block, strict=False) for block in blocks)
    return [str(network) for network in ipaddress.collapse_addresses(networks)]


def _members(snapshot: Snapshot, group_id: str) -> list[str]:
    """List the private addresses of a group's members: what naming a group means on AWS."""
    everyone = [ports.of_instance(instance) for instance in ports.live(snapshot)]
    everyone += [ports.of_mount_target(target) for target in ports.mounted(snapshot)]
    return [port.address for port in everyone if group_id in port.group_ids]


def _traffic(rule: Rule) -> list[str]:
    """Name the packets of *rule*; an empty text is every packet."""
    match rule.protocol:
        case "-1":
            return [""]
        case "icmp":
            return [_icmp(rule.from_port)]
        case "tcp" | "udp":
            return [f"{rule.protocol} dport {_span(rule.from_port, rule.to_port)}"]
    return []


def _icmp(kind: int | None) -> str:
    return "meta l4proto icmp" if kind is None or kind < 0 else f"icmp type {kind}"


def _span(first: int | None, last: int | None) -> str:
    if first is None or last is None or first < 0:
        return "0-65535"
    return str(first) if first == last else f"{first}-{last}"
