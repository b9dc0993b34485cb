"""The commands as a person calls them, against the strict AWS: what is printed, which exit code."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from clusterous_api import names
from clusterous_cli import main
from clusterous_cli.cluster import record
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.commands import launching
from clusterous_cli.program.program import Program
from tests.functional import cloud

FILE = "name: reef\nworkers:\n  count: 1\n"


@pytest.fixture
def world(
    account: cloud.World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[cloud.World]:
    cloud.refused(monkeypatch, tmp_path)
    with cloud.typed_in(tmp_path, account, monkeypatch, FILE) as world:
        yield world


def test_a_cluster_from_plan_to_nothing(
    world: cloud.World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["plan", "-o", "json"]) == 4
    plan = json.loads(capsys.readouterr().out)
    assert {step["action"] for step in plan["steps"]} == {"create"}
    assert plan["cost"]["hourly"] > 0
    assert world.mutating() == []

    assert main.run(["create", "--yes", "-o", "json"]) == 0
    said = capsys.readouterr()
    assert [node["state"] for node in json.loads(said.out)["nodes"]] == ["ready"] * 4
    assert "reef is ready after" in said.err

    assert main.run(["plan"]) == 0
    assert "nothing to do" in capsys.readouterr().out

    assert main.run(["status"]) == 0
    assert "worker-1" in capsys.readouterr().out

    assert main.run(["destroy", "--yes"]) == 0
    assert "nothing is left" in capsys.readouterr().err
    assert world.server.leftovers() == []

    assert main.run(["destroy", "--yes", "--cluster", "reef"]) == 0
    assert "nothing of reef" in capsys.readouterr().err


OLD = """\
cluster_name: Reef
central_logging_level: 1
environment_file: apps/tiles.yml
parameters: {master_instance_type: t3.medium, worker_instance_type: t3.large, worker_count: 1}
"""


@dataclass
class Launched:
    """What was to be run, and where; nothing is."""

    seen: list[tuple[str, str | None]] = field(default_factory=list)

    def __call__(self, ui: object, what: Program, wishes: object, cloud: object, name: str) -> Any:
        self.seen.append((what.name, name))
        return self

    def run(self) -> None:
        """Be the launch, too."""


def test_create_runs_the_program_that_its_file_names(
    world: cloud.World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    launched = Launched()
    monkeypatch.setattr(launching, "launch", launched)
    Path("apps").mkdir()
    Path("old.yml").write_text(OLD)
    Path("new.yaml").write_text(f"{FILE}environment_file: apps/tiles.yml\n")

    # What is wrong with the program's file is told before anything is made.
    assert main.run(["create", "old.yml", "--yes"]) == 2
    Path("apps/tiles.yml").write_text("name: tiles\nenvironment: {componentz: {}}\n")
    assert main.run(["create", "new.yaml", "--yes"]) == 2
    assert world.mutating() == []

    Path("apps/tiles.yml").write_text("name: tiles\nenvironment: {components: {}}\n")
    assert main.run(["create", "--no-run", "old.yml", "--yes"]) == 0
    assert launched.seen == []
    assert "kept on the cluster by VictoriaLogs" in capsys.readouterr().err
    for file in ("new.yaml", "old.yml"):
        assert main.run(["create", file, "--yes"]) == 0
    assert launched.seen == [("tiles", "reef")] * 2
    assert main.run(["plan", "old.yml"]) == 0


def test_what_create_does_not_change_is_told(
    world: cloud.World, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.begun(world, FILE)
    Path("larger.yaml").write_text("name: reef\nworkers: {count: 1, disk: 30}\n")
    capsys.readouterr()

    assert main.run(["plan", "larger.yaml", "-o", "json"]) == 4
    told = json.loads(capsys.readouterr().out)["unchanged"]
    assert told[0].startswith("worker runs with a disk of 20 GiB, not 30")
    assert main.run(["create", "larger.yaml", "--yes"]) == 0
    assert told[0] in capsys.readouterr().err.partition("reef is ready")[2]
    assert main.run(["plan", "larger.yaml"]) == 4
    assert "not as the file wants it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("made", "wished", "says"),
    [
        pytest.param(
            "network: {zone: a}", "network: {zone: b}",
            "network.zone is eu-west-1a, not eu-west-1b", id="another zone",
        ),
        pytest.param(
            "volume: efs", "volume: none",
            "the shared volume is on EFS, not none", id="no volume",
        ),
        pytest.param(
            "volume: none", "volume: efs",
            "the shared volume is none, not on EFS", id="a volume",
        ),
    ],
)  # fmt: skip
def test_what_a_living_cluster_cannot_become_is_refused(
    world: cloud.World, capsys: pytest.CaptureFixture[str], made: str, wished: str, says: str
) -> None:
    Path("clusterous.yaml").write_text(f"{FILE}{made}\n")
    assert main.run(["create", "--yes"]) == 0
    before = world.mutating()
    Path("clusterous.yaml").write_text(f"{FILE}{wished}\n")

    for command in (["plan"], ["create", "--yes"]):
        capsys.readouterr()
        assert main.run(command) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"✗ {says}\n")
        assert "destroy the cluster and create it anew" in said
    assert world.mutating() == before


def test_without_a_terminal_a_question_names_its_flag(
    world: cloud.World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["create"]) == 2
    assert "say --yes" in capsys.readouterr().err
    assert world.mutating() == []


def test_status_without_a_cluster_says_how_to_make_one(
    world: cloud.World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["status"]) == 2
    assert "clusterous create FILE" in capsys.readouterr().err


def test_a_refused_call_names_what_is_not_allowed(
    world: cloud.World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.fault(
        service="ec2", action="DescribeVpcs", kind="error", code="UnauthorizedOperation",
        status=403, times=9, message="You are not authorized to perform this operation.",
    )  # fmt: skip

    assert main.run(["plan"]) == 2
    assert "You may not do ec2:DescribeVpcs" in capsys.readouterr().err
    world.server.world.faults.clear()


def test_expired_credentials_end_create_with_the_command_that_goes_on(
    world: cloud.World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.fault(
        service="ec2", action="CreateRouteTable", kind="error", code="RequestExpired",
        status=400, times=9, message="Request has expired.",
    )  # fmt: skip

    assert main.run(["create", "clusterous.yaml", "--yes"]) == 75

    said = capsys.readouterr().err
    assert "Nothing is lost" in said
    assert "aws sso login" in said
    assert "`clusterous create clusterous.yaml` goes on from here" in said
    world.server.world.faults.clear()
    assert main.run(["create", "clusterous.yaml", "--yes"]) == 0


def test_what_destroy_leaves_is_listed_for_programs_too(
    world: cloud.World, capsys: pytest.CaptureFixture[str]
) -> None:
    tags = [{"Key": names.TAG_CLUSTER, "Value": "reef"}]
    ec2 = world.cloud.client("ec2")
    made = ec2.allocate_address(
        Domain="vpc", TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": tags}]
    )

    assert main.run(["destroy", "reef", "--yes", "-o", "json"]) == 3

    said = capsys.readouterr()
    address = made["AllocationId"]
    left = [{"kind": "public address", "id": address, "ours": False, "hourly": 0.0055}]
    assert json.loads(said.out) == {
        "cluster": "reef", "left": left, "unseen": [], "kept": [],
    }  # fmt: skip
    assert f"public address {address}, 0.006 $/h" in said.err


def test_what_destroy_may_not_look_for_is_told_and_is_no_failure(
    world: cloud.World, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.begun(world, FILE)
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    refused = ["ec2:DescribeKeyPairs", "ec2:DescribeSnapshots", "s3:ListAllMyBuckets"]
    deny = {"Effect": "Deny", "Action": refused, "Resource": "*"}
    world.configure(user_policy={"Version": "2012-10-17", "Statement": [everything, deny]})
    capsys.readouterr()

    assert main.run(["destroy", "--yes", "-o", "json"]) == 0

    said = capsys.readouterr()
    unseen = [
        "could not look for snapshots: not permitted (ec2:DescribeSnapshots)",
        "could not look for key pairs: not permitted (ec2:DescribeKeyPairs)",
        "could not look for buckets: not permitted (s3:ListAllMyBuckets)",
    ]
    assert json.loads(said.out) == {
        "cluster": "reef", "left": [], "unseen": unseen, "kept": [],
    }  # fmt: skip
    assert all(f"! {words}\n" in said.err for words in unseen)
    assert main.run(["destroy", "reef", "--yes"]) == 0
    assert f"! {unseen[1]}\n" in capsys.readouterr().err
    assert world.server.leftovers() == []


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"7", b'{"phase":"ready","cluster":"x"}'])
def test_a_report_in_another_form_ends_no_command(
    world: cloud.World, capsys: pytest.CaptureFixture[str], body: bytes
) -> None:
    cloud.begun(world, FILE)
    who = Identity(name="reef", account="123456789012", region="eu-west-1")
    for one in record.machines(world.cloud, who):
        key = f"{who.reports}/{one['InstanceId']}.json"
        world.cloud.call("s3", "put_object", Bucket=who.bucket, Key=key, Body=body)
    capsys.readouterr()

    assert main.run(["status"]) == 0
    assert main.run(["plan"]) == 0
