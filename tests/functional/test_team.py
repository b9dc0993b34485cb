"""Several people and clusters: who changed what, whose turn it is, what commands are about."""

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clusterous_cli import main
from clusterous_cli.cluster import local
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import AUDIT, BEGUN, LOCK_KEY, NODES
from clusterous_cli.commands import opening
from clusterous_cli.system import wait
from clusterous_cli.terminal.lines import TimedLines
from clusterous_cli.terminal.options import Settings
from clusterous_cli.terminal.screen import Ui
from clusterous_cli.turns import journal, lock
from tests.functional import cloud

FILE = "name: reef\nregion: eu-west-1\nmaster: none\nworkers: 1\nvolume: none\n"
WHO = Identity(name="reef", account="123456789012", region="eu-west-1")
QUIET = TimedLines(Ui(Settings(quiet=True)))
# What machines put themselves, and what turns do by themselves every few seconds.
OTHERS = (NODES, BEGUN, LOCK_KEY, AUDIT)


@pytest.fixture
def typed(
    account: cloud.World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[cloud.World]:
    cloud.refused(monkeypatch, tmp_path)
    with cloud.typed_in(tmp_path, account, monkeypatch, FILE) as world:
        yield world


def run(*argv: str) -> int:
    return main.run([*argv])


def heard(capfd: pytest.CaptureFixture[str], *argv: str) -> Any:
    capfd.readouterr()
    assert run(*argv, "-o", "json") == 0
    return json.loads(capfd.readouterr().out)


def changing(world: cloud.World) -> Counter[str]:
    """Count the calls that changed something, as the account itself logged them."""
    return Counter(
        f"{one.service}:{one.action}"
        for one in world.server.log()
        if one.mutating and not any(f"/{key}" in str(one.resource) for key in OTHERS)
    )


# -- who did what -------------------------------------------------------------------------------


def test_every_call_that_changed_something_is_in_the_audit(
    typed: cloud.World, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("create", "--yes", "-q") == 0
    assert run("add-nodes", "--yes", "-q") == 0

    found = heard(capfd, "audit", "--last", "1000")

    assert Counter(one["call"] for one in found) == changing(typed)
    assert {one["doing"] for one in found} >= {"clusterous create", "clusterous add-nodes"}
    assert {one["by"] for one in found} == {lock.person()}
    assert all(one["ended"] for one in found)
    (network,) = (one for one in found if one["call"] == "ec2:CreateVpc")
    assert network["made"][0].startswith("vpc-")
    assert network["request"]
    assert run("audit", "--last", "3") == 0
    assert len(capfd.readouterr().out.splitlines()) == 4
    assert not list(local.folder(WHO).glob(journal.PATTERN))


def test_the_audit_is_not_removed_by_create_nor_told_as_a_change(typed: cloud.World) -> None:
    assert run("create", "--yes", "-q") == 0

    assert run("plan") == 0


def test_what_failed_is_told_with_the_reason_of_aws(
    typed: cloud.World, capfd: pytest.CaptureFixture[str]
) -> None:
    typed.fault(service="ec2", action="CreateSubnet", kind="error", status=400,
                code="SubnetLimitExceeded", message="no more")  # fmt: skip
    assert run("create", "--yes", "-q") != 0

    errors = {one["error"] for one in heard(capfd, "audit") if one["call"] == "ec2:CreateSubnet"}
    assert "SubnetLimitExceeded" in errors


def test_who_is_killed_has_left_its_calls_and_the_next_turn_brings_them(
    typed: cloud.World, capfd: pytest.CaptureFixture[str]
) -> None:
    cloud.begun(typed, FILE)
    before = len(heard(capfd, "audit", "--last", "1000"))
    child = os.fork()
    if not child:  # who is killed after AWS did what it was asked, and before its answer was read
        with journal.kept(typed.cloud, WHO, "clusterous create", opening.now):
            witness = typed.cloud.witness
            assert witness is not None
            witness.asked("ec2", "create_vpc", {"CidrBlock": "10.9.0.0/16"})
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert list(local.folder(WHO).glob(journal.PATTERN))

    assert run("add-nodes", "--yes", "-q") == 0

    found = heard(capfd, "audit", "--last", "1000")
    (lost,) = (one for one in found if "10.9.0.0/16" in one["about"])
    assert (lost["ended"], lost["request"]) == (None, None)
    assert len(found) > before + 1
    assert not list(local.folder(WHO).glob(journal.PATTERN))


def test_destroy_removes_the_audit_with_the_bucket(typed: cloud.World) -> None:
    cloud.begun(typed, FILE)

    assert run("destroy", "reef", "--yes", "-q") == 0

    assert typed.server.leftovers() == []
    assert not local.folder(WHO).exists()


# -- whose turn it is ---------------------------------------------------------------------------


def test_a_lock_is_broken_only_when_asked_and_who_had_it_stops(
    typed: cloud.World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lock, "RENEWED", 0.2)
    monkeypatch.setattr(lock, "LOOKS", 0.3)
    monkeypatch.setattr(lock, "NOTICED", 1.0)
    cloud.begun(typed, FILE)
    pauses = wait.Pauses()
    ended: list[BaseException] = []

    def work() -> None:
        mine = lock.Lock(cloud=typed.cloud, who=WHO, doing="a create", pauses=pauses)
        try:
            with lock.held(mine, QUIET):
                pauses.sleep(60)
        except lock.Busy as error:
            ended.append(error)

    other = threading.Thread(target=work)
    other.start()
    wait.until(lambda: lock.Lock(cloud=typed.cloud, who=WHO, doing="", pauses=pauses).look(),
               "the lock", wait.Pauses(), timeout=30)  # fmt: skip
    assert run("destroy", "reef", "--yes", "-q") == 75
    assert "--break-lock takes the turn" in capfd.readouterr().err

    assert run("destroy", "reef", "--yes", "--break-lock") == 0

    other.join(30)
    assert f"a create by {lock.person()}, whose work stops" in capfd.readouterr().err
    assert "took the turn from this command (--break-lock)" in str(ended[0])
    assert typed.server.leftovers() == []


# -- which cluster commands are about -----------------------------------------------------------


def test_a_colleague_works_on_a_cluster_from_its_bucket_alone(
    typed: cloud.World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    cloud.begun(typed, FILE)
    fresh = tmp_path / "laptop"
    fresh.mkdir()
    monkeypatch.chdir(fresh)
    monkeypatch.setenv("CLUSTEROUS_HOME", str(fresh / "home"))
    monkeypatch.setenv("AWS_REGION", "us-east-1")  # for another work
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert run("workon") == 2

    said = heard(capfd, "workon", "reef")

    assert (said["name"], said["region"]) == ("reef", "eu-west-1")
    assert Path(said["ssh_key"]).stat().st_mode & 0o777 == 0o600
    assert heard(capfd, "status")["name"] == "reef"
    assert heard(capfd, "workon")["uid"] == WHO.uid
    assert run("workon", "atoll") == 2
    assert "There is no cluster 'atoll'" in capfd.readouterr().err
    assert heard(capfd, "workon")["name"] == "reef"


def test_the_chosen_cluster_goes_before_others_that_this_machine_knows(
    typed: cloud.World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    cloud.begun(typed, FILE)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name in ("atoll", "lagoon"):
        local.remember(Identity(name=name, account=WHO.account, region=WHO.region))
    assert run("workon", "reef") == 0
    assert heard(capfd, "status")["name"] == "reef"

    Path("clusterous.yaml").write_text("name: atoll\n")
    assert run("workon", "reef") == 0
    assert "clusterous.yaml here is about atoll" in capfd.readouterr().err
    Path("clusterous.yaml").unlink()

    assert run("destroy", "reef", "--yes", "-q") == 0
    assert local.current() is None
    assert run("workon") == 2
