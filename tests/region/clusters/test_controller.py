"""A cluster whose controller is lost, with what was not flushed: programs run on, and are known.

The machine is terminated, then its host fails: each time the disks forget what was not flushed. In
the end all begins again with a snapshot, and then in another zone.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.region import story
from tests.region.region import Region
from tests.region.story import clusterous, machine, on, run, until

pytestmark = pytest.mark.region

CLUSTER = """\
name: mind
region: eu-west-1
controller: {type: t3.medium}
master: none
workers: {type: t3.medium, count: 1}
volume: {size: 2}
"""
PROGRAM = """\
apiVersion: clusterous.io/v1
kind: ClusterousApp
metadata: {name: writer}
spec:
  image: rancher/mirrored-library-busybox:1.36.1
  workers:
    replicas: 2
    command: [sh, -c, "while date +%s >>/home/data/$HOSTNAME; do sleep 1; done"]
---
apiVersion: clusterous.io/v1
kind: ClusterousApp
metadata: {name: caller}
spec:
  image: rancher/mirrored-library-busybox:1.36.1
  workers:
    replicas: 1
    command: [sh, -c, "while sleep 1; do nslookup kubernetes.default.svc.cluster.local; done"]
"""
STATE = "/var/lib/rancher/k3s/server"
ACKNOWLEDGED = 20
WRITE = f"""
for i in $(seq {ACKNOWLEDGED}); do
    k3s kubectl create configmap kept-$i >/dev/null && echo $i
