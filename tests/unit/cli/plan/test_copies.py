"""Snapshots of a shared volume, and volumes of snapshots: what is refused, and how far they are."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from clusterous_api.errors import FailedError, UserError
from clusterous_cli.aws.client import Aws
from clusterous_cli.cluster import config
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.plan.volumes import copies
from clusterous_cli.system import wait

WHO = Identity(name="reef", account="123456789012", region="eu-west-1")
NOBODY = cast(Aws, None)


class Snapshots:
    """An AWS that says of a snapshot one thing after the other."""

    def __init__(self, *told: dict[str, Any]) -> None:
        self.told = list(told)

    def pages(self, *_: str, **params: Any) -> list[dict[str, Any]]:
        one = self.told.pop(0)
        return [{"StartTime": datetime(2026, 11, 29, tzinfo=UTC), **one}] if one else []


def waited(*told: dict[str, Any]) -> list[str]:
    said: list[str] = []
    pauses = wait.Pauses()
    pauses.event.wait = lambda seconds: False  # type: ignore[method-assign, assignment]
    copies.await_complete(cast(Aws, Snapshots(*told)), "snap-1", pauses, said.append)
    return said


@pytest.mark.parametrize(
    ("volume", "says"), [("efs", "AWS Backup makes copies"), ("none", "without a shared volume")]
)
def test_what_has_no_snapshots_is_told(volume: str, says: str) -> None:
    kept = {"config": config.parse(f"name: reef\nvolume: {volume}\n").to_record()}

    with pytest.raises(UserError, match=says):
        copies.source(NOBODY, WHO, kept)


def test_a_snapshot_is_waited_for_also_where_aws_does_not_show_it_yet() -> None:
    pending = {"State": "pending", "Progress": "40%"}

    assert waited({}, pending, {"State": "completed"}) == ["0%", "40%"]


def test_a_snapshot_that_failed_is_told_with_its_reason() -> None:
    with pytest.raises(FailedError, match=r"snap-1 failed.*no key"):
        waited({"State": "error", "StateMessage": "there is no key"})


@pytest.mark.parametrize(
    ("said", "passed", "words"),
    [
        ("", 60, "0%"),
        ("40%", 5, "40%"),
        ("40%", 60, "40%, about 1 min 30 s more"),
        ("100%", 60, "100%"),
    ],
)
def test_how_far_it_is_and_how_long_the_rest_takes(said: str, passed: float, words: str) -> None:
    assert copies.progress(said, passed) == words
