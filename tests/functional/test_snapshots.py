"""Snapshots of the datastore: made by the controller's own script, listed, and begun with again."""

import json
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clusterous_api import names
from clusterous_cli import main
from clusterous_cli.boot import bootstrap
from clusterous_cli.boot.templates import datastore
from clusterous_cli.cluster import config
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import BEGUN, STATE, VOLUME, Blob
from clusterous_cli.cluster.tags import as_items, tags_of
from clusterous_cli.plan import design
from clusterous_cli.plan.kinds import cloud as kinds
from clusterous_cli.plan.kinds import machines
from clusterous_cli.plan.kinds.cloud import Site
from clusterous_cli.plan.kinds.volume import state
from clusterous_cli.plan.snapshots import restoring, stored
from clusterous_cli.system import assets, wait
from clusterous_cli.terminal.lines import TimedLines
from clusterous_cli.terminal.options import Settings
from clusterous_cli.terminal.screen import Ui
from tests.functional import cloud

FILE = "name: reef\nregion: eu-west-1\nworkers: 1\nvolume: none\n"
REEF = config.parse(FILE)
WHO = Identity(name="reef", account="123456789012", region="eu-west-1")
OTHER = replace(WHO, name="atoll")
K3S = REEF.k3s
QUIET = TimedLines(Ui(Settings(quiet=True)))
COLUMNS = (
    "id INTEGER PRIMARY KEY AUTOINCREMENT, name, created, deleted, create_revision,"
    " prev_revision, lease, value"
)
# The machine's own way to S3, with the role's credentials from a variable.
STAND_IN = """
imds() { case $1 in */) echo role;; *) printf '%s' "$CREDENTIALS";; esac; }
curl() { command curl --connect-to "::127.0.0.1:$PORT" --cacert "$CA" "$@"; }
"""


class Controller:
    """A controller's disk, with a datastore, from which the real script makes snapshots."""

    def __init__(self, world: cloud.World, folder: Path) -> None:
        self.world, self.folder = world, folder
        lib = folder / "lib"
        lib.mkdir()
        (lib / "s3.sh").write_text(assets.template("s3.sh") + STAND_IN)
        (lib / "datastore.py").write_text(assets.template("datastore.py"))
        (lib / "snapshot.sh").write_text(bootstrap.snapshot_script(WHO))
        k3s = folder / "k3s"
        k3s.write_text(f"#!/bin/sh\necho 'k3s version {K3S} (0123)'\necho 'go version'\n")
        k3s.chmod(0o755)
        (folder / "etc/rancher/k3s").mkdir(parents=True)
        (folder / "etc/rancher/k3s/token").write_text("a-token")
        database = folder / bootstrap.KEPT[1:] / "db"
        database.mkdir(parents=True)
        with closing(sqlite3.connect(database / "state.db")) as base:
            base.execute(f"CREATE TABLE kine ({COLUMNS})")
            base.execute("INSERT INTO kine (name, deleted, value) VALUES ('a', 0, x'00')")
            base.commit()

    def take(
        self, time: str, *words: str, role: str = "controller"
    ) -> subprocess.CompletedProcess[str]:
        return self.run('sh "$CLUSTEROUS_LIB/snapshot.sh" "$@"', *words, role=role, NOW=time)

    def run(
        self, script: str, *words: str, role: str, **more: str
    ) -> subprocess.CompletedProcess[str]:
        keys = self.world.server.credentials(WHO.role(role), "i-0123456789abcdef0")
        credentials = {
            "AccessKeyId": keys.access_key_id,
            "SecretAccessKey": keys.secret_access_key,
            "Token": keys.token,
        }
        environment = {
            "PATH": "/usr/bin:/bin", "PORT": str(self.world.port),
            "CREDENTIALS": json.dumps(credentials, indent=1),
            "CA": str(self.world.folder / "ca.pem"), "K3S": str(self.folder / "k3s"),
            "CLUSTEROUS_LIB": str(self.folder / "lib"), "CLUSTEROUS_ROOT": str(self.folder), **more,
        }  # fmt: skip
        return subprocess.run(
            ["sh", "-c", script, "sh", *words],
            env=environment, capture_output=True, text=True, timeout=120,
        )  # fmt: skip


