"""The way in: SSH to the gateway and through it to the nodes, with pinned host keys.

Everything that speaks SSH (rsync, tunnels, people) uses one generated configuration file, since
a jump host takes its options from a file only, never from the command line.
"""

import hashlib
import os
import re
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clusterous_api.errors import FailedError, TransientError, UserError
from clusterous_cli.system import private, shell

if TYPE_CHECKING:
    from tarfile import TarInfo

CONFIG: Final = "ssh_config"
GATEWAY: Final = "gateway"
CONTROLLER: Final = "controller"
# How long a connection that nobody uses stays open for the next command.
PERSIST: Final = "10m"
# What of a machine stands in its settings, where spaces and line ends mean something.
_PLAIN: Final = re.compile(r"[A-Za-z0-9._:-]+")
# A socket's path may have 104 bytes on macOS; ssh adds 17 while it opens one.
SOCKET_PATH_LIMIT: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A machine as ssh knows it; its host key is found under its *address*."""

    name: str
    address: str
    port: int = 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """All that ssh needs to reach a cluster."""

    gateway: Host
    nodes: tuple[Host, ...]
    user: str
    key: Path
    known_hosts: Path
    home: Path

    @property
    def config_path(self) -> Path:
        return self.home / CONFIG


class ConnectionRefused(FailedError):
    """SSH did not get through."""


# -- pure -----------------------------------------------------------------------------------


def config(access: Access, sockets: Path) -> str:
    """The text of the configuration file for *access*."""
    common = f"""\
Host *
  User {access.user}
  IdentityFile {quoted(access.key)}
  IdentitiesOnly yes
  IdentityAgent none
  BatchMode yes
  StrictHostKeyChecking yes
  UserKnownHostsFile {quoted(access.known_hosts)}
  GlobalKnownHostsFile /dev/null
  UpdateHostKeys no
  CheckHostIP no
  ForwardAgent no
  ConnectTimeout 15
  ServerAliveInterval 15
  ServerAliveCountMax 3
  LogLevel ERROR
"""
    reuse = f"""\
  ControlMaster auto
  ControlPath {quoted(sockets / "%n")}
  ControlPersist {PERSIST}
"""
    # ProxyJump would do the same, but breaks where the file's path has a space.
    config_file = shlex.quote(str(access.config_path)).replace("%", "%%")
    proxy = f"ssh -F {config_file} -W [%h]:%p {GATEWAY}"
    jumps = [f"{_host(node)}  ProxyCommand {proxy}\n{reuse}" for node in access.nodes]
    return "\n".join([_host(access.gateway), *jumps, common])


def _host(host: Host) -> str:
    for word in (host.name, host.address):
        if not _PLAIN.fullmatch(word):
            raise UserError(f"{word!r} is no machine's name or address: it is not handed to ssh.")
    return f"""\
Host {host.name}
  HostName {host.address}
  Port {host.port}
  HostKeyAlias {host.address}
