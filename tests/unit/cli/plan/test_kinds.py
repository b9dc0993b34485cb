"""The table of kinds, whose parts must agree with each other."""

import pytest

from clusterous_api import names
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.output import show
from clusterous_cli.plan.kinds import access, images, machines, network, table
from clusterous_cli.plan.kinds.kind import Kind

NAMES = {kind.name for kind in table.ALL}


def test_no_two_kinds_have_a_name() -> None:
    assert len(NAMES) == len(table.ALL)


@pytest.mark.parametrize("kind", table.ALL, ids=str)
def test_a_kind_is_whole(kind: Kind) -> None:
    assert kind.part in show.PARTS
    assert set(kind.after) <= NAMES
    assert not kind.after or kind.remove, "what waits to be removed can be removed"
    assert bool(kind.noun) == bool(kind.walk or kind.walked), "what is looked for has a name"
    assert not kind.make or kind.wants is not Kind(name="", part="").wants


@pytest.mark.parametrize("kind", [network.ENDPOINT, access.GROUP], ids=str)
def test_what_aws_put_there_by_itself_is_named(kind: Kind) -> None:
    assert kind.walk is not None
    guard = {"Tags": [{"Key": "GuardDutyManaged", "Value": "true"}]}
    other = {"ServiceName": "com.amazonaws.eu-west-1.ssm", "GroupName": "theirs"}

    assert "Amazon GuardDuty made it by itself; it may be removed" in kind.walk.says(guard)
    assert kind.walk.says(other) in other.values()


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "[]",
        "null",
        '{"format": 1}',
        '{"config": null}',
        '{"config": {"registry": 1}}',
    ],
)
def test_half_a_record_names_no_bucket_of_images(text: str | None) -> None:
    who = Identity(name="reef", account="123456789012", region="eu-west-1")

    assert images.named(text, who) is None
    assert images.named('{"config": {"registry": {"type": "s3", "bucket": "b"}}}', who) == "b"


@pytest.mark.parametrize("role", [names.ROLE_GATEWAY, names.ROLE_CONTROLLER, names.ROLE_WORKER])
def test_no_launch_turns_ec2s_own_recovery_off(role: str) -> None:
    """It is on unless `MaintenanceOptions` say otherwise; what may not be stopped is not moved.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-configuration-recovery.html
    """
    asked = machines.launch(machines.Machines(count=1, type="t3.large", role=role))

    assert asked["InstanceType"] == "t3.large"
    assert "MaintenanceOptions" not in asked
    assert "DisableApiStop" not in asked
