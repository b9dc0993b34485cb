"""Tunnels: ssh in the background that carries a local port to an address behind the gateway."""

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clusterous_api.errors import TransientError, UserError
from clusterous_cli.reach import ports, ssh
from clusterous_cli.system import private, shell

# A tunnel that carries nothing for so long ends by itself; the next command opens it again.
IDLE: Final = "30m"
CLOSE_SECONDS: Final = 3.0
ANSWER_SECONDS: Final = 10.0
LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """The local *port*, and where it leads as seen from *host*, one of the nodes."""

    port: int
    address: str
    remote: int
    host: str = ssh.CONTROLLER

    @property
    def option(self) -> str:
        return f"{LOOPBACK}:{self.port}:{self.address}:{self.remote}"


class PortTaken(UserError):
    """A local port is used by another program."""


# -- pure -----------------------------------------------------------------------------------


def open_argv(access: ssh.Access, control: Path, forward: Forward) -> list[str]:
    """Start a tunnel that stays in the background, with a control socket of its own."""
    options = (
        *_control(control, "auto"),
        *("-o", f"ControlPersist={IDLE}"),
        *("-o", "ExitOnForwardFailure=yes"),
        *("-L", forward.option),
    )
    return ssh.argv(access, forward.host, "true", options=options)


def control_argv(access: ssh.Access, control: Path, order: str) -> list[str]:
    """Ask the tunnel behind *control*: check, or exit."""
    options = (*_control(control, "no"), "-O", order)
    return ssh.argv(access, ssh.CONTROLLER, options=options)


def _control(control: Path, master: str) -> tuple[str, ...]:
    return ("-o", f"ControlMaster={master}", "-o", f"ControlPath={ssh.quoted(control)}")


def preferred_port(uid: str) -> int:
    """A port that stays the same for one cluster, apart from where programs like to listen."""
    digits = int(re.sub(r"[^0-9a-f]", "", uid.lower())[:8] or "0", 16)
    return 20000 + digits % 10000


# -- ports ----------------------------------------------------------------------------------


def is_free(port: int) -> bool:
    """Whether nobody listens on *port* and we may."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port(wanted: int) -> int:
    """The port *wanted*, or one near it that is free: 8080 or so where 80 may not be opened."""
    return ports.chosen({}, "", wanted, is_free)


def answers_tls(port: int, timeout: float = 10) -> bool:
    """Whether a TLS server answers behind *port*: a tunnel whose far end died does not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # only a sign of life; nothing is sent or believed
    try:
        with (
            socket.create_connection((LOOPBACK, port), timeout=timeout) as plain,
            context.wrap_socket(plain),
        ):
            return True
    except OSError:
        return False


# -- acting ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunnel:
    """One background tunnel of a cluster, known by its control socket."""

    access: ssh.Access
    forward: Forward
    is_alive: Callable[[int], bool] = answers_tls

    @property
    def control(self) -> Path:
        return ssh.socket_folder(self.access.home) / f"t{self.forward.port}"

    def is_open(self) -> bool:
        check = control_argv(self.access, self.control, "check")
        return self.control.exists() and shell.outcome(check, timeout=10)[0] == 0

    def answers(self) -> bool:
        """Whether the machine at the other end answers through it: ssh believes in a connection
        that is dead for most of a minute."""
        options = _control(self.control, "no")
        asked = ssh.argv(self.access, self.forward.host, "true", options=options)
        return shell.outcome(asked, timeout=ANSWER_SECONDS)[0] == 0

    def ensure(self) -> None:
        """Open the tunnel, unless it is open and its far end answers."""
        with locked(self.access.home):
            if self.is_open():
                if self.is_alive(self.forward.port):
                    return
                self.close()
            self._open()

    def close(self) -> None:
        """End the tunnel, and wait until its port is free for the next."""
        if not self.control.exists():
            return
        status, _, _ = shell.outcome(control_argv(self.access, self.control, "exit"), timeout=10)
        self.control.unlink(missing_ok=True)
        end = time.monotonic() + CLOSE_SECONDS
        while status == 0 and not is_free(self.forward.port) and time.monotonic() < end:
            time.sleep(0.02)

    def _open(self) -> None:
        if not is_free(self.forward.port):
            raise PortTaken(
                f"Port {self.forward.port} on this machine is taken by another program, and the "
                "tunnel to the cluster needs it. End that program, or run `clusterous kubectl "
                "--config`, which chooses another port."
            )
        self.control.unlink(missing_ok=True)
        command = open_argv(ssh.prepare(self.access), self.control, self.forward)
        status, _, err = shell.outcome(command, timeout=60)
        if status != 0:
            raise ssh.ConnectionRefused(ssh.diagnosis(self.access, self.forward.host, err.strip()))
        if not self.is_alive(self.forward.port):
            self.close()
            raise TransientError(
                "The controller is reached, but its API server does not answer. "
                "`clusterous status` says how the controller is; try again in a minute."
            )


@contextlib.contextmanager
def locked(home: Path) -> Iterator[None]:
    """One at a time: two kubectl started together must not open two tunnels."""
    with private.alone(home / "tunnel.lock"):
        yield
