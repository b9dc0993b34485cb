"""The controller and what Kubernetes knows: kept on a volume of its own, beyond its machine."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from clusterous_api import names
from clusterous_api.errors import FailedError, NotBeforeError, UserError
from clusterous_cli.aws import errors
from clusterous_cli.cluster import config, record
from clusterous_cli.cluster.addresses import addresses
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import BEGUN, STATE
from clusterous_cli.cluster.tags import as_items, tags_of
from clusterous_cli.commands import opening
from clusterous_cli.output import show
from clusterous_cli.plan import cost
from clusterous_cli.plan.kinds import homes, machines, network
from clusterous_cli.system import wait
from tests.functional import cloud

REEF = config.parse("name: reef\nworkers: 1\nmaster: none\nvolume: none\n")
POOLED = config.parse("name: reef\nvolume: none\npools: {worker: 1, big: 1}\n")
WHO = Identity(name="reef", account="123456789012", region="eu-west-1")
OWNER = {"Bucket": WHO.bucket}


def ec2(world: cloud.World, action: str, **params: Any) -> Any:
    return world.cloud.call("ec2", action, **params)


def volume(world: cloud.World) -> dict[str, Any]:
    listed = world.cloud.pages("ec2", "describe_volumes", "Volumes")
    (found,) = [one for one in listed if tags_of(one).get(names.TAG_ROLE) == machines.STATE]
    return dict(found)


def there(world: cloud.World, role: str = "controller") -> list[dict[str, Any]]:
    groups = world.cloud.pages("ec2", "describe_instances", "Reservations")
    found = [one for group in groups for one in group["Instances"]]
    return [
        one
        for one in found
        if tags_of(one).get(names.TAG_ROLE) == role and one["State"]["Name"] != "terminated"
    ]


def controller(world: cloud.World) -> str:
    (one,) = there(world)
    return str(one["InstanceId"])


def told(world: cloud.World, key: str) -> str:
    return str(world.cloud.call("s3", "get_object", Key=key, **OWNER)["Body"].read().decode())


def until(check: Callable[[], Any], what: str) -> None:
    wait.until(lambda: check() or None, what, wait.Pauses(), timeout=30)


def status(world: cloud.World) -> tuple[str, dict[str, Any]]:
    """What `status` shows to people and to programs."""
    cluster = record.open_cluster("reef", world.cloud)
    price, now = cost.of(REEF, "eu-west-1"), datetime.now(UTC)
    inside = opening.inside(cluster, print)
    return show.cluster_table(cluster, price, now, inside), show.cluster_data(cluster, price, now)


def test_its_state_has_a_volume_that_is_formatted_once_and_goes_with_the_cluster(
    world: cloud.World,
) -> None:
    shown = show.plan_table(world.design(REEF), cost.of(REEF, "us-east-1"))
    assert "8 GiB for the controller's state" in shown

    world.create(REEF)

    made = volume(world)
    (held,) = made["Attachments"]
    assert (made["Size"], made["VolumeType"], made["Encrypted"]) == (8, "gp3", True)
    assert held["InstanceId"] == controller(world)
    assert tags_of(made)[names.TAG_FORMATTED] == "ext4"
    assert told(world, STATE) == f"id={made['VolumeId']}\nmarked=yes\n"
    assert world.design(REEF).plan.pending == ()

    world.destroy("reef")
    assert world.server.leftovers() == []
    assert not {"ec2:DetachVolume", "ec2:StopInstances"} & set(world.mutating())


def test_nothing_is_on_it_before_it_is_marked(world: cloud.World) -> None:
    world.laid(REEF)

    assert told(world, STATE) == f"id={volume(world)['VolumeId']}\nmarked=no\n"
    assert names.TAG_FORMATTED not in tags_of(volume(world))


def test_it_is_marked_while_the_way_to_the_internet_is_still_being_made(
    world: cloud.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ready(to: Any, id: str) -> str | None:  # a gateway that takes as long as it takes
        return id if "ec2:CreateTags" in world.mutating() else None

    monkeypatch.setattr(network, "_nat_ready", ready)
    monkeypatch.setattr(network, "NAT_SECONDS", 30)

    world.create(REEF)

    assert tags_of(volume(world))[names.TAG_FORMATTED] == "ext4"


def test_a_lost_controller_is_replaced_at_its_address_with_its_state(world: cloud.World) -> None:
    world.stand(REEF)
    before, (worker,) = volume(world), there(world, "worker")
    (old,) = there(world)
    world.configure(shutting_down=2.0)
    world.end(old["InstanceId"])
    calls = world.mutating()

    world.create(REEF)

    (new,) = there(world)
    assert new["InstanceId"] != old["InstanceId"]
    assert new["PrivateIpAddress"] == addresses(REEF.cidr).controller == old["PrivateIpAddress"]
    after = volume(world)
    assert after["VolumeId"] == before["VolumeId"]
    assert after["Attachments"][0]["InstanceId"] == new["InstanceId"]
    assert there(world, "worker")[0]["LaunchTime"] == worker["LaunchTime"]
    made = [call for call in world.mutating()[len(calls) :] if call.startswith("ec2:")]
    assert made == ["ec2:RunInstances", "ec2:AttachVolume"]


def test_a_controller_whose_boot_failed_is_replaced_though_it_is_protected(
    world: cloud.World,
) -> None:
    world.stand(REEF)
    old = controller(world)
    with pytest.raises(FailedError, match="no space left on device"):
        world.create(REEF, failing="controller")

    world.create(REEF)

    assert controller(world) != old
    assert volume(world)["Attachments"][0]["InstanceId"] == controller(world)


def test_an_end_that_takes_too_long_is_told_and_nothing_is_taken_by_force(
    world: cloud.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines, "ENDING_SECONDS", 1.0)
    world.stand(REEF)
    old = controller(world)
    world.configure(shutting_down=60.0)
    world.end(old)
    calls = world.mutating()

    with pytest.raises(NotBeforeError, match=rf"no new machine yet: {old}.* is being ended") as why:
        world.converge(REEF).change()

    assert why.value.exit_code == 75
    assert [call for call in world.mutating()[len(calls) :] if call.startswith("ec2:")] == []


def test_it_is_not_terminated_unasked(world: cloud.World) -> None:
    world.stand(REEF)
    id = controller(world)

    with pytest.raises(errors.AwsFailed, match="may not be terminated"):
        ec2(world, "terminate_instances", InstanceIds=[id])
    behaviour = ec2(
        world,
        "describe_instance_attribute",
        InstanceId=id,
        Attribute="instanceInitiatedShutdownBehavior",
    )
    assert behaviour["InstanceInitiatedShutdownBehavior"]["Value"] == "stop"

    # Workers are not: what is on them is elsewhere, too.
    ec2(world, "terminate_instances", InstanceIds=[there(world, "worker")[0]["InstanceId"]])


@pytest.mark.parametrize("stopping", [0.0, 3.0], ids=["stopped", "stopping"])
def test_a_controller_that_was_switched_off_is_started_again(
    world: cloud.World, stopping: float
) -> None:
    world.stand(REEF)
    id = controller(world)
    world.configure(stopping=stopping)
    ec2(world, "stop_instances", InstanceIds=[id])
    shown = show.plan_table(world.design(REEF), cost.of(REEF, "eu-west-1"))
    assert "start controller again" in shown
    calls = world.mutating()

    world.create(REEF)

    (one,) = there(world)
    assert (one["InstanceId"], one["State"]["Name"]) == (id, "running")
    made = [call for call in world.mutating()[len(calls) :] if call.startswith("ec2:")]
    assert set(made) == {"ec2:StartInstances"}


def test_a_controller_that_cannot_be_started_for_now_is_waited_for_and_never_doubled(
    world: cloud.World,
) -> None:
    world.stand(REEF)
    id = controller(world)
    ec2(world, "stop_instances", InstanceIds=[id])
    world.configure(capacity={"t3.medium": 0})
    more = REEF.changed("worker", count=2)

    with pytest.raises(errors.NoCapacity, match=f"{id} is stopped, and is not replaced") as why:
        world.converge(more).change()

    assert why.value.exit_code == 75
    assert controller(world) == id
    assert world.mutating().count("ec2:StartInstances") == 1  # no other type is asked for
    world.configure(capacity={})
    world.create(more)
    assert controller(world) == id
    assert len(there(world, "worker")) == 2


def test_what_a_machine_said_before_it_was_started_again_counts_no_more(
    world: cloud.World,
) -> None:
    world.stand(REEF)
    id = controller(world)
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    body = f'{{"phase": "ready", "time": "{long_ago:%Y-%m-%dT%H:%M:%SZ}"}}'
    world.cloud.call(
        "s3", "put_object", Key=f"{WHO.reports}/{id}.json", Body=body.encode(), **OWNER
    )

    (node,) = [one for one in record.read_nodes(world.cloud, WHO) if one.instance_id == id]

    assert (node.phase, node.report) == ("", None)


# -- nothing begins anew ------------------------------------------------------------------------


def lose(world: cloud.World, id: str) -> None:
    world.end(controller(world))
    until(lambda: volume(world)["State"] == "available", "ending")
    ec2(world, "delete_volume", VolumeId=id)


def test_a_lost_volume_is_told_with_its_newest_snapshot_and_what_makes_one_of_it(
    world: cloud.World,
) -> None:
    world.stand(REEF)
    id = volume(world)["VolumeId"]
    snapshot = ec2(world, "create_snapshot", VolumeId=id)["SnapshotId"]
    lose(world, id)
    calls = world.mutating()

    with pytest.raises(FailedError, match=rf"{id} is gone.*{snapshot}(?s:.*)create-volume") as why:
        world.design(REEF)
    assert world.mutating() == calls

    # As it is told, in the words of the API.
    spelled = str(why.value).split("Tags=[", 1)[1].rstrip("]'")
    pairs = [one.strip("{}").split(",Value=") for one in spelled.split("},{")]
    tags = [{"Key": key.removeprefix("Key="), "Value": value} for key, value in pairs]
    again = ec2(
        world, "create_volume", SnapshotId=snapshot, AvailabilityZone="eu-west-1a",
        VolumeType="gp3", Encrypted=True,
        TagSpecifications=[{"ResourceType": "volume", "Tags": tags}],
    )["VolumeId"]  # fmt: skip
    world.create(REEF)
    assert told(world, STATE) == f"id={again}\nmarked=yes\n"
    assert volume(world)["Attachments"][0]["InstanceId"] == controller(world)


def test_a_lost_volume_without_a_snapshot_is_replaced_by_no_empty_one(world: cloud.World) -> None:
    world.stand(REEF)
    lose(world, volume(world)["VolumeId"])

    with pytest.raises(FailedError, match=r"no snapshot of it\. `clusterous destroy reef`"):
        world.design(REEF)

    world.destroy("reef")
    assert world.server.leftovers() == []
    world.create(REEF)


def test_before_anything_has_begun_a_lost_volume_is_made_anew(world: cloud.World) -> None:
    world.laid(REEF)
    first = volume(world)["VolumeId"]
    lose(world, first)

    world.create(REEF)

    assert volume(world)["VolumeId"] != first
    assert told(world, BEGUN).startswith(volume(world)["VolumeId"])


def test_an_empty_volume_in_its_stead_is_never_formatted(world: cloud.World) -> None:
    world.stand(REEF)
    lose(world, volume(world)["VolumeId"])
    tags = as_items(WHO.tags(machines.STATE))
    ec2(
        world, "create_volume", Size=8, AvailabilityZone="eu-west-1a", VolumeType="gp3",
        TagSpecifications=[{"ResourceType": "volume", "Tags": tags}],
    )  # fmt: skip

    world.converge(REEF).execute()

    assert told(world, STATE) == f"id={volume(world)['VolumeId']}\nmarked=yes\n"


# -- clusters of older releases -----------------------------------------------------------------


def older(world: cloud.World) -> None:
    """Make of the cluster one whose controller has its state on its own disk."""
    id = volume(world)["VolumeId"]
    ec2(world, "detach_volume", VolumeId=id)
    until(lambda: volume(world)["State"] == "available", "detaching")
    ec2(world, "delete_volume", VolumeId=id)
    for key in (STATE, BEGUN):
        world.cloud.call("s3", "delete_object", Key=key, **OWNER)


def test_an_older_cluster_stays_as_it_is_and_is_told_so(world: cloud.World) -> None:
    world.stand(POOLED)
    assert show.older_words(record.open_cluster("reef", world.cloud)) == []
    older(world)
    cloud.report(world.cloud, POOLED, {})

    drawn = world.design(POOLED)

    assert drawn.plan.pending == ()
    assert "made by an older clusterous" in drawn.plan.unchanged[0]
    assert drawn.plan.unchanged[1] == homes.OLDER  # nor does it know of pools
    assert show.older_words(record.open_cluster("reef", world.cloud)) == [homes.OLDER]


def test_an_older_cluster_without_its_controller_gets_none_that_knows_nothing(
    world: cloud.World,
) -> None:
    world.stand(REEF)
    older(world)
    world.end(controller(world))
    calls = world.mutating()

    with pytest.raises(UserError, match=r"what Kubernetes knew went with it.*destroy reef"):
        world.design(REEF)
    assert world.mutating() == calls


# -- status ---------------------------------------------------------------------------------------


def test_status_begins_with_a_controller_that_is_gone(
    world: cloud.World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.refused(monkeypatch, tmp_path)
    world.stand(REEF)
    assert status(world)[1]["away"] is None
    id = controller(world)
    world.end(id)
    until(lambda: there(world) == [], "ending")

    table, data = status(world)

    first, then, *_ = table.splitlines()
    assert first.startswith(f"! The controller of reef is away: its machine {id} was terminated")
    assert "since " in first
    assert then == "  To bring it back, type: clusterous create --cluster reef"
    assert "its controller is away" in table
    assert (data["away"]["state"], data["away"]["id"]) == ("terminated", id)
    assert data["away"]["since"]


def test_status_begins_with_a_controller_that_was_switched_off(world: cloud.World) -> None:
    world.stand(REEF)
    id = controller(world)
    ec2(world, "stop_instances", InstanceIds=[id])
    until(lambda: there(world)[0]["State"]["Name"] == "stopped", "stopping")

    table, data = status(world)

    assert table.startswith(f"! The controller of reef is away: its machine {id} is stopped")
    assert data["away"]["state"] == "stopped"
