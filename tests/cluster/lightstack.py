"""The light stack of central logging on this machine: VictoriaLogs, and both collectors.

They run as the chart has them; only where files lie and who listens where is of this machine.
Without an API server the collectors do not ask whose a record is.
"""

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml

from clusterous_cli.program.central import search
from clusterous_cli.program.central.page import Door
from clusterous_cli.program.central.search import Record
from tests import ports
from tests.contract.test_logging_chart import SPACE, one, render
from tests.region.parts import logs

T = TypeVar("T")

DOOR: Final = Door(address="", port=0, user="clusterous", password="secret")
COMPONENTS: Final = ("collector", "syslog")
NODE: Final = "node-0"
SECONDS: Final = 90.0
_ASKING: Final = ("k8s_attributes", "filter/apps")
_DIES_WITH_US: Final = ("/usr/bin/setpriv", "--pdeathsig", "KILL")


@dataclass(kw_only=True)
class Stack:
    """A store and its collectors; *logins* are those by which they ask an API server."""

    home: Path
    programs: Path
    logins: Mapping[str, Path] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def port(self, name: str) -> int:
        """Return the port of the store, of syslog, or of a collector's health; always the same."""
        if name not in self.ports:
            self.ports[name] = ports.free()
        return self.ports[name]

    # -- programs -------------------------------------------------------------------------------

    def start(self) -> None:
        """Start all, and wait until all say that they are there."""
        (self.home / "pods").mkdir()
        (self.home / "password").write_text(DOOR.password)
        self.start_store()
        for component in COMPONENTS:
            self.start_collector(component)

    def start_store(self) -> None:
        """Start the store with the chart's own arguments."""
        spec = one(render(), "StatefulSet", "clusterous-logs-store")["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        argv = [
            arg.replace("/data/", f"{self.home}/data/")
            .replace(":9428", f"127.0.0.1:{self.port('store')}")
            .replace("file:///auth/", f"file://{self.home}/")
            for arg in container["args"]
        ]
        self._launch("store", [str(self.programs / logs.STORE_PROGRAM), *argv], {})
        self.await_answer(f"http://127.0.0.1:{self.port('store')}/health")

    def start_collector(self, component: str) -> None:
        """Start a collector with the chart's own configuration."""
        file = self.home / f"{component}.yaml"
        file.write_text(yaml.safe_dump(self.configuration(component), sort_keys=False))
        login = base64.b64encode(f"{DOOR.user}:{DOOR.password}".encode()).decode()
        environment = {"NODE_NAME": NODE, "STORE_AUTHORIZATION": f"Basic {login}"}
        if component in self.logins:
            environment["KUBECONFIG"] = str(self.logins[component])
        argv = [str(self.programs / logs.COLLECTOR_PROGRAM), f"--config={file}"]
        self._launch(component, argv, environment)
        self.await_answer(f"http://127.0.0.1:{self.port(component)}/")

    def configuration(self, component: str) -> dict[str, Any]:
        """Return the chart's configuration of a collector, with the places of this machine."""
        text = str(
            one(render(), "ConfigMap", f"clusterous-logs-{component}")["data"]["collector.yaml"]
        )
        for theirs, ours in {
            "/var/log/pods/": f"{self.home}/pods/",
            "/state/": f"{self.home}/state-{component}/",
            f"http://clusterous-logs.{SPACE}.svc:9428": f"http://127.0.0.1:{self.port('store')}",
            "0.0.0.0:13133": f"127.0.0.1:{self.port(component)}",
            "0.0.0.0:5514": f"127.0.0.1:{self.port('5514')}",
            "auth_type: serviceAccount": "auth_type: kubeConfig",
        }.items():
            text = text.replace(theirs, ours)
        read: dict[str, Any] = yaml.safe_load(text)
        if component not in self.logins:
            for line in read["service"]["pipelines"].values():
                line["processors"] = [one for one in line["processors"] if one not in _ASKING]
            for name in _ASKING:
                read["processors"].pop(name, None)
        return read

    def _launch(self, name: str, argv: list[str], environment: Mapping[str, str]) -> None:
        with (self.home / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [*_DIES_WITH_US, *argv],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def end(self, name: str, number: int = signal.SIGTERM) -> None:
        """End a program, and wait for that."""
        process = self.running.pop(name)
        process.send_signal(number)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        """End all of them."""
        for name in list(self.running):
            self.end(name)

    # -- lines ----------------------------------------------------------------------------------

    def write(self, pod: str, *lines: tuple[str, str, str], uid: str = "") -> None:
        """Let a pod's container say lines: the stream, whether it is a part, and the text."""
        folder = self.home / "pods" / f"default_{pod}_{uid or pod.encode().hex()}" / "main"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "0.log").open("a") as file:
            for stream, part, text in lines:
                second, rest = divmod(time.time_ns(), 10**9)
                stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
                file.write(f"{stamp}.{rest:09d}Z {stream} {part} {text}\n")

    def send(self, line: str, kind: int, source: str = "127.0.0.1") -> None:
        """Send a line by syslog, from an address of this machine's loopback."""
        with socket.socket(socket.AF_INET, kind) as wire:
            wire.bind((source, 0))
            wire.connect(("127.0.0.1", self.port("5514")))
            wire.sendall(line.encode() + (b"\n" if kind == socket.SOCK_STREAM else b""))

    # -- records --------------------------------------------------------------------------------

    def asked(self, question: str) -> Iterator[str]:
        """Return the lines of the store's answer."""
        return search.texts(self.port("store"), DOOR, question)

    def found(self, question: str) -> list[Record]:
        """Return the records that the store has, in the order of their times."""
        return list(search.parsed(self.asked(f"{question} | sort by (_time)")))

    def await_records(self, question: str, count: int) -> list[Record]:
        """Return so many records or more, as soon as they are there."""
        return self.awaited(lambda: self.found(question), lambda all: len(all) >= count, question)

    def awaited(self, ask: Callable[[], T], enough: Callable[[T], bool], what: str) -> T:
        """Ask until it is enough; if it never is, tell what the programs said last."""
        end = time.monotonic() + SECONDS
        while not enough(found := ask()):
            assert time.monotonic() < end, f"{what}: {found}\n{self.words()}"
            time.sleep(0.2)
        return found

    def await_answer(self, url: str) -> None:
        """Wait until somebody answers there."""
        self.awaited(lambda: answers(url), bool, url)

    def words(self) -> str:
        """Return what the programs said last."""
        return "\n".join(path.read_text()[-3000:] for path in sorted(self.home.glob("*.log")))


def answers(url: str) -> bool:
    """Tell whether somebody answers there, and well."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextlib.contextmanager
def started(stack: Stack) -> Iterator[Stack]:
    """Run a stack while the block lasts."""
    try:
        stack.start()
        yield stack
    finally:
        stack.close()


def said(stream: str, *texts: str) -> list[tuple[str, str, str]]:
    """Return whole lines of a stream."""
    return [(stream, "F", text) for text in texts]


def as_json(**fields: Any) -> str:
    """Return a line of JSON."""
    return json.dumps(fields)
