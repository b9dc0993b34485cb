"""A shared volume that goes to another zone: what a create finds wherever that was cut short."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_cli.aws.client import Aws
from clusterous_cli.cluster import config
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import VOLUME
from clusterous_cli.plan import inventory
from clusterous_cli.plan.kinds.cloud import Site
from clusterous_cli.plan.kinds.kind import Found, Scope
from clusterous_cli.plan.kinds.machines import SHARED
from clusterous_cli.plan.kinds.network import CONTROL, SUBNET, Subnet
from clusterous_cli.plan.kinds.volume import ebs, efs, keeping, note, snapshot
from clusterous_cli.plan.snapshots import moving
from clusterous_cli.terminal.lines import TimedLines
from clusterous_cli.terminal.options import Settings
from clusterous_cli.terminal.screen import Ui
from tests.unit.cli.plan.mortal import Bucket, Hasty, Killed, Late

WHO = Identity(name="reef", account="123456789012", region="eu-west-1")
REEF = config.parse("name: reef\nvolume: {size: 30}\n")
HERE, THERE = "eu-west-1a", "eu-west-1b"
OLD, NEW = "vol-0a", "vol-0b"


@dataclass(kw_only=True)
class Account(Bucket):
    """A bucket with the controller's note, and two volumes; it dies after *calls*."""

    objects: dict[str, bytes] = field(
        default_factory=lambda: {VOLUME: b"id=vol-0a\ngiven=no\nmarked=yes\n"}
    )
    tags: dict[str, dict[str, str]] = field(
        default_factory=lambda: {
            OLD: {**WHO.tags(SHARED), names.TAG_FORMATTED: "xfs"},
            NEW: {names.TAG_KEPT: "reef", names.TAG_FORMATTED: "xfs"},
        }
    )

    late: Late = field(default_factory=Late)

    def call(self, service: str, action: str, **params: Any) -> Any:
        super().call(service, action, **params)
        if action.endswith("_tags"):
            self.late.changes(self.tags)
        match action:
            case "create_tags":
                for id in params["Resources"]:
                    self.tags[id] |= {one["Key"]: one["Value"] for one in params["Tags"]}
            case "delete_tags":
                for id in params["Resources"]:
                    for one in params["Tags"]:
                        self.tags[id].pop(one["Key"], None)

    def pages(self, service: str, action: str, key: str, **params: Any) -> list[Any]:
        (which,) = params["Filters"]
        name = which["Name"].removeprefix("tag:")
        return [
            {"VolumeId": id, "State": "available", "Size": 30,
             "AvailabilityZone": HERE if id == OLD else THERE,
             "Tags": [{"Key": name, "Value": value} for name, value in tags.items()]}
            for id, tags in self.late.shown(self.tags).items()
            if {"volume-id": id, **tags}.get(name) in which["Values"]
        ]  # fmt: skip

    def found(self) -> list[Found]:
        return ebs.look(Scope(cloud=self, who=WHO))

    def present(self) -> keeping.Present:
        """What the next create would find."""
        return keeping.present(self.found(), REEF.volume, None)


def settle(account: Account, zone: str = THERE) -> None:
    goal = moving.Moving(
        cloud=cast(Aws, account), who=WHO, config=REEF, zone=zone, pauses=Hasty(),
        lines=TimedLines(Ui(Settings(quiet=True))), now=lambda: datetime(2026, 11, 29, tzinfo=UTC),
    )  # fmt: skip
    found = account.found()
    old = next((one for one in found if one.id == OLD and one.kind is ebs.VOLUME), None)
    copy = moving.Copy(id=NEW, of=old) if moving.going(REEF, found, zone) else None
    goal.settle(found, copy)


@pytest.mark.parametrize("calls", range(6))
def test_cut_short_anywhere_a_create_has_the_volume_of_before_or_the_copy(calls: int) -> None:
    account = Account(calls=calls)
    try:
        settle(account)
    except Killed:
        assert calls < 5

    there = account.present()
    assert keeping.lost(there) is None
    assert there.volume is not None
    assert keeping.is_formatted(there)
    # What is planned with is what was judged: two that could be meant would be in two zones.
    assert inventory.index(account.found()).found[SHARED].id == there.volume.id
    keeping.refuse(REEF.volume, there, account.found())

    account.calls = 99
    settle(account)

    own = account.present().own
    assert own is not None
    assert (own.id, own.value.zone) == (NEW, THERE)
    assert account.tags[OLD] == {
        names.TAG_KEPT: "reef", names.TAG_FORMATTED: "xfs", "Name": "reef-volume"
    }  # fmt: skip
    assert account.objects[VOLUME] == b"id=vol-0b\ngiven=no\nmarked=yes\n"


def test_it_is_the_clusters_own_when_aws_shows_it_so() -> None:
    account = Account(late=Late(looks=5))

    settle(account)

    own = account.present().own
    assert own is not None
    assert own.id == NEW


