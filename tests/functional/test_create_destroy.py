"""`create` and `destroy` against the strict AWS: they converge from anywhere and leave nothing."""

import io
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from clusterous_api import names
from clusterous_api.errors import ClusterousError, FailedError, LeftBehindError
from clusterous_cli.aws import errors
from clusterous_cli.checks.account import things
from clusterous_cli.cluster import config, record
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.tags import tags_of
from clusterous_cli.output import show
from clusterous_cli.plan import converge, cost, inventory, sweep
from clusterous_cli.plan.kinds.kind import Action
from clusterous_cli.plan.machines import nodes
from clusterous_cli.system import wait
from clusterous_cli.terminal.lines import TimedLines
from clusterous_cli.terminal.options import Settings
from clusterous_cli.terminal.screen import Ui
from tests.functional import cloud

REEF = config.parse("name: reef\nworkers:\n  count: 2\n")
WHO = Identity(name="reef", account="123456789012", region="eu-west-1")
WANTED = {"gateway": 1, "controller": 1, "worker": 2}


def test_creates_shows_and_destroys(world: cloud.World) -> None:
    made = world.create(REEF)

    assert [node.name for node in made] == [
        "gateway",
        "controller",
        "master",
        "worker-1",
        "worker-2",
    ]
    opened = record.open_cluster(None, world.cloud)
    assert opened.controller_ip == "10.40.16.10"
    assert opened.gateway_ip.startswith("198.51.100.")
    assert opened.ssh_key.stat().st_mode & 0o777 == 0o600
    assert f"{opened.gateway_ip} ssh-ed25519 AAAA" in opened.known_hosts.read_text()
    world.destroy("reef")
    assert world.server.leftovers() == []


def test_a_second_create_changes_nothing(world: cloud.World) -> None:
    world.stand(REEF)

    again = world.design(REEF)

    assert [step.key for step in again.plan.pending] == []


def test_more_workers_are_added_and_the_others_kept(world: cloud.World) -> None:
    before = {node.instance_id for node in world.stand(REEF)}

    after = world.create(config.parse("name: reef\nworkers: 3\n"))

    assert before < {node.instance_id for node in after}
    assert [node.pool for node in after].count("worker") == 3


def test_a_changed_address_changes_only_the_gateways_rules(world: cloud.World) -> None:
    world.stand(REEF)

    moved = config.parse("name: reef\nworkers: 2\ngateway: {allow: [198.51.100.7/32]}\n")

    changes = list(world.design(moved).plan.pending)
    assert {step.key for step in changes} == {"gateway-rules", "s3:record.json"}
    assert all(step.action is Action.CHANGE for step in changes)


def test_an_address_that_was_allowed_before_is_shut_out(world: cloud.World) -> None:
    world.stand(REEF)

    world.create(config.parse("name: reef\nworkers: 2\ngateway: {allow: [198.51.100.7/32]}\n"))

    groups = world.cloud.pages(
        "ec2", "describe_security_groups", "SecurityGroups",
        Filters=[{"Name": "tag:Name", "Values": ["reef-gateway-group"]}],
    )  # fmt: skip
    ranges = [r["CidrIp"] for rule in groups[0]["IpPermissions"] for r in rule["IpRanges"]]
    assert ranges == ["198.51.100.7/32"]


def test_who_will_be_let_in_and_who_no_more_is_told(world: cloud.World) -> None:
    world.stand(REEF)

    drawn = world.design(replace(REEF, allow=("198.51.100.77/32",)))

    comes, goes = show.access_words(drawn.plan)
    assert comes == "the gateway will let in 198.51.100.77/32"
    assert goes.startswith("the gateway will no more let in 203.0.113.10/32; who comes from there")
    assert f"  ! {goes}" in show.plan_table(drawn, cost.of(REEF, "eu-west-1"))
    assert show.access_words(world.design(REEF).plan) == []


def test_no_call_more_for_twenty_workers_than_for_two(world: cloud.World) -> None:
    counts = []
    for workers in (2, 20):
        world.server.reset()
        made = cloud.die_after(world, 10_000)
        world.converge(config.parse(f"name: reef\nworkers: {workers}\n")).execute()
        world.destroy("reef")
        counts.append(made())
        world.renew()

    assert counts[0] == counts[1]


