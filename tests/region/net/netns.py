"""Network namespaces of this machine: make one, act inside one, end one.

Everything else in the region that touches the network goes through here. A socket belongs to the
namespace in which it was made, not to the thread that uses it; so a short-lived thread enters
the namespace, makes the socket and hands it out, and the rest of the process never moves.
"""

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

NAMED: Final = Path("/run/netns")
RESOLVERS: Final = Path("/etc/netns")
CLONE_NEWNET: Final = 0x40000000

T = TypeVar("T")

_libc: Final = ctypes.CDLL(None, use_errno=True)


def path(namespace: str) -> Path:
    return NAMED / namespace


def exists(namespace: str) -> bool:
    return path(namespace).exists()


def names(prefix: str) -> list[str]:
    """List the namespaces whose name starts with *prefix*."""
    if not NAMED.is_dir():
        return []
    return sorted(entry.name for entry in NAMED.iterdir() if entry.name.startswith(prefix))


def add(namespace: str) -> None:
    """Make *namespace*, with its loopback up.

    Only from the root mount namespace: made inside `ip netns exec` it would be visible to nobody.
    """
    command(["ip", "netns", "add", namespace])
    command(["ip", "-n", namespace, "link", "set", "lo", "up"])


def delete(namespace: str) -> None:
    """Take the name away, if it is there; the kernel ends the namespace with its last process."""
    if exists(namespace):
        try:
            command(["ip", "netns", "delete", namespace])
        except OSError:
            if exists(namespace):
                raise
    forget_resolver(namespace)


def set_resolver(namespace: str, address: str) -> None:
    """Let programs that `popen` starts in *namespace* ask *address* for names."""
    folder = RESOLVERS / namespace
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "resolv.conf").write_text(f"nameserver {address}\noptions timeout:2 attempts:2\n")


def forget_resolver(namespace: str) -> None:
    folder = RESOLVERS / namespace
    (folder / "resolv.conf").unlink(missing_ok=True)
    for empty in (folder, RESOLVERS):
        with suppress(OSError):  # it is not empty, or gone: others make and remove theirs
            empty.rmdir()


def inside(namespace: str, call: Callable[[], T]) -> T:
    """Answer what *call* answers in a thread that has entered *namespace*."""
    answer: list[T] = []
    failure: list[BaseException] = []

    def enter_and_call() -> None:
        try:
            _enter(namespace)
            answer.append(call())
        except BaseException as error:  # raised again below, in the caller's own thread
            failure.append(error)

    thread = threading.Thread(target=enter_and_call, name=f"inside {namespace}")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return answer[0]


def _enter(namespace: str) -> None:
    descriptor = os.open(path(namespace), os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(descriptor, CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), namespace)
    finally:
        os.close(descriptor)


def listen(namespace: str, address: str, port: int) -> socket.socket:
    """Answer a TCP socket that listens at *address*, *port* of *namespace*."""

    def make() -> socket.socket:
        return socket.create_server((address, port), backlog=256)

    return inside(namespace, make)


def connect(namespace: str, address: str, port: int, *, timeout: float) -> socket.socket:
    """Answer a TCP connection from *namespace*."""
    return inside(namespace, lambda: socket.create_connection((address, port), timeout=timeout))


def popen(namespace: str, argv: Sequence[str | os.PathLike[str]], **options: Any) -> Any:
    """Start a program in *namespace*, with the resolver that `set_resolver` gave it."""
    return subprocess.Popen(entering(namespace, argv), **options)


def run(namespace: str, argv: Sequence[str | os.PathLike[str]], **options: Any) -> Any:
    """Run a program in *namespace* to its end; *options* are those of `subprocess.run`."""
    return subprocess.run(entering(namespace, argv), **options)


def entering(namespace: str, argv: Sequence[str | os.PathLike[str]]) -> list[str]:
    return ["ip", "netns", "exec", namespace, *(os.fspath(word) for word in argv)]


def configure(namespace: str, settings: dict[str, str]) -> None:
    """Write kernel *settings* below /proc/sys/net as *namespace* sees them."""

    def write() -> None:
        for name, value in settings.items():
            Path("/proc/sys/net", name).write_text(value)

    inside(namespace, write)


def batch(namespace: str, lines: Sequence[str]) -> None:
    """Run *lines* of `ip` in *namespace* with one start of the program."""
    if lines:
        command(["ip", "-n", namespace, "-batch", "-"], text="\n".join(lines) + "\n")


def apply_rules(namespace: str, text: str) -> None:
    """Give nftables *text* to *namespace*, as one transaction."""
    inside(namespace, lambda: command(["nft", "-f", "-"], text=text))


def pids(namespace: str) -> list[int]:
    """List the processes that live in *namespace*."""
    if not exists(namespace):
        return []
    wanted = path(namespace).stat()
    return [pid for pid in _all_pids() if _network_of(pid) == (wanted.st_dev, wanted.st_ino)]


def _all_pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _network_of(pid: int) -> tuple[int, int] | None:
    """Answer the identity of the process's network namespace; None when the process is gone."""
    try:
        status = os.stat(f"/proc/{pid}/ns/net")
    except OSError:
        return None
    return status.st_dev, status.st_ino


def command(argv: Sequence[str], *, text: str | None = None) -> str:
    """Run *argv* and answer its output; a failure tells what the program said."""
    done = subprocess.run(argv, input=text, capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"{' '.join(argv)}: {done.stderr.strip() or done.returncode}\n{text or ''}")
    return done.stdout
