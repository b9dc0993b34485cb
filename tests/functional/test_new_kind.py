"""A kind that the project does not have: one value and one line, and everything knows it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from clusterous_api.errors import LeftBehindError
from clusterous_cli.aws import errors
from clusterous_cli.aws.client import Aws
from clusterous_cli.cluster import config
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.prices import Prices
from clusterous_cli.cluster.tags import is_ours, key_of, tagged
from clusterous_cli.output import show
from clusterous_cli.plan import cost, sweep
from clusterous_cli.plan.kinds import table
from clusterous_cli.plan.kinds.cloud import Site
from clusterous_cli.plan.kinds.kind import (
    Found,
    Kind,
    Price,
    Resource,
    Scope,
    Step,
    Value,
    Walk,
    Wish,
)
from tests.functional import cloud, placement
from tests.region.aws import ec2_table

REEF = config.parse("name: reef\nworkers: 1\nvolume: none\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement(Value):
    """How near to each other machines are."""

    name: str
    strategy: str


def want(wish: Wish) -> list[Resource]:
    value = Placement(name=wish.who.role("near"), strategy="cluster")
    return [Resource(kind=PLACEMENT, key="near", value=value)]


def look(at: Scope) -> list[Found]:
    return [
        Found(
            kind=PLACEMENT,
            key=key_of(one, at.who),
            id=one["GroupName"],
            value=Placement(name=one["GroupName"], strategy=one["Strategy"]),
        )
        for one in at.cloud.pages(
            "ec2", "describe_placement_groups", "PlacementGroups", Filters=tagged(at.who)
        )
        if is_ours(one, at.who)
    ]


def make(to: Site, step: Step, wanted: Placement) -> str:
    to.ec2(
        "create_placement_group",
        GroupName=wanted.name,
        Strategy=wanted.strategy,
        TagSpecifications=to.tagged("placement-group", step.key),
    )
    return wanted.name


def remove(to: Site, found: Found) -> None:
    to.ec2("delete_placement_group", GroupName=found.id)


def bill(value: Any, known: Prices) -> Price:
    return Price(hourly=1000.0)  # so that it shows


PLACEMENT = Kind(
    name="placement-group",
    part="machines",
    noun="placement group",
    counted="placement group",
    wants=want,
    look=look,
    make=make,
    remove=remove,
    after=("machines",),
    billed=lambda config: (None,),
    bill=bill,
    walk=Walk(
        action="describe_placement_groups",
        key="PlacementGroups",
        id="GroupName",
        hourly=lambda item: 1000.0,
    ),
)


class Sticking(Aws):
    """AWS, which may not give a placement group back."""

    def __init__(self, world: cloud.World) -> None:
        super().__init__(world.cloud.session, world.cloud.region)
        self._clients = world.cloud._clients
        self.stuck = False

    def call(self, service: str, action: str, **params: Any) -> Any:
        if self.stuck and action == "delete_placement_group":
            raise errors.AwsFailed("The group is in use by somebody.")
        return super().call(service, action, **params)


@pytest.fixture
def world(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[cloud.World]:
    monkeypatch.setattr(table, "ALL", (*table.ALL, PLACEMENT))
    monkeypatch.setattr(ec2_table, "ALL", (*ec2_table.ALL, placement.PLACEMENT))
    with cloud.running(tmp_path_factory.mktemp("aws")) as running:
        running.cloud = Sticking(running)
        yield running


def test_all_of_the_program_knows_a_kind_that_is_in_the_table(world: cloud.World) -> None:
    aws, who = world.cloud, Identity(name="reef", account=world.cloud.account, region="eu-west-1")
    assert isinstance(aws, Sticking)

    drawn = world.design(REEF)
    shown = show.plan_table(drawn, cost.of(REEF, "eu-west-1"))
    assert "placement-group" in {str(step.kind) for step in drawn.plan.pending}
    assert "1 placement group" in shown
    assert cost.of(REEF, "us-east-1").hourly > 1000

    world.converge(REEF).execute()
    assert f"placement group {who.role('near')}" in world.server.leftovers()
    assert world.design(REEF).plan.pending == ()
    left = {one.kind: one for one in sweep.look(aws, who, ()).left}
    assert left["placement group"].id == who.role("near")
    assert left["placement group"].hourly == pytest.approx(1100.0)

    aws.stuck = True
    with pytest.raises(LeftBehindError, match=r"placement group .*in use by"):
        world.destroy("reef")

    aws.stuck = False
    world.destroy("reef")
    assert world.server.leftovers() == []
