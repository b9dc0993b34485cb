"""A change of a volume that AWS does not take yet: what is told of when it does."""

from datetime import UTC, datetime
from typing import Any

import pytest

from clusterous_api.errors import FailedError, NotBeforeError
from clusterous_cli.aws import errors
from clusterous_cli.plan.kinds.kind import Action, Found, Step
from clusterous_cli.plan.kinds.volume import ebs
from tests.unit.cli.plan.test_answers import Answers, site

BEGAN = datetime(2026, 11, 30, 9, 15, tzinfo=UTC)
LAST = {"StartTime": BEGAN, "TargetSize": 40, "ModificationState": "optimizing", "Progress": 50}
SAID = "You can make the next one at 10:02."


class Refusing(Answers):
    """An AWS that takes no change of a volume."""

    def __init__(self, code: str) -> None:
        super().__init__(describe_volumes_modifications={"VolumesModifications": [LAST]})
        self.code = code

    def call(self, service: str, action: str, **params: Any) -> Any:
        if action == "modify_volume":
            raise errors.AwsFailed(SAID, code=self.code)
        return super().call(service, action, **params)


def changed(code: str, size: int = 50) -> str:
    found = Found(
        kind=ebs.VOLUME, key=ebs.KEY, id="vol-1", value=ebs.Volume(size=30, iops=3000, throughput=1)
    )
    step = Step(action=Action.CHANGE, key=ebs.KEY, kind=ebs.VOLUME, found=found)
    wanted = ebs.Volume(size=size, iops=3000, throughput=1)
    return ebs.make(site(Refusing(code)), step, wanted)


def test_of_too_many_changes_a_day_the_latest_hour_is_told_and_what_aws_says() -> None:
    with pytest.raises(NotBeforeError) as told:
        changed("VolumeModificationRateExceeded")

    assert "of vol-1 by 09:15 on 01 December (UTC) at the latest" in str(told.value)
    assert SAID in str(told.value)


def test_what_is_still_being_changed_has_no_hour() -> None:
    with pytest.raises(NotBeforeError) as told:
        changed("IncorrectModificationState")

    assert "the last change of vol-1 (optimizing, 50%)" in str(told.value)
    assert "UTC" not in str(told.value)


def test_what_was_asked_for_a_moment_ago_is_waited_for() -> None:
    assert changed("IncorrectModificationState", size=40) == "vol-1"


def test_any_other_refusal_is_told_as_it_is() -> None:
    with pytest.raises(FailedError, match=SAID):
        changed("InvalidParameterValue")
