"""What doctor says before a cluster is made, and what create does about it."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clusterous_cli import main
from clusterous_cli.checks import examination
from clusterous_cli.checks.account import things
from clusterous_cli.cluster import identity as names
from clusterous_cli.cluster.tags import as_items
from tests.functional import cloud
from tests.region.aws import images
from tests.region.aws.keys import Credentials, Identity

FILE = "name: reef\nworkers:\n  count: 1\n"
TOOLS = {
    "ssh": "echo OpenSSH_9.2p1 Debian-2, OpenSSL 3.0 >&2",
    "rsync": "echo 'rsync  version 3.2.7  protocol version 31'",
    "aws": "echo aws-cli/1.46.3 Python/3.11",
    "kubectl": "echo Client Version: v1.35.0",
}
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


@dataclass(frozen=True, kw_only=True)
class Desk:
    """A laptop with a cluster file and programs, and the account that it reaches."""

    world: cloud.World
    patch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    bin: Path

    def doctor(self, *words: str) -> tuple[int, dict[str, dict[str, Any]]]:
        self.capsys.readouterr()
        code = main.run(["doctor", "-o", "json", *words])
        told = json.loads(self.capsys.readouterr().out)["checks"]
        return code, {one.pop("check"): one for one in told}

    def said(self, *words: str) -> tuple[int, str, str]:
        self.capsys.readouterr()
        code = main.run([*words])
        said = self.capsys.readouterr()
        return code, said.out, said.err

    def lend(self, seconds: float, *, told: bool) -> None:
        """Take temporary keys, which end after *seconds*; that is *told* to the tools, or not."""
        aws = self.world.server.world
        who = Identity(account=aws.settings.account, user=aws.settings.user, user_id="AIDA")
        keys = aws.keys.issue_temporary(who, aws.clock() + seconds)
        assert keys.expiration
        self.carry(keys)
        if told:
            self.patch.setenv("AWS_CREDENTIAL_EXPIRATION", keys.expiration.isoformat())

    def carry(self, keys: Credentials) -> None:
        assert keys.token
        self.patch.setenv("AWS_ACCESS_KEY_ID", keys.access_key_id)
        self.patch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret_access_key)
        self.patch.setenv("AWS_SESSION_TOKEN", keys.token)

    def ahead(self, seconds: float) -> None:
        """Let AWS's clock be ahead of ours."""
        self.patch.setattr(self.world.server.world, "clock", lambda: time.time() + seconds)

    def deny(self, *actions: str) -> None:
        deny = {"Effect": "Deny", "Action": list(actions), "Resource": "*"}
        policy = {"Version": "2012-10-17", "Statement": [EVERYTHING, deny]}
        self.world.configure(user_policy=policy)

    def install(self, name: str, script: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)


