"""Machines are added and removed by commands, as a person types them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from clusterous_cli import main
from clusterous_cli.cluster import record
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import RECORD
from tests.functional import cloud

WHO = Identity(name="reef", account="123456789012", region="eu-west-1")
FILE = "name: reef\nvolume: none\nmaster: none\nworkers: 1\n"


@pytest.fixture
def world(
    account: cloud.World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[cloud.World]:
    with cloud.typed_in(tmp_path, account, monkeypatch, FILE) as world:
        yield world


@dataclass
class Kubernetes:
    """The cluster's own API, as far as nodes that leave need it."""

    nodes: set[str]
    calls: list[str] = field(default_factory=list)

    def __call__(self, method: str, path: str, body: str | None, kind: str) -> tuple[int, str]:
        if method == "GET":
            return 200, json.dumps({"items": []})
        name = path.rpartition("/")[2]
        self.calls.append(f"{method} {name}")
        return (200, "{}") if name in self.nodes else (404, "{}")


@pytest.fixture
def kubernetes(world: cloud.World, monkeypatch: pytest.MonkeyPatch) -> Kubernetes:
    """Make the cluster, and open its API."""
    cloud.begun(world, FILE)
    inside = Kubernetes({one.node_name for one in nodes_of(world)})
    cloud.reached(monkeypatch, inside)
    return inside


def nodes_of(world: cloud.World) -> tuple[record.Node, ...]:
    return record.read_nodes(world.cloud, WHO)


def workers_of(world: cloud.World) -> list[str]:
    return [one.name for one in nodes_of(world) if one.role == "worker"]


def test_nodes_are_added_and_removed_as_with_the_predecessor(
    world: cloud.World, kubernetes: Kubernetes, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["add-nodes", "2", "worker", "--yes"]) == 0
    assert workers_of(world) == ["worker-1", "worker-2", "worker-3"]
    said = capsys.readouterr().err
    assert "clusterous.yaml here says 1 for workers: say 3 there" in said
    assert kubernetes.calls == []

    assert main.run(["rm-nodes", "2", "--yes"]) == 0
    assert workers_of(world) == ["worker-1"]
    assert "drained and removed" in capsys.readouterr().err
    assert main.run(["plan"]) == 0

    assert main.run(["rm-nodes", "--yes"]) == 0
    assert "No machine is to leave" in capsys.readouterr().err
    assert workers_of(world) == ["worker-1"]


def test_the_same_again_goes_on_and_adds_nothing_twice(
    world: cloud.World, kubernetes: Kubernetes, capsys: pytest.CaptureFixture[str]
) -> None:
    world.configure(capacity={"t3.large": 0, "t3a.large": 0})
    assert main.run(["add-nodes", "2", "--yes"]) == 75
    world.configure(capacity={})
    capsys.readouterr()

    assert main.run(["add-nodes", "2", "--yes"]) == 0
    assert "was begun, and has not ended: it goes on" in capsys.readouterr().err
    assert workers_of(world) == ["worker-1", "worker-2", "worker-3"]

    assert main.run(["add-nodes", "2", "--yes"]) == 0  # another time
    assert len(workers_of(world)) == 5


def test_the_same_again_goes_on_and_removes_nothing_twice(
    world: cloud.World, kubernetes: Kubernetes
) -> None:
    assert main.run(["add-nodes", "3", "--yes"]) == 0
    world.fault(service="ec2", action="TerminateInstances", kind="error", times=0)
    assert main.run(["rm-nodes", "2", "--yes"]) != 0
    world.server.world.faults.clear()

    assert main.run(["rm-nodes", "2", "--yes"]) == 0
    assert workers_of(world) == ["worker-1", "worker-2"]

    assert main.run(["rm-nodes", "2", "--yes"]) == 0  # another time
    assert workers_of(world) == []


def test_one_that_ended_all_but_in_the_record_is_told_as_ended(
    world: cloud.World, kubernetes: Kubernetes
) -> None:
    assert main.run(["add-nodes", "2", "--yes"]) == 0
    kept = record.read(world.cloud, WHO) or {}
    body = json.dumps({**kept, "unfinished": {"pool": "worker", "by": 2}})
    world.cloud.call("s3", "put_object", Bucket=WHO.bucket, Key=RECORD, Body=body)

    assert main.run(["add-nodes", "2", "--yes"]) == 0

    assert len(workers_of(world)) == 3
    assert "unfinished" not in (record.read(world.cloud, WHO) or {})


