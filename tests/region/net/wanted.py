"""What the network should be, as values: decided by `plan`, made real by `fabric`."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    name: str
    router: bool = False
    resolver: str | None = None  # what programs started in it ask for names
    addresses: tuple[str, ...] = ()  # on its loopback: where a router itself answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A cable from a router to a leaf: one interface at each end, nothing else on it.

    Even two neighbours of a subnet meet in the router only. So every packet passes the router's
    rules, which the leaf cannot touch, whatever it does to its own.
    """

    router: str
    port: str  # the interface's name at the router
    gateway: str  # the router's address on it
    leaf: str
    interface: str  # the interface's name at the leaf
    mac: str | None = None
    addresses: tuple[str, ...] = ()  # of the leaf, with prefix; none when DHCP gives it


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """*router* reaches *destination* through *port*, or nowhere without one."""

    router: str
    destination: str
    port: str | None
    via: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A machine that DHCP and DNS know; without *mac* DNS only."""

    name: str
    address: str
    mac: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subnet:
    """What DHCP tells about a subnet."""

    cidr: str
    gateway: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """What the resolver of one namespace answers besides the service names of the region."""

    namespace: str
    resolver: str
    hosts: tuple[Host, ...] = ()
    subnets: tuple[Subnet, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    namespaces: frozenset[Namespace] = frozenset()
    links: frozenset[Link] = frozenset()
    routes: frozenset[Route] = frozenset()
    rules: Mapping[str, str] = field(default_factory=dict)  # nftables text by namespace
    zones: Mapping[str, Zone] = field(default_factory=dict)  # by namespace