def test_a_volume_is_let_go_of_when_aws_shows_it_so() -> None:
    account = Account(late=Late(looks=3))
    site = Site(cloud=account, who=WHO, pauses=Hasty())
    (own,) = (one for one in account.found() if one.kind is ebs.VOLUME)

    assert ebs.VOLUME.keep is not None
    ebs.VOLUME.keep(site, own)

    assert [one.kind for one in account.found() if one.id == OLD] == [ebs.GIVEN]  # by its note


def volume(zone: str | None, kind: Any = ebs.VOLUME, **more: Any) -> Found:
    value = ebs.Volume(zone=zone, size=30, formatted=True, state="available")
    if kind is efs.GIVEN:
        value = efs.FileSystem(zone=zone)  # type: ignore[assignment]
    return Found(kind=kind, key=SHARED, id="vol-0a", value=value, **more)


def told(id: str, *, is_given: bool) -> Found:
    value = note.Note(volume=id, given=is_given, formatted=True)
    return Found(kind=note.NOTE, key="volume-note", id=VOLUME, value=value)


@pytest.mark.parametrize(
    ("found", "goes"),
    [
        pytest.param([volume(HERE), told(OLD, is_given=False)], OLD, id="own"),
        pytest.param([volume(HERE, ebs.GIVEN), told(OLD, is_given=True)], OLD, id="given"),
        pytest.param([volume(THERE), told(OLD, is_given=False)], None, id="there-already"),
        pytest.param([told(OLD, is_given=False)], OLD, id="lost"),
        pytest.param([], None, id="none"),
        pytest.param([Found(kind=efs.FILE_SYSTEM, key=SHARED, id="fs-1")], None, id="efs"),
    ],
)
def test_what_is_bound_to_the_zone_of_before_is_copied(
    found: list[Found], goes: str | None
) -> None:
    assert moving.going(REEF, found, THERE) == goes


def test_what_cannot_be_elsewhere_is_refused() -> None:
    one_zone = [
        Found(kind=efs.GIVEN, key=SHARED, id="fs-0a", value=efs.FileSystem(zone=HERE)),
        told("fs-0a", is_given=True),
    ]
    with pytest.raises(UserError, match=f"EFS that is in {HERE} alone"):
        moving.going(REEF, one_zone, THERE)
    blank = ebs.Volume(zone=HERE, size=30, formatted=False, state="available")
    with pytest.raises(UserError, match="There is nothing on vol-0a yet"):
        moving.going(REEF, [Found(kind=ebs.VOLUME, key=SHARED, id=OLD, value=blank)], THERE)


def test_the_controllers_subnet_goes_with_what_is_in_it_and_no_other() -> None:
    def subnet(id: str, key: str, zone: str) -> Found:
        value = Subnet(vpc="vpc-1", cidr="10.40.16.0/20", zone=zone)
        return Found(kind=SUBNET, key=key, id=id, value=value)

    target = efs.MountTarget(file_system="fs-1", subnet="subnet-1", address="", ready=True)
    things = [
        subnet("subnet-1", CONTROL, HERE),
        subnet("subnet-2", "private", HERE),
        Found(kind=efs.MOUNT_TARGET, key="volume-target", id="fsmt-1", value=target),
    ]

    assert [one.id for one in moving.bound(things, THERE)] == ["subnet-1", "fsmt-1"]
    assert moving.bound(things, HERE) == ()


@pytest.mark.parametrize(
    ("more", "heard", "is_used"),
    [
        pytest.param({}, 9, True, id="nobody-had-it-since"),
        pytest.param({"state": "pending"}, 9, True, id="not-complete-yet"),
        pytest.param({}, 11, False, id="a-controller-was-there-since"),
        pytest.param({}, None, False, id="nobody-knows-who-was-there"),
        pytest.param({"description": "before the run"}, 9, False, id="taken-while-it-was-used"),
        pytest.param({"state": "error"}, 9, False, id="failed"),
        pytest.param({"kept": "coral"}, 9, False, id="of-another-cluster"),
    ],
)
def test_who_comes_back_uses_the_snapshot_again_unless_something_may_have_been_written_since(
    more: dict[str, str], heard: int | None, is_used: bool
) -> None:
    usual = {"description": moving.DESCRIPTION.format("reef"), "kept": "reef", "state": "completed"}
    value = snapshot.Snapshot(volume=OLD, size=30, began=at(10), **{**usual, **more})
    one = Found(kind=snapshot.SNAPSHOT, key="", id="snap-1", value=value)

    assert bool(moving.as_of_now([one], "reef", at(heard) if heard else None)) is is_used


def at(hour: int) -> datetime:
    return datetime(2026, 11, 29, hour, tzinfo=UTC)