@pytest.fixture
def desk(
    account: cloud.World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Desk]:
    account.server.reset()
    account.server.world.settings = cloud.QUICK
    account.renew()
    (tmp_path / "bin").mkdir()
    (tmp_path / "clusterous.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    cloud.typing(monkeypatch, account)
    monkeypatch.setattr(examination, "SECONDS", 600.0)  # on a machine of any pace
    desk = Desk(world=account, patch=monkeypatch, capsys=capsys, bin=tmp_path / "bin")
    for name, script in TOOLS.items():
        desk.install(name, script)
    yield desk
    monkeypatch.undo()
    account.server.world.faults.clear()


def test_where_nothing_is_wrong_all_is_said_to_be_well(desk: Desk) -> None:
    code, out, err = desk.said("doctor")

    assert code == 0
    assert re.search(
        r"^✓ credentials +arn:aws:iam::123456789012:user/you, without an end$", out, re.M
    )
    assert re.search(r"^✓ clock +as AWS's$", out, re.M)
    assert re.search(r"^✓ region +eu-west-1, enabled$", out, re.M)
    assert "ssh 9.2, rsync 3.2.7, aws 1.46.3, kubectl 1.35.0" in out
    assert {line[0] for line in out.splitlines()} == {"✓"}
    assert "Next: clusterous plan" in err
    assert desk.world.mutating() == []


def test_without_a_file_what_any_cluster_needs_is_checked(desk: Desk) -> None:
    Path("clusterous.yaml").unlink()

    code, found = desk.doctor()

    assert code == 0
    assert {one["state"] for one in found.values()} == {"ok"}


# -- credentials --------------------------------------------------------------------------


def test_credentials_that_end_during_a_create_are_a_warning(desk: Desk) -> None:
    desk.lend(20 * 60, told=True)

    code, found = desk.doctor()

    assert code == 0
    assert found["credentials"]["state"] == "warning"
    assert re.search(r"valid for \d+ min", found["credentials"]["says"])
    assert "30 min" in found["credentials"]["why"]
    assert "aws sso login" in found["credentials"]["do"]


def test_credentials_that_last_are_well(desk: Desk) -> None:
    desk.lend(5 * 3600, told=True)

    assert desk.doctor()[1]["credentials"]["state"] == "ok"


def test_credentials_of_which_nothing_tells_the_end_are_not_known(desk: Desk) -> None:
    desk.lend(20 * 60, told=False)

    code, found = desk.doctor()

    assert (code, found["credentials"]["state"]) == (0, "not known")
    assert "AWS_CREDENTIAL_EXPIRATION" in found["credentials"]["why"]


@pytest.mark.parametrize("told", [True, False], ids=["and the tools know", "and only AWS knows"])
def test_credentials_that_have_ended_fail_and_leave_the_rest_unasked(
    desk: Desk, told: bool
) -> None:
    desk.lend(-60, told=told)

    code, found = desk.doctor()

    assert (code, found["credentials"]["state"]) == (1, "failure")
    assert "log in again" in found["credentials"]["says"]
    assert found["region"]["state"] == "not known"
    assert found["tools"]["state"] == "ok"
    assert desk.said("plan")[0] == 75


def test_no_credentials_at_all_are_told_beside_what_else_there_is(desk: Desk) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        desk.patch.delenv(name)
    desk.patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    desk.patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "none")

    code, found = desk.doctor()

    assert (code, found["credentials"]["state"]) == (1, "failure")
    assert "There are no AWS credentials" in found["credentials"]["says"]
    assert found["tools"]["state"] == "ok"


# -- the clock ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "state", "exit_code"),
    [(180, "warning", 0), (600, "failure", 1), (3600, "failure", 1)],
    ids=["that differs", "that is taken here and there", "that AWS refuses"],
)
def test_a_clock(desk: Desk, seconds: float, state: str, exit_code: int) -> None:
    desk.ahead(seconds)

    code, found = desk.doctor()

    assert (code, found["clock"]["state"]) == (exit_code, state)
    assert re.search(r"(min|h) .*behind AWS's", found["clock"]["says"])
    whole = " ".join(str(word) for word in found["clock"].values())
    assert "timedatectl set-ntp true" in whole
    if seconds > 900:
        assert found["credentials"]["state"] == "not known"


# -- the region ---------------------------------------------------------------------------


def test_a_region_that_the_account_has_not_enabled_fails(desk: Desk) -> None:
    code, found = desk.doctor("--region", "me-south-1")

    assert (code, found["region"]["state"]) == (1, "failure")
    assert "me-south-1 is not enabled" in found["region"]["says"]


def test_a_region_that_is_none_fails_and_the_one_meant_is_named(desk: Desk) -> None:
    code, found = desk.doctor("--region", "eu-wset-1")

    assert (code, found["region"]["state"]) == (1, "failure")
    assert "did you mean eu-west-1?" in found["region"]["says"]
    assert found["credentials"]["state"] == "not known"


