"""`clusterous logging` as a person calls it: what it says, asks, refuses and changes."""

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from clusterous_api import names
from clusterous_api.errors import TransientError
from clusterous_cli import main
from clusterous_cli.addons import table
from clusterous_cli.cluster import record
from clusterous_cli.cluster.config import ClusterConfig
from clusterous_cli.cluster.file.centrallogging import CentralLogging, Store
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import ADDONS
from clusterous_cli.program.central import export
from clusterous_cli.program.central.page import Door
from clusterous_cli.reach.kube import Api
from clusterous_cli.terminal.screen import Ui
from tests.functional import cloud

FILE = "name: reef\nworkers: 1\nvolume: none\nmaster: none\n"
WHO = Identity(name="reef", account="123456789012", region="eu-west-1")
WORKLOADS = "/apis/apps/v1/namespaces/clusterous-logging"
SPACE = "/api/v1/namespaces/clusterous-logging"


@dataclass
class Kubernetes:
    """The API server: one node, and what the chart's workloads say once they are there."""

    is_there: bool = False
    disk_of: str = ""
    silent: bool = False
    removed: list[str] = field(default_factory=list)

    def __call__(self, method: str, path: str, body: str | None, kind: str) -> tuple[int, str]:
        if method == "DELETE":
            self.removed.append(path)
            return 200, "{}"
        return 200, json.dumps({"items": self.items(path)})

    def items(self, path: str) -> list[dict[str, Any]]:
        if path == "/api/v1/nodes":
            room = {"allocatable": {"cpu": "2", "memory": "3Gi"}}
            ready = {**room, "conditions": [{"type": "Ready", "status": "True"}]}
            lost = {"conditions": [{"type": "Ready", "status": "Unknown"}]}
            there = [{"metadata": {"name": "worker-1"}, "status": ready}]
            return [*there, *[{"metadata": {"name": "worker-2"}, "status": lost}] * self.silent]
        if path == "/api/v1/persistentvolumes" and self.disk_of:
            on = {"key": "kubernetes.io/hostname", "values": [self.disk_of]}
            terms = {"nodeSelectorTerms": [{"matchExpressions": [on]}]}
            claim = {"namespace": "clusterous-logging", "name": "data"}
            return [{"spec": {"claimRef": claim, "nodeAffinity": {"required": terms}}}]
        if not self.is_there or not path.startswith(WORKLOADS):
            return []
        counts = {
            "statefulsets": ("store", {"readyReplicas": 1}),
            "deployments": ("syslog", {"readyReplicas": 1}),
            "daemonsets": (
                "collector",
                {"desiredNumberScheduled": 2 + self.silent, "numberReady": 2},
            ),
        }
        name, status = counts[path.rpartition("/")[2]]
        labels = {"app.kubernetes.io/component": name}
        return [{"metadata": {"labels": labels}, "spec": {"replicas": 1}, "status": status}]


@pytest.fixture
def kubernetes(monkeypatch: pytest.MonkeyPatch) -> Kubernetes:
    made = Kubernetes()
    monkeypatch.setattr("clusterous_cli.reach.session.api", lambda _: Api(made))
    return made


