"""EBS by its API: states that last, what is refused meanwhile, growth, and what snapshots keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.region.aws import images, loopback
from tests.region.aws.settings import Settings

AMI = images.IMAGES[0].id("eu-west-1")
ZONE = "eu-west-1a"
SLOW = Settings(
    pending=10,
    stopping=10,
    shutting_down=10,
    volume_creating=10,
    volume_attaching=10,
    volume_detaching=10,
    volume_modifying=10,
    volume_optimizing=100,
    snapshot_pending=10,
    clock_skew=10 * 24 * 3600,  # clients keep the time of this machine
)


@dataclass(frozen=True, slots=True)
class Lab:
    aws: loopback.Account
    ec2: Any

    def volume(self, **more: Any) -> str:
        asked = {"AvailabilityZone": ZONE, "VolumeType": "gp3", "Encrypted": True, **more}
        if "SnapshotId" not in more:
            asked.setdefault("Size", 20)
        return str(self.ec2.create_volume(**asked)["VolumeId"])

    def ready(self, **more: Any) -> str:
        id = self.volume(**more)
        self.aws.clock.advance(11)
        return id

    def instance(self, **more: Any) -> str:
        asked = {"ImageId": AMI, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1, **more}
        placed = {"Placement": {"AvailabilityZone": ZONE}, **asked}
        return str(self.ec2.run_instances(**placed)["Instances"][0]["InstanceId"])

    def attach(self, volume: str, instance: str, device: str = "/dev/sdf") -> Any:
        return self.ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device=device)

    def modify(self, volume: str, **wanted: Any) -> Any:
        return self.ec2.modify_volume(VolumeId=volume, **wanted)["VolumeModification"]

    def shown(self, volume: str) -> Any:
        return self.ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]

    def state(self, volume: str) -> tuple[str, str | None]:
        seen = self.shown(volume)
        return seen["State"], next((one["State"] for one in seen["Attachments"]), None)


@pytest.fixture
def lab() -> Iterator[Lab]:
    with loopback.account(SLOW) as account:
        yield Lab(account, account.client("ec2"))


def refused(call: Callable[..., Any], **arguments: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return str(error.value.response["Error"]["Code"])


def test_a_volume_comes_and_goes_in_its_time(lab: Lab) -> None:
    volume, instance = lab.volume(), lab.instance()
    seen = [lab.state(volume)]
    lab.aws.clock.advance(11)
    seen.append(lab.state(volume))
    assert lab.attach(volume, instance)["State"] == "attaching"
    seen.append(lab.state(volume))
    lab.aws.clock.advance(11)
    seen.append(lab.state(volume))
    assert lab.ec2.detach_volume(VolumeId=volume)["State"] == "detaching"
    seen.append(lab.state(volume))
    assert refused(lab.ec2.delete_volume, VolumeId=volume) == "VolumeInUse"
    assert refused(lab.ec2.detach_volume, VolumeId=volume) == "IncorrectState"
    lab.aws.clock.advance(11)
    seen.append(lab.state(volume))
    lab.ec2.delete_volume(VolumeId=volume)

    assert seen == [
        ("creating", None),
        ("available", None),
        ("in-use", "attaching"),
        ("in-use", "attached"),
        ("in-use", "detaching"),
        ("available", None),
    ]
    assert refused(lab.ec2.describe_volumes, VolumeIds=[volume]) == "InvalidVolume.NotFound"


def test_only_a_volume_that_is_free_goes_to_a_machine_that_is_there(lab: Lab) -> None:
    volume, pending = lab.volume(), lab.instance()
    creating = refused(lab.attach, volume=volume, instance=pending)
    lab.aws.clock.advance(11)
    early = refused(lab.attach, volume=volume, instance=lab.instance())
    lab.attach(volume, pending)
    taken = refused(lab.attach, volume=volume, instance=pending, device="/dev/sdg")
    lab.aws.clock.advance(11)
    lab.ec2.stop_instances(InstanceIds=[pending])
    other = lab.ready()
    lab.attach(other, pending, "/dev/sdg")
    ending = lab.ready()
    lab.ec2.terminate_instances(InstanceIds=[pending])

    assert (creating, early, taken) == ("IncorrectState", "IncorrectState", "VolumeInUse")
    assert refused(lab.attach, volume=ending, instance=pending) == "IncorrectState"


def test_a_volume_outlives_its_machine_but_not_a_moment_before_it_has_ended(lab: Lab) -> None:
    own = {"DeviceName": "/dev/sdk", "Ebs": {"VolumeSize": 5, "DeleteOnTermination": True}}
    old, new = lab.instance(BlockDeviceMappings=[own]), lab.instance()
    kept = lab.ready()
    lab.attach(kept, old)
    lab.aws.clock.advance(11)
    [attachment] = lab.shown(kept)["Attachments"]
    lab.ec2.terminate_instances(InstanceIds=[old])

    held = refused(lab.attach, volume=kept, instance=new)
    lab.aws.clock.advance(11)
    lab.attach(kept, new)

    sizes = sorted(one["Size"] for one in lab.ec2.describe_volumes()["Volumes"])
    assert attachment["DeleteOnTermination"] is False
    assert held == "VolumeInUse"
    assert 5 not in sizes
    assert 20 in sizes


def test_a_detach_waits_until_the_machine_lets_go(lab: Lab) -> None:
    volume, instance = lab.volume(), lab.instance()
    held = True
    lab.aws.server.volume_held = lambda id: held and id == volume
    lab.aws.clock.advance(11)
    lab.attach(volume, instance)
    lab.aws.clock.advance(11)
    lab.ec2.detach_volume(VolumeId=volume)
    lab.aws.clock.advance(11)
    busy = lab.state(volume)
    again = refused(lab.ec2.detach_volume, VolumeId=volume)
    held = False
    lab.aws.clock.advance(1)
    free = lab.state(volume)
    held = True
    lab.attach(volume, instance)
    lab.aws.clock.advance(11)
    lab.ec2.detach_volume(VolumeId=volume)
    lab.ec2.detach_volume(VolumeId=volume, Force=True)
    lab.aws.clock.advance(11)

    assert (busy, again) == (("in-use", "busy"), "IncorrectState")
    assert free == ("available", None)
    assert lab.state(volume) == ("available", None)


def test_machines_see_volumes_that_are_attached_and_no_roots(lab: Lab) -> None:
    volume, instance = lab.ready(Size=7), lab.instance()
    lab.aws.clock.advance(11)

    def seen() -> list[tuple[str, int, str | None]]:
        shown = lab.aws.server.snapshot().volumes
        return [(one.id, one.size_gib, one.instance_id) for one in shown]

    free = seen()
    lab.attach(volume, instance)
    early = seen()
    lab.aws.clock.advance(11)
    snapshot = lab.ec2.create_snapshot(VolumeId=volume)["SnapshotId"]

    assert free == early == [(volume, 7, None)]
    assert seen() == [(volume, 7, instance)]
    assert [one.id for one in lab.aws.server.snapshot().volume_snapshots] == [snapshot]


def test_a_larger_size_is_there_once_the_volume_is_optimizing(lab: Lab) -> None:
    volume = lab.ready()

    asked = lab.modify(volume, Size=30, Iops=4000)
    before = lab.shown(volume)["Size"]
    lab.aws.clock.advance(11)
    seen = lab.shown(volume)
    [told] = lab.ec2.describe_volumes_modifications(VolumeIds=[volume])["VolumesModifications"]
    again = refused(lab.modify, volume=volume, Size=40)
    lab.aws.clock.advance(101)
    [ended] = lab.ec2.describe_volumes_modifications(
        Filters=[{"Name": "modification-state", "Values": ["completed"]}]
    )["VolumesModifications"]

    assert (asked["ModificationState"], before) == ("modifying", 20)
    assert (seen["Size"], seen["Iops"], seen["Throughput"]) == (30, 4000, 125)
    assert (told["ModificationState"], told["OriginalSize"], told["TargetSize"]) == (
        "optimizing",
        20,
        30,
    )
    assert again == "IncorrectModificationState"
    assert ended["Progress"] == 100


def test_the_fifth_modification_of_a_day_is_too_many(lab: Lab) -> None:
    volume = lab.ready()
    for size in (21, 22, 23, 24):
        lab.modify(volume, Size=size)
        lab.aws.clock.advance(120)

    assert refused(lab.modify, volume=volume, Size=25) == "VolumeModificationRateExceeded"
    lab.aws.clock.advance(24 * 3600)
    lab.modify(volume, Size=25)


def test_a_snapshot_is_pending_and_keeps_the_size_of_its_moment(lab: Lab) -> None:
    volume = lab.ready()
    snapshot = lab.ec2.create_snapshot(VolumeId=volume)
    id = snapshot["SnapshotId"]
    early = refused(lab.volume, SnapshotId=id)
    too_soon = refused(lab.ec2.create_snapshot, VolumeId=volume)
    lab.modify(volume, Size=40)
    lab.aws.clock.advance(11)
    [own] = lab.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]

    assert snapshot["State"] == "pending"
    assert early == "IncorrectState"
    assert too_soon == "SnapshotCreationPerVolumeRateExceeded"
    assert (own["State"], own["Progress"], own["VolumeSize"]) == ("completed", "100%", 20)
    assert refused(lab.volume, SnapshotId=id, Size=10) == "InvalidParameterValue"
    assert lab.shown(lab.volume(SnapshotId=id))["Size"] == 20
    assert lab.shown(lab.volume(SnapshotId=id, Size=30))["Encrypted"] is True


def test_the_same_client_token_makes_one_volume(lab: Lab) -> None:
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "for", "Value": "data"}]}]
    one = lab.volume(ClientToken="t", TagSpecifications=tags)

    assert lab.volume(ClientToken="t", TagSpecifications=tags) == one
    assert refused(lab.volume, ClientToken="t", Size=2) == "IdempotentParameterMismatch"
    [found] = lab.ec2.describe_volumes(Filters=[{"Name": "tag:for", "Values": ["data"]}])["Volumes"]
    assert found["VolumeId"] == one


def test_an_account_has_room_for_so_much(lab: Lab) -> None:
    lab.aws.configure(gp3_tib_limit=1)
    lab.volume(Size=1000)

    assert refused(lab.volume, Size=25) == "VolumeLimitExceeded"
    assert lab.volume(Size=24)


SHAPES = [
    pytest.param({"Size": 0}, id="too-small"),
    pytest.param({"Size": 16385}, id="too-large"),
    pytest.param({"Iops": 2999}, id="too-few-iops"),
    pytest.param({"Size": 100, "Iops": 16001}, id="too-many-iops"),
    pytest.param({"Size": 7, "Iops": 4000}, id="iops-for-its-size"),
    pytest.param({"Throughput": 124}, id="too-slow"),
    pytest.param({"Size": 100, "Iops": 16000, "Throughput": 1001}, id="too-fast"),
    pytest.param({"Iops": 3000, "Throughput": 751}, id="throughput-for-its-iops"),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_no_volume_has_a_shape_that_aws_does_not_offer(lab: Lab, shape: dict[str, int]) -> None:
    volume = lab.ready(Size=min(shape.get("Size", 20) or 1, 100))

    assert refused(lab.volume, **shape) == "InvalidParameterValue"
    assert refused(lab.modify, volume=volume, **shape) == "InvalidParameterValue"


def test_what_is_offered_is_made(lab: Lab) -> None:
    shown = lab.shown(lab.volume(Size=16384, Iops=16000, Throughput=1000))

    assert (shown["Iops"], shown["Throughput"], shown["Encrypted"]) == (16000, 1000, True)
