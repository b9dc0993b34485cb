"""Snapshots of a shared volume, and volumes of snapshots: what is refused, and how far they are."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from clusterous_api.errors import FailedError, UserError
from clusterous_cli.aws.client import Aws
from clusterous_cli.cluster import config
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.plan.kinds.kind import Found
from clusterous_cli.plan.kinds.volume import snapshot
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


def copy(size: int) -> Found:
    began = datetime(2026, 11, 29, tzinfo=UTC)
    value = snapshot.Snapshot(volume="vol-1", size=size, began=began, state="completed")
    return Found(kind=snapshot.SNAPSHOT, key="", id="snap-1", value=value)


@pytest.mark.parametrize(("size", "has"), [(10, 20), (20, 20), (30, 30)])
def test_a_volume_like_another_has_room_for_what_was_on_that(size: int, has: int) -> None:
    fitted = copies.fitting(config.parse("name: atoll\n"), copy(size), may_grow=True)

    assert fitted.volume.size == has


def test_a_file_that_says_a_smaller_volume_is_refused() -> None:
    with pytest.raises(UserError, match=r"volume.size is 20 GiB, .* had 30 when snap-1"):
        copies.fitting(config.parse("name: atoll\n"), copy(30), may_grow=False)


@pytest.mark.parametrize("volume", ["efs", "{id: vol-0123456789abcdef0, size: 30}", "none"])
def test_a_cluster_like_another_has_a_volume_of_its_own(volume: str) -> None:
    like = config.own(config.parse(f"name: reef\nvolume: {volume}\n").volume)

    assert like.id is None
    assert like.size == (30 if like.served else None)
