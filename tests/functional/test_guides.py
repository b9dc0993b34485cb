"""Each command of the guides, typed as it stands there."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusterous_cli import main
from clusterous_cli.aws.client import Aws
from clusterous_cli.cluster import config, record
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.commands import opening
from clusterous_cli.plan.volumes import copies
from clusterous_cli.reach import ssh
from clusterous_cli.system import wait
from clusterous_cli.turns import lock
from tests import guides
from tests.functional import cloud
from tests.functional.test_snapshots import put

FILE = "name: reef\nregion: eu-west-1\nmaster: none\nworkers: 1\n"
ATOLL = FILE.replace("reef", "atoll")
WHO = Identity(name="reef", account="123456789012", region="eu-west-1")


@pytest.fixture
def typed(
    account: cloud.World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[cloud.World]:
    monkeypatch.setattr(lock, "NOTICED", 0.5)
    monkeypatch.setattr("clusterous_cli.reach.session.api", unreached)
    with cloud.typed_in(tmp_path, account, monkeypatch, FILE) as world:
        cloud.begun(world, FILE)
        Path("clusterous.yaml").rename("reef.yaml")
        yield world


def unreached(*_: object, **__: object) -> None:
    raise ssh.ConnectionRefused("The gateway cannot be reached.")


def end(world: cloud.World, pool: str) -> None:
    world.end(*(one.instance_id for one in record.read_nodes(world.cloud, WHO) if one.pool == pool))


def copied(cloud: Aws) -> str:
    """Take a snapshot of the shared volume, and return its id."""
    cluster = record.open_cluster("reef", cloud)
    volume = copies.source(cloud, WHO, cluster.record)
    return copies.Taking(
        cloud=cloud, who=WHO, volume=volume, now=opening.now(), pauses=wait.Pauses()
    ).begin()


def prepare(world: cloud.World, section: str, folder: Path) -> dict[str, str]:
    """Let happen what a section is about; return what stands for what in its commands."""
    match section:
        case "A worker":
            end(world, "worker")
        case "The controller":
            end(world, "controller")
        case "The controller, and its zone has no machine left":
            put(world, folder)
            end(world, "controller")
        case "What the controller knew":
            put(world, folder)
        case "The shared volume":
            return {"snap-0123456789abcdef0": copied(world.cloud)}
        case "Everything but what was kept":
            keep = ["destroy", "reef", "--confirm", "--leave-shared-volume", "-q"]
            kept = copies.source(world.cloud, WHO, record.open_cluster("reef", world.cloud).record)
            assert main.run(keep) == 0
            Path("atoll.yaml").write_text(f"{ATOLL}volume: {{id: {kept.id}}}\n")
    return {}


@pytest.mark.parametrize("section", [*guides.sections("recovery.md")])
def test_recovery(typed: cloud.World, section: str, tmp_path: Path) -> None:
    known = prepare(typed, section, tmp_path)

    commands = [one.words for one in guides.sections("recovery.md")[section] if one.words]

    assert commands
    with cloud.played(typed.cloud, config.parse(ATOLL)):
        for command in commands:
            for name, value in known.items():
                command = command.replace(name, value)
            assert main.run(shlex.split(command)) == 0, command


def test_team(typed: cloud.World) -> None:
    """What is told to fail needs somebody else at work: `test_team.py` has that."""
    for commands in guides.sections("team.md").values():
        assert commands
        for one in commands:
            command = one.words
            assert command
            if one.shown.startswith("✗"):
                Path("reef.yaml").rename("clusterous.yaml")
            else:
                assert main.run([*shlex.split(command), "--yes"]) == 0, command
