"""Machines of which their zone has none: those without volumes are made in another."""

from collections import Counter
from typing import Any

import pytest

from clusterous_api import names
from clusterous_api.errors import ClusterousError
from clusterous_cli.cluster import config
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.tags import tagged, tags_of
from tests.functional import cloud

WHO = Identity(name="reef", account="123456789012", region="eu-west-1")
REEF = config.parse("name: reef\nvolume: none\nmaster: none\nworkers: 2\n")
HOME, NEXT, LAST = "eu-west-1a", "eu-west-1b", "eu-west-1c"


def listed(world: cloud.World, action: str, key: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.cloud.pages("ec2", action, key, Filters=tagged(WHO))
    return found


def where(world: cloud.World) -> Counter[tuple[str, str]]:
    """Count the machines that run, by pool and zone."""
    groups = listed(world, "describe_instances", "Reservations")
    return Counter(
        (tags_of(one)[names.TAG_POOL], one["Placement"]["AvailabilityZone"])
        for group in groups
        for one in group["Instances"]
        if one["State"]["Name"] == "running"
    )


def subnets(world: cloud.World) -> dict[str, tuple[str, str]]:
    """Return zone and addresses of each subnet."""
    return {
        tags_of(one)[names.TAG_ROLE]: (one["AvailabilityZone"], one["CidrBlock"])
        for one in listed(world, "describe_subnets", "Subnets")
    }


def ways(world: cloud.World) -> dict[str, str]:
    """Return by which table each subnet leads out."""
    of = {one["SubnetId"]: tags_of(one)[names.TAG_ROLE]
          for one in listed(world, "describe_subnets", "Subnets")}  # fmt: skip
    return {
        of[link["SubnetId"]]: tags_of(table)[names.TAG_ROLE]
        for table in listed(world, "describe_route_tables", "RouteTables")
        for link in table["Associations"]
        if link.get("SubnetId")
    }


def test_workers_are_made_in_a_zone_that_aws_names(world: cloud.World) -> None:
    world.configure(capacity={f"t3.large@{HOME}": 0})

    world.create(REEF)

    assert where(world) == {("gateway", HOME): 1, ("controller", HOME): 1, ("worker", NEXT): 2}
    assert subnets(world)[f"private-{NEXT}"] == (NEXT, "10.40.32.0/20")
    assert ways(world)[f"private-{NEXT}"] == "private-table"
    world.configure(capacity={})
    assert not world.design(REEF).plan.pending
    world.destroy("reef")
    assert world.server.leftovers() == []


def test_a_zone_that_has_too_few_is_followed_by_the_next(world: cloud.World) -> None:
    world.configure(capacity={f"t3.large@{HOME}": 0, f"t3.large@{NEXT}": 1})

    world.create(REEF)

    assert where(world)["worker", LAST] == 2
    assert subnets(world)[f"private-{LAST}"] == (LAST, "10.40.48.0/20")


def test_new_workers_go_elsewhere_and_the_others_stay(world: cloud.World) -> None:
    world.create(REEF)
    world.configure(capacity={f"t3.large@{HOME}": 2})

    for count in (3, 4):
        world.create(REEF.changed("worker", count=count))

    assert where(world)["worker", HOME] == where(world)["worker", NEXT] == 2
    assert len(subnets(world)) == 4


def test_two_pools_share_the_subnet_of_a_zone(world: cloud.World) -> None:
    two = config.parse("name: reef\nvolume: none\nmaster: none\npools: {cpu: 1, big: 1}\n")
    world.configure(capacity={f"t3.large@{HOME}": 0})

    world.create(two)

    assert where(world)["cpu", NEXT] == where(world)["big", NEXT] == 1
    assert len(subnets(world)) == 4


def test_a_gateway_and_a_master_are_made_elsewhere_too(world: cloud.World) -> None:
    reef = config.parse("name: reef\nvolume: none\nmaster: {type: t3.small}\nworkers: 0\n")
    world.configure(capacity={f"t3.nano@{HOME}": 0, f"t3.small@{HOME}": 0})

    world.create(reef)

    assert where(world)["gateway", NEXT] == where(world)["master", NEXT] == 1
    assert ways(world)[f"public-{NEXT}"] == "public-table"
    world.destroy("reef")
    assert world.server.leftovers() == []


def test_who_is_stopped_before_a_subnet_leads_out_goes_on_from_there(world: cloud.World) -> None:
    world.configure(capacity={f"t3.large@{HOME}": 0})
    world.fault(service="ec2", action="AssociateRouteTable", kind="error", status=400, skip=3,
                code="UnauthorizedOperation", message="no")  # fmt: skip
    with pytest.raises(ClusterousError):
        world.create(REEF)
    assert f"private-{NEXT}" in subnets(world)
    assert f"private-{NEXT}" not in ways(world)

    world.create(REEF)

    assert where(world)["worker", NEXT] == 2
    assert ways(world)[f"private-{NEXT}"] == "private-table"
    assert len(subnets(world)) == 4


def test_where_no_zone_has_enough_all_that_were_asked_are_told(world: cloud.World) -> None:
    world.configure(capacity={"t3.large@*a": 0, "t3.large@*b": 1, "t3.large@*c": 1})

    with pytest.raises(
        ClusterousError, match="Asked in eu-west-1a, eu-west-1b and eu-west-1c;"
    ) as told:
        world.converge(REEF).run(seconds=1)

    assert told.value.exit_code == 75
    world.configure(capacity={})
    world.create(REEF)
    assert where(world)["worker", HOME] == 2
    world.destroy("reef")
    assert world.server.leftovers() == []


def volumes(world: cloud.World) -> set[str]:
    """Return the zones of the volumes that are no machine's own."""
    return {
        one["AvailabilityZone"]
        for one in listed(world, "describe_volumes", "Volumes")
        if tags_of(one)[names.TAG_ROLE] in ("volume", "state")
    }


def kinds(world: cloud.World) -> dict[str, str]:
    """Return the types of the machines that run, by pool."""
    return {
        tags_of(one)[names.TAG_POOL]: one["InstanceType"]
        for group in listed(world, "describe_instances", "Reservations")
        for one in group["Instances"]
        if one["State"]["Name"] == "running"
    }


def test_a_controller_and_its_volumes_are_made_where_its_launch_succeeds(
    world: cloud.World,
) -> None:
    reef = config.parse("name: reef\nmaster: none\nworkers: 1\n")
    world.configure(capacity={f"t3.medium@{HOME}": 0})

    world.create(reef)

    assert where(world)["controller", NEXT] == 1
    assert where(world)["worker", HOME] == 1
    assert volumes(world) == {NEXT}
    assert subnets(world)["control"] == (NEXT, "10.40.16.0/20")
    assert ways(world)["control"] == "private-table"
    world.configure(capacity={})
    assert not world.design(reef).plan.pending

    # From then on its volumes choose the zone.
    (controller,) = (
        one["InstanceId"]
        for group in listed(world, "describe_instances", "Reservations")
        for one in group["Instances"]
        if tags_of(one)[names.TAG_POOL] == "controller"
    )
    world.end(controller)
    world.configure(capacity={"*": 0})
    with pytest.raises(ClusterousError, match=r"Asked for t3\.medium, t3a\.medium, ") as told:
        world.converge(reef).run(seconds=1)
    assert told.value.exit_code == 75
    world.configure(capacity={"t3.medium": 0})
    world.create(reef)
    assert where(world)["controller", NEXT] == 1
    assert kinds(world)["controller"] == "t3a.medium"
    assert not world.design(reef).plan.pending
    world.destroy("reef")
    assert world.server.leftovers() == []


def test_a_controller_stays_in_the_zone_that_the_file_names(world: cloud.World) -> None:
    reef = config.parse("name: reef\nvolume: none\nmaster: none\nworkers: 0\nnetwork: {zone: a}\n")
    world.configure(capacity={f"t3.medium@{HOME}": 0})

    with pytest.raises(ClusterousError, match="no such machine free") as told:
        world.converge(reef).run(seconds=1)

    assert told.value.exit_code == 75
    assert len(subnets(world)) == 3
