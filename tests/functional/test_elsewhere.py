"""A controller whose zone has none left: it begins in another, with all files, and none is lost."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clusterous_api import names
from clusterous_cli import main
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import STATE, VOLUME
from clusterous_cli.cluster.tags import as_items, tags_of
from clusterous_cli.plan.kinds import machines
from clusterous_cli.plan.kinds.volume import state
from clusterous_cli.plan.snapshots import moving
from tests.functional import cloud
from tests.functional.test_snapshots import living, put, told

WHO = Identity(name="reef", account="123456789012", region="eu-west-1")
FILE = "name: reef\nregion: eu-west-1\nmaster: none\nworkers: 0\n"
HOME, NEXT = "eu-west-1a", "eu-west-1b"
Printed = pytest.CaptureFixture[str]


@pytest.fixture
def world(
    account: cloud.World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[cloud.World]:
    with cloud.typed_in(tmp_path, account, monkeypatch, f"{FILE}volume: {{size: 30}}\n") as world:
        yield world


def begin(world: cloud.World, folder: Path, volume: str) -> None:
    """Make the cluster, with a snapshot of what it knows, and lose its controller."""
    Path("clusterous.yaml").write_text(f"{FILE}volume: {volume}\n")
    assert main.run(["create", "--yes", "-q"]) == 0
    put(world, folder)
    world.end(living(world)["controller"])


def listed(world: cloud.World, action: str, key: str, **more: Any) -> list[dict[str, Any]]:
    return list(world.cloud.pages("ec2", action, key, **more))


def volumes(world: cloud.World) -> dict[str, tuple[str, str, bool]]:
    """What each volume that is no disk is for, or whose it was; where it is; whether it is used."""
    every = listed(world, "describe_volumes", "Volumes")
    found = {one["VolumeId"]: (tags_of(one), one) for one in every}
    return {
        id: (
            tags.get(names.TAG_ROLE) or f"kept from {tags.get(names.TAG_KEPT)}",
            one["AvailabilityZone"], bool(one["Attachments"]),
        )
        for id, (tags, one) in found.items()
        if tags.get(names.TAG_ROLE, machines.SHARED).partition("-")[0] in machines.VOLUMES
    }  # fmt: skip


def test_where_its_zone_has_none_it_begins_in_another_with_a_copy_of_the_volume(
    world: cloud.World, tmp_path: Path, capfd: Printed
) -> None:
    begin(world, tmp_path, "{size: 30}")
    before = {role: id for id, (role, *_) in volumes(world).items()}
    world.configure(capacity={"*@*a": 0})

    assert main.run(["create", "--yes", "-q"]) == 75
    said = capfd.readouterr().err
    assert "Asked for t3.medium, t3a.medium, " in said
    way = re.search(r"clusterous (snapshot restore .*)", said)
    assert way is not None
    assert way[1] == f"snapshot restore newest --cluster reef --zone {NEXT}"
    assert main.run(way[1].split()) == 2  # nobody is there to answer
    old = before[machines.SHARED]
    assert f"in {NEXT}, with a copy of the shared volume {old}" in capfd.readouterr().err

    assert main.run([*way[1].split(), "--confirm", "-q"]) == 0

    (copy,) = listed(world, "describe_snapshots", "Snapshots", OwnerIds=["self"])
    assert (copy["VolumeId"], copy["Description"]) == (old, moving.DESCRIPTION.format("reef"))
    now = volumes(world)
    (new,) = (id for id, one in now.items() if one == (machines.SHARED, NEXT, True))
    (kept,) = (id for id, one in now.items() if one == (machines.STATE, NEXT, True))
    assert now == {
        new: now[new], kept: now[kept],
        old: ("kept from reef", HOME, False),
        before[machines.STATE]: (state.ASIDE, HOME, False),
    }  # fmt: skip
    assert told(world, VOLUME) == f"id={new}\ngiven=no\nmarked=yes\n"
    assert told(world, STATE).startswith(f"id={kept}\nmarked=yes\nrestore=")
    assert f"{old}, of which {new} is a copy, is kept in {HOME}" in capfd.readouterr().err
    assert main.run(["plan"]) == 0

    capfd.readouterr()
    assert main.run(["ls-volumes", "-o", "json"]) == 0
    shown = {one["id"]: one for one in json.loads(capfd.readouterr().out)["volumes"]}
    assert {id: one["state"] for id, one in shown.items()} == {
        new: "in use", kept: "in use", old: "kept", before[machines.STATE]: "not in use",
        copy["SnapshotId"]: "kept",
    }  # fmt: skip
    # Where its cluster is, is where the controller is.
    assert main.run(["volume", "restore", copy["SnapshotId"], "-o", "json"]) == 0
    made = json.loads(capfd.readouterr().out)
    restored = made["id"]
    assert made["zone"] == NEXT
    assert main.run(["destroy", "reef", "--confirm", "-o", "json"]) == 0
    gone = json.loads(capfd.readouterr().out)
    assert {one["id"] for one in gone["kept"]} == {old, restored, copy["SnapshotId"]}
    assert set(volumes(world)) == {old, restored}


def test_a_file_system_on_efs_stays_and_has_its_address_in_the_other_zone(
    world: cloud.World, tmp_path: Path
) -> None:
    begin(world, tmp_path, "efs")
    before = world.cloud.call("efs", "describe_file_systems")["FileSystems"]

    assert main.run(["snapshot", "restore", "newest", "--zone", "b", "--confirm", "-q"]) == 0

    after = world.cloud.call("efs", "describe_file_systems")["FileSystems"]
    assert [one["FileSystemId"] for one in after] == [one["FileSystemId"] for one in before]
    (target,) = world.cloud.call(
        "efs", "describe_mount_targets", FileSystemId=after[0]["FileSystemId"]
    )["MountTargets"]
    assert target["AvailabilityZoneName"] == NEXT
    assert [role for role, *_ in volumes(world).values()].count(machines.STATE) == 1
    assert main.run(["plan"]) == 0


def test_of_a_volume_that_was_taken_by_its_id_the_copy_is_taken_so_too(
    world: cloud.World, tmp_path: Path, capfd: Printed
) -> None:
    tags = as_items({names.TAG_KEPT: "coral"})
    id = world.cloud.call(
        "ec2", "create_volume", AvailabilityZone=HOME, Size=30, VolumeType="gp3",
        TagSpecifications=[{"ResourceType": "volume", "Tags": tags}],
    )["VolumeId"]  # fmt: skip
    begin(world, tmp_path, f"{{id: {id}}}")

    assert main.run(["snapshot", "restore", "newest", "--zone", "b", "--confirm", "-q"]) == 0

    (new,) = (one for one, (_, zone, used) in volumes(world).items()
              if zone == NEXT and used and one not in told(world, STATE))  # fmt: skip
    assert volumes(world)[id] == ("kept from coral", HOME, False)
    assert told(world, VOLUME) == f"id={new}\ngiven=yes\nmarked=yes\n"
    assert f"say volume: {{id: {new}}} in the cluster file" in capfd.readouterr().err
    assert main.run(["plan", "--cluster", "reef"]) == 0


def test_a_zone_without_such_machines_is_refused_before_anything_ends(
    world: cloud.World, tmp_path: Path, capfd: Printed
) -> None:
    begin(world, tmp_path, "none")
    machine = living(world)["gateway"]

    assert main.run(["snapshot", "restore", "newest", "--zone", "x", "--confirm"]) == 2

    assert "--zone: eu-west-1x has no t3.medium for the controller; eu-west-1a, " in (
        capfd.readouterr().err
    )
    assert living(world) == {"gateway": machine}
    assert [role for role, *_ in volumes(world).values()] == [machines.STATE]
