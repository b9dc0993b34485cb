"""Ports of this machine that nobody listens on."""

import socket


def free(address: str = "127.0.0.1") -> int:
    """Return one; until somebody listens there, another may take it."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