def test_a_region_that_may_not_be_asked_about_is_not_known(desk: Desk) -> None:
    desk.deny("ec2:DescribeRegions")

    code, found = desk.doctor()

    assert (code, found["region"]["state"]) == (0, "not known")
    assert "You may not do ec2:DescribeRegions" in found["region"]["why"]


# -- tools --------------------------------------------------------------------------------


def test_without_ssh_no_cluster_is_made(desk: Desk) -> None:
    (desk.bin / "ssh").unlink()

    code, found = desk.doctor()
    stopped, _, err = desk.said("create", "--yes")

    assert (code, found["tools"]["state"]) == (1, "failure")
    assert "install OpenSSH's client" in found["tools"]["do"]
    assert stopped == 2
    assert "1 check failed, nothing was created" in err
    assert "install OpenSSH's client" in err
    assert desk.world.mutating() == []


def test_an_rsync_that_does_not_serve_is_a_warning_which_create_passes_on(desk: Desk) -> None:
    desk.install("rsync", "echo 'openrsync: protocol version 29'")

    code, found = desk.doctor()
    asked, _, err = desk.said("create")

    assert (code, found["tools"]["state"]) == (0, "warning")
    assert "3.1 or later is needed" in found["tools"]["do"]
    assert asked == 2  # nobody is there to say yes
    assert re.search(r"^  ! tools: .*3\.1 or later is needed", err, re.M)
    assert "say --yes" in err


def test_a_program_that_says_no_version_is_there_all_the_same(desk: Desk) -> None:
    desk.install("ssh", "exit 255")

    assert desk.doctor()[1]["tools"]["state"] == "ok"


# -- permissions --------------------------------------------------------------------------


def test_what_create_may_not_do_is_named_and_stops_it(desk: Desk) -> None:
    desk.deny("ec2:RunInstances", "iam:PassRole")

    code, found = desk.doctor()
    stopped, _, err = desk.said("create", "--yes")

    assert (code, found["permissions"]["state"]) == (1, "failure")
    assert found["permissions"]["says"] == "you may not do ec2:RunInstances, iam:PassRole"
    assert stopped == 2
    assert "you may not do ec2:RunInstances, iam:PassRole" in err
    assert desk.world.mutating() == []


def test_a_check_that_is_wrong_can_be_passed_over(desk: Desk) -> None:
    desk.deny("ec2:RunInstances")

    code, _, err = desk.said("create", "--skip-check", "permissions")

    assert code == 2  # nobody is there to say yes
    assert "say --yes" in err
    assert re.search(r"^  ! permissions: you may not do ec2:RunInstances", err, re.M)


def test_what_destroy_alone_may_not_do_is_a_warning(desk: Desk) -> None:
    desk.deny("ec2:DeleteVpc")

    code, found = desk.doctor()

    assert (code, found["permissions"]["state"]) == (0, "warning")
    assert "destroy could not remove" in found["permissions"]["why"]


@pytest.mark.parametrize(
    ("key", "value", "state"),
    [
        ("aws:RequestTag/clusterous.io/cluster", "reef", "ok"),
        ("aws:RequestTag/cost-centre", "4711", "not known"),
    ],
    ids=["that our calls meet", "that nobody can foresee"],
)
def test_a_policy_with_a_condition(desk: Desk, key: str, value: str, state: str) -> None:
    rest = {"Effect": "Allow", "NotAction": "ec2:CreateVpc", "Resource": "*"}
    vpc = {"Effect": "Allow", "Action": "ec2:CreateVpc", "Resource": "*"}
    vpc["Condition"] = {"StringEquals": {key: value}}  # type: ignore[assignment]
    desk.world.configure(user_policy={"Version": "2012-10-17", "Statement": [rest, vpc]})

    code, found = desk.doctor()

    assert (code, found["permissions"]["state"]) == (0, state)