"""


def quoted(path: Path) -> str:
    """A path for a configuration file: % and quotes have a meaning there."""
    text = str(path)
    if '"' in text or "\n" in text:
        raise UserError(f"The folder {text!r} has a quote in its name, which ssh cannot take.")
    return '"' + re.sub(r"%(?!n$)", "%%", text) + '"'


def argv(access: Access, host: str, *command: str, options: Sequence[str] = ()) -> list[str]:
    """The command line that runs *command* (one text, read by the remote shell) on *host*."""
    return ["ssh", "-F", str(access.config_path), *options, host, *command]


def remote_shell(access: Access) -> str:
    """What rsync should start in the place of ssh."""
    return f'ssh -F "{access.config_path}"'


def rsync(shell: str, far: str, sources: Sequence[str], destination: str, *more: str) -> list[str]:
    """Spell a transfer with *more* options: *shell* leads to the other end, *far* is rsync there.

    Names are not taken for options or for what a shell would make of them. Owners stay behind: the
    users of a laptop mean nothing on a volume or in a builder.
    """
    return [
        *("rsync", "--recursive", "--links", "--perms", "--times", "--protect-args"),
        *("--timeout=120", *more),  # seconds of silence
        *(f"--rsh={shell}", f"--rsync-path={far}", "--", *sources, destination),
    ]


def nobodys(entry: "TarInfo") -> "TarInfo":
    """The same of an archive, where the far end has no rsync: a filter of `TarFile.add`."""
    return entry.replace(uid=0, gid=0, uname="", gname="", deep=False)


def explain(said: str, host: str) -> str:
    """In a person's words, why ssh did not get through to *host*."""
    if "verification failed" in said or "IDENTIFICATION HAS CHANGED" in said:
        return (
            f"The {host} does not show the host key that it reported when it was made. It may be "
            "another machine: nothing was sent to it. If you replaced the machine, "
            "`clusterous status` reads its new key."
        )
    if "Permission denied" in said:
        return f"The {host} does not accept the cluster's SSH key. ({said})"
    if re.search(r"timed out|No route|unreachable|Connection refused", said):
        return (
            f"The {host} cannot be reached. It lets in only the address you had when you ran "
            "`clusterous create`; if yours has changed, run create again. "
            f"({said})"
        )
    return f"SSH to the {host} failed: {said or 'the connection was closed without a reason'}"


# -- acting ---------------------------------------------------------------------------------


def prepare(access: Access) -> Access:
    """Write the configuration file, if it is not there or says something else."""
    if not access.gateway.address:
        raise TransientError("The cluster has no gateway (yet); `clusterous status` shows it.")
    private.write(access.config_path, config(access, socket_folder(access.home)))
    return access


def socket_folder(home: Path) -> Path:
    """A folder of our own with a short path for the control sockets of one cluster."""
    digest = hashlib.sha256(str(home).encode()).hexdigest()[:10]
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    for base in (runtime / f"clusterous-{os.getuid()}", Path(f"/tmp/clusterous-{os.getuid()}")):
        folder = base / digest
        if len(os.fsencode(folder)) + 20 <= SOCKET_PATH_LIMIT and base.parent.is_dir():
            return _own(base, folder)
    raise UserError("There is no folder for SSH's sockets; set XDG_RUNTIME_DIR to a short one.")


def _own(base: Path, folder: Path) -> Path:
    """Make *folder*; in a shared /tmp somebody else may have been there first."""
    for path in (base, folder):
        path.mkdir(mode=0o700, exist_ok=True)
        info = path.lstat()
        if info.st_uid != os.getuid() or info.st_mode & 0o077 or path.is_symlink():
            raise UserError(f"{path} is not yours alone; remove it and try again.")
    return folder


def run(access: Access, host: str, command: str, *, timeout: float = 60) -> str:
    """Run *command* on *host* and return what it wrote."""
    status, out, err = shell.outcome(argv(access, host, command), timeout=timeout)
    if status == 255:
        raise ConnectionRefused(diagnosis(access, host, err.strip()))
    if status != 0:
        raise shell.CommandFailed(f"`{command}` on {host}", status, (err or out).strip())
    return out


def diagnosis(access: Access, host: str, said: str) -> str:
    """Why the connection failed.

    What the jump through the gateway says is lost when the connection is to stay open, so the
    gateway is asked again by itself.
    """
    if host != GATEWAY:
        status, _, err = shell.outcome(argv(access, GATEWAY, "true"), timeout=30)
        if status != 0:
            return explain(err.strip(), GATEWAY)
        single = ("-o", "ControlMaster=no", "-o", "ControlPath=none")
        status, _, err = shell.outcome(argv(access, host, "true", options=single), timeout=30)
        said = err.strip() if status != 0 else said
    return explain(said, host)


def close(home: Path) -> None:
    """End every connection and tunnel of the cluster that waits in the background."""
    folder = socket_folder(home)
    for control in folder.iterdir():
        options = ("-F", "/dev/null", "-o", f"ControlPath={quoted(control)}", "-O", "exit")
        shell.outcome(["ssh", *options, CONTROLLER], timeout=10)
        control.unlink(missing_ok=True)
    folder.rmdir()
