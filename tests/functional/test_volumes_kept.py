"""Volumes and snapshots that outlast clusters: listed, removed, and named by destroy, as typed."""

import json
from pathlib import Path
from typing import Any

import pytest

from clusterous_api import names
from clusterous_cli import main
from clusterous_cli.addons import volumeserver
from clusterous_cli.cluster import config
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import VOLUME
from clusterous_cli.cluster.tags import as_items
from clusterous_cli.plan.kinds.machines import SHARED, STATE
from tests.functional import cloud
from tests.region.aws import images

REEF = config.parse("name: reef\nworkers: 0\nvolume: {size: 30}\n")
WHO = Identity(name="reef", account="123456789012", region="eu-west-1")
Printed = pytest.CaptureFixture[str]


@pytest.fixture
def world(world: cloud.World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> cloud.World:
    """An account as commands find it."""
    monkeypatch.setattr("clusterous_cli.aws.client.connect", lambda *_: world.cloud)
    monkeypatch.chdir(tmp_path)
    return world


def tagged(type: str, tags: dict[str, str]) -> list[dict[str, Any]]:
    return [{"ResourceType": type, "Tags": as_items(tags)}] if tags else []


def a_volume(world: cloud.World, **tags: str) -> str:
    named = {getattr(names, key): value for key, value in tags.items()}
    answer = world.cloud.call(
        "ec2", "create_volume", AvailabilityZone="eu-west-1a", Size=50, VolumeType="gp3",
        TagSpecifications=tagged("volume", named),
    )  # fmt: skip
    return str(answer["VolumeId"])


def a_snapshot(world: cloud.World, volume: str, **tags: str) -> str:
    named = {getattr(names, key): value for key, value in tags.items()}
    answer = world.cloud.call(
        "ec2", "create_snapshot", VolumeId=volume, TagSpecifications=tagged("snapshot", named)
    )
    return str(answer["SnapshotId"])


def listed(printed: Printed) -> dict[str, dict[str, Any]]:
    assert main.run(["ls-volumes", "-o", "json"]) == 0
    return {one["id"]: one for one in json.loads(printed.readouterr().out)["volumes"]}


def test_what_a_cluster_leaves_is_listed_named_by_destroy_and_removed(
    world: cloud.World, capsys: Printed
) -> None:
    world.laid(REEF)
    own = {one["role"]: one for one in listed(capsys).values()}
    assert set(own) == {SHARED, STATE}
    assert {(one["state"], one["used_by"]) for one in own.values()} == {("in use", "reef")}
    id = own[SHARED]["id"]
    assert main.run(["rm-volume", id, "--confirm"]) == 2
    assert f"{id} is reef's own, and goes with it: `clusterous destroy reef`" in (
        capsys.readouterr().err
    )
    copy = a_snapshot(world, id, TAG_KEPT="reef")

    assert main.run(["destroy", "reef", "--leave-shared-volume", "--yes", "-o", "json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == {
        "cluster": "reef", "left": [], "unseen": [],
        "kept": [
            {"kind": "volume", "id": id, "monthly": 2.64},
            {"kind": "snapshot", "id": copy, "monthly": 1.65},
        ],
    }  # fmt: skip
    assert f"! the snapshot {copy} is kept, at most 1.65 $ a month" in said.err

    assert main.run(["destroy", "reef", "--yes"]) == 0
    said = capsys.readouterr()
    assert "nothing of reef" in said.err
    assert f"the volume {id} is kept, 2.64 $ a month" in said.err
    assert main.run(["ls-volumes"]) == 0
    assert "2 kept, at most 4.29 $ a month" in capsys.readouterr().out

    assert main.run(["rm-volume", id, "--confirm"]) == 0
    assert f"Its snapshot stays: {copy}, at most 1.65 $ a month." in capsys.readouterr().err
    assert main.run(["rm-volume", copy, "--yes", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"removed": copy, "kept": []}
    assert world.server.leftovers() == []
    assert main.run(["ls-volumes"]) == 0
    assert "There is no volume of clusterous in eu-west-1" in capsys.readouterr().err


def test_a_file_system_that_is_kept_is_listed_and_removed(
    world: cloud.World, capsys: Printed
) -> None:
    tags = [{"Key": names.TAG_KEPT, "Value": "reef"}]
    made = world.cloud.call("efs", "create_file_system", CreationToken="kept", Tags=tags)
    id = made["FileSystemId"]

    one = listed(capsys)[id]
    assert (one["type"], one["cluster"], one["state"]) == ("efs", "reef", "kept")
    assert main.run(["rm-volume", id, "--confirm"]) == 0
    assert listed(capsys) == {}


def test_only_what_is_kept_and_free_is_removed(world: cloud.World, capsys: Printed) -> None:
    machine = world.cloud.call(
        "ec2", "run_instances", ImageId=images.IMAGES[0].id("eu-west-1"), InstanceType="t3.nano",
        MinCount=1, MaxCount=1, Placement={"AvailabilityZone": "eu-west-1a"},
    )["Instances"][0]["InstanceId"]  # fmt: skip
    held, foreign = a_volume(world, TAG_KEPT="reef"), a_volume(world)
    own = a_volume(world, TAG_UID=WHO.uid, TAG_CLUSTER="reef", TAG_ROLE=SHARED)
    copy = a_snapshot(world, foreign)
    world.cloud.call("ec2", "attach_volume", VolumeId=held, InstanceId=machine, Device="/dev/sdf")
    before = world.mutating()

    refused = {
        held: f"{held} is in use by {machine}",
        foreign: f"{foreign} was not made by clusterous",
        copy: f"{copy} was not made by clusterous",
        own: f"{own} is reef's own, and goes with it: `clusterous destroy reef`",
        "vol-0123456789abcdef0": "There is no volume vol-0123456789abcdef0 in eu-west-1",
        "reef": "'reef' is no id of a volume or a snapshot",
    }
    for id, says in refused.items():
        assert main.run(["rm-volume", id, "--yes"]) == 2
        assert says in capsys.readouterr().err

    assert world.mutating() == before
    assert set(listed(capsys)) == {held, own}


def test_a_volume_that_a_cluster_took_by_its_id_is_not_removed_while_nothing_has_it(
    world: cloud.World, capsys: Printed
) -> None:
    id = a_volume(world, TAG_KEPT="coral")
    where = {"LocationConstraint": "eu-west-1"}
    world.cloud.call(
        "ec2", "create_vpc", CidrBlock="10.40.0.0/16",
        TagSpecifications=tagged("vpc", WHO.tags("vpc")),
    )  # fmt: skip
    world.cloud.call("s3", "create_bucket", Bucket=WHO.bucket, CreateBucketConfiguration=where)
    told = volumeserver.order(id, given=True, marked=True).encode()
    world.cloud.call("s3", "put_object", Bucket=WHO.bucket, Key=VOLUME, Body=told)

    assert main.run(["rm-volume", id, "--yes"]) == 2
    assert f"{id} is in use by reef" in capsys.readouterr().err
    assert listed(capsys)[id]["used_by"] == "reef"

    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    deny = {"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"}
    world.configure(user_policy={"Version": "2012-10-17", "Statement": [everything, deny]})
    assert main.run(["rm-volume", id, "--yes"]) == 2
    assert f"Whether reef uses {id} could not be seen" in capsys.readouterr().err
    assert main.run(["ls-volumes"]) == 0
    assert "! could not look whether reef uses one" in capsys.readouterr().err


def test_what_may_not_be_looked_at_is_not_called_nothing(
    world: cloud.World, capsys: Printed
) -> None:
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    deny = {"Effect": "Deny", "Action": "ec2:DescribeVolumes", "Resource": "*"}
    world.configure(user_policy={"Version": "2012-10-17", "Statement": [everything, deny]})

    assert main.run(["ls-volumes"]) == 0

    said = capsys.readouterr().err
    assert "! could not look for volumes: not permitted (ec2:DescribeVolumes)" in said
    assert "not all could be looked at" in said


def test_why_aws_keeps_a_snapshot_is_told(world: cloud.World, capsys: Printed) -> None:
    volume = a_volume(world, TAG_KEPT="reef")
    copy = a_snapshot(world, volume, TAG_KEPT="reef")
    world.fault(
        service="ec2", action="DeleteSnapshot", kind="error", code="InvalidSnapshot.InUse",
        status=400, times=1, message=f"The snapshot {copy} is currently in use by ami-1",
    )  # fmt: skip

    assert main.run(["rm-volume", copy, "--yes"]) == 1

    assert "is what a machine image boots, so AWS keeps it" in capsys.readouterr().err


def test_nothing_is_removed_without_an_answer(world: cloud.World, capsys: Printed) -> None:
    id = a_volume(world, TAG_KEPT="reef")

    assert main.run(["rm-volume", id]) == 2

    said = capsys.readouterr().err
    assert f"This deletes the volume {id} in eu-west-1" in said
    assert "Type its id to go on" in said
    assert set(listed(capsys)) == {id}