def test_a_failed_node_fails_create_in_its_own_words_and_is_replaced(world: cloud.World) -> None:
    with pytest.raises(FailedError, match="no space left on device"):
        world.create(REEF, failing="worker")

    nodes = world.create(REEF)

    assert [node.phase for node in nodes] == ["ready"] * 5
    world.destroy("reef")
    assert world.server.leftovers() == []


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (
            lambda world, id: world.server.machine_stopped(id),
            "Server.InternalError: Internal error",
        ),
        (lambda world, id: world.cloud.call("ec2", "stop_instances", InstanceIds=[id]), "stopp"),
    ],
    ids=["dies at its launch", "is stopped by somebody"],
)
def test_a_machine_that_ends_while_it_is_waited_for_is_told_with_ec2s_reason(
    world: cloud.World,
    monkeypatch: pytest.MonkeyPatch,
    end: Callable[[cloud.World, str], object],
    why: str,
) -> None:
    monkeypatch.setattr("clusterous_cli.plan.machines.nodes.LISTED_SECONDS", 0.5)
    lost: list[str] = []

    def lose() -> None:
        while not lost:
            time.sleep(0.1)
            lost.extend(each["InstanceId"] for each in record.machines(world.cloud, WHO)
                        if tags_of(each)[names.TAG_POOL] == names.ROLE_WORKER)  # fmt: skip
        end(world, lost[0])

    threading.Thread(target=lose, daemon=True).start()

    with pytest.raises(FailedError) as raised:
        world.create(REEF, view={"rollouts": ""})

    assert "1 machine ended instead of becoming ready" in str(raised.value)
    assert f"worker {lost[0]} is" in str(raised.value)
    assert why in str(raised.value)
    world.destroy("reef")


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(
            {"containers": [{"pod": "operator-1", "restarts": 3, "reason": "CrashLoopBackOff",
                             "said": "ImportError: no kopf\n"}]},
            id="the operator crashes",
        ),
        pytest.param({"chart": "InstallFailed: ImportError: no kopf\n"}, id="its chart fails"),
        pytest.param(
            {"containers": [{"pod": "operator-1", "restarts": 0, "reason": "ImagePullBackOff",
                             "said": "ErrImagePull: ImportError: no kopf\n"}]},
            id="its image cannot be pulled",
        ),
    ],
)  # fmt: skip
def test_an_operator_that_does_not_start_fails_create_in_its_own_words(
    world: cloud.World, monkeypatch: pytest.MonkeyPatch, view: dict[str, object]
) -> None:
    monkeypatch.setattr("clusterous_cli.plan.machines.nodes.CHART_SECONDS", 0.5)
    monkeypatch.setattr("clusterous_cli.plan.machines.nodes.PULL_SECONDS", 0.5)
    sick = {"rollouts": "", **view}

    with pytest.raises(FailedError, match="ImportError: no kopf") as told:
        world.create(REEF, seconds=60, view=sick)

    assert told.value.exit_code == 1
    assert "clusterous kubectl -n clusterous-system describe pods" in str(told.value)
    cloud.report(world.cloud, REEF, {})  # It is mended, and the controller says so.
    assert len(world.create(REEF)) == 5


