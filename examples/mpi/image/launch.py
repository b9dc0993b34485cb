"""Starts MPI programs over several pods without SSH: the workers come and ask what to run.

On the master, `launch.py run --workers 2 -- python heat.py` waits until two workers are there, then
calls mpirun, which starts its daemon on each of them by `launch.py start HOST COMMAND...`: that is
where others have ssh. On every worker, `launch.py serve` calls at the master and becomes what it
is told. Nobody listens on a worker, and a worker does only what the master says.
"""

import argparse
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

PORT = int(os.environ.get("LAUNCH_PORT", "9000"))
# Where `start`, which mpirun calls on the master, asks for a worker.
DESK = os.environ.get("LAUNCH_DESK", "/tmp/launch.socket")
MASTER = os.environ.get("CLUSTEROUS_MASTER_HOST", "master")


# -- on a worker --------------------------------------------------------------------------


def serve(master: str, slots: int) -> None:
    """Offer *slots* at the master, run what it sends, and offer again."""
    while True:
        try:
            with socket.create_connection((master, PORT)) as connection:
                _work(connection, slots)
        except OSError as error:
            print(f"the master is away ({error})", flush=True)
            time.sleep(1)


def _work(connection: socket.socket, slots: int) -> None:
    # A command may be long in coming, and a master that is lost says nothing.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.sendall(f"{slots}\n".encode())
    if command := connection.makefile().readline():
        print("the master has something to run", flush=True)
        # What it says goes back to the master, as it would over ssh.
        subprocess.run(
            ["sh", "-c", command], stdin=connection, stdout=connection, stderr=connection
        )


# -- on the master ------------------------------------------------------------------------


class Desk:
    """Where workers wait for work, by their addresses."""

    def __init__(self) -> None:
        self.lock = threading.Condition()
        self.slots: dict[str, int] = {}
        self.waiting: dict[str, socket.socket] = {}

    def welcome(self, server: socket.socket) -> None:
        while True:
            connection, (host, _) = server.accept()
            try:
                connection.settimeout(5)
                slots = int(connection.makefile().readline())
                connection.settimeout(None)
            except (OSError, ValueError):  # no worker of ours
                connection.close()
                continue
            with self.lock:
                self.slots[host], self.waiting[host] = slots, connection
                self.lock.notify_all()

    def give(self, server: socket.socket) -> None:
        """Give each caller the connection of the worker that it asks for."""
        while True:
            caller, _ = server.accept()
            with caller, self.worker(caller.recv(100).decode()) as worker:
                socket.send_fds(caller, [b"!"], [worker.fileno()])

    def worker(self, host: str) -> socket.socket:
        """Take the worker at *host*, which may have to come back first."""
        with self.lock:
            self.lock.wait_for(lambda: host in self.waiting)
            return self.waiting.pop(host)

    def wait(self, count: int) -> str:
        """Wait for *count* workers, and return them as mpirun wants to know them."""
        with self.lock:
            while not self.lock.wait_for(lambda: len(self.waiting) >= count, timeout=10):
                print(f"{len(self.waiting)} of {count} workers are there", flush=True)
            return ",".join(f"{host}:{self.slots[host]}" for host in sorted(self.waiting))


def run(workers: int, program: Sequence[str]) -> int:
    """Run *program* as many times as the workers have slots, and return how mpirun ended."""
    desk = Desk()
    Path(DESK).unlink(missing_ok=True)
    inner = socket.socket(socket.AF_UNIX)
    inner.bind(DESK)
    inner.listen()
    outer = socket.create_server(("", PORT))
    threading.Thread(target=desk.welcome, args=(outer,), daemon=True).start()
    threading.Thread(target=desk.give, args=(inner,), daemon=True).start()
    hosts = desk.wait(workers)
    print(f"on {hosts}", flush=True)
    return subprocess.run(mpirun(hosts, program)).returncode


def mpirun(hosts: str, program: Sequence[str]) -> list[str]:
    agent = f"{sys.executable} {Path(__file__).resolve()} start"
    return [
        *("mpirun", "--allow-run-as-root", "--host", hosts),
        *("--prtemca", "plm_ssh_agent", agent, "--prtemca", "plm_ssh_no_tree_spawn", "1"),
        # Kubernetes says which processors a pod has; and between pods there is plain TCP.
        *("--bind-to", "none"),
        *("--mca", "pml", "ob1", "--mca", "btl", "tcp,self"),
        *program,
    ]


def start(host: str, command: Sequence[str]) -> None:
    """Be what ssh is to others: let *host* run *command*, and show what that says."""
    with socket.socket(socket.AF_UNIX) as desk:
        desk.connect(DESK)
        desk.sendall(host.encode())
        _, (worker, *_), _, _ = socket.recv_fds(desk, 1, 1)
    with socket.socket(fileno=worker) as connection:
        connection.sendall(f"{' '.join(command)}\n".encode())
        while said := connection.recv(1 << 16):
            sys.stdout.buffer.write(said)
            sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    serving = verbs.add_parser("serve", help="on a worker")
    serving.add_argument("--master", default=MASTER)
    serving.add_argument("--slots", type=int, default=1, help="processes that may run here")
    running = verbs.add_parser("run", help="on the master")
    running.add_argument("--workers", type=int, default=int(os.environ.get("MPI_WORKERS", "2")))
    running.add_argument("program", nargs="+")
    starting = verbs.add_parser("start", help="called by mpirun")
    starting.add_argument("host")
    starting.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if options.verb == "serve":
        serve(options.master, options.slots)
    elif options.verb == "run":
        sys.exit(run(options.workers, options.program))
    else:
        start(options.host, options.command)


if __name__ == "__main__":
    main()