@pytest.fixture
def controller(world: cloud.World, tmp_path: Path) -> Controller:
    world.laid(REEF)
    return Controller(world, tmp_path)


def put(world: cloud.World, folder: Path, name: str = "20261129T101503Z", volume: str = "") -> Blob:
    """Put a snapshot into the bucket, as the controller would, and return it as restored."""
    base = folder / "state.db"
    with closing(sqlite3.connect(base)) as made:
        made.execute("CREATE TABLE IF NOT EXISTS kine (id INTEGER PRIMARY KEY)")
    (folder / "token").write_text("a-token")
    facts = {"taken": name, "cluster": "reef", "uid": WHO.uid, "k3s": K3S, "volume": volume}
    datastore.save(base, folder / "token", folder / "snapshot", facts)
    body = (folder / "snapshot").read_bytes()
    key = f"snapshots/asked/{name}.tar.gz"
    world.cloud.call("s3", "put_object", Bucket=WHO.bucket, Key=key, Body=body)
    return bootstrap.restored(body)


def volumes(world: cloud.World, who: Identity = WHO) -> dict[str, str]:
    """The volumes of a cluster's controllers: what each is, by its id."""
    listed = world.cloud.pages("ec2", "describe_volumes", "Volumes")
    found = {one["VolumeId"]: tags_of(one) for one in listed}
    return {
        id: tags[names.TAG_ROLE] for id, tags in found.items()
        if tags.get(names.TAG_UID) == who.uid and tags[names.TAG_ROLE].startswith(machines.STATE)
    }  # fmt: skip


def told(world: cloud.World, key: str, who: Identity = WHO) -> str:
    return str(
        world.cloud.call("s3", "get_object", Bucket=who.bucket, Key=key)["Body"].read(), "utf8"
    )


def living(world: cloud.World) -> dict[str, str]:
    groups = world.cloud.pages("ec2", "describe_instances", "Reservations")
    return {
        tags_of(one)[names.TAG_ROLE]: one["InstanceId"]
        for group in groups for one in group["Instances"]
        if one["State"]["Name"] == "running"
    }  # fmt: skip


# -- taken and listed ---------------------------------------------------------------------------


def test_the_controller_saves_what_it_knows_under_names_that_come_again(
    controller: Controller,
) -> None:
    world = controller.world
    for time in ("20261128T234501Z", "20261129T001459Z", "20261129T091503Z", "20261129T092903Z"):
        assert controller.take(time).stderr == ""
    asked = controller.take("20261129T100203Z", "asked", "snap-0123456789abcdef0")
    assert (asked.returncode, asked.stdout) == (0, "20261129T100203Z\n")

    found = stored.listed(world.cloud, WHO)

    assert [(one.name, one.kept) for one in found] == [
        ("20261129T100203Z", "asked"),
        ("20261129T092903Z", "day"),  # the one of 9:15 is of the same quarter of an hour
        ("20261129T001459Z", "quarter"),
        ("20261128T234501Z", "day"),
    ]
    assert {(one.cluster, one.k3s) for one in found} == {("reef", K3S)}
    assert [one.volume for one in found[:2]] == ["snap-0123456789abcdef0", ""]
    assert not list((controller.folder / "var/lib/clusterous").iterdir())
    content = stored.content(world.cloud, WHO, found[0])
    (controller.folder / "it").write_bytes(content)
    token = controller.folder / "etc/rancher/k3s/token"
    done = datastore.restore(controller.folder / "it", controller.folder / "new", token)
    assert done == {"removed": 0, "suspended": 0}


@pytest.mark.parametrize("role", ["worker", "gateway"])
def test_no_other_machine_writes_or_reads_them(controller: Controller, role: str) -> None:
    assert controller.take("20261129T091503Z").returncode == 0
    (one,) = stored.listed(controller.world.cloud, WHO)
    place = f"REGION=eu-west-1 BUCKET={WHO.bucket} DOMAIN=amazonaws.com"
    read = f'set -eu; {place}; . "$CLUSTEROUS_LIB/s3.sh"; s3 GET "$1" "$NOTHING"'

    for said in (
        controller.take("20261129T091503Z", role=role),
        controller.run(read, one.key, role=role),
        controller.run(read, one.key, role="controller"),  # which needs none of them
    ):
        assert said.returncode == 22
        assert "403" in said.stderr


