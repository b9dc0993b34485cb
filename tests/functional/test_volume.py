"""The shared volume on EBS: made once, grown in place, taken by id; never replaced by a change."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from clusterous_api import names
from clusterous_api.errors import (
    ClusterousError,
    FailedError,
    LeftBehindError,
    NotBeforeError,
    UserError,
)
from clusterous_cli import main
from clusterous_cli.addons import volumeserver
from clusterous_cli.cluster import config, prices, record
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import VOLUME
from clusterous_cli.cluster.tags import tags_of
from clusterous_cli.commands import opening
from clusterous_cli.output import show
from clusterous_cli.plan import cost
from clusterous_cli.plan.kinds.machines import STATE
from clusterous_cli.plan.kinds.volume import attachment, ebs
from clusterous_cli.plan.machines import nodes
from clusterous_cli.system import wait
from tests.functional import cloud

REEF = config.parse("name: reef\nmaster: none\nworkers: 1\nvolume: {size: 30}\n")
NOW = datetime(2026, 11, 29, tzinfo=UTC)
WHO = Identity(name="reef", account="123456789012", region="eu-west-1")


def with_volume(volume: str) -> config.ClusterConfig:
    return config.parse(f"name: reef\nworkers: 1\nvolume: {volume}\n")


def volumes(world: cloud.World) -> list[dict[str, Any]]:
    """List the volumes that are no machine's own disk, nor its state's."""
    listed = world.cloud.pages("ec2", "describe_volumes", "Volumes")
    return [
        one
        for one in listed
        if names.TAG_POOL not in tags_of(one) and tags_of(one).get(names.TAG_ROLE) != STATE
    ]


def machine(world: cloud.World, role: str) -> str:
    groups = world.cloud.pages("ec2", "describe_instances", "Reservations")
    (id,) = [
        one["InstanceId"]
        for group in groups
        for one in group["Instances"]
        if tags_of(one).get(names.TAG_ROLE) == role and one["State"]["Name"] == "running"
    ]
    return str(id)


def noted(world: cloud.World) -> str:
    answer = world.cloud.call("s3", "get_object", Bucket=WHO.bucket, Key=VOLUME)
    return str(answer["Body"].read().decode())


def told(id: str, *, given: bool = False, marked: bool = False) -> str:
    return volumeserver.order(id, given=given, marked=marked)


def existing(world: cloud.World, zone: str = "eu-west-1a", **more: Any) -> str:
    """Make a volume that nobody of ours has made."""
    answer = world.cloud.call(
        "ec2", "create_volume", AvailabilityZone=zone, Size=50, VolumeType="gp3", **more
    )
    return str(answer["VolumeId"])


def touched(world: cloud.World, before: list[str]) -> list[str]:
    """Return the calls since *before* that make, change or remove volumes."""
    return [call for call in world.mutating()[len(before) :] if "Volume" in call]


def test_a_volume_is_made_with_its_cluster_and_goes_with_it(world: cloud.World) -> None:
    drawn = world.design(REEF)
    assert "30 GiB gp3, encrypted" in show.plan_table(drawn, cost.of(REEF, "us-east-1"))
    world.laid(REEF)

    (made,) = volumes(world)
    (held,) = made["Attachments"]
    assert (made["Size"], made["VolumeType"], made["Encrypted"]) == (30, "gp3", True)
    assert held["InstanceId"] == machine(world, "controller")
    assert not held.get("DeleteOnTermination")  # moto leaves it out
    assert noted(world) == told(made["VolumeId"])
    assert world.design(REEF).plan.pending == ()

    world.destroy("reef")
    assert world.server.leftovers() == []
    assert "ec2:DetachVolume" not in world.mutating()


def test_a_volume_is_marked_when_it_was_formatted_and_then_served(world: cloud.World) -> None:
    world.stand(REEF)

    (made,) = volumes(world)
    assert tags_of(made)[names.TAG_FORMATTED] == "xfs"
    assert noted(world) == told(made["VolumeId"], marked=True)
    before = world.mutating()
    world.create(REEF)
    assert [call for call in world.mutating()[len(before) :] if call != "s3:PutObject"] == []

    # What was said once stays said, also where the tag is lost.
    world.cloud.call(
        "ec2", "delete_tags", Resources=[made["VolumeId"]], Tags=[{"Key": names.TAG_FORMATTED}]
    )
    assert world.design(REEF).plan.pending == ()


def test_a_mark_that_was_cut_short_is_made_whole(world: cloud.World) -> None:
    world.laid(REEF)
    (made,) = volumes(world)
    tag = {"Key": names.TAG_FORMATTED, "Value": "xfs"}
    world.cloud.call("ec2", "create_tags", Resources=[made["VolumeId"]], Tags=[tag])

    assert [step.key for step in world.design(REEF).plan.pending] == ["volume-note"]
    world.create(REEF)
    assert noted(world) == told(made["VolumeId"], marked=True)


def test_only_our_own_volume_is_marked(world: cloud.World) -> None:
    id = existing(world)
    made = {"phase": "made", "made": True, "size": 0, "error": "", "volume": id}
    world.converge(with_volume(f"{{id: {id}}}")).execute()

    with pytest.raises(FailedError, match="shared volume"):
        world.create(with_volume(f"{{id: {id}}}"), view={"volume": made}, seconds=2)

    assert volumes(world)[0].get("Tags", []) == []


def test_a_damaged_volume_is_an_error_that_names_the_newest_snapshot(
    world: cloud.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "VOLUME_SECONDS", 0.5)
    world.laid(REEF)
    id = volumes(world)[0]["VolumeId"]
    snapshot = world.cloud.call("ec2", "create_snapshot", VolumeId=id)["SnapshotId"]
    words = f"{id} was formatted, and no file system is found on it."
    damaged = {"volume": id, "phase": "refused", "reason": "damaged", "error": words}

    with pytest.raises(FailedError, match=rf"{words}\n  Its newest snapshot is {snapshot}"):
        world.create(REEF, view={"volume": damaged})


def test_an_existing_file_system_is_taken_and_never_ours(world: cloud.World) -> None:
    made = world.cloud.call("efs", "create_file_system", CreationToken="theirs", Encrypted=True)
    id = made["FileSystemId"]
    given = with_volume(f"{{id: {id}}}")
    world.create(given)

    listed = world.cloud.call("efs", "describe_mount_targets", FileSystemId=id)["MountTargets"]
    assert [one["IpAddress"] for one in listed] == ["10.40.16.11"]
    assert world.design(given).plan.pending == ()
    with pytest.raises(UserError, match=f"the shared volume is {id}, not on EFS"):
        world.design(with_volume("efs"))
    with pytest.raises(UserError, match=f"{id} is mounted in the network vpc-"):
        world.design(replace(given, name="reef-2"))

    world.destroy("reef")
    (kept,) = shared(world)
    assert (kept["id"], kept["tags"]) == (id, {})
    with pytest.raises(UserError, match="there is no volume fs-0123456789abcdef0"):
        world.design(with_volume("{id: fs-0123456789abcdef0}"))


@pytest.mark.parametrize("kind", ["ebs", "efs"])
def test_a_volume_that_is_kept_is_nobodys_and_the_next_cluster_makes_its_own(
    world: cloud.World, kind: str
) -> None:
    reef = with_volume(kind)
    world.laid(reef)
    (kept,) = shared(world)

    world.destroy("reef", keep=True)
    (left,) = shared(world)
    assert (left["id"], left["state"]) == (kept["id"], "available")
    assert left["tags"][names.TAG_KEPT] == "reef"
    assert not left["tags"].keys() & {names.TAG_UID, names.TAG_CLUSTER, names.TAG_ROLE}
    assert [one for one in world.server.leftovers() if left["id"] not in one] == []

    world.converge(reef).execute()
    world.destroy("reef")
    assert [one["id"] for one in shared(world)] == [kept["id"]]


def shared(world: cloud.World) -> list[dict[str, Any]]:
    on_ebs = [
        {"id": one["VolumeId"], "state": one["State"], "tags": tags_of(one)}
        for one in volumes(world)
    ]
    listed = world.cloud.pages("efs", "describe_file_systems", "FileSystems")
    return on_ebs + [
        {"id": one["FileSystemId"], "state": one["LifeCycleState"], "tags": tags_of(one)}
        for one in listed
        if one["LifeCycleState"] != "deleted"
    ]


def test_what_is_kept_is_told_with_its_price_and_is_no_failure(
    world: cloud.World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.laid(REEF)
    (made,) = volumes(world)
    id = made["VolumeId"]
    monkeypatch.setattr("clusterous_cli.aws.client.connect", lambda *_: world.cloud)

    code = main.run(["destroy", "reef", "--leave-shared-volume", "--yes", "-o", "json"])

    said = capsys.readouterr()
    assert code == 0
    assert f"the volume {id} is kept, 2.64 $ a month" in said.err
    assert json.loads(said.out) == {
        "cluster": "reef", "left": [], "unseen": [],
        "kept": [{"kind": "volume", "id": id, "monthly": 2.64}],
    }  # fmt: skip


def test_a_volume_taken_by_its_id_goes_only_when_that_is_said(
    world: cloud.World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    id = existing(world)
    world.converge(with_volume(f"{{id: {id}}}")).execute()
    monkeypatch.setattr("clusterous_cli.aws.client.connect", lambda *_: world.cloud)
    forced = ["destroy", "reef", "--force-delete-shared-volume"]
    assert main.run([*forced, "--leave-shared-volume", "--confirm"]) == 2
    assert "say one of them" in capsys.readouterr().err
    assert main.run(forced) == 2  # nobody is there to answer
    assert f"the volume {id}, which was there before it" in capsys.readouterr().err
    world.fault(
        service="ec2", action="DeleteVolume", kind="error", code="Other", status=400, times=9
    )

    assert main.run([*forced, "--confirm"]) == 3
    assert f"volume {id}: ec2:DeleteVolume" in capsys.readouterr().err

    world.server.world.faults.clear()
    assert main.run([*forced, "--confirm", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["kept"] == []
    assert world.server.leftovers() == []


def test_keeping_goes_on_where_it_was_cut_short(world: cloud.World) -> None:
    world.laid(REEF)
    (made,) = volumes(world)
    world.fault(service="ec2", action="DeleteTags", kind="error", code="Other", status=400, times=1)
    with pytest.raises(ClusterousError):
        world.destroy("reef", keep=True)

    world.destroy("reef", keep=True)

    assert [one["id"] for one in shared(world)] == [made["VolumeId"]]
    assert names.TAG_UID not in shared(world)[0]["tags"]


def test_a_volume_that_somebody_attached_elsewhere_is_not_taken_from_there(
    world: cloud.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ebs, "FREE_SECONDS", 1)
    world.laid(REEF)
    id = volumes(world)[0]["VolumeId"]
    old = machine(world, "controller")
    other = world.cloud.call(
        "ec2", "run_instances", ImageId=world.design(REEF).image.id, InstanceType="t3.nano",
        MinCount=1, MaxCount=1, Placement={"AvailabilityZone": "eu-west-1a"},
    )["Instances"][0]["InstanceId"]  # fmt: skip
    world.end(old)
    wait.until(
        lambda: volumes(world)[0]["State"] == "available" or None, "ending", wait.Pauses(),
        timeout=20,
    )  # fmt: skip
    world.cloud.call("ec2", "attach_volume", VolumeId=id, InstanceId=other, Device="/dev/sdf")

    with pytest.raises(LeftBehindError, match=rf"{id}.*: {other} has it attached"):
        world.destroy("reef")

    assert "ec2:DetachVolume" not in world.mutating()
    assert volumes(world)[0]["Attachments"][0]["InstanceId"] == other


@pytest.mark.parametrize(
    ("free", "kept", "says"),
    [(12 << 30, 79, "18.0 GiB of 30.0 GiB used, serving"), (1 << 30, 80, "has 1.0 GiB left")],
)
def test_status_says_how_full_the_volumes_are(
    world: cloud.World, free: int, kept: int, says: str
) -> None:
    world.laid(REEF)
    (made,) = volumes(world)
    told = {"volume": made["VolumeId"], "phase": "serving", "size": 30 << 30, "free": free,
            "made": True, "reason": "", "error": ""}  # fmt: skip
    world.create(REEF, view={"volume": told, "kept": kept})
    cluster = record.open_cluster("reef", world.cloud)

    table = show.cluster_table(cluster, cost.of(REEF, "eu-west-1"), NOW, opening.Inside())
    data = show.cluster_data(cluster, cost.of(REEF, "eu-west-1"), NOW)

    assert f"volume: ebs {made['VolumeId']}, " in table
    assert says in table
    assert " $ so far if it was always of this size\n" in table
    assert ("what Kubernetes knows is 80% full" in table) is (kept == 80)
    assert data["volume"]["free"] == free
    assert data["state_volume"] == {"used_percent": kept}


def test_what_it_costs_is_in_the_price() -> None:
    without = cost.of(with_volume("none"), "us-east-1").hourly
    fast = cost.of(with_volume("{size: 100, iops: 4000, throughput: 225}"), "us-east-1").hourly

    month = (fast - without) * prices.HOURS_PER_MONTH
    assert month == pytest.approx(100 * 0.08 + 1000 * 0.005 + 100 * 0.04)


def test_all_that_can_be_changed_is_changed_in_one_call(world: cloud.World) -> None:
    world.laid(REEF)
    before = world.mutating()
    changed = with_volume("{size: 60, iops: 4000, throughput: 250}")

    table = show.plan_table(world.design(changed), cost.of(changed, "eu-west-1"))
    assert "size 30 → 60, iops 3000 → 4000, throughput 125 → 250" in table
    world.converge(changed).execute()

    assert touched(world, before) == ["ec2:ModifyVolume"]
    (made,) = volumes(world)
    assert (made["Size"], made["Iops"]) == (60, 4000)


REFUSED = {
    "efs": "the shared volume is on EBS, not on EFS",
    "none": "the shared volume is on EBS, not none",
    "{id: vol-0123456789abcdef0}": "on EBS, not vol-0123456789abcdef0",
    "{size: 20}": "volume.size is 30 GiB, not 20: a volume can grow, not shrink",
}


def test_no_change_of_the_file_replaces_a_volume(world: cloud.World) -> None:
    world.laid(REEF)
    before = world.mutating()

    for terminated in ("worker", "controller"):
        for volume, said in REFUSED.items():
            with pytest.raises(UserError, match=said):
                world.design(with_volume(volume))
        world.end(machine(world, terminated))

    for volume, said in REFUSED.items():
        with pytest.raises(UserError, match=said):
            world.design(with_volume(volume))
    assert touched(world, before) == []


@pytest.mark.parametrize("volume", ["ebs", "efs"])
def test_no_change_of_the_network_replaces_a_volume(world: cloud.World, volume: str) -> None:
    world.laid(with_volume(volume))
    before = world.mutating()

    for network in ("{cidr: 10.50.0.0/16}", "{zone: b}"):
        file = f"name: reef\nworkers: 1\nvolume: {volume}\nnetwork: {network}\n"
        with pytest.raises(UserError, match="cannot be changed while the cluster lives"):
            world.design(config.parse(file))
    if volume == "efs":
        for other in ("ebs", "none", "{id: fs-0123456789abcdef0}"):
            with pytest.raises(UserError, match="No change of the file replaces a volume"):
                world.design(with_volume(other))
    with pytest.raises(UserError, match="kms"):  # no key of one's own: none can be changed
        with_volume("{size: 20, kms_key: alias/mine}")

    assert world.mutating() == before


@pytest.mark.parametrize("volume", ["efs", "none"])
def test_a_cluster_without_ebs_gets_none(world: cloud.World, volume: str) -> None:
    world.laid(with_volume(volume))
    before = world.mutating()

    with pytest.raises(UserError, match="not on EBS"):
        world.design(REEF)

    assert touched(world, before) == []


def test_the_key_taken_out_of_the_file_takes_no_volume_away(world: cloud.World) -> None:
    id = existing(world)
    world.converge(with_volume(f"{{id: {id}}}")).execute()

    for volume in ("efs", "ebs"):
        with pytest.raises(UserError, match=f"the shared volume is {id}, not on"):
            world.design(with_volume(volume))


def test_an_existing_volume_is_taken_and_never_ours(world: cloud.World) -> None:
    id = existing(world, zone="eu-west-1b")
    given = with_volume(f"{{id: {id}}}")

    drawn = world.design(given)
    zones = {one.resource.value.zone for one in drawn.plan.steps if one.kind.name == "subnet"
             and one.resource}  # fmt: skip
    assert zones == {"eu-west-1b"}
    world.converge(given).execute()
    (taken,) = volumes(world)
    assert noted(world) == told(id, given=True, marked=True)
    assert taken["Attachments"][0]["InstanceId"] == machine(world, "controller")
    assert world.design(given).plan.pending == ()

    world.destroy("reef")
    (kept,) = volumes(world)
    assert (kept["VolumeId"], kept["State"], kept.get("Tags", [])) == (id, "available", [])


def test_an_existing_volume_grows_only_when_that_is_asked(world: cloud.World) -> None:
    id = existing(world)
    world.converge(with_volume(f"{{id: {id}}}")).execute()
    world.converge(with_volume(f"{{id: {id}, size: 70}}")).execute()

    assert volumes(world)[0]["Size"] == 70
    with pytest.raises(UserError, match="70 GiB, not 50"):
        world.design(with_volume(f"{{id: {id}, size: 50}}"))


def test_an_existing_volume_must_be_there_free_and_in_the_zone(world: cloud.World) -> None:
    id = existing(world, zone="eu-west-1b")
    given = with_volume(f"{{id: {id}}}")
    with pytest.raises(UserError, match="there is no volume vol-0123456789abcdef0"):
        world.design(with_volume("{id: vol-0123456789abcdef0}"))
    with pytest.raises(UserError, match=r"in zone eu-west-1b, and network.zone is eu-west-1a"):
        world.design(replace(given, zone="a"))

    other = world.cloud.call(
        "ec2", "run_instances", ImageId=world.design(REEF).image.id, InstanceType="t3.nano",
        MinCount=1, MaxCount=1, Placement={"AvailabilityZone": "eu-west-1b"},
    )["Instances"][0]["InstanceId"]  # fmt: skip
    world.cloud.call("ec2", "attach_volume", VolumeId=id, InstanceId=other, Device="/dev/sdf")
    before = world.mutating()
    with pytest.raises(UserError, match=f"{id} is attached to {other}, which is no machine"):
        world.design(given)
    assert world.mutating() == before


def test_another_clusters_own_volume_is_not_taken(world: cloud.World) -> None:
    world.laid(replace(REEF, name="reef-2"))
    (own,) = volumes(world)

    with pytest.raises(UserError, match="the own volume of cluster reef-2, and goes with it"):
        world.design(with_volume(f"{{id: {own['VolumeId']}}}"))


def test_a_volume_that_is_lost_is_told_with_its_newest_snapshot(world: cloud.World) -> None:
    world.laid(REEF)
    (own,) = volumes(world)
    id = own["VolumeId"]
    snapshot = world.cloud.call("ec2", "create_snapshot", VolumeId=id)["SnapshotId"]
    world.end(machine(world, "controller"))
    lose(world, id)
    before = world.mutating()

    with pytest.raises(FailedError, match=f"{id} is gone.*newest snapshot is {snapshot}"):
        world.design(REEF)
    assert world.mutating() == before

    # Of the snapshot a volume is made, and named.
    again = existing(world, SnapshotId=snapshot)
    world.converge(with_volume(f"{{id: {again}}}")).execute()
    assert noted(world) == told(again, given=True, marked=True)
    assert world.design(with_volume(f"{{id: {again}}}")).plan.pending == ()


def test_a_given_volume_that_is_lost_is_told_with_its_newest_snapshot_too(
    world: cloud.World,
) -> None:
    id = existing(world)
    given = with_volume(f"{{id: {id}}}")
    world.converge(given).execute()
    snapshot = world.cloud.call("ec2", "create_snapshot", VolumeId=id)["SnapshotId"]
    world.end(machine(world, "controller"))
    lose(world, id)

    with pytest.raises(FailedError, match=f"{id} is gone.*newest snapshot is {snapshot}"):
        world.design(given)
    with pytest.raises(UserError, match="there is no volume vol-0123456789abcdef0"):
        world.design(with_volume("{id: vol-0123456789abcdef0}"))


def test_a_lost_volume_without_a_snapshot_is_replaced_by_no_empty_one(world: cloud.World) -> None:
    world.laid(REEF)
    world.end(machine(world, "controller"))
    lose(world, volumes(world)[0]["VolumeId"])

    with pytest.raises(
        FailedError, match=r"No empty one is made in its stead\. There is no snapshot"
    ):
        world.design(REEF)
    world.destroy("reef")
    assert world.server.leftovers() == []


def lose(world: cloud.World, id: str) -> None:
    while next(one for one in volumes(world) if one["VolumeId"] == id)["State"] != "available":
        pass
    world.cloud.call("ec2", "delete_volume", VolumeId=id)


def test_a_volume_that_was_grown_at_aws_only_is_waited_for(world: cloud.World) -> None:
    """The create that grew it was killed; its file system follows later, or could not."""
    world.stand(REEF)
    bigger, (made,) = with_volume("{size: 32}"), volumes(world)
    world.configure(volume_modifying=2.0)
    call = world.cloud.call

    def dying(service: str, action: str, **params: Any) -> Any:
        answer = call(service, action, **params)
        if action == "modify_volume":
            raise cloud.Killed
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.cloud, "call", dying)
        with pytest.raises(cloud.Killed):
            world.converge(replace(REEF, volume=bigger.volume)).execute()
    world.renew()
    assert volumes(world)[0]["Size"] == 30  # AWS is at it still
    words = "it does not fill its volume yet: xfs_growfs ended with 1"
    small = {"volume": made["VolumeId"], "phase": "serving", "made": True, "size": 30 << 30,
             "filled": 30 << 30, "free": 1, "error": words}  # fmt: skip

    with pytest.raises(FailedError, match="nothing has come further: the shared volume"):
        world.create(replace(REEF, volume=bigger.volume), view={"volume": small}, seconds=1)

    assert volumes(world)[0]["Size"] == 32
    before = world.mutating()
    world.create(replace(REEF, volume=bigger.volume))
    assert touched(world, before) == []


@pytest.mark.parametrize("slow", [False, True], ids=["gone", "going"])
def test_a_file_system_that_is_lost_is_replaced_by_no_empty_one(
    world: cloud.World, slow: bool
) -> None:
    on_efs = with_volume("efs")
    world.laid(on_efs)
    (own,) = shared(world)
    assert noted(world) == told(own["id"], marked=True)
    lose_files(world, own["id"], slow=slow)
    before = world.mutating()

    with pytest.raises(FailedError, match=f"{own['id']} is gone.*No empty one is made in its"):
        world.design(on_efs)
    assert world.mutating() == before

    if slow:
        return
    # What AWS Backup brings back has another id, and is named.
    made = world.cloud.call("efs", "create_file_system", CreationToken="brought back")
    again = with_volume(f"{{id: {made['FileSystemId']}}}")
    world.converge(again).execute()
    assert noted(world) == told(made["FileSystemId"], given=True, marked=True)
    assert world.design(again).plan.pending == ()


def lose_files(world: cloud.World, id: str, *, slow: bool) -> None:
    """Delete a file system by hand; if *slow*, AWS is still at it."""
    efs = partial(world.cloud.call, "efs")
    for one in efs("describe_mount_targets", FileSystemId=id)["MountTargets"]:
        efs("delete_mount_target", MountTargetId=one["MountTargetId"])
    world.configure(efs_deleting=60.0 if slow else 0.05)
    wait.until(
        lambda: world.cloud.attempt("efs", "delete_file_system", "FileSystemInUse",
                                    FileSystemId=id),
        "Deleting", wait.Pauses(), timeout=20,
    )  # fmt: skip
    if not slow:
        wait.until(lambda: shared(world) == [] or None, "Deleting", wait.Pauses(), timeout=20)


def test_a_file_system_of_an_older_release_is_written_down_by_the_next_create(
    world: cloud.World,
) -> None:
    on_efs = with_volume("efs")
    world.laid(on_efs)
    (own,) = shared(world)
    world.cloud.call("s3", "delete_object", Bucket=WHO.bucket, Key=VOLUME)

    assert [step.key for step in world.design(on_efs).plan.pending] == ["volume-note"]
    world.converge(on_efs).execute()

    assert noted(world) == told(own["id"], marked=True)
    assert [one["id"] for one in shared(world)] == [own["id"]]


def test_a_new_controller_gets_the_volume_of_the_old_one(world: cloud.World) -> None:
    world.configure(shutting_down=1.0)
    world.converge(REEF).execute()
    old = machine(world, "controller")
    world.end(old)
    before = world.mutating()

    world.converge(REEF).execute()

    (made,) = volumes(world)
    assert made["Attachments"][0]["InstanceId"] == machine(world, "controller") != old
    assert touched(world, before) == ["ec2:AttachVolume", "ec2:AttachVolume"]  # its state's, too


def test_a_volume_that_another_machine_holds_is_waited_for_and_never_taken(
    world: cloud.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attachment, "ATTACH_SECONDS", 1.0)
    world.converge(REEF).execute()
    id, worker = volumes(world)[0]["VolumeId"], machine(world, "worker")
    world.cloud.call("ec2", "detach_volume", VolumeId=id)
    wait.until(
        lambda: volumes(world)[0]["State"] == "available" or None, "detaching", wait.Pauses(),
        timeout=20,
    )  # fmt: skip
    world.cloud.call("ec2", "attach_volume", VolumeId=id, InstanceId=worker, Device="/dev/sdf")
    before = world.mutating()

    with pytest.raises(
        NotBeforeError, match=rf"{id} is still held by {worker} \(running\)"
    ) as told:
        world.converge(REEF).change()

    assert told.value.exit_code == 75
    assert touched(world, before) == []


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("VolumeModificationRateExceeded", r"by \d\d:\d\d on .* \(UTC\) at the latest\. It says: "),
        (
            "IncorrectModificationState",
            r"at work on the last change of vol-\w+ \(\w+, \d+%\)",
        ),
    ],
    ids=["too many", "at once"],
)
def test_aws_takes_a_second_change_only_later(world: cloud.World, code: str, says: str) -> None:
    world.laid(REEF)
    world.converge(with_volume("{size: 40}")).execute()
    world.fault(
        service="ec2", action="ModifyVolume", kind="error", status=400, code=code, times=0,
        message="You can make the next one in a while.",
    )  # fmt: skip

    with pytest.raises(NotBeforeError, match=says) as told:
        world.converge(with_volume("{size: 50}")).change()

    assert told.value.exit_code == 75
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert (f"{tomorrow:%d %B}" in str(told.value)) is code.endswith("RateExceeded")


def test_a_volume_whose_answer_was_lost_is_not_made_twice(world: cloud.World) -> None:
    world.fault(service="ec2", action="CreateVolume", kind="lost")

    world.converge(REEF).execute()

    assert len(volumes(world)) == 1
