"""Two creates of one cluster that race: one makes it, one exits 75, nothing is there twice."""

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from clusterous_api import names
from clusterous_api.errors import ClusterousError
from clusterous_cli.cluster import config
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.tags import tagged, tags_of
from clusterous_cli.plan import converge
from clusterous_cli.system import wait
from clusterous_cli.turns import lock
from tests.functional import cloud
from tests.functional.test_two_hands import fetched

ROOT = Path(__file__).parents[2]
FILE = "name: reef\nmaster: none\nworkers: 1\nvolume: {size: 30}\n"
REEF = config.parse(FILE)
WHO = Identity(name="reef", account="123456789012", region="eu-west-1")
LISTED = {
    "describe_vpcs": "Vpcs",
    "describe_subnets": "Subnets",
    "describe_addresses": "Addresses",
    "describe_nat_gateways": "NatGateways",
    "describe_security_groups": "SecurityGroups",
    "describe_volumes": "Volumes",
}


@pytest.fixture
def world(world: cloud.World, monkeypatch: pytest.MonkeyPatch) -> cloud.World:
    monkeypatch.setattr(lock, "LOOKS", 0.1)
    return world


def hand(world: cloud.World, name: str) -> converge.Create:
    """Be another person, who has looked already."""
    aws = cloud.renewed(world.cloud)
    drawn = world.converge(REEF)
    return replace(drawn, cloud=aws, pauses=wait.Pauses(), fetched=fetched(world, name))


def ended(create: converge.Create) -> ClusterousError | None:
    try:
        create.run(seconds=60)
    except ClusterousError as error:
        return error
    return None


@contextmanager
def played(world: cloud.World) -> Iterator[None]:
    with cloud.played(cloud.renewed(world.cloud), REEF):
        yield


def is_there_once(world: cloud.World) -> None:
    """Of each thing that has a role there is one, and nothing is left to do."""
    for action, key in LISTED.items():
        found = world.cloud.pages("ec2", action, key, Filters=tagged(WHO))
        roles = Counter((tags_of(one).get(names.TAG_POOL), tags_of(one)[names.TAG_ROLE])
                        for one in found)  # fmt: skip
        assert set(roles.values()) == {1}, (action, roles)
    groups = world.cloud.pages("ec2", "describe_instances", "Reservations", Filters=tagged(WHO))
    machines = [tags_of(one)[names.TAG_POOL] for group in groups for one in group["Instances"]]
    assert sorted(machines) == ["controller", "gateway", "worker"]
    assert world.design(REEF).plan.pending == ()
    left = lock.Lock(cloud=world.cloud, who=WHO, doing="a look", pauses=wait.Pauses()).look()
    assert left is None


def test_of_two_creates_that_race_one_makes_the_cluster_and_the_other_exits_75(
    world: cloud.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "RENEWED", 0.2)
    both = [hand(world, name) for name in "ab"]
    ends: list[ClusterousError | None] = []
    threads = [threading.Thread(target=lambda one=one: ends.append(ended(one))) for one in both]

    with played(world):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    (told,) = [end for end in ends if end]
    assert isinstance(told, lock.Busy)
    assert told.exit_code == 75
    is_there_once(world)
    made = Counter(world.mutating())
    assert (made["ec2:CreateVolume"], made["ec2:RunInstances"]) == (2, 3)
    world.destroy("reef")
    assert world.server.leftovers() == []


@pytest.mark.parametrize("last", ["create_volume", "run_instances"])
def test_of_two_creates_that_race_one_is_killed_and_the_other_finds_what_it_made(
    world: cloud.World, tmp_path: Path, last: str
) -> None:
    """The other stops for one that is at work, and never waits for a dead one's lock to run out."""
    late = hand(world, "b")
    argv = [sys.executable, "-m", "tests.functional.hand", str(world.port), str(tmp_path / "a"),
            FILE, last]  # fmt: skip
    with subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.PIPE, text=True) as killed:
        while late.turn().look() is None:
            assert killed.poll() is None, killed.communicate()[1]
            time.sleep(0.05)
        told = ended(late)
        assert killed.wait() == -signal.SIGKILL, killed.communicate()[1]

    assert isinstance(told, lock.Busy)  # at work still, or has changed reef meanwhile
    assert told.exit_code == 75
    with played(world):
        assert ended(hand(world, "b")) is None
    is_there_once(world)
