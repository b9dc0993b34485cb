"""The metadata service's end of an instance: a cable to a namespace of its own.

169.254.169.254 is one hop away from the machine, as on EC2, and not in the machine itself. So
the hop limit is real: packets leave the service with that time to live, the machine's own kernel
counts it down when it forwards them, and with a limit of 1 no pod behind a bridge ever gets one.
"""

import socket
from typing import Final

from tests.region.net import netns

ADDRESS: Final = "169.254.169.254"
PORT: Final = 80

# The interface at the machine. EC2 shows none: there the answer comes over eth0.
INTERFACE: Final = "imds"
_HERE: Final = "169.254.169.253"
_MAC: Final = "02:00:a9:fe:a9:fd"


def name(region: str, instance_id: str) -> str:
    """Name the namespace in which the service of an instance listens."""
    return f"{region}-md-{instance_id[-8:]}"


def plug(space: str, machine: str, hop_limit: int) -> socket.socket:
    """Lay the cable between the namespaces *space* and *machine*; answer the listening socket."""
    unplug(space)
    netns.add(space)
    netns.batch(
        space,
        [
            f"link add eth0 type veth peer name {INTERFACE} netns {machine} address {_MAC}",
            f"addr add {ADDRESS}/32 dev eth0",
            "link set eth0 up",
            # Whoever asks is behind the machine: no questions about who has which address.
            f"neigh add {_HERE} lladdr {_MAC} dev eth0 nud permanent",
            f"route add default via {_HERE} dev eth0 onlink",
        ],
    )
    set_hop_limit(space, hop_limit)
    netns.batch(
        machine, [f"link set {INTERFACE} up", f"route add {ADDRESS}/32 dev {INTERFACE} scope link"]
    )
    return netns.listen(space, ADDRESS, PORT)


def set_hop_limit(space: str, hop_limit: int) -> None:
    """Let everything that leaves *space* live for *hop_limit* hops, the handshake too."""
    netns.configure(space, {"ipv4/ip_default_ttl": str(hop_limit)})


def unplug(space: str) -> None:
    """Take the cable away, if it is there; the end at the machine goes with this one."""
    netns.delete(space)
