"""Ask DHCP as a machine would: what the tests of the network put in the place of one."""

import fcntl
import ipaddress
import os
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from tests.region.net import netns

_COOKIE: Final = bytes([99, 130, 83, 99])
_MASK, _ROUTER, _DNS, _NAME, _ADDRESS, _KIND, _SERVER = 1, 3, 6, 12, 50, 53, 54
_DISCOVER, _REQUEST = 1, 3
_TRIES: Final = 6
_SIOCGIFHWADDR: Final = 0x8927


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    address: str
    prefix: int
    router: str
    resolver: str
    name: str


def lease(namespace: str, *, interface: str = "eth0", timeout: float = 0.5) -> Lease:
    """Discover and request, and answer what was leased; TimeoutError when nobody offers."""
    return netns.inside(namespace, lambda: _lease(interface, timeout))


def settle(namespace: str) -> Lease:
    """Lease an address and set the interface up with it, as a machine does."""
    got = lease(namespace)
    netns.batch(
        namespace,
        [
            f"addr replace {got.address}/{got.prefix} dev eth0",
            f"route replace default via {got.router} dev eth0",
        ],
    )
    netns.set_resolver(namespace, got.resolver)
    return got


def _lease(interface: str, timeout: float) -> Lease:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        wire.settimeout(timeout)
        wire.bind(("", 68))
        mac = _mac(wire, interface)
        address, offered = _exchange(wire, _message(mac, _DISCOVER, {}))
        asked = {_ADDRESS: address, _SERVER: offered[_SERVER]}
        address, options = _exchange(wire, _message(mac, _REQUEST, asked))
    return _understand(address, options)


def _mac(wire: socket.socket, interface: str) -> bytes:
    """Ask the kernel, not /sys: that is mounted for another namespace."""
    asked = struct.pack("256s", interface.encode())
    answer = fcntl.ioctl(wire.fileno(), _SIOCGIFHWADDR, asked)
    return answer[18:24]


def _message(mac: bytes, kind: int, options: dict[int, bytes]) -> bytes:
    # The flag asks for broadcast answers: the interface has no address yet.
    head = struct.pack(">BBBB4sHH16x", 1, 1, 6, 0, os.urandom(4), 0, 0x8000)
    body = b"".join(bytes([code, len(value)]) + value for code, value in options.items())
    tail = _COOKIE + bytes([_KIND, 1, kind]) + body + b"\xff"
    return head + mac.ljust(16, b"\0") + bytes(192) + tail


def _exchange(wire: socket.socket, message: bytes) -> tuple[bytes, dict[int, bytes]]:
    """Send until somebody answers: a datagram may be lost while the server starts anew."""
    for _ in range(_TRIES):
        wire.sendto(message, ("255.255.255.255", 67))
        with suppress(TimeoutError):
            while True:
                answer = wire.recv(1500)
                if answer[4:8] == message[4:8]:
                    return answer[16:20], dict(_options(answer[240:]))
    raise TimeoutError("nobody leases an address")


def _options(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while data and data[0] != 255:
        length = data[1]
        found.append((data[0], data[2 : 2 + length]))
        data = data[2 + length :]
    return found


def _understand(address: bytes, options: dict[int, bytes]) -> Lease:
    mask = ipaddress.IPv4Address(options[_MASK])
    return Lease(
        address=str(ipaddress.IPv4Address(address)),
        prefix=ipaddress.IPv4Network(f"0.0.0.0/{mask}").prefixlen,
        router=str(ipaddress.IPv4Address(options[_ROUTER][:4])),
        resolver=str(ipaddress.IPv4Address(options[_DNS][:4])),
        name=options.get(_NAME, b"").decode(),
    )
