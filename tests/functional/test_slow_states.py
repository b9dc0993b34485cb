"""A cluster's life where AWS takes as long as it does, on a clock that leaps."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from clusterous_api import names
from clusterous_cli.cluster import config
from clusterous_cli.cluster.tags import tags_of
from tests.functional import cloud
from tests.region.aws import settings

# What is signed is signed by the laptop's clock, which does not leap.
SLOW = replace(settings.AS_SLOW_AS_AWS, clock_skew=1e9)


@pytest.fixture(scope="module")
def pauses() -> cloud.Leaping:
    return cloud.Leaping()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, pauses: cloud.Leaping) -> Iterator[cloud.World]:
    with cloud.running(tmp_path_factory.mktemp("aws"), SLOW, pauses) as world:
        yield world


def controller(world: cloud.World) -> str:
    groups = world.cloud.pages("ec2", "describe_instances", "Reservations")
    (id,) = (
        one["InstanceId"]
        for group in groups
        for one in group["Instances"]
        if tags_of(one).get(names.TAG_ROLE) == "controller" and one["State"]["Name"] == "running"
    )
    return str(id)


def test_a_cluster_comes_loses_its_controller_and_goes(
    world: cloud.World, pauses: cloud.Leaping
) -> None:
    reef = config.parse("name: reef\nworkers: 1\n")
    began = pauses.clock()
    world.create(reef, seconds=1800)
    made, lost = pauses.clock(), controller(world)
    world.end(lost)

    world.create(reef, seconds=1800)

    assert made - began > SLOW.nat_pending
    assert pauses.clock() - made > SLOW.shutting_down + SLOW.volume_attaching
    assert controller(world) != lost
    world.destroy("reef")
    assert world.server.leftovers() == []


def test_a_file_system_and_its_way_into_the_network_are_waited_for(
    world: cloud.World, pauses: cloud.Leaping
) -> None:
    began = pauses.clock()

    world.create(config.parse("name: cove\nworkers: 0\nvolume: {type: efs}\n"), seconds=1800)

    assert pauses.clock() - began > SLOW.efs_creating + SLOW.mount_target_creating
    world.destroy("cove")
    assert world.server.leftovers() == []