def test_fewer_are_wanted_also_where_so_many_are_gone_already(
    world: cloud.World, kubernetes: Kubernetes, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["add-nodes", "1", "worker", "--yes"]) == 0
    world.end(next(one.instance_id for one in nodes_of(world) if one.name == "worker-2"))

    assert main.run(["rm-nodes", "1", "worker"]) == 2  # nobody is there to answer
    assert "so many are gone already. From now on fewer are wanted" in capsys.readouterr().err
    assert main.run(["rm-nodes", "1", "worker", "--yes"]) == 0

    assert workers_of(world) == ["worker-1"]
    assert main.run(["create", "--cluster", "reef", "--yes"]) == 0
    assert workers_of(world) == ["worker-1"]


def test_a_node_that_is_named_leaves_and_may_be_replaced(
    world: cloud.World, kubernetes: Kubernetes
) -> None:
    (node,) = (one for one in nodes_of(world) if one.role == "worker")

    assert main.run(["rm-nodes", "worker-1", "--replace", "--yes"]) == 0
    assert kubernetes.calls == [f"PATCH {node.node_name}", f"DELETE {node.node_name}"]
    (new,) = (one for one in nodes_of(world) if one.role == "worker")
    assert new.instance_id != node.instance_id
    assert main.run(["plan"]) == 0

    assert main.run(["rm-nodes", new.instance_id, "--yes"]) == 0
    assert workers_of(world) == []
    assert main.run(["plan"]) == 4  # the file says one


def test_a_node_that_was_removed_comes_back_by_the_old_file_only_when_that_is_agreed(
    world: cloud.World, kubernetes: Kubernetes, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["rm-nodes", "worker-1", "--force", "--yes"]) == 0
    assert "clusterous.yaml here says 1 for workers: say 0 there" in capsys.readouterr().err
    Path("clusterous.yaml").rename("old.yaml")

    assert main.run(["plan", "--cluster", "reef"]) == 0  # by the record, which says none
    assert main.run(["plan", "old.yaml"]) == 4
    assert "1 worker (t3.large)" in capsys.readouterr().out
    assert main.run(["create", "old.yaml"]) == 2  # nobody is there to answer
    assert workers_of(world) == []


def test_a_smaller_number_in_the_file_asks_for_the_clusters_name(
    world: cloud.World, kubernetes: Kubernetes, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("clusterous.yaml").write_text(FILE.replace("1", "0"))

    assert main.run(["plan"]) == 4
    assert "1 of worker drained and removed (i-" in capsys.readouterr().out
    assert main.run(["create"]) == 2  # nobody is there to answer
    said = capsys.readouterr().err
    assert "These machines leave, with what is on their disks: i-" in said
    assert "Type the cluster's name" in said
    assert workers_of(world) == ["worker-1"]

    assert main.run(["create", "--yes"]) == 0
    assert workers_of(world) == []
    assert main.run(["plan"]) == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["add-nodes", "cpu"], "reef has no pool cpu; it has worker."),
        (["add-nodes", "master"], "There is one machine for masters. It comes by"),
        (["add-nodes", "1", "2"], "Say one number and one pool"),
        (["add-nodes", "0"], "0 machines are none"),
        (["add-nodes", "400"], "401 workers are too many; the most are 250"),
        (["rm-nodes", "3"], "workers: 3 are to go, and 1 are wanted"),
        (["rm-nodes", "worker-7"], "There is no machine worker-7; workers are: worker-1"),
        (["rm-nodes", "controller"], "controller serves the cluster itself"),
        (["rm-nodes", "1", "--replace"], "--replace takes the names of machines"),
    ],
)
def test_what_cannot_be_added_or_removed_is_told(
    world: cloud.World,
    kubernetes: Kubernetes,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    says: str,
) -> None:
    before = world.mutating()

    assert main.run([*words, "--yes"]) == 2

    assert says in capsys.readouterr().err
    assert world.mutating() == before
