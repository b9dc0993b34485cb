"""Who is where in the region: the fixed addresses, and the names of namespaces and interfaces.

All addresses are of the ranges kept for documentation (RFC 5737) and for carriers (RFC 6598);
they exist inside the region's own namespaces only.
"""

import ipaddress
from typing import Final

SERVICES: Final = "192.0.2.0/24"
AWS_API: Final = "192.0.2.10"
S3: Final = "192.0.2.20"
ECR: Final = "192.0.2.30"
WEB: Final = "192.0.2.40"
DOCKER_HUB: Final = "192.0.2.50"
KUBERNETES: Final = "192.0.2.60"
DNS: Final = "192.0.2.53"

LAPTOP: Final = "203.0.113.10"
STRANGER: Final = "203.0.113.66"

# Each cable between two routers has CARRIER at the internet's end.
CARRIER: Final = "100.64.0.1"
_CARRIER_NET: Final = ipaddress.ip_network("100.64.0.0/10")

INTERNET_PORT: Final = "wan"


def namespace(region: str, role: str) -> str:
    """Name the namespace of one of the fixed places: inet, services, laptop, stranger."""
    return f"{region}-{role}"


def vpc_namespace(region: str, vpc_id: str) -> str:
    return f"{region}-vpc-{short(vpc_id)}"


def instance_namespace(region: str, instance_id: str) -> str:
    return f"{region}-i-{short(instance_id)}"


def mount_target_namespace(region: str, mount_target_id: str) -> str:
    return f"{region}-mt-{short(mount_target_id)}"


def short(identifier: str) -> str:
    return identifier[-8:]


def carrier_address(vpc_id: str) -> str:
    """Answer a VPC's own end of its cable to the internet.

    Computed from the identifier, so that it does not depend on which other VPCs there are.
    """
    offset = int(short(vpc_id), 16) % (_CARRIER_NET.num_addresses - 4) + 2
    return str(_CARRIER_NET.network_address + offset)


def gateway(cidr: str) -> str:
    """Answer the first usable address of a subnet: its router, as on AWS."""
    return str(ipaddress.ip_network(cidr).network_address + 1)


def resolver(cidr: str) -> str:
    """Answer where a VPC's resolver listens: the VPC's base address plus two, as on AWS."""
    return str(ipaddress.ip_network(cidr).network_address + 2)