@pytest.fixture
def world(
    account: cloud.World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[cloud.World]:
    with cloud.typed_in(tmp_path, account, monkeypatch, FILE) as world:
        cloud.begun(world, FILE)
        yield world


def addons(world: cloud.World) -> set[str]:
    return set(table.digests((record.read_object(world.cloud, WHO, ADDONS) or b"").decode()))


def wanted(world: cloud.World) -> CentralLogging | None:
    kept = record.read(world.cloud, WHO)
    assert kept is not None
    return ClusterConfig.from_record(kept["config"]).logging


@dataclass
class Way:
    """A tunnel that leads nowhere."""

    opened: int = 0

    def ensure(self) -> None:
        self.opened += 1

    def close(self) -> None: ...


def playing_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(address="10.43.7.7", port=9428, user="clusterous", password="p")
    said = f"vl_data_size_bytes {1 << 30}\nvl_free_disk_space_bytes {2 << 30}\n"
    full = "vl_storage_is_read_only 1\n"
    monkeypatch.setattr("clusterous_cli.program.central.page.let_in", lambda *_: door)
    monkeypatch.setattr("clusterous_cli.program.central.search.metrics", lambda *_: said + full)
    monkeypatch.setattr("clusterous_cli.program.exposure.app_tunnel", lambda *_: Way())


def is_of(question: str, time: str) -> bool:
    """Whether a question is about records of that time."""
    found = re.search(r"_time:\[(\S+), (\S+)\)", question)
    return found is not None and found[1] <= time < found[2]


def is_exported(
    world: cloud.World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the store has goes into the cluster's bucket, or into a folder here."""
    at = datetime.now(UTC).replace(microsecond=0)
    line = json.dumps({"_time": at.isoformat().replace("+00:00", "Z"), "_msg": "x", "app": "sim"})

    def lines(port: int, door: Door, question: str, path: str) -> Iterator[bytes]:
        if 'app:="sim"' in question and is_of(question, json.loads(line)["_time"]):
            yield line.encode() + b"\n"

    monkeypatch.setattr("clusterous_cli.program.central.search.lines", lines)

    assert main.run(["logging", "export", "sim", "--days", "2"]) == 0
    key = f"logs/sim/{at.date().isoformat()}.jsonl"
    assert capsys.readouterr().out.strip().endswith(key)
    assert record.read_object(world.cloud, WHO, key) == line.encode() + b"\n"

    assert main.run(["logging", "export", "sim", "--days", "2", "--to", "here"]) == 0
    assert Path("here", key).read_text() == f"{line}\n"
    assert main.run(["logging", "export"]) == 2
    capsys.readouterr()


def is_followed(
    world: cloud.World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the store gets is shown as it comes, over a break, until Ctrl-C."""
    answers: list[list[str] | BaseException] = [
        [told("one"), told("one")],
        TransientError("The store does not answer."),
        [json.dumps({"_time": "2026-11-30T10:00:00Z", "records": "3"})],
        [told("one"), told("one"), told("one")],
        KeyboardInterrupt(),
    ]
    way = Way()

    def texts(port: int, door: Door, question: str) -> Iterator[str]:
        answer = answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return iter(answer)

    monkeypatch.setattr("clusterous_cli.program.exposure.app_tunnel", lambda *_: way)
    monkeypatch.setattr("clusterous_cli.reach.tunnel.Tunnel.ensure", lambda _: None)
    monkeypatch.setattr("clusterous_cli.program.central.search.texts", texts)
    monkeypatch.setattr("clusterous_cli.system.wait.Pauses.sleep", lambda *_: None)

    assert main.run(["logs", "sim", "--stored", "-f", "--since", "2h"]) == 130
    said = capsys.readouterr()
    assert said.out == "workers-x | one\n" * 3
    assert "store of central logging does not answer; trying again" in said.err
    assert way.opened == 2, "mended once"


def is_searched(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As many records as are asked for, or a thousand, of which that is said."""
    asked = []

    def texts(port: int, door: Door, question: str) -> Iterator[str]:
        asked.append(question)
        last = int(question.partition("last ")[2].split()[0])
        return iter([told("x")] * last)

    with monkeypatch.context() as playing:
        playing.setattr("clusterous_cli.program.central.search.texts", texts)
        assert main.run(["logs", "sim", "--stored", "--lines", "2", "--since", "1h30m"]) == 0
        said = capsys.readouterr()
        assert said.out == "workers-x | x\n" * 2
        assert "--lines" not in said.err
        assert asked[-1].startswith('_time:1h30m app:="sim" | last 2 ')
        assert main.run(["logs", "sim", "--stored"]) == 0
        said = capsys.readouterr()
        assert said.out.count("\n") == 1000
        assert "The last 1000 records; --lines N shows more of them." in said.err
    assert main.run(["logs", "sim", "--stored", "--lines", "0"]) == 2
    assert main.run(["logs", "sim", "--grep", "\udcff"]) == 2
    assert "no text in UTF-8" in capsys.readouterr().err


def told(text: str) -> str:
    """A record as the store tells it."""
    return json.dumps({"_time": "2026-11-30T10:00:02Z", "_msg": text, "pod": "sim-workers-x"})


@pytest.fixture
def collecting(world: cloud.World, kubernetes: Kubernetes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster with the light store, which has one record."""
    playing_the_store(monkeypatch)
    kubernetes.is_there = True
    assert main.run(["logging", "on", "--light", "--yes"]) == 0
    at = datetime.now(UTC).replace(microsecond=0)
    line = json.dumps({"_time": at.isoformat().replace("+00:00", "Z"), "_msg": "x", "app": "sim"})

    def lines(port: int, door: Door, question: str, path: str) -> Iterator[bytes]:
        if path == export.VALUES:
            yield json.dumps({"values": [{"value": "sim", "hits": 1}]}).encode()
        elif is_of(question, json.loads(line)["_time"]):
            yield line.encode() + b"\n"

    monkeypatch.setattr("clusterous_cli.program.central.search.lines", lines)


def exported(folder: str) -> list[str]:
    return [path.read_text() for path in Path(folder).glob("logs/sim/*.jsonl")]


def is_there(world: cloud.World) -> bool:
    return record.read(world.cloud, WHO) is not None


@pytest.mark.usefixtures("collecting")
def test_what_was_collected_does_not_go_with_a_cluster_without_a_word(
    world: cloud.World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    capsys.readouterr()
    assert main.run(["destroy", "reef", "--yes"]) == 2
    said = capsys.readouterr().err
    assert "What central logging has collected goes with the cluster" in said
    assert "say --export-logs FOLDER, or --discard-logs" in said
    assert is_there(world)

    both = ["--export-logs", "here", "--discard-logs"]
    assert main.run(["destroy", "reef", "--yes", *both]) == 2
    assert "say one of them" in capsys.readouterr().err

    with monkeypatch.context() as broken:
        broken.setattr("clusterous_cli.program.central.search.lines", refused)
        assert main.run(["destroy", "reef", "--yes", "--export-logs", "here"]) == 1
    said = capsys.readouterr().err
    assert "The store does not answer." in said
    assert "could not be written, and nothing was removed" in said
    assert is_there(world)

    assert main.run(["destroy", "reef", "--yes", "--export-logs", "here"]) == 0
    assert "1 file of what central logging has collected: here/logs" in capsys.readouterr().err
    assert len(exported("here")) == 1
    assert world.server.leftovers() == []


def refused(*_: object) -> Iterator[bytes]:
    raise TransientError("The store does not answer.")


@pytest.mark.usefixtures("collecting")
@pytest.mark.parametrize(("answer", "files"), [("", 1), ("-", 0)], ids=["as is usual", "nowhere"])
def test_on_a_terminal_it_is_asked_where_to(
    world: cloud.World,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    files: int,
) -> None:
    monkeypatch.setattr(Ui, "can_ask", property(lambda _: True))
    monkeypatch.setattr("sys.stdin", io.StringIO(f"reef\n{answer}\n"))

    assert main.run(["destroy", "reef"]) == 0

    said = capsys.readouterr().err
    assert "what central logging has collected." in said
    assert "(-: it is not) [reef-logs]:" in said
    assert len(exported("reef-logs")) == files
    assert not is_there(world)


@pytest.mark.usefixtures("collecting")
@pytest.mark.parametrize("words", [(), ("--discard-logs",)], ids=["no way to it", "said"])
def test_it_goes_where_that_is_said_or_nothing_can_be_had(
    world: cloud.World, words: tuple[str, ...]
) -> None:
    if not words:
        nodes = record.read_nodes(world.cloud, WHO)
        world.end(*(one.instance_id for one in nodes if one.role == names.ROLE_CONTROLLER))

    assert main.run(["destroy", "reef", "--yes", *words]) == 0

    assert not is_there(world)


def test_it_comes_and_goes_as_it_is_told(
    world: cloud.World,
    kubernetes: Kubernetes,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert main.run(["logging"]) == 0
    assert "Central logging is off" in capsys.readouterr().err

    # No machine has room for the usual one: it is said what else there is, and nothing is changed.
    assert main.run(["logging", "on", "--yes"]) == 2
    said = capsys.readouterr().err
    assert "memory  4.2 GiB once" in said
    assert "the most that one has left is" in said
    assert "logging on --light" in said
    assert "logging: {url: …}" in said
    assert "central-logging" not in addons(world)

    playing_the_store(monkeypatch)
    kubernetes.is_there = True
    assert main.run(["logging", "on", "--light", "--level", "2", "--yes"]) == 0
    said = capsys.readouterr().err
    assert "memory  272 MiB once and 80 MiB on each node" in said
    assert "disk    20 GiB of one machine's own disk" in said
    assert "money   nothing of its own" in said
    assert "say `logging: {level: 2, store: light}` there" in said
    assert wanted(world) == CentralLogging(level=2, store=Store.LIGHT)
    assert "central-logging" in addons(world)

    # A store on a disk that leaves: that is said, and who says no has removed nothing.
    nodes = record.open_cluster("reef", world.cloud).nodes
    kubernetes.disk_of = next(one.node_name for one in nodes if one.name == "worker-1")
    assert main.run(["rm-nodes", "worker-1"]) == 2
    assert f"store of central logging is on {kubernetes.disk_of}" in capsys.readouterr().err
    kubernetes.disk_of = ""

    assert main.run(["logging", "status", "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["on"], told["store"], told["ready"]) == (True, "light", True)
    assert told["parts"]["collectors"] == {"ready": 2, "wanted": 2}
    assert told["disk"] == {"used": 1 << 30, "most": 3 << 30, "is_full": True}

    # A machine that does not answer is not waited for, and named.
    kubernetes.silent = True
    assert main.run(["logging", "on", "--yes"]) == 0
    assert "collectors: 2 of 2; no answer from worker-2: what is" in capsys.readouterr().err
    assert main.run(["logging", "status"]) == 0
    assert "collectors 2 of 2; no answer from worker-2: what is" in capsys.readouterr().out
    kubernetes.silent = False

    is_exported(world, monkeypatch, capsys)
    is_searched(monkeypatch, capsys)
    is_followed(world, monkeypatch, capsys)

    kubernetes.is_there = False
    assert main.run(["logging", "off", "--keep-data", "--yes"]) == 0
    assert wanted(world) is None
    assert "central-logging" not in addons(world)
    assert kubernetes.removed == []

    # What an earlier `off` has kept goes with one that does not.
    assert main.run(["logging", "off", "--yes"]) == 0
    assert kubernetes.removed == [SPACE]
