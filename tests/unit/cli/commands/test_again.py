"""What is typed after a stop is the same command: with what it was told to keep."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from clusterous_cli import main
from clusterous_cli.aws import errors
from clusterous_cli.cluster import config, prices
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import VOLUME
from clusterous_cli.commands import changing, opening
from clusterous_cli.output import show
from clusterous_cli.plan import converge, design, inventory, sweep
from clusterous_cli.plan.kinds.files import BUCKET
from clusterous_cli.plan.kinds.kind import Found, Left
from clusterous_cli.plan.kinds.machines import SHARED
from clusterous_cli.plan.kinds.network import VPC
from clusterous_cli.plan.kinds.volume import attachment, ebs, efs
from clusterous_cli.system import wait
from clusterous_cli.terminal.lines import TimedLines
from clusterous_cli.terminal.options import Settings
from clusterous_cli.terminal.screen import Ui
from clusterous_cli.turns import journal
from tests.unit.cli.plan.test_answers import Answers

WHO = Identity(name="reef", account="123456789012", region="us-east-1")
REEF = config.parse("name: reef\nlogging: {level: 1}\n")


class Stopped(Exception):
    """Ctrl-C: the rest is told to be gone on with."""


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is told to be typed, of commands that get as far as AWS."""
    said: list[str] = []

    def carried_out(screen: Any, cloud: Any, drawn: Any, again: str, **_: Any) -> None:
        said.append(again)
        raise Stopped

    kept = {"config": REEF.to_record()}
    cloud = SimpleNamespace(account=WHO.account, region=WHO.region)
    plan = SimpleNamespace(pending=("step",), leaving=(), steps=(), unchanged=())
    patches: dict[Any, dict[str, Any]] = {
        changing: {"carried_out": carried_out, "examined": lambda *_: SimpleNamespace(
            findings=dict), "heeded": lambda *_: None,
            "leaving": lambda *_, **more: changing.Chosen(config=REEF, goes_on=True)},
        opening: {
            "existing": lambda *_: (cloud, REEF), "recorded": lambda *_: (cloud, kept),
            "wanted": lambda *_: (cloud, REEF), "former": lambda *_: None,
            "asked_prices": lambda *_: lambda: prices.listed(WHO.region),
        },
        design: {"draw": lambda *_, **more: SimpleNamespace(plan=plan, who=WHO)},
        show: {"plan_table": lambda *_: ""},
    }  # fmt: skip
    for module, by_name in patches.items():
        for name, one in by_name.items():
            monkeypatch.setattr(module, name, one)
    return said


@pytest.mark.parametrize(
    ("typed", "again"),
    [
        ("logging off --keep-data", "logging off --cluster reef --keep-data"),
        ("create --cluster reef --no-run --skip-check clock",
         "create --cluster reef --skip-check clock --no-run"),
        ("rm-nodes 1 --force", "rm-nodes --cluster reef --force"),
        ("add-nodes --count 2 --region us-east-1",
         "add-nodes 2 worker --cluster reef --region us-east-1"),
        ("volume grow 50 --profile lab", "volume grow 50 --cluster reef --profile lab"),
        ("create", "create"),
        ("create 'my reef.yaml'", "create 'my reef.yaml'"),
        ("volume grow '2 TiB'", "volume grow 2048 --cluster reef"),
    ],
)  # fmt: skip
def test_what_is_told_to_be_typed_has_the_options_of_what_was_typed(
    typed: str, again: str, told: list[str]
) -> None:
    with pytest.raises(Stopped):
        main.cli.main([*shlex.split(typed), "--yes", "-q"], standalone_mode=False)

    assert told == [f"clusterous {again}"]


# -- destroy ------------------------------------------------------------------------------------


def volume(kind: Any = ebs.VOLUME, id: str = "vol-1") -> Found:
    value = ebs.Volume(size=20, iops=3000, throughput=125, owner="reef")
    return Found(kind=kind, key=SHARED, id=id, value=value)


