"""How a cluster's state is put aside: what a create makes of it wherever that was cut short."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from clusterous_api import names
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import BEGUN, STATE
from clusterous_cli.plan.kinds import machines
from clusterous_cli.plan.kinds.cloud import Site
from clusterous_cli.plan.kinds.files import OBJECT
from clusterous_cli.plan.kinds.kind import Found, Scope
from clusterous_cli.plan.kinds.volume import state
from clusterous_cli.plan.snapshots import restoring
from clusterous_cli.system import wait
from tests.unit.cli.plan.mortal import Bucket, Hasty, Killed, Late

WHO = Identity(name="reef", account="123456789012", region="eu-west-1")
SUM = "5" * 64


@dataclass(kw_only=True)
class Account(Bucket):
    """A bucket with the controller's note, and the volume of its state; it dies after *calls*."""

    objects: dict[str, bytes] = field(
        default_factory=lambda: {STATE: b"id=vol-0a\nmarked=yes\n", BEGUN: b"begun"}
    )
    tags: dict[str, str] = field(
        default_factory=lambda: {**WHO.tags(machines.STATE), names.TAG_FORMATTED: "ext4"}
    )

    late: Late = field(default_factory=Late)

    def call(self, service: str, action: str, **params: Any) -> Any:
        super().call(service, action, **params)
        match action:
            case "create_tags":
                self.late.changes(self.tags)
                self.tags |= {one["Key"]: one["Value"] for one in params["Tags"]}

    def find(self, service: str, action: str, **params: Any) -> Any | None:
        if service == "ec2":
            return self.call(service, action, **params)
        return super().find(service, action, **params)

    def pages(self, service: str, action: str, key: str, **params: Any) -> list[Any]:
        tags = self.late.shown(self.tags)
        spelled = [{"Key": name, "Value": value} for name, value in tags.items()]
        return [
            {"VolumeId": "vol-0a", "State": "available", "AvailabilityZone": "eu-west-1a",
             "Size": 8, "Tags": spelled}
        ]  # fmt: skip

    def present(self) -> state.Present:
        """What the next create would find."""
        at = Scope(cloud=self, who=WHO)
        found = [Found(kind=OBJECT, key=f"s3:{key}", id=key) for key in self.objects]
        return state.present([*state._look(at), *state._look_note(at), *found], [])


def put_aside(account: Account) -> None:
    state.put_aside(Site(cloud=account, who=WHO, pauses=Hasty()), SUM)


def test_the_next_create_makes_a_new_volume_and_begins_with_the_snapshot() -> None:
    account = Account()

    put_aside(account)

    assert account.tags[names.TAG_ROLE] == state.ASIDE
    assert account.tags["Name"] == "reef-state-before"
    there = account.present()
    assert (there.own, there.begun, there.formatted, there.restore) == (None, False, False, SUM)
    state.refuse(WHO, there, None, "eu-west-1a", lambda id: None)


def test_it_is_put_aside_when_aws_shows_it_so() -> None:
    account = Account(late=Late(looks=3))

    put_aside(account)

    assert account.present().own is None


@pytest.mark.parametrize("calls", [0, 1, 2])
def test_cut_short_the_life_of_before_goes_on(calls: int) -> None:
    account = Account(calls=calls)

    with pytest.raises(Killed):
        put_aside(account)

    there = account.present()
    assert there.own is not None
    assert (there.own.id, there.formatted) == ("vol-0a", True)
    assert restoring.has_state([there.own])
    account.calls = 99
    put_aside(account)
    assert account.present().restore == SUM
    assert account.present().own is None


def test_a_lost_volume_of_a_restored_cluster_is_a_loss_and_no_second_restore() -> None:
    account = Account()
    put_aside(account)
    account.objects |= {STATE: f"id=vol-0b\nmarked=yes\nrestore={SUM}\n".encode(), BEGUN: b"x"}

    with pytest.raises(Exception, match="vol-0b is gone"):
        state.refuse(WHO, account.present(), None, "eu-west-1a", lambda id: None)


def test_a_new_volume_is_marked_with_what_it_begins_with() -> None:
    account = Account(objects={STATE: f"id=vol-0a\nmarked=no\nrestore={SUM}\n".encode()})

    state.mark(Site(cloud=account, who=WHO, pauses=wait.Pauses()), "vol-0a")

    assert account.objects[STATE] == f"id=vol-0a\nmarked=yes\nrestore={SUM}\n".encode()


def test_a_volume_that_the_note_does_not_name_is_not_taken_for_a_formatted_one() -> None:
    account = Account(objects={STATE: f"id=vol-0f\nmarked=yes\nrestore={SUM}\n".encode()})
    del account.tags[names.TAG_FORMATTED]

    assert account.present().formatted is False