done | tail -n 1
"""


@pytest.fixture(scope="module")
def region() -> Iterator[Region]:
    with story.up("crmind") as made:
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("laptop")


def asked(region: Region, folder: Path, what: str) -> list[dict[str, Any]]:
    said = clusterous(region, folder, "kubectl", "get", what, "-o", "json")
    return list(json.loads(said)["items"])


def lives(region: Region, folder: Path) -> dict[str, tuple[str, int]]:
    """Each container of the program: which, and how often it was restarted."""
    return {
        one["metadata"]["name"]: (state["containerID"], state["restartCount"])
        for one in asked(region, folder, "pods")
        for state in one["status"]["containerStatuses"]
    }


def ready(region: Region, folder: Path) -> bool:
    said = {
        app["metadata"]["name"]: app.get("status", {}).get("workers")
        for app in asked(region, folder, "clusterousapps")
    }
    return said == {"writer": "2/2", "caller": "1/1"}


def written(region: Region) -> int:
    return int(on(region, "worker", "cat /home/data/writer-* 2>/dev/null | wc -l") or 0)


def resolved(region: Region) -> int:
    """Count the names that a program on the worker has looked up."""
    logs = "/var/log/pods/default_caller-*/*/*.log"
    return int(on(region, "worker", f"cat {logs} 2>/dev/null | grep -c 'Address.*10.43.0.1$'"))


def test_a_cluster_is_made_and_a_program_writes(region: Region, folder: Path) -> None:
    (folder / "mind.yaml").write_text(CLUSTER)
    clusterous(region, folder, "create", "mind.yaml", "--yes")
    (folder / "app.yaml").write_text(PROGRAM)
    clusterous(region, folder, "kubectl", "apply", "-f", "app.yaml")

    until(lambda: written(region) > 5, "the program writes")
    until(lambda: ready(region, folder), "its status")
    until(lambda: resolved(region) > 0, "names resolve")
    assert on(region, "controller", f"findmnt -n -o FSTYPE {STATE}") == "ext4"
    assert on(region, "controller", f"stat -c %s {STATE}/reserve") == str(512 << 20)


def test_its_machine_is_terminated_and_replaced(region: Region, folder: Path) -> None:
    before, worker, old = lives(region, folder), machine(region, "worker"), machine(
        region, "controller"
    )  # fmt: skip
    ids = ("--instance-ids", old["id"])
    refused = region.laptop_run(
        ("aws", "ec2", "terminate-instances", *ids), capture_output=True, text=True
    )
    assert "OperationNotPermitted" in refused.stderr
    assert on(region, "controller", WRITE) == str(ACKNOWLEDGED)
    run(
        region, folder, "aws", "ec2", "modify-instance-attribute", "--instance-id", old["id"],
        "--no-disable-api-termination",
    )  # fmt: skip
    run(region, folder, "aws", "ec2", "terminate-instances", *ids)
    said = clusterous(region, folder, "status")
    assert said.startswith(f"! The controller of mind is away: its machine {old['id']}")
    many = resolved(region)
    until(lambda: resolved(region) > many + 5, "names resolve while it is away")

    clusterous(region, folder, "create", "mind.yaml", "--yes")

    new = machine(region, "controller")
    assert (new["id"] != old["id"], new["private_ip"]) == (True, old["private_ip"])
    assert machine(region, "worker")["id"] == worker["id"]
    assert lives(region, folder) == before
    kept = [one["metadata"]["name"] for one in asked(region, folder, "configmaps")]
    assert sum(name.startswith("kept-") for name in kept) == ACKNOWLEDGED
    until(lambda: ready(region, folder), "its status")
    until(lambda: len(asked(region, folder, "nodes")) == 2, "the node of the old one goes")
    many = written(region)
    until(lambda: written(region) > many, "the program writes on")


def test_its_host_fails_and_the_machine_is_started_again(region: Region, folder: Path) -> None:
    before, old = lives(region, folder), machine(region, "controller")
    clusterous(region, folder, "kubectl", "delete", "configmaps", "--all")
    assert on(region, "controller", WRITE) == str(ACKNOWLEDGED)
    region.lose(old["id"])
    until(lambda: machine(region, "controller")["state"] == "stopped", "AWS shows it")

    clusterous(region, folder, "create", "mind.yaml", "--yes")

    assert machine(region, "controller")["id"] == old["id"]
    assert lives(region, folder) == before
    kept = [one["metadata"]["name"] for one in asked(region, folder, "configmaps")]
    assert sum(name.startswith("kept-") for name in kept) == ACKNOWLEDGED
    many = written(region)
    until(lambda: written(region) > many, "the program writes on")


def test_it_begins_again_with_a_snapshot(region: Region, folder: Path) -> None:
    saved = json.loads(clusterous(region, folder, "snapshot", "save", "-o", "json"))
    name, copy = saved["name"], saved["volume_snapshot"]
    listed = json.loads(clusterous(region, folder, "snapshot", "ls", "-o", "json"))
    assert copy in [one["volume_snapshot"] for one in listed if one["name"] == name]
    assert {one["kept"] for one in listed} >= {"until destroy", "a month"}  # by itself, too
    clusterous(region, folder, "kubectl", "create", "configmap", "later")
    before = {role: machine(region, role)["id"] for role in ("gateway", "controller", "worker")}

    clusterous(region, folder, "snapshot", "restore", name, "--confirm")

    after = {role: machine(region, role)["id"] for role in before}
    assert after["gateway"] == before["gateway"]
    assert {after["controller"], after["worker"]}.isdisjoint(before.values())
    kept = [one["metadata"]["name"] for one in asked(region, folder, "configmaps")]
    assert sum(one.startswith("kept-") for one in kept) == ACKNOWLEDGED
    assert "later" not in kept
    ends = {one["metadata"]["name"][-8:] for one in asked(region, folder, "nodes")}
    assert ends == {after["controller"][-8:], after["worker"][-8:]}
    apps = asked(region, folder, "clusterousapps")
    assert [one["spec"]["suspend"] for one in apps] == [True, True]
    assert asked(region, folder, "pods") == []
    until(lambda: written(region) > 0, "the shared volume is there, as it was")
    many = written(region)

    patch = '{"spec": {"suspend": false}}'
    for app in ("writer", "caller"):
        clusterous(region, folder, "kubectl", "patch", "capp", app, "--type", "merge", "-p", patch)
    until(lambda: ready(region, folder), "its status")
    until(lambda: written(region) > many, "the program writes on")
    clusterous(region, folder, "rm-volume", copy, "--confirm")


def test_it_begins_in_another_zone_with_all_files(region: Region, folder: Path) -> None:
    on(region, "worker", "echo of before >/home/data/kept; sync /home/data/kept")
    before, old = machine(region, "controller"), volume(region, folder)

    clusterous(region, folder, "snapshot", "restore", "newest", "--zone", "b", "--confirm")

    new, copy = machine(region, "controller"), volume(region, folder)
    assert (new["id"] != before["id"], new["private_ip"]) == (True, before["private_ip"])
    assert copy != old
    seen = "cat /home/data/kept"
    until(lambda: on(region, "worker", seen) == "of before", "the files came along")
    listed = json.loads(clusterous(region, folder, "ls-volumes", "-o", "json"))["volumes"]
    kept = [one for one in listed if one["state"] == "kept"]
    assert old in [one["id"] for one in kept]
    for one in kept:
        clusterous(region, folder, "rm-volume", one["id"], "--confirm")


def volume(region: Region, folder: Path) -> str:
    return str(json.loads(clusterous(region, folder, "status", "-o", "json"))["volume"]["id"])


def test_destroy_leaves_nothing(region: Region, folder: Path) -> None:
    clusterous(region, folder, "destroy", "mind", "--yes")

    assert region.leftovers() == []
