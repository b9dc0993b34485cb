"""What the network and the machines of the region see of AWS: one immutable snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Vpc:
    id: str
    cidr: str
    igw_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subnet:
    id: str
    vpc_id: str
    cidr: str
    zone: str
    route_table_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """*destination* is a CIDR or a prefix list; *target* is `local` or a gateway's id."""

    destination: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTable:
    id: str
    vpc_id: str
    main: bool
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NatGateway:
    id: str
    vpc_id: str
    subnet_id: str
    state: str
    public_ip: str | None
    private_ip: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """*protocol* is tcp, udp, icmp or -1; the ports are None where they mean all."""

    protocol: str
    from_port: int | None
    to_port: int | None
    cidrs: tuple[str, ...]
    group_ids: tuple[str, ...]
    prefix_list_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityGroup:
    id: str
    vpc_id: str
    name: str
    ingress: tuple[Rule, ...]
    egress: tuple[Rule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    id: str
    state: str
    vpc_id: str
    subnet_id: str
    zone: str
    private_ip: str
    mac: str
    public_ip: str | None
    private_dns_name: str
    group_ids: tuple[str, ...]
    image_id: str
    instance_type: str
    vcpus: int
    memory_mib: int
    user_data: bytes
    role_name: str | None
    profile_arn: str | None
    http_tokens: str
    hop_limit: int
    tags: Mapping[str, str]
    launch_index: int
    reservation_id: str
    key_name: str | None
    public_key: str | None
    metadata_tags: bool = False
    source_dest_check: bool = True
    architecture: str = "x86_64"


@dataclass(frozen=True, slots=True, kw_only=True)
class MountTarget:
    id: str
    file_system_id: str
    vpc_id: str
    subnet_id: str
    ip: str
    group_ids: tuple[str, ...]
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """*instance_id* is where it is attached; roots of machines are none of these."""

    id: str
    size_gib: int
    snapshot_id: str | None = None
    instance_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSnapshot:
    id: str
    volume_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """*public_ips* maps each public address in use to the private one behind it.

    *prefix_lists* gives the networks of each prefix list that a route or a rule may name.
    """

    generation: int
    account: str
    region: str
    vpcs: tuple[Vpc, ...]
    subnets: tuple[Subnet, ...]
    route_tables: tuple[RouteTable, ...]
    nat_gateways: tuple[NatGateway, ...]
    security_groups: tuple[SecurityGroup, ...]
    instances: tuple[Instance, ...]
    mount_targets: tuple[MountTarget, ...]
    public_ips: Mapping[str, str]
    prefix_lists: Mapping[str, tuple[str, ...]]
    volumes: tuple[Volume, ...] = ()
    volume_snapshots: tuple[VolumeSnapshot, ...] = ()