def test_what_is_no_snapshot_is_not_listed(world: cloud.World, tmp_path: Path) -> None:
    world.laid(REEF)
    put(world, tmp_path)
    for key in ("snapshots/asked/1.tar.gz", "snapshots/other"):
        world.cloud.call("s3", "put_object", Bucket=WHO.bucket, Key=key, Body=b"\x1f\x8bno")

    assert [one.name for one in stored.listed(world.cloud, WHO)] == ["20261129T101503Z"]


def test_a_large_one_is_read_part_by_part(
    world: cloud.World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.laid(REEF)
    put(world, tmp_path)
    (one,) = stored.listed(world.cloud, WHO)
    monkeypatch.setattr(stored, "PART", 100)

    assert stored.content(world.cloud, WHO, one) == (tmp_path / "snapshot").read_bytes()
    assert one.size > 200


# -- begun with again ---------------------------------------------------------------------------


def restore(world: cloud.World, wanted: config.ClusterConfig, blob: Blob) -> None:
    """As `snapshot restore` does it, with machines that are played."""
    who = replace(WHO, name=wanted.name)
    restoring.Restoring(cloud=world.cloud, who=who, lines=QUIET, pauses=wait.Pauses()).run(blob)
    create(world, wanted, blob)


def create(world: cloud.World, wanted: config.ClusterConfig, blob: Blob | None = None) -> None:
    with pytest.MonkeyPatch.context() as patch:
        draw = design.draw

        def drawn(*of: Any) -> design.Design:
            return draw(*of, restore=blob)

        patch.setattr(design, "draw", drawn)
        world.create(wanted)


def test_a_cluster_begins_again_with_a_snapshot_and_nothing_goes_on_beside_it(
    world: cloud.World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.stand(REEF)
    blob = put(world, tmp_path)
    before, (old,) = living(world), volumes(world)

    restore(world, REEF, blob)

    after = living(world)
    assert after["gateway"] == before["gateway"]
    assert {after["controller"], after["worker"]}.isdisjoint(before.values())
    (new,) = set(volumes(world)) - {old}
    assert volumes(world) == {old: state.ASIDE, new: machines.STATE}
    assert told(world, STATE) == f"id={new}\nmarked=yes\nrestore={blob.sha256}\n"
    assert told(world, BEGUN).startswith(new)
    read = world.cloud.call("s3", "get_object", Bucket=WHO.bucket, Key=blob.key)["Body"].read()
    assert read == blob.content
    assert world.design(REEF).plan.pending == ()

    # The same once more: AWS would answer a call that it remembers with the volume of before.
    monkeypatch.setattr(kinds, "LOOKS", 1)
    restore(world, REEF, blob)

    assert sorted(volumes(world).values()) == [machines.STATE, state.ASIDE, state.ASIDE]
    assert volumes(world)[new] == state.ASIDE
    world.destroy("reef")
    assert world.server.leftovers() == []


@pytest.mark.parametrize("calls", range(4))
def test_cut_short_anywhere_it_is_the_life_of_before_or_the_snapshots_and_never_an_empty_one(
    world: cloud.World, tmp_path: Path, calls: int
) -> None:
    world.stand(REEF)
    blob = put(world, tmp_path)
    (old,) = volumes(world)
    site = Site(cloud=world.cloud, who=WHO, pauses=wait.Pauses())
    site.s3("put_object", Key=blob.key, Body=blob.content)
    world.end(living(world)["controller"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.cloud, "call", world.cloud.call)
        cloud.die_after(world, calls)
        try:
            state.put_aside(site, blob.sha256)
        except cloud.Killed:
            assert calls < 3

    create(world, REEF)

    (now,) = (id for id, role in volumes(world).items() if role == machines.STATE)
    order = told(world, STATE)
    assert order.startswith(f"id={now}\nmarked=yes\n")
    assert now == old if calls < 3 else order.endswith(f"restore={blob.sha256}\n")
    assert told(world, BEGUN)


def test_a_cluster_of_another_name_begins_with_it(world: cloud.World, tmp_path: Path) -> None:
    world.laid(REEF)
    blob = put(world, tmp_path)
    atoll = replace(REEF, name="atoll")

    restore(world, atoll, blob)

    (made,) = volumes(world, OTHER)
    assert told(world, STATE, OTHER) == f"id={made}\nmarked=yes\nrestore={blob.sha256}\n"
    read = world.cloud.call("s3", "get_object", Bucket=OTHER.bucket, Key=blob.key)["Body"].read()
    assert read == blob.content
    # The order comes after what it names.
    puts = [one.resource for one in world.server.log() if one.action == "PutObject"]
    named = [puts.index(f"{OTHER.bucket}/{key}") for key in (blob.key, STATE)]
    assert named == sorted(named)


def test_a_copy_of_a_cluster_and_its_original_know_nothing_of_each_other(
    world: cloud.World, tmp_path: Path
) -> None:
    """The name of the one begins with the other's."""
    reef = config.parse("name: reef\nregion: eu-west-1\nworkers: 0\nmaster: none\n")
    copy = replace(reef, name="reef-2")
    world.laid(reef)
    before = world.server.leftovers()

    restore(world, copy, put(world, tmp_path))
    both = world.server.leftovers()
    assert set(before) < set(both)
    assert world.design(reef).plan.pending == ()

    world.destroy("reef")
    assert sorted(world.server.leftovers()) == sorted(set(both) - set(before))
    assert world.design(copy).plan.pending == ()
    world.destroy("reef-2")
    assert world.server.leftovers() == []


def test_after_the_volume_is_lost_again_no_old_snapshot_is_begun_with_by_itself(
    world: cloud.World, tmp_path: Path
) -> None:
    world.stand(REEF)
    blob = put(world, tmp_path)
    restore(world, REEF, blob)
    world.end(living(world)["controller"])
    (id,) = (id for id, role in volumes(world).items() if role == machines.STATE)
    wait.until(
        lambda: world.cloud.attempt("ec2", "delete_volume", "VolumeInUse", VolumeId=id),
        "deleting", wait.Pauses(), timeout=30,
    )  # fmt: skip

    with pytest.raises(Exception, match=f"{id} is gone.*snapshot restore newest --cluster reef"):
        world.design(REEF)

    # Typed, it passes the mark that keeps an empty one from beginning.
    restore(world, REEF, blob)
    (new,) = (id for id, role in volumes(world).items() if role == machines.STATE)
    assert told(world, STATE) == f"id={new}\nmarked=yes\nrestore={blob.sha256}\n"
    assert told(world, BEGUN).startswith(new)


# -- typed --------------------------------------------------------------------------------------


@pytest.fixture
def typed(
    account: cloud.World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[cloud.World]:
    with cloud.typed_in(tmp_path, account, monkeypatch, FILE) as world:
        yield world


def test_typed(typed: cloud.World, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main.run(["create", "--yes", "-q"]) == 0
    assert main.run(["snapshot", "restore", "newest", "--confirm"]) == 2
    assert "There is no snapshot of reef." in capfd.readouterr().err
    put(typed, tmp_path)
    calls = typed.mutating()
    assert main.run(["snapshot", "ls", "-o", "json"]) == 0
    (one,) = json.loads(capfd.readouterr().out)
    assert (one["name"], one["cluster"], one["k3s"]) == ("20261129T101503Z", "reef", K3S)
    assert main.run(["snapshot", "ls"]) == 0
    assert "until destroy" in capfd.readouterr().out
    assert main.run(["snapshot", "restore", "newest", "--yes"]) == 2
    said = capfd.readouterr().err
    assert "The controller and all workers of reef end now" in said
    assert "say --confirm" in said
    assert typed.mutating() == calls

    assert main.run(["snapshot", "restore", "newest", "--confirm", "-q"]) == 0
    assert sorted(volumes(typed).values()) == [machines.STATE, state.ASIDE]


# -- with the files of then ---------------------------------------------------------------------


@pytest.fixture
def reef(
    account: cloud.World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[cloud.World]:
    """A cluster with a volume, and a controller that says what `snapshot save` is answered."""
    (tmp_path / "ssh").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked; echo {SAVED}\n')
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    file = "name: reef\nregion: eu-west-1\nmaster: none\nworkers: 0\nvolume: {size: 30}\n"
    with cloud.typed_in(tmp_path, account, monkeypatch, file) as world:
        cloud.begun(world, file)
        (tmp_path / "clusterous.yaml").rename(tmp_path / "reef.yaml")
        yield world


SAVED = "20261129T101503Z"


def shared(world: cloud.World) -> dict[str, dict[str, Any]]:
    """The shared volumes of all clusters, by whose they are."""
    which = [{"Name": f"tag:{names.TAG_ROLE}", "Values": [machines.SHARED]}]
    listed = world.cloud.pages("ec2", "describe_volumes", "Volumes", Filters=which)
    return {tags_of(one)[names.TAG_CLUSTER]: one for one in listed}


def saved(world: cloud.World, folder: Path) -> str:
    """Save what the cluster knows, with its files; return the snapshot in EBS."""
    assert main.run(["snapshot", "save"]) == 0
    (copy,) = world.cloud.pages("ec2", "describe_snapshots", "Snapshots", OwnerIds=["self"])
    put(world, folder, SAVED, copy["SnapshotId"])
    assert f"snapshot.sh asked {copy['SnapshotId']}" in (folder / "asked").read_text()
    assert tags_of(copy)[names.TAG_BESIDE] == SAVED
    return str(copy["SnapshotId"])


def test_a_copy_has_a_volume_of_its_own_and_the_first_ones_is_never_touched(
    reef: cloud.World, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    copy = saved(reef, tmp_path)
    before = shared(reef)["reef"]
    atoll = replace(config.parse((tmp_path / "reef.yaml").read_text()), name="atoll")
    again = ["snapshot", "restore", "newest", "--from", "reef", "--cluster", "atoll"]

    # AWS makes of a snapshot no volume that is smaller, and a file is its owner's.
    (tmp_path / "small.yaml").write_text("name: atoll\nregion: eu-west-1\nworkers: 0\n")
    assert main.run([*again, "small.yaml", "--confirm"]) == 2
    assert "volume.size is 20 GiB, and the shared volume had 30" in capfd.readouterr().err
    assert main.run([*again, "--without-volume"]) == 2  # nobody is there to answer
    assert "Its shared volume is empty." in capfd.readouterr().err
    assert main.run(again) == 2
    assert f"a new one, of {copy}: the files of then. That of reef stays" in capfd.readouterr().err
    assert set(shared(reef)) == {"reef"}

    with cloud.played(reef.cloud, atoll):
        assert main.run([*again, "--zone", "b", "--confirm", "-q"]) == 0

    made = shared(reef)["atoll"]
    assert (made["SnapshotId"], made["Size"]) == (copy, 30)
    assert made["AvailabilityZone"] == "eu-west-1b"  # where all of a new cluster is made then
    assert tags_of(made)[names.TAG_FORMATTED] == "before"
    assert told(reef, VOLUME, OTHER) == f"id={made['VolumeId']}\ngiven=no\nmarked=yes\n"
    assert main.run(["plan", "--cluster", "atoll"]) == 0
    assert shared(reef)["reef"] == before

    assert main.run(["destroy", "atoll", "--confirm", "-q"]) == 0
    assert shared(reef) == {"reef": before}
    assert main.run(["plan", "reef.yaml"]) == 0


@pytest.mark.parametrize("kept", ["coral", None])
def test_a_snapshot_that_is_not_the_clusters_own_is_no_volume_of_its_copy(
    reef: cloud.World, tmp_path: Path, capfd: pytest.CaptureFixture[str], kept: str | None
) -> None:
    id = shared(reef)["reef"]["VolumeId"]
    tags = as_items({names.TAG_KEPT: kept} if kept else {})
    foreign = reef.cloud.call(
        "ec2", "create_snapshot", VolumeId=id,
        **({"TagSpecifications": [{"ResourceType": "snapshot", "Tags": tags}]} if tags else {}),
    )["SnapshotId"]  # fmt: skip
    put(reef, tmp_path, SAVED, foreign)
    calls = reef.mutating()

    assert main.run(
        ["snapshot", "restore", "newest", "--from", "reef", "--cluster", "atoll", "--confirm"]
    ) == 2  # fmt: skip

    assert f"snapshot {foreign}, which was taken with {SAVED}, is gone" in capfd.readouterr().err
    assert reef.mutating() == calls
