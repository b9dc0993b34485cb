"""One create or destroy of a cluster at a time."""

import json
import subprocess
import sys
import threading
import time

import pytest

from clusterous_api.errors import FailedError, TransientError
from clusterous_cli.cluster import config
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.plan import converge, inventory
from clusterous_cli.system import wait
from clusterous_cli.terminal.lines import TimedLines
from clusterous_cli.terminal.options import Settings
from clusterous_cli.terminal.screen import Ui
from clusterous_cli.turns import lock
from tests.functional import cloud

REEF = config.parse("name: reef\nworkers: 0\n")
WHO = Identity(name="reef", account="123456789012", region="eu-west-1")
QUIET = TimedLines(Ui(Settings(quiet=True)))


@pytest.fixture
def world(world: cloud.World, monkeypatch: pytest.MonkeyPatch) -> cloud.World:
    """An account with the bucket of a cluster; locks live for a second."""
    world.cloud.client("s3").create_bucket(
        Bucket=WHO.bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    monkeypatch.setattr(lock, "RENEWED", 0.2)
    monkeypatch.setattr(lock, "LOOKS", 0.1)
    return world


def another(world: cloud.World, doing: str = "a create") -> lock.Lock:
    return lock.Lock(cloud=world.cloud, who=WHO, doing=doing, pauses=wait.Pauses())


def kept(world: cloud.World) -> lock.Held | None:
    return another(world).look()


def test_a_destroy_stops_while_a_create_is_at_work(world: cloud.World) -> None:
    with (
        lock.held(another(world), QUIET),
        pytest.raises(TransientError, match=r"a create by \S+ on \S+ is at work on reef") as told,
    ):
        world.destroy("reef")

    assert told.value.exit_code == 75
    assert kept(world) is None


def test_a_create_stops_while_a_destroy_is_at_work_and_has_made_nothing(world: cloud.World) -> None:
    with (
        lock.held(another(world, "a destroy"), QUIET),
        pytest.raises(lock.Busy, match=r"a destroy by .* is at work on reef") as told,
        converge.accounted(world.cloud, WHO),
    ):
        world.converge(REEF).run()

    assert "What was made stays" not in str(told.value)
    assert {"ec2:CreateVpc", "iam:CreateRole"}.isdisjoint(world.mutating())


def test_a_lock_that_nobody_renews_is_taken_over(
    world: cloud.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "SECONDS", 2.0)
    dead = another(world)
    dead.take(QUIET)

    began = time.monotonic()
    world.destroy("reef")

    assert time.monotonic() - began >= 1.0
    assert world.server.leftovers() == []


@pytest.mark.parametrize("looked", [True, False], ids=["reaped", "a zombie"])
def test_the_lock_of_a_process_that_was_killed_here_is_not_waited_for(
    world: cloud.World, looked: bool
) -> None:
    holder = """
import os
from clusterous_cli.turns import lock
print(lock.here(), os.getpid(), flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        there, number = process.stdout.read().decode().split()
        if looked:
            process.wait()
        content = {"by": "a create by me", "id": "1", "process": [there, int(number)]}
        place = {"Bucket": WHO.bucket, "Key": "lock.json"}
        world.cloud.call("s3", "put_object", Body=json.dumps(content).encode(), **place)

        began = time.monotonic()
        world.destroy("reef")

        assert time.monotonic() - began < lock.SECONDS
    assert world.server.leftovers() == []


def test_of_two_that_take_over_one_has_it(
    world: cloud.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "SECONDS", 0.0)
    another(world).take(QUIET)
    held = kept(world)
    assert held is not None
    both = [another(world), another(world)]

    taken = [one._put(IfMatch=held.etag) for one in both]

    assert sorted(taken) == [False, True]


def test_a_lock_whose_answer_was_lost_is_our_own(world: cloud.World) -> None:
    world.fault(service="s3", action="PutObject", resource="*lock.json", kind="lost", times=1)

    with lock.held(another(world), QUIET):
        pass

    assert kept(world) is None


def test_who_lost_the_lock_stops_and_says_to_whom(world: cloud.World) -> None:
    mine, pauses = another(world), wait.Pauses()
    mine.pauses = pauses

    def work() -> None:
        with lock.held(mine, QUIET):
            world.cloud.call(
                "s3", "put_object", Bucket=WHO.bucket, Key="lock.json",
                Body=b'{"by": "a destroy by ann on atoll", "id": "other", "process": ["", 0]}',
            )  # fmt: skip
            pauses.sleep(30)

    with pytest.raises(TransientError, match="a destroy by ann on atoll is at work on reef now"):
        work()

    left = kept(world)
    assert left is not None
    assert left.id == "other"


@pytest.mark.parametrize("end", ["Ctrl-C", "a failure"])
def test_however_a_create_ends_the_next_one_is_let_in(world: cloud.World, end: str) -> None:
    create = world.converge(REEF)
    if end == "Ctrl-C":
        world.fault(service="ec2", action="CreateSubnet", kind="delay", seconds=1.0, times=1)
        threading.Timer(0.5, create.pauses.stop).start()
    else:
        world.fault(service="ec2", action="CreateSubnet", kind="error", code="Other", status=400)

    with pytest.raises(FailedError):
        create.run()

    assert kept(world) is None


def test_a_plan_that_was_drawn_before_another_destroy_is_not_carried_out(
    world: cloud.World,
) -> None:
    world.create(REEF)
    late = world.converge(config.parse("name: reef\nworkers: 1\n"))
    found = inventory.take(world.cloud, WHO, deep=True)
    converge.Destroy(cloud=world.cloud, who=WHO, lines=QUIET, pauses=wait.Pauses()).run(found)

    with pytest.raises(TransientError, match="has changed reef meanwhile"):
        late.change()

    assert "ec2:RunInstances" not in world.mutating()[-5:]
