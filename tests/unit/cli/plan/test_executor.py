"""Steps that are repeated where time mends the error."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from clusterous_cli.aws import errors
from clusterous_cli.plan import executor
from clusterous_cli.plan.executor import Executor, Outcome
from clusterous_cli.plan.kinds import kind, network
from clusterous_cli.plan.kinds.kind import Action, Step
from clusterous_cli.system import wait

VPC = Step(action=Action.CREATE, key="vpc", kind=network.VPC)
NAMES = Step(action=Action.CREATE, key="names", kind=network.VPC, needs=("vpc",))


class Leaping(wait.Pauses):
    """A time that goes on by what is slept."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(clock=lambda: self.now)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def run(missing: str, times: int) -> tuple[Outcome, int]:
    """Make a network, and names in it while AWS says *times* that there is no *missing*."""
    asked: list[str] = []

    def act(step: kind.Step, ids: Mapping[str, str]) -> str:
        if step is VPC:
            return "vpc-1"
        asked.append(step.key)
        if len(asked) <= times:
            raise errors.NotFound(
                f"The ID '{missing}' does not exist", code="InvalidVpcID.NotFound"
            )
        return ids["vpc"]

    return Executor(act=act, pauses=Leaping()).run([VPC, NAMES], {}), len(asked)


def test_what_this_run_made_may_not_be_seen_yet() -> None:
    outcome, asked = run("vpc-1", 3)

    assert outcome.failed == ()
    assert asked == 4


def test_what_is_never_seen_is_an_error_in_the_end() -> None:
    outcome, asked = run("vpc-1", 1_000_000)

    ((step, error),) = outcome.failed
    assert (step, type(error)) == (NAMES, errors.NotYet)
    assert asked > 10


def test_what_others_made_is_not_waited_for() -> None:
    outcome, asked = run("vpc-2", 1)

    ((_, error),) = outcome.failed
    assert type(error) is errors.NotFound
    assert asked == 1


def test_what_others_wait_for_is_begun_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "PARALLEL", 1)
    files = [replace(VPC, key=f"file-{n}") for n in range(3)]
    begun: list[str] = []

    def act(step: kind.Step, ids: Mapping[str, str]) -> str:
        begun.append(step.key)
        return step.key

    Executor(act=act, pauses=Leaping()).run([*files, NAMES, VPC], {})

    assert begun == ["vpc", "file-0", "file-1", "file-2", "names"]


def test_nothing_new_is_begun_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "PARALLEL", 1)

    def act(step: kind.Step, ids: Mapping[str, str]) -> str:
        raise errors.NotFound("no", code="No")

    outcome = Executor(act=act, pauses=Leaping()).run([replace(VPC, key="other"), NAMES, VPC], {})

    assert [step.key for step, _ in outcome.failed] == ["vpc"]
    assert {step.key for step in outcome.skipped} == {"other", "names"}
