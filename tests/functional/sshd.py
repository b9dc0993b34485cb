"""Two real SSH servers on loopback: a gateway, and a controller that is reached through it.

They run as we do, with host keys of their own. Programs that need a machine (sudo, mount) are
stand-ins in a folder that comes first on the servers' PATH.
"""

import contextlib
import getpass
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from clusterous_cli.reach import ssh
from tests import ports, programs

SSHD = "/usr/sbin/sshd"
NEEDED = programs.needs("ssh", "ssh-keygen", "rsync", "sshd")

CONFIG = """\
ListenAddress {address}:{port}
HostKey {host_key}
AuthorizedKeysFile {authorized}
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
PermitRootLogin yes
PrintMotd no
UseDNS no
SetEnv PATH={programs}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
"""


@dataclass(slots=True)
class Site:
    """The servers, how to reach them, and what stands in for the controller's programs."""

    home: Path
    access: ssh.Access
    programs: Path
    configs: dict[str, Path]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def program(self, name: str, script: str) -> None:
        """Let the servers run *script* under *name*."""
        path = self.programs / name
        path.unlink(missing_ok=True)  # a link would lead to this machine's own program
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def start(self, name: str) -> None:
        host = self.access.gateway if name == ssh.GATEWAY else self.access.nodes[0]
        log = (self.home / f"{name}.log").open("ab")
        argv = [SSHD, "-D", "-e", "-f", str(self.configs[name])]
        self.running[name] = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
        log.close()
        _until_listening(host)

    def stop(self, name: str) -> None:
        """End the server and all its connections, as when a machine dies."""
        server = self.running.pop(name)
        for child in _descendants(server.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        server.kill()
        server.wait()

    def log(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text(errors="replace")


@contextlib.contextmanager
def site(home: Path) -> Iterator[Site]:
    """Bring both servers up, and take them and every connection down."""
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd, started by root, confines itself
    programs = home / "programs"
    programs.mkdir()
    key = _keypair(home / "id")
    (home / "authorized").write_text(key.with_suffix(".pub").read_text())
    gateway = ssh.Host(name=ssh.GATEWAY, address="127.0.0.1", port=ports.free("127.0.0.1"))
    controller = ssh.Host(name=ssh.CONTROLLER, address="127.0.0.2", port=ports.free("127.0.0.2"))
    access = ssh.Access(
        gateway=gateway,
        nodes=(controller,),
        user=getpass.getuser(),
        key=key,
        known_hosts=home / "known_hosts",
        home=home / "cluster",
    )
    configs = {host.name: _config(home, host, programs) for host in (gateway, controller)}
    made = Site(home=home, access=access, programs=programs, configs=configs)
    made.program("sudo", 'exec "$@"')
    try:
        for name in configs:
            made.start(name)
        yield made
    finally:
        try:
            ssh.close(access.home)
        finally:
            for name in list(made.running):
                made.stop(name)


def _config(home: Path, host: ssh.Host, programs: Path) -> Path:
    host_key = _keypair(home / f"{host.name}-key")
    public = " ".join(host_key.with_suffix(".pub").read_text().split()[:2])
    with (home / "known_hosts").open("a") as file:
        file.write(f"{host.address} {public}\n")
    path = home / f"{host.name}.conf"
    path.write_text(
        CONFIG.format(
            address=host.address,
            port=host.port,
            host_key=host_key,
            authorized=home / "authorized",
            programs=programs,
        )
    )
    return path


def _keypair(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


def _until_listening(host: ssh.Host) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection((host.address, host.port), 1):
            return
        time.sleep(0.02)
    raise TimeoutError(f"{host.name} does not listen")


def _descendants(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []  # It has just ended, as sshd's children do.
    return [n for child in children for n in (*_descendants(int(child)), int(child))]