HERE = "arn:aws:ec2:eu-west-1:123456789012"
LOOKS = {"Effect": "Allow", "Action": ["ec2:Describe*", "ec2:Get*"], "Resource": "*"}
REST = {"Effect": "Allow", "NotAction": "ec2:*", "Resource": "*"}


@pytest.mark.parametrize(
    ("things", "state", "says"),
    [
        pytest.param([f"{HERE}:*"], "failure", "you may not do ec2:RunInstances", id="no image"),
        pytest.param([f"{HERE}:*", "arn:aws:ec2:*::image/ami-*"], "ok", "all allowed", id="all"),
        pytest.param(
            [f"{HERE}:{kind}/*" for kind in things.IDS if kind not in ("image", "natgateway")]
            + ["arn:aws:ec2:*::image/*"],
            "failure", "you may not do ec2:CreateNatGateway, ec2:CreateTags", id="no NAT gateway",
        ),
    ],
)  # fmt: skip
def test_a_policy_that_names_things_by_their_arn_allows_what_is_about_them(
    desk: Desk, things: list[str], state: str, says: str
) -> None:
    acts = {"Effect": "Allow", "Action": "ec2:*", "Resource": things}
    desk.world.configure(user_policy={"Version": "2012-10-17", "Statement": [LOOKS, REST, acts]})

    _, found = desk.doctor()

    assert found["permissions"]["state"] == state
    assert says in found["permissions"]["says"]


def test_who_may_not_ask_the_simulator_tries_what_can_be_tried(desk: Desk) -> None:
    desk.deny("iam:SimulatePrincipalPolicy")
    code, found = desk.doctor()

    assert (code, found["permissions"]["state"]) == (0, "not known")
    assert found["permissions"]["says"].startswith("3 of ")
    assert "iam:SimulatePrincipalPolicy" in found["permissions"]["why"]

    desk.deny("iam:SimulatePrincipalPolicy", "ec2:CreateVpc")
    code, found = desk.doctor()

    assert (code, found["permissions"]["state"]) == (1, "failure")
    assert "ec2:CreateVpc" in found["permissions"]["says"]
    assert desk.world.server.leftovers() == []


def test_of_a_session_the_policies_of_its_role_count(desk: Desk) -> None:
    iam = desk.world.cloud.client("iam")
    document = {"Version": "2012-10-17", "Statement": [EVERYTHING]}
    iam.create_role(
        RoleName="engineer", Path="/team/", AssumeRolePolicyDocument='{"Version":"2012-10-17"}'
    )
    iam.put_role_policy(RoleName="engineer", PolicyName="all", PolicyDocument=json.dumps(document))
    keys = desk.world.server.credentials("engineer", "me")
    desk.carry(keys)

    code, found = desk.doctor()

    assert code == 0
    assert ":assumed-role/engineer/me" in found["credentials"]["says"]
    assert found["permissions"]["state"] == "ok"


# -- quotas -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "limit", "says"),
    [
        ("quota: vCPUs", {"vcpu_limit": 5}, "8 more vCPUs of standard machines wanted, 0 of 5"),
        ("quota: disks", {"gp3_tib_limit": 0}, "96 more GiB of gp3 volumes wanted, 0 of 0 in use"),
        ("quota: networks", {"vpc_limit": 1}, "1 more networks (VPCs) wanted, 1 of 1 in use"),
        ("quota: addresses", {"eip_limit": 0}, "1 more Elastic IPs wanted, 0 of 0 in use"),
        ("quota: NAT gateways", {"nat_limit": 0}, "1 more NAT gateways of a zone wanted, 0 of 0"),
    ],
    ids=["machines", "disks", "networks", "addresses", "gateways"],
)
def test_a_quota_that_leaves_no_room_stops_create(
    desk: Desk, check: str, limit: dict[str, int], says: str
) -> None:
    desk.world.configure(**limit)

    code, found = desk.doctor()
    failed = [name for name, one in found.items() if one["state"] == "failure"]
    stopped, _, err = desk.said("create", "--yes")

    assert (code, failed) == (1, [check])
    assert found[check]["says"].startswith(says)
    assert "console.aws.amazon.com/servicequotas" in found[check]["do"]
    assert (stopped, says in err) == (2, True)
    assert desk.world.mutating() == []


