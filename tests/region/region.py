"""A region as its users see it, from any process: up and down, the laptop in it, its machines.

The parts themselves live in the daemon, see `daemon`; what has to be built first is in `parts`.
"""

import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any, Final, NoReturn, Self

from tests.region import audit, control, laptop, sweep
from tests.region.machines import kernel
from tests.region.net import addresses, netns
from tests.region.places import CHECKOUT, DEFAULT_NAME, LONGEST_NAME, Places

__all__ = ["DEFAULT_NAME", "Region", "RegionError"]

Tell = Callable[[str], None]
Argv = Sequence[str | os.PathLike[str]]

_START_SECONDS: Final = 600.0
_OTHERS_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 90.0


class RegionError(Exception):
    """The region cannot do that now; the message says why, and what to do."""


def silent(_: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Region:
    """The region called *name*, up or not."""

    name: str = DEFAULT_NAME

    def __post_init__(self) -> None:
        if not (self.name.isascii() and self.name.isalnum() and len(self.name) <= LONGEST_NAME):
            raise RegionError(
                f"{self.name!r} is no name for a region;"
                f" use at most {LONGEST_NAME} letters or digits"
            )

    @property
    def places(self) -> Places:
        return Places(name=self.name)

    # --- up and down -------------------------------------------------------------------------

    def is_up(self) -> bool:
        try:
            control.ask(self.places.control, "ping", timeout=5)
        except (control.NobodyError, TimeoutError):
            return False
        return True

    @contextmanager
    def held(self, *, tell: Tell = silent, bare: bool = False) -> Iterator[Self]:
        """Bring the region up for this process alone: it goes when that ends, however it ends."""
        deadline = time.monotonic() + _OTHERS_SECONDS  # one whose process was killed is on its way
        while self.is_up():
            if time.monotonic() > deadline:
                raise RegionError(
                    f"The region {self.name} is up for somebody else, perhaps another run of tests;"
                    f" end that, or: python -m tests.region down --name {self.name}"
                )
            time.sleep(0.5)
        try:
            self.up(tell=tell, bare=bare, owner=os.getpid())
            yield self
        finally:
            self.down(tell=tell)

    def up(self, *, tell: Tell = silent, bare: bool = False, owner: int | None = None) -> bool:
        """Bring the region up, and answer whether it was down before.

        It goes with the process *owner*, if there is one.
        """
        if self.is_up():
            return False
        _require_root()
        self._clear(tell)
        if not bare and not kernel.prepare():
            raise RegionError("The kernel has no module br_netfilter, which Kubernetes needs.")
        _ensure_parts(tell, bare=bare)
        tell("starting the daemon")
        self._start(bare=bare, owner=owner)
        return True

    def down(self, *, tell: Tell = silent) -> None:
        """End the region in an orderly way if it answers, and remove all that is left of it."""
        _require_root()
        with suppress(control.NobodyError, TimeoutError):
            pid = control.ask(self.places.control, "ping", timeout=5)
            tell("stopping the machines and the daemon")
            control.ask(self.places.control, "down")
            _wait_for_end(pid)
        self._clear(tell)

    def _clear(self, tell: Tell) -> None:
        left = audit.host(self.places)
        if left:
            tell(f"removing {len(left)} things of the region {self.name}")
            sweep.sweep(self.places)
        if left := audit.host(self.places):
            raise RegionError(f"Still there: {', '.join(left)}; look what holds it and try again.")

    def _start(self, *, bare: bool, owner: int | None) -> None:
        self.places.log.parent.mkdir(parents=True, exist_ok=True)
        self.places.temporary.mkdir(exist_ok=True)
        argv = [sys.executable, "-m", "tests.region", "serve", "--name", self.name]
        argv += [] if owner is None else ["--owner", str(owner)]
        with self.places.log.open("ab") as log:
            daemon = subprocess.Popen(
                [*argv, *(["--bare"] if bare else [])],
                cwd=CHECKOUT,
                env={**os.environ, "TMPDIR": str(self.places.temporary)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.places.pid.write_text(f"{daemon.pid}\n")
        self._wait_for_start(daemon)

    def _wait_for_start(self, daemon: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if daemon.poll() is not None:
                words = self.places.log.read_text()[-3000:]
                raise RegionError(f"The daemon ended at once; its last words:\n{words}")
            if self.is_up():
                # It lives on without us: nobody is to wait for it, or to warn that nobody does.
                daemon.returncode = 0
                return
            time.sleep(0.05)
        raise RegionError(f"The daemon does not answer; see {self.places.log}.")

    # --- people ------------------------------------------------------------------------------

    def laptop_popen(
        self, argv: Argv, *, env: Mapping[str, str] | None = None, **options: Any
    ) -> "subprocess.Popen[Any]":
        """Start a program on the laptop, with the person's environment and *env* on top."""
        process: subprocess.Popen[Any] = netns.popen(
            self._namespace("laptop"), argv, env=self.laptop_env(env), **options
        )
        return process

    def laptop_run(
        self, argv: Argv, *, env: Mapping[str, str] | None = None, **options: Any
    ) -> "subprocess.CompletedProcess[Any]":
        """Run a program on the laptop to its end; *options* are those of `subprocess.run`."""
        done: subprocess.CompletedProcess[Any] = netns.run(
            self._namespace("laptop"), argv, env=self.laptop_env(env), **options
        )
        return done

    def laptop_become(self, argv: Argv) -> NoReturn:
        """Turn this process into a program on the laptop: terminal and signals are its own."""
        words = netns.entering(self._namespace("laptop"), argv)
        os.execvpe(words[0], words, self.laptop_env())

    def stranger_run(self, argv: Argv, **options: Any) -> "subprocess.CompletedProcess[Any]":
        """Run a program as somebody else on the internet, who has no keys."""
        env = laptop.stranger_environment(self.places)
        done: subprocess.CompletedProcess[Any] = netns.run(
            self._namespace("stranger"), argv, env=env, **options
        )
        return done

    def laptop_env(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        return {**laptop.environment(self.places, self.facts()), **(more or {})}

    def _namespace(self, role: str) -> str:
        name = addresses.namespace(self.name, role)
        if not netns.exists(name):
            raise self._not_up()
        return name

    def _not_up(self) -> RegionError:
        return RegionError(
            f"The region {self.name} is not up;"
            f" start it with: python -m tests.region up --name {self.name}"
        )

    # --- looking -----------------------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        try:
            facts: dict[str, Any] = json.loads(self.places.facts.read_text())
        except FileNotFoundError:
            raise self._not_up() from None
        return facts

    def aws_log(self) -> list[dict[str, Any]]:
        """Answer every call to the AWS API so far."""
        calls: list[dict[str, Any]] = self.aws("GET", "log")
        return calls

    def aws(self, method: str, path: str, value: Any = None) -> Any:
        """Use the simulator's own controls: faults, config, log, snapshot; see `aws.control`."""
        laptop_there = self._namespace("laptop")
        trust = ssl.create_default_context(cafile=self.places.tls / "ca.pem")
        wire = netns.connect(laptop_there, addresses.AWS_API, 443, timeout=30)
        with trust.wrap_socket(wire, server_hostname="ec2.eu-west-1.amazonaws.com") as secure:
            connection = HTTPConnection("ec2.eu-west-1.amazonaws.com")
            connection.sock = secure
            body = None if value is None else json.dumps(value)
            connection.request(method, f"/_region/{path}", body)
            answer = connection.getresponse()
            said = json.loads(answer.read() or b"null")
        if answer.status >= 300:
            raise RegionError(f"{method} {path} was refused: {said}")
        return said

    def leftovers(self) -> list[str]:
        """List what is in the account that a fresh one does not have, and who still runs for it."""
        return [*self.aws("GET", "leftovers"), *self._unaccounted()]

    def _unaccounted(self, patience: float = 5.0) -> list[str]:
        """List machines and networks without an instance; the daemon follows AWS at a distance."""
        if self.instances():
            return []
        deadline = time.monotonic() + patience
        while (left := audit.inhabitants(self.places)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return left

    def withdraw_release(self) -> None:
        """Let there be no release of ours on the region's GitHub."""
        self._ask("withdraw")

    # --- machines ----------------------------------------------------------------------------

    def instances(self) -> list[dict[str, Any]]:
        """List the instances that AWS would bill or show as going, each with its `pid`."""
        found = self.aws("GET", "snapshot")["instances"]
        live = [each for each in found if each["state"] != "terminated"]
        return [{**each, "pid": self._ask("pid", instance_id=each["id"])} for each in live]

    def terminate(self, instance_id: str) -> None:
        """Terminate an instance as the person at the laptop would."""
        argv = ("aws", "ec2", "terminate-instances", "--instance-ids", instance_id)
        self.laptop_run(argv, check=True, capture_output=True)

    def lose(self, instance_id: str) -> None:
        """Let the host of a machine fail: what was not flushed to its volumes is lost with it."""
        self._ask("lose", instance_id=instance_id)

    def exec(
        self, instance_id: str, argv: Argv, **options: Any
    ) -> "subprocess.CompletedProcess[Any]":
        """Run a program inside a machine, as its root, past network and SSH."""
        return subprocess.run(self._inside(instance_id, argv), **options)

    def exec_popen(self, instance_id: str, argv: Argv, **options: Any) -> "subprocess.Popen[Any]":
        """Start a program inside a machine, as `exec` runs one."""
        return subprocess.Popen(self._inside(instance_id, argv), **options)

    def _inside(self, instance_id: str, argv: Argv) -> list[str]:
        pid = self._ask("pid", instance_id=instance_id)
        if pid is None:
            raise RegionError(f"No machine runs for {instance_id}.")
        words = [os.fspath(word) for word in argv]
        return ["nsenter", "--target", str(pid), "--all", "--", *words]

    def console(self, instance_id: str) -> str:
        return str(self._ask("console", instance_id=instance_id))

    def _ask(self, verb: str, **arguments: Any) -> Any:
        try:
            return control.ask(self.places.control, verb, **arguments)
        except control.NobodyError:
            raise self._not_up() from None


def _require_root() -> None:
    if os.geteuid() != 0:
        raise RegionError("A region is made of namespaces and machines: run this as root.")


def _ensure_parts(tell: Tell, *, bare: bool) -> None:
    """Build what is missing; imported late, for whoever only asks needs none of it."""
    from tests.region.parts import cache, host, parts

    try:
        host.ensure(tell)
        if not bare:
            parts.ensure(tell=tell)
    except (cache.BuildError, host.MissingToolsError) as error:
        raise RegionError(f"The parts of the region cannot be had: {error}") from error


def _wait_for_end(pid: int) -> None:
    """Wait for the daemon; one that takes too long is ended by the sweep."""
    deadline = time.monotonic() + _STOP_SECONDS
    while _is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    """A zombie is no longer alive: it waits for whoever started it."""
    with suppress(OSError), open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"
    return False
