"""A sample of the points at which commands are disturbed; `make sweep` tries them all."""

from collections.abc import Iterator

import pytest

from tests.region.aws.log import Call
from tests.sweep import account, points
from tests.sweep.account import Account
from tests.sweep.stories import STORIES, Story

# Of each story: killed in its middle with the call carried out, or every answer cut once.
SAMPLE = {
    "create": "kill after", "destroy": "cut", "add-nodes": "cut", "rm-nodes": "kill after",
    "replacement": "kill after",
}  # fmt: skip


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with account.opened(tmp_path_factory.mktemp("sweep")) as made:
        yield made


@pytest.fixture(scope="module", params=STORIES, ids=[story.name for story in STORIES])
def told(request: pytest.FixtureRequest, opened: Account) -> tuple[Story, list[Call]]:
    return request.param, opened.undisturbed(request.param)


def test_a_command_that_is_disturbed_converges_and_nothing_stays(
    opened: Account, told: tuple[Story, list[Call]]
) -> None:
    story, calls = told
    of_this_kind = [one for one in points.of(story, calls) if one.how == SAMPLE[story.name]]
    point = of_this_kind[len(of_this_kind) // 2]

    outcome = opened.disturbed(story, point)

    assert outcome.struck
    assert outcome.good, outcome


def a_call(action: str, *, mutating: bool) -> Call:
    return Call(
        time=0.0, service="ec2", action=action, region="", caller="", agent="", status=200,
        error=None, ms=0.0, mutating=mutating,
    )  # fmt: skip


CALLS = (a_call("DescribeVpcs", mutating=False), a_call("CreateVpc", mutating=True))


def test_what_changes_something_is_killed_before_and_after_and_loses_its_answer() -> None:
    (create, *_) = STORIES

    made = list(points.of(create, CALLS))

    single = [(one.how, one.at) for one in made if len(one.faults) == 1]
    assert single == [("kill before", "1"), ("kill after", "1"), ("lost", "ec2:CreateVpc")]
    both = [one.how for one in made if len(one.faults) == 2]
    assert both == list(points.TRANSIENT)
    settings = {one.how for one in made if one.settings}
    assert settings == {*points.LATE, *create.refusals}


def test_a_call_that_no_fault_of_a_kind_met_is_uncovered() -> None:
    met = [(how, points.call(one)) for one in CALLS for how in (*points.TRANSIENT, "lost")]

    missing = points.uncovered(CALLS, met)

    assert missing == ["kill after at ec2:CreateVpc", "kill before at ec2:CreateVpc"]