def test_what_is_there_of_the_cluster_is_not_asked_for_once_more(desk: Desk) -> None:
    who = names.Identity(name="reef", account="123456789012", region="eu-west-1")
    tags = as_items(who.tags("vpc"))
    desk.world.cloud.client("ec2").create_vpc(
        CidrBlock="10.40.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": tags}]
    )
    desk.world.configure(vpc_limit=2)

    found = desk.doctor()[1]["quota: networks"]

    assert (found["state"], found["says"]) == ("ok", "2 of 2 in use")


def test_of_disks_what_is_there_of_the_cluster_is_not_asked_for_once_more(desk: Desk) -> None:
    who = names.Identity(name="reef", account="123456789012", region="eu-west-1")
    for size, tags in ((90, who.tags("volume")), (1000, {})):
        desk.world.cloud.client("ec2").create_volume(
            AvailabilityZone="eu-west-1a", Size=size, VolumeType="gp3",
            TagSpecifications=[{"ResourceType": "volume", "Tags": as_items({"of": "us", **tags})}],
        )  # fmt: skip
    desk.world.configure(gp3_tib_limit=1)

    found = desk.doctor()[1]["quota: disks"]

    assert found["says"] == "6 more GiB of gp3 volumes wanted, 1090 of 1024 in use"
    assert found["state"] == "failure"


def test_quotas_that_may_not_be_asked_are_aws_usual_ones(desk: Desk) -> None:
    desk.deny("servicequotas:*")

    code, found = desk.doctor()

    assert code == 0
    assert found["quota: networks"]["state"] == "ok"
    assert "by AWS's usual quota" in found["quota: networks"]["says"]
    assert found["quota: vCPUs"]["state"] == "warning"
    assert "servicequotas:GetServiceQuota" in found["quota: vCPUs"]["why"]


def test_what_is_in_use_and_may_not_be_asked_is_not_known(desk: Desk) -> None:
    desk.deny("ec2:DescribeInstances", "ec2:DescribeAddresses")

    code, found = desk.doctor()

    assert found["quota: vCPUs"]["state"] == found["quota: addresses"]["state"] == "not known"
    assert "You may not do ec2:DescribeInstances" in found["quota: vCPUs"]["why"]
    assert code == 1  # which create must do, too
    assert found["permissions"]["state"] == "failure"


# -- what the cluster is made of ----------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "check", "state", "says"),
    [
        ("image: debian-12", "image", "failure", "image debian-12 has no NFS client"),
        ("image: ami-0123456789abcdef0", "image", "failure", "There is no image ami-0123456789"),
        ("image: AMI\ngateway: {disk: 35}\ncontroller: {disk: 35}", "image", "not known", "AMI"),
        ("controller: {type: z9.large}", "machine types", "failure", "AWS has no machines of type"),
        ("network: {cidr: 172.31.0.0/16}", "address range", "ok", "172.31.0.0/16, also in vpc-"),
    ],
    ids=[
        "no NFS client",
        "no image",
        "somebody's image",
        "no such machines",
        "a range that is used",
    ],
)
def test_what_a_cluster_is_made_of(
    desk: Desk, line: str, check: str, state: str, says: str
) -> None:
    mine = next(one.id("eu-west-1") for one in images.IMAGES if "debian-12-amd64" in one.name)
    Path("clusterous.yaml").write_text(f"{FILE}  disk: 35\n{line}\n".replace("AMI", mine))

    code, found = desk.doctor()

    assert (code, found[check]["state"]) == (int(state == "failure"), state)
    assert found[check]["says"].startswith(says.replace("AMI", mine))
    assert desk.world.mutating() == []
