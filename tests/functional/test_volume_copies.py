"""The shared volume as its commands grow it, take snapshots of it, and make volumes of those."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clusterous_api import names
from clusterous_cli import main
from clusterous_cli.cluster import config
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import VOLUME
from clusterous_cli.cluster.tags import tags_of
from clusterous_cli.plan.kinds.machines import SHARED
from tests.functional import cloud

FILE = "name: reef\nworkers: 0\nvolume: {size: 30}\ntags: {team: corals}\n"
WHO = Identity(name="reef", account="123456789012", region="eu-west-1")
Printed = pytest.CaptureFixture[str]


@pytest.fixture
def world(
    account: cloud.World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[cloud.World]:
    """A cluster, of which the controller is only played: it takes every word that it is sent."""
    answers(tmp_path, f'echo "$@" >>{tmp_path}/asked')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with cloud.typed_in(tmp_path, account, monkeypatch, FILE) as world:
        cloud.begun(world, FILE)
        yield world


def answers(folder: Path, script: str) -> None:
    (folder / "ssh").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "ssh").chmod(0o755)


def the_volume(world: cloud.World) -> dict[str, Any]:
    which = [{"Name": f"tag:{names.TAG_ROLE}", "Values": [SHARED]}]
    (one,) = world.cloud.pages("ec2", "describe_volumes", "Volumes", Filters=which)
    return dict(one)


def snapshots(world: cloud.World) -> dict[str, dict[str, Any]]:
    listed = world.cloud.pages("ec2", "describe_snapshots", "Snapshots", OwnerIds=["self"])
    return {one["SnapshotId"]: one for one in listed}


def test_a_snapshot_outlasts_its_cluster_and_becomes_the_next_ones_volume(
    world: cloud.World, capsys: Printed, tmp_path: Path
) -> None:
    volume = the_volume(world)["VolumeId"]
    capsys.readouterr()

    taken = ["volume", "snapshot", "--description", "before the run"]
    assert main.run([*taken, "-o", "json"]) == 0

    said = capsys.readouterr()
    copy = json.loads(said.out)
    assert (copy["of"], copy["description"], copy["state"]) == (volume, "before the run", "kept")
    assert f"{copy['id']} is a snapshot of {volume}, kept" in said.err
    assert f"sync -f {names.VOLUME_PATH}" in (tmp_path / "asked").read_text()
    tags = tags_of(snapshots(world)[copy["id"]])
    name = tags.pop("Name")
    assert name.startswith("reef-volume-2")
    assert tags == {names.TAG_KEPT: "reef", names.TAG_FORMATTED: "xfs", "team": "corals"}

    assert main.run(["destroy", "reef", "--confirm", "-o", "json"]) == 0
    kept = json.loads(capsys.readouterr().out)["kept"]
    assert kept == [{"kind": "snapshot", "id": copy["id"], "monthly": 1.65}]

    for file, zone in (("", "eu-west-1a"), ("network: {zone: c}\n", "eu-west-1c")):
        Path("clusterous.yaml").write_text(f"name: coral\n{file}")
        assert main.run(["volume", "restore", copy["id"], "-o", "json"]) == 0
        assert json.loads(capsys.readouterr().out)["zone"] == zone
    assert main.run(["volume", "restore", copy["id"], "--zone", "x"]) == 2
    assert "There is no zone eu-west-1x in eu-west-1" in capsys.readouterr().err
    assert main.run(["volume", "restore", copy["id"], "--zone", "b"]) == 0
    line = capsys.readouterr().out.strip()
    id = config.parse(f"name: x\n{line}\n").volume.id or ""
    (made,) = world.cloud.call("ec2", "describe_volumes", VolumeIds=[id])["Volumes"]
    assert (made["Size"], made["Encrypted"], made["AvailabilityZone"]) == (30, True, "eu-west-1b")
    assert tags_of(made)[names.TAG_KEPT] == "reef"
    assert tags_of(made)[names.TAG_FORMATTED] == "xfs"

    Path("clusterous.yaml").write_text(f"name: reef\nworkers: 0\n{line}\n")
    assert main.run(["create", "--yes", "--quiet"]) == 0
    told = world.cloud.call("s3", "get_object", Bucket=WHO.bucket, Key=VOLUME)["Body"].read()
    assert told == f"id={id}\ngiven=yes\nmarked=yes\n".encode()


def test_one_snapshot_is_taken_whatever_becomes_of_the_call(
    world: cloud.World, capsys: Printed, tmp_path: Path
) -> None:
    world.fault(service="ec2", action="CreateSnapshot", kind="lost", times=1)
    capsys.readouterr()

    assert main.run(["volume", "snapshot", "--no-wait"]) == 0
    first = capsys.readouterr().out.strip()
    assert list(snapshots(world)) == [first]

    world.server.world.faults.clear()
    world.fault(
        service="ec2", action="CreateSnapshot", kind="error", times=1, status=400,
        code="SnapshotCreationPerVolumeRateExceeded",
    )  # fmt: skip
    answers(tmp_path, "echo Connection refused >&2; exit 255")
    assert main.run(["volume", "snapshot", "--no-wait"]) == 0
    said = capsys.readouterr()
    assert set(snapshots(world)) == {first, said.out.strip()}
    assert "! the controller could not write out what it holds (The gateway cannot be" in said.err


def test_what_is_made_of_a_snapshot_and_removed_is_in_the_audit(
    world: cloud.World, capsys: Printed
) -> None:
    before = len(heard(capsys))
    assert main.run(["volume", "snapshot", "-o", "json"]) == 0
    copy = json.loads(capsys.readouterr().out)["id"]
    assert main.run(["volume", "restore", copy, "-o", "json"]) == 0
    made = json.loads(capsys.readouterr().out)["id"]
    for id in (made, copy):
        assert main.run(["rm-volume", id, "--confirm"]) == 0

    told = [(one["doing"], one["call"], made in one["made"] + one["about"])
            for one in heard(capsys)[before:]]  # fmt: skip

    assert told == [
        ("clusterous volume snapshot", "ec2:CreateSnapshot", False),
        ("clusterous volume restore", "ec2:CreateVolume", True),
        ("clusterous rm-volume", "ec2:DeleteVolume", True),
        ("clusterous rm-volume", "ec2:DeleteSnapshot", False),
    ]


def heard(printed: Printed) -> list[dict[str, Any]]:
    printed.readouterr()
    assert main.run(["audit", "--last", "1000", "-o", "json"]) == 0
    return list(json.loads(printed.readouterr().out))


def test_what_aws_does_later_only_is_told(world: cloud.World, capsys: Printed) -> None:
    volume = the_volume(world)["VolumeId"]
    world.configure(snapshot_pending=600.0)
    for _ in range(5):
        world.cloud.call("ec2", "create_snapshot", VolumeId=volume)
    pending = next(iter(snapshots(world)))

    assert main.run(["volume", "snapshot"]) == 75
    said = capsys.readouterr().err
    assert "AWS takes no more than 5 snapshots of a volume at a time" in said
    assert pending in said
    assert main.run(["volume", "restore", pending, "--cluster", "reef"]) == 75
    assert f"{pending} is not complete yet" in capsys.readouterr().err
    assert main.run(["volume", "restore", volume]) == 2
    assert f"{volume} is a volume already" in capsys.readouterr().err


def test_a_volume_grows_to_a_size_and_the_file_is_to_say_so(
    world: cloud.World, capsys: Printed
) -> None:
    assert main.run(["volume", "grow", "40"]) == 2  # nobody is there to answer
    assert "grow the volume of reef in eu-west-1" in capsys.readouterr().err

    assert main.run(["volume", "grow", "40GiB", "--yes"]) == 0

    said = capsys.readouterr().err
    assert "size 30 → 40" in said
    assert "clusterous.yaml here says 30 GiB for volume.size: say 40 there" in said
    assert the_volume(world)["Size"] == 40
    assert Path("clusterous.yaml").read_text() == FILE
    assert main.run(["volume", "grow", "30", "--yes"]) == 2
    assert "volume.size is 40 GiB, not 30: a volume can grow, not shrink" in (
        capsys.readouterr().err
    )
    world.configure(volume_modifications_a_day=1)
    assert main.run(["volume", "grow", "50", "--yes"]) == 75
    said = capsys.readouterr().err
    assert "AWS takes some changes of a volume in a day, and the next one" in said