HELD = attachment.found({"VolumeId": "vol-1", "Attachments": [{"InstanceId": "i-1"}]})
FILES = Found(kind=efs.FILE_SYSTEM, key=SHARED, id="fs-1", value=efs.FileSystem(size=1))
TARGET = Found(
    kind=efs.MOUNT_TARGET, key="volume-target", id="fsmt-1",
    value=efs.MountTarget(file_system="fs-1", subnet="subnet-1", address="", ready=True),
)  # fmt: skip
FOREIGN = Found(kind=VPC, key="vpc", id="vpc-1", ours=False, vpc="vpc-1")
HOME = Found(kind=BUCKET, key="bucket", id=WHO.bucket)


class Stuck(Answers):
    """An AWS that keeps the bucket."""

    def call(self, service: str, action: str, **params: Any) -> Any:
        if action == "delete_bucket":
            raise errors.AwsFailed("something else is in it")
        return super().call(service, action, **params)


def destroyed(
    monkeypatch: pytest.MonkeyPatch, *found: Found, keep: bool = True
) -> tuple[str, list[str]]:
    """Return what a destroy says that cannot remove all, and which calls it made for that."""
    cloud = Stuck()
    monkeypatch.setattr(inventory, "take", lambda *_, **more: found)

    def look(*_: Any) -> sweep.Seen:
        cloud.calls.append(("look", {}))
        return sweep.Seen(left=(Left(kind="network", id="vpc-1", ours=False),))

    monkeypatch.setattr(sweep, "look", look)
    destroy = converge.Destroy(
        cloud=cloud,  # type: ignore[arg-type]  # as much of it as is asked
        who=WHO, lines=TimedLines(Ui(Settings(quiet=True))), pauses=wait.Pauses(), keep=keep,
        again="clusterous destroy reef --leave-shared-volume",
    )  # fmt: skip
    with pytest.raises(converge.Remains) as told:
        destroy.clear(found)
    ours = {"create_tags", "delete_tags", "tag_resource", "untag_resource", "look"}
    calls = [
        action if action in ours else f"{action} {params.get('Key', '')}"
        for action, params in cloud.calls
        if action in ours or params.get("Key") == VOLUME
    ]
    return str(told.value), calls


@pytest.mark.parametrize(
    ("there", "calls"),
    [
        pytest.param([volume()], ["create_tags", "delete_tags"], id="ebs"),
        pytest.param([volume(), *HELD], None, id="ebs-in-use"),
        pytest.param([FILES], ["tag_resource", "untag_resource"], id="efs"),
        pytest.param([FILES, TARGET], None, id="efs-in-use"),
    ],
)
def test_a_volume_is_kept_although_other_things_stay(
    there: list[Found], calls: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, made = destroyed(monkeypatch, *there, FOREIGN, HOME)

    noted = f"delete_object {VOLUME}"
    assert made == ([noted, *calls, "look"] if calls else ["look"])
    assert said.endswith("run this again:\n  clusterous destroy reef --leave-shared-volume")


def test_a_volume_that_is_not_to_be_kept_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    _, made = destroyed(monkeypatch, FOREIGN, HOME, keep=False)

    assert made == ["look"]


@pytest.mark.parametrize(
    "chosen", ["--leave-shared-volume", "--force-delete-shared-volume", "--guardduty"]
)
def test_the_next_destroy_is_told_what_this_one_was(
    chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def destroy(again: str, **_: Any) -> Any:
        said.append(again)
        raise Stopped

    @contextmanager
    def kept(*_: Any) -> Iterator[None]:
        yield

    patches: dict[Any, dict[str, Callable[..., Any]]] = {
        converge: {"Destroy": destroy},
        inventory: {"take": lambda *_, **more: (volume(),)},
        journal: {"kept": kept},
        opening: {"identity": lambda *_: WHO, "target": lambda *_: opening.Target(
            cloud=SimpleNamespace(), name="reef", chosen=True)},  # type: ignore[arg-type]
    }  # fmt: skip
    for module, by_name in patches.items():
        for name, one in by_name.items():
            monkeypatch.setattr(module, name, one)

    with pytest.raises(Stopped):
        main.cli.main(["destroy", "reef", chosen, "--confirm", "-q"], standalone_mode=False)

    assert said == [f"clusterous destroy reef {chosen}"]
