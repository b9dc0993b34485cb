"""Machines that leave: by a smaller number, by name, replaced; cut short, and gone on with."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from clusterous_api import names
from clusterous_api.errors import TransientError
from clusterous_cli.cluster import config, record
from clusterous_cli.cluster.config import ClusterConfig
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.record import Node
from clusterous_cli.cluster.tags import tagged, tags_of
from clusterous_cli.output import show
from clusterous_cli.plan import cost
from tests.functional import cloud

WHO = Identity(name="reef", account="123456789012", region="eu-west-1")
REEF = config.parse("name: reef\nvolume: none\nmaster: none\npools: {cpu: 2, big: 1}\n")


def alive(world: cloud.World) -> dict[str, str]:
    """Return the workers that live: id → pool."""
    groups = world.cloud.pages("ec2", "describe_instances", "Reservations", Filters=tagged(WHO))
    return {
        one["InstanceId"]: tags_of(one)[names.TAG_POOL]
        for group in groups
        for one in group["Instances"]
        if tags_of(one)[names.TAG_ROLE] == "worker" and one["State"]["Name"] == "running"
    }


def of(world: cloud.World, pool: str) -> list[str]:
    return sorted(id for id, its in alive(world).items() if its == pool)


@dataclass
class Drained:
    """Drains at once all but the *stuck*; remembers whom, and what lived then."""

    world: cloud.World
    stuck: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    saw: list[dict[str, str]] = field(default_factory=list)

    def __call__(self, nodes: Sequence[Node], tell: Callable[[str], None]) -> Iterator[Node]:
        self.asked += [node.instance_id for node in nodes]
        for node in nodes:
            self.saw.append(alive(self.world))
            if node.instance_id in self.stuck:
                raise TransientError("a budget holds it")
            yield node


@pytest.fixture
def world(world: cloud.World) -> cloud.World:
    world.stand(REEF)
    return world


def settled(world: cloud.World, wanted: ClusterConfig) -> None:
    """Nothing is left to do, and nothing is remembered of those that left."""
    assert world.design(wanted).plan.pending == ()
    assert "leaving" not in (record.read(world.cloud, WHO) or {})


def test_a_smaller_number_drains_then_ends(world: cloud.World) -> None:
    before, fewer, drain = alive(world), REEF.changed("cpu", count=1), Drained(world)

    drawn = world.design(fewer)
    (step,) = drawn.plan.leaving
    assert step.found is not None
    table = show.plan_table(drawn, cost.of(fewer, "us-east-1"))
    assert f"1 of cpu drained and removed ({step.found.id})" in table
    assert step.found.id in show.leaving_words(drawn.plan)
    assert world.mutating().count("ec2:TerminateInstances") == 0
    nodes = world.create(fewer, drain=drain)

    assert drain.asked == [step.found.id]
    assert drain.saw == [before]  # nothing was ended before it was drained
    assert set(before) - set(alive(world)) == {step.found.id}
    assert [one.name for one in nodes if one.role == "worker"] == ["big-1", "cpu-1"]
    settled(world, fewer)


def test_a_pool_that_is_no_more_in_the_file_leaves(world: cloud.World) -> None:
    fewer = config.parse("name: reef\nvolume: none\nmaster: none\npools: {cpu: 2}\n")

    world.create(fewer, drain=Drained(world))

    assert set(alive(world).values()) == {"cpu"}
    settled(world, fewer)


def test_a_pool_that_is_called_otherwise_is_made_before_the_other_leaves(
    world: cloud.World,
) -> None:
    renamed = config.parse("name: reef\nvolume: none\nmaster: none\npools: {cpu: 2, wide: 1}\n")
    (old,), drain = of(world, "big"), Drained(world)
    drawn = world.design(renamed)
    table = show.plan_table(drawn, cost.of(renamed, "us-east-1"))
    assert "1 of wide" in table
    assert f"1 of big drained and removed ({old})" in table

    world.create(renamed, drain=drain)

    assert drain.asked == [old]
    assert sorted(drain.saw[0].values()) == ["big", "cpu", "cpu", "wide"]
    assert sorted(alive(world).values()) == ["cpu", "cpu", "wide"]
    settled(world, renamed)


def test_what_was_cut_short_is_gone_on_with_from_the_record(world: cloud.World) -> None:
    fewer = REEF.changed("cpu", count=1).changed("big", count=0)
    (first,) = of(world, "big")
    with pytest.raises(TransientError):
        world.create(fewer, drain=Drained(world, stuck={first}))
    kept = record.read(world.cloud, WHO)
    assert kept is not None
    assert first in kept["leaving"]

    world.renew()
    drain = Drained(world)
    world.create(ClusterConfig.from_record(kept["config"]), drain=drain)

    assert set(drain.asked) <= set(kept["leaving"])
    assert (len(of(world, "cpu")), of(world, "big")) == (1, [])
    settled(world, fewer)


def test_who_leaves_is_remembered_when_the_number_rises_again(world: cloud.World) -> None:
    one = of(world, "cpu")[0]
    with pytest.raises(TransientError):
        world.create(
            REEF.changed("cpu", count=1), leave=frozenset({one}), drain=Drained(world, stuck={one})
        )

    world.renew()
    world.create(REEF, drain=Drained(world))

    assert one not in alive(world)  # it may be half empty: a new one comes in its place
    assert len(of(world, "cpu")) == 2
    settled(world, REEF)


def test_a_machine_that_is_replaced_goes_when_the_new_one_is_ready(world: cloud.World) -> None:
    (old,) = of(world, "big")
    drain = Drained(world)

    world.create(REEF, leave=frozenset({old}), drain=drain)

    (seen,) = drain.saw
    assert len([id for id, pool in seen.items() if pool == "big"]) == 2
    (new,) = of(world, "big")
    assert new != old
    settled(world, REEF)


def test_a_launch_in_a_pool_that_lost_its_last_machine_is_no_launch_of_before(
    world: cloud.World,
) -> None:
    (old,) = of(world, "big")
    world.create(REEF.changed("big", count=0), drain=Drained(world))

    world.create(REEF, drain=Drained(world))

    (new,) = of(world, "big")
    assert new != old


def test_no_machine_is_ended_that_could_not_be_drained(world: cloud.World) -> None:
    before = alive(world)

    with pytest.raises(TransientError):
        world.create(REEF.changed("cpu", count=0), drain=Drained(world, stuck=set(before)))

    assert alive(world) == before


@pytest.mark.parametrize("dies", range(4))
def test_killed_anywhere_the_next_create_ends_the_same(world: cloud.World, dies: int) -> None:
    fewer = REEF.changed("cpu", count=1)
    counted = cloud.die_after(world, dies)
    with pytest.raises(cloud.Killed):
        world.create(fewer, drain=Drained(world))
    assert counted() > dies

    world.renew()
    world.create(fewer, drain=Drained(world))

    assert sorted(alive(world).values()) == ["big", "cpu"]
    settled(world, fewer)
