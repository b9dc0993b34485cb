"""Pools of workers: machines of several kinds, and how the controller learns which is which."""

from collections import Counter
from typing import Any

from clusterous_api import names
from clusterous_cli.cluster import config, record
from clusterous_cli.cluster.addresses import node_name
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import HOMES
from clusterous_cli.cluster.tags import tagged, tags_of
from clusterous_cli.output import show
from clusterous_cli.plan import cost
from clusterous_cli.plan.kinds.machines import MACHINES
from tests.functional import cloud

WHO = Identity(name="reef", account="123456789012", region="eu-west-1")
TWO = """\
name: reef
volume: none
master: none
pools:
  cpu: {type: c7i.xlarge, count: 2}
  big: {type: m6i.large, count: 1, disk: 200, labels: {tier: big}}
"""
REEF = config.parse(TWO)


def machines(world: cloud.World) -> list[dict[str, Any]]:
    groups = world.cloud.pages("ec2", "describe_instances", "Reservations", Filters=tagged(WHO))
    found = [machine for group in groups for machine in group["Instances"]]
    return [one for one in found if one["State"]["Name"] not in ("shutting-down", "terminated")]


def workers(world: cloud.World) -> list[dict[str, Any]]:
    return [one for one in machines(world) if tags_of(one)[names.TAG_ROLE] == "worker"]


def told(world: cloud.World) -> dict[str, str]:
    """Return what the controller is told: node → pool."""
    lines = (record.read_object(world.cloud, WHO, HOMES) or b"").decode().splitlines()
    return {line.split()[0]: line.split()[2] for line in lines}


def true(world: cloud.World) -> dict[str, str]:
    return {
        node_name(one["PrivateDnsName"], one["InstanceId"]): tags_of(one)[names.TAG_POOL]
        for one in workers(world)
    }


def test_each_pool_has_its_machines_and_the_controller_is_told_whose_each_is(
    world: cloud.World,
) -> None:
    words = show.plan_table(world.design(REEF), cost.of(REEF, "us-east-1"))
    assert "2 of cpu (c7i.xlarge), 1 of big (m6i.large)" in words

    world.create(REEF)

    kinds = Counter((tags_of(one)[names.TAG_POOL], one["InstanceType"]) for one in workers(world))
    assert kinds == {("cpu", "c7i.xlarge"): 2, ("big", "m6i.large"): 1}
    assert told(world) == true(world)
    nodes = record.read_nodes(world.cloud, WHO)
    assert [one.name for one in nodes] == ["gateway", "controller", "big-1", "cpu-1", "cpu-2"]
    assert world.design(REEF).plan.pending == ()
    world.destroy("reef")
    assert world.server.leftovers() == []


def test_pools_grow_and_come_and_are_told_of_at_once(world: cloud.World) -> None:
    world.laid(REEF)
    more = config.parse(f"{TWO}  gpu: {{type: g4dn.xlarge, count: 1}}\n").changed("cpu", count=3)

    plan = world.design(more).plan
    assert {step.key for step in plan.pending} == {
        "pool cpu", "pool gpu", "homes", "s3:record.json",
    }  # fmt: skip
    world.converge(more).execute()

    assert Counter(true(world).values()) == {"cpu": 3, "big": 1, "gpu": 1}
    assert told(world) == true(world)


def test_what_an_earlier_create_had_not_told_yet_is_told_by_the_next(world: cloud.World) -> None:
    world.laid(REEF)
    before = record.read_object(world.cloud, WHO, HOMES)
    more = REEF.changed("cpu", count=3)
    world.converge(more).execute()
    world.cloud.call("s3", "put_object", Bucket=WHO.bucket, Key=HOMES, Body=before)

    assert [step.key for step in world.design(more).plan.pending] == ["homes"]
    world.converge(more).execute()
    assert told(world) == true(world)
    assert len(told(world)) == 4


def test_labels_and_taints_of_machines_that_run_stay_which_is_told(world: cloud.World) -> None:
    world.laid(REEF)
    other = REEF.changed("cpu", labels=(("tier", "small"),))

    for _ in range(2):
        (words,) = world.design(other).plan.unchanged
        assert words.startswith("pool cpu runs with other labels and taints: only machines that")
        world.converge(other).execute()


def test_a_pool_that_the_file_has_no_more_is_to_leave(world: cloud.World) -> None:
    world.laid(REEF)
    fewer = config.parse(TWO.replace("  big:", "  # big:"))

    (step,) = world.design(fewer).plan.leaving

    assert step.found is not None
    assert [step.found.id] == [
        one["InstanceId"] for one in workers(world) if tags_of(one)[names.TAG_POOL] == "big"
    ]


def test_status_tells_what_is_gone_of_which_pool(world: cloud.World) -> None:
    world.stand(REEF)
    cpu = next(one for one in workers(world) if tags_of(one)[names.TAG_POOL] == "cpu")
    world.cloud.call("ec2", "terminate_instances", InstanceIds=[cpu["InstanceId"]])

    cluster = record.open_cluster("reef", world.cloud)

    assert show.missing(cluster) == ["1 of 2 in pool cpu are gone"]


def test_a_cluster_of_before_gets_a_machine_for_masters_which_plan_tells(
    world: cloud.World,
) -> None:
    file = "name: reef\nvolume: none\nworkers: 1\n"
    world.create(config.parse(f"{file}master: none\n"))
    before = [one["InstanceId"] for one in workers(world)]

    design = world.design(config.parse(file))

    made = [step.key for step in design.plan.pending if step.kind is MACHINES]
    assert made == ["master"]
    assert "1 master (t3.medium)" in show.plan_table(design, cost.of(design.config, "us-east-1"))
    world.create(config.parse(file))
    pools = {one["InstanceId"]: tags_of(one)[names.TAG_POOL] for one in workers(world)}
    assert sorted(pools.values()) == ["master", "worker"]
    assert all(pools[id] == "worker" for id in before)
    assert not world.design(config.parse(file)).plan.pending

    (step,) = world.design(config.parse(f"{file}master: none\n")).plan.leaving
    assert step.found is not None
    assert pools[step.found.id] == "master"


def test_status_tells_that_masters_are_elsewhere(world: cloud.World) -> None:
    world.create(config.parse("name: reef\nvolume: none\nworkers: 0\n"))
    (master,) = workers(world)
    world.cloud.call("ec2", "terminate_instances", InstanceIds=[master["InstanceId"]])

    (words,) = show.missing(record.open_cluster("reef", world.cloud))

    assert words.startswith("the master is gone: masters are on workers meanwhile")