def test_a_lost_answer_ends_no_wait_for_the_machines(
    world: cloud.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.stand(REEF)
    lost = iter([errors.Unclear("no answer"), errors.Unreachable("no network")])
    pages = world.cloud.pages

    def sometimes(*args: Any, **params: Any) -> Any:
        if error := next(lost, None):
            raise error
        return pages(*args, **params)

    monkeypatch.setattr(world.cloud, "pages", sometimes)
    who = Identity(name="reef", account=world.cloud.account, region="eu-west-1")
    said = io.StringIO()
    lines = TimedLines(Ui(Settings(), err=said))

    ready = nodes.await_ready(world.cloud, who, WANTED, {}, lines, wait.Pauses())

    assert len(ready) == 5
    assert "AWS does not answer; trying again. (no answer)" in said.getvalue()


def test_destroying_nothing_finds_nothing(world: cloud.World) -> None:
    who = Identity(name="reef", account=world.cloud.account, region="eu-west-1")

    assert inventory.take(world.cloud, who, deep=True) == ()


def test_another_clusters_things_are_left_alone(world: cloud.World) -> None:
    world.stand(REEF)
    world.create(config.parse("name: atoll\nworkers: 1\nnetwork: {cidr: 10.50.0.0/16}\n"))

    world.destroy("reef")

    atoll = record.open_cluster("atoll", world.cloud)
    assert [node.state for node in atoll.nodes] == ["running"] * 4
    world.destroy("atoll")
    assert world.server.leftovers() == []


def test_something_foreign_in_the_network_is_named(
    world: cloud.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clusterous_cli.plan.converge.SECONDS_WITH_FOREIGN", 1.0)
    world.stand(REEF)
    ec2 = world.cloud.client("ec2")
    subnets = ec2.describe_subnets(Filters=[{"Name": "tag:Name", "Values": ["reef-private"]}])
    foreign = ec2.create_network_interface(
        SubnetId=subnets["Subnets"][0]["SubnetId"], Description="AWS Lambda of somebody"
    )["NetworkInterface"]["NetworkInterfaceId"]

    with pytest.raises(LeftBehindError, match=f"{foreign}.*not made by clusterous.*Lambda") as told:
        world.destroy("reef")

    assert told.value.exit_code == 3
    kinds = {line.partition("-")[0].strip() for line in str(told.value).splitlines()[1:-1]}
    # What the interface holds, and the record, so that the next destroy still knows the cluster.
    assert {"network interface eni", "subnet subnet", "network vpc"} <= kinds
    assert "bucket clusterous-reef-" in str(told.value)
    assert not {"machine i", "NAT gateway nat", "public address eipalloc", "disk vol"} & kinds
    assert "role " not in str(told.value)
    ec2.delete_network_interface(NetworkInterfaceId=foreign)
    world.destroy("reef")
    assert world.server.leftovers() == []


def test_the_last_look_finds_what_destroy_overlooks(world: cloud.World) -> None:
    world.stand(REEF)
    ec2 = world.cloud.client("ec2")
    # Made by hand or by another program, with the cluster's name and without its uid.
    tags = [{"Key": names.TAG_CLUSTER, "Value": "reef"}]

    def tagged(kind: str) -> list[dict[str, object]]:
        return [{"ResourceType": kind, "Tags": tags}]

    disk = ec2.create_volume(
        AvailabilityZone="eu-west-1a", Size=100, VolumeType="gp3",
        TagSpecifications=tagged("volume"),
    )["VolumeId"]  # fmt: skip
    address = ec2.allocate_address(Domain="vpc", TagSpecifications=tagged("elastic-ip"))

    with pytest.raises(LeftBehindError) as told:
        world.destroy("reef")

    assert told.value.exit_code == 3
    lines = str(told.value).splitlines()
    assert lines[0] == "2 things would not go, and cost 0.018 $/h together:"
    says = "bears the cluster's name, but was not made by clusterous"
    assert lines[1] == f"  disk {disk}, 0.012 $/h: {says}"
    assert lines[2] == f"  public address {address['AllocationId']}, 0.006 $/h: {says}"
    who = Identity(name="reef", account=world.cloud.account, region="eu-west-1")
    assert converge.left(inventory.take(world.cloud, who, deep=True)) == []


def test_the_last_look_leaves_out_another_clusters_things(world: cloud.World) -> None:
    world.stand(config.parse("name: reef-2\nworkers: 1\nvolume: efs\n"))
    who = Identity(name="reef", account=world.cloud.account, region="eu-west-1")

    assert sweep.look(world.cloud, who, ()) == sweep.Seen()
    other = Identity(name="reef-2", account=world.cloud.account, region="eu-west-1")
    found = {one.kind for one in sweep.look(world.cloud, other, ()).left}
    assert {"machine", "network", "NAT gateway", "role", "bucket", "volume"} <= found


def test_a_policy_that_names_things_by_their_arn_is_enough(world: cloud.World) -> None:
    """As doctor says of it, which asks about the same things."""
    arns = {arn for action in things.ABOUT for arn in things.of(WHO, action)}
    kinds = sorted(f"{arn.partition('/')[0]}/*" for arn in arns)
    # The region asks about it, too; on AWS only where the rule gets tags, which ours do not.
    kinds.append("arn:aws:ec2:*:*:security-group-rule/*")
    statements = [
        {"Effect": "Allow", "NotAction": "ec2:*", "Resource": "*"},
        {"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"},
        {"Effect": "Allow", "Action": "ec2:*", "Resource": kinds},
    ]
    world.configure(user_policy={"Version": "2012-10-17", "Statement": statements})

    world.create(REEF)
    world.destroy("reef")

    assert world.server.leftovers() == []


# The last of about fifty calls gives the lock back, which nobody need know of.
@pytest.mark.parametrize("calls", range(1, 46, 11))
def test_a_killed_create_can_be_destroyed_at_once(world: cloud.World, calls: int) -> None:
    cloud.die_after(world, calls)
    with pytest.raises(cloud.Killed):
        world.converge(REEF).execute()
    world.renew()

    world.destroy("reef")

    assert world.server.leftovers() == []


# One by which AWS itself knows a call again, one that looks first, one that says "already"; all
# others are those of tests/sweep.
LOST = [
    ("ec2", "RunInstances"), ("ec2", "CreateVpc"), ("ec2", "AuthorizeSecurityGroupIngress"),
    ("efs", "CreateFileSystem"),
]  # fmt: skip


@pytest.mark.parametrize(("service", "action"), LOST, ids=[action for _, action in LOST])
def test_a_lost_answer_makes_nothing_twice(world: cloud.World, service: str, action: str) -> None:
    world.fault(service=service, action=action, kind="lost", times=1)

    world.create(REEF)

    who = Identity(name="reef", account=world.cloud.account, region="eu-west-1")
    assert inventory.index(inventory.take(world.cloud, who)).surplus == ()
    assert not world.design(REEF).plan.pending
    world.destroy("reef")
    assert world.server.leftovers() == []


@pytest.mark.parametrize("action", ["CreateVpc", "RunInstances", "DeleteVpc", "TerminateInstances"])
def test_throttling_is_waited_out(world: cloud.World, action: str) -> None:
    world.fault(service="ec2", action=action, kind="throttle", times=3)

    world.create(REEF)
    world.destroy("reef")

    assert world.server.leftovers() == []


def test_no_capacity_is_told_and_nothing_waits(world: cloud.World) -> None:
    world.configure(capacity={"t3.large": 0})

    with pytest.raises(ClusterousError, match="no such machine free") as told:
        world.converge(REEF).run(seconds=1)

    assert told.value.exit_code == 75
    world.configure(capacity={})
    world.destroy("reef")
    assert world.server.leftovers() == []
