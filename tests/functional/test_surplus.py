"""What AWS made twice since an answer was lost and the first thing was not to be seen yet."""

import io
from dataclasses import replace

import pytest

from clusterous_cli.cluster import config
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.output import show
from clusterous_cli.plan import converge, cost, inventory
from clusterous_cli.terminal.lines import TimedLines
from clusterous_cli.terminal.options import Settings
from clusterous_cli.terminal.screen import Ui
from tests.functional import cloud

REEF = config.parse("name: reef\nworkers: 0\n")
WHO = Identity(name="reef", account="123456789012", region="eu-west-1")
TWICE = [("AllocateAddress", "public address eipalloc-"), ("CreateVpc", "network vpc-")]


def blind(world: cloud.World, action: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lose the answer to *action*, and let what it made not be seen by the look that follows."""
    world.fault(service="ec2", action=action, kind="lost", times=1)
    monkeypatch.setattr(converge.Create, "lookup", lambda self, step: None)


@pytest.mark.parametrize(("action", "thing"), TWICE, ids=[action for action, _ in TWICE])
def test_what_was_made_twice_is_removed_by_the_same_create_and_told(
    world: cloud.World, monkeypatch: pytest.MonkeyPatch, action: str, thing: str
) -> None:
    blind(world, action, monkeypatch)
    said = io.StringIO()
    create = replace(world.converge(REEF), lines=TimedLines(Ui(Settings(), err=said)))

    outcome = create.change()
    assert [step.kind.duplicated for step in outcome.doubtful] == [True]
    create.tidy()

    assert f"surplus: ✓ {thing}" in said.getvalue()
    assert "made twice when an answer was lost: removed" in said.getvalue()
    assert inventory.index(inventory.take(world.cloud, WHO)).surplus == ()
    assert not world.design(REEF).plan.pending


def test_a_plan_tells_of_what_is_there_twice(
    world: cloud.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    blind(world, "AllocateAddress", monkeypatch)
    world.converge(REEF).execute()

    drawn = world.design(REEF)

    (words,) = show.surplus_words(drawn.plan)
    assert words.startswith("public address eipalloc-")
    assert f"  ! {words}" in show.plan_table(drawn, cost.of(REEF, "eu-west-1"))
    world.destroy("reef")
    assert world.server.leftovers() == []
