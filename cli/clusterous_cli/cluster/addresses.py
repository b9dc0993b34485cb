"""The plan of a cluster's private network."""

import ipaddress
from dataclasses import dataclass


def node_name(dns_name: str, instance_id: str) -> str:
    """Return what a machine is called in Kubernetes, which boot.sh computes alike.

    The address alone would not do: k3s refuses a machine that comes by the address, and so by the
    name, of one before it.
    """
    return f"{dns_name.split('.')[0]}-{instance_id[-8:]}" if dns_name else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """The plan of the private network: fixed where others must know an address before it exists."""

    public: str
    control: str
    private: str
    controller: str
    volume: str


def addresses(cidr: str) -> Addresses:
    """Divide the network: its second half is for workers, its first sixteenth is public.

    The controller and the volume have a subnet of their own: AWS gives workers any free address of
    theirs, and would sooner or later give one of them the address that the controller needs.
    """
    network = ipaddress.IPv4Network(cidr)
    public, control, *_ = _first_half(network)
    private = list(network.subnets(prefixlen_diff=1))[1]
    return Addresses(
        public=str(public),
        control=str(control),
        private=str(private),
        controller=str(control.network_address + 10),
        volume=str(control.network_address + 11),
    )


def spare(cidr: str) -> tuple[str, ...]:
    """Return the parts of the network that subnets of further zones may have: six."""
    return tuple(str(one) for one in _first_half(ipaddress.IPv4Network(cidr))[2:])


def _first_half(network: ipaddress.IPv4Network) -> list[ipaddress.IPv4Network]:
    half = next(network.subnets(prefixlen_diff=1))
    return list(half.subnets(prefixlen_diff=3))
