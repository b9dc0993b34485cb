"""A cluster file that was changed while the cluster runs: what create does, and what it says."""

from dataclasses import replace
from typing import Any

import pytest
import yaml

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_cli import main
from clusterous_cli.cluster import config
from clusterous_cli.cluster.file import fields
from clusterous_cli.cluster.file.fields import Effect
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.tags import tagged, tags_of
from clusterous_cli.plan import design
from clusterous_cli.plan.kinds.kind import Action
from tests.functional import cloud
from tests.region.aws import images

REEF = config.parse("name: reef\nmaster: none\nworkers: 1\n")
WHO = Identity(name="reef", account="123456789012", region="eu-west-1")
DEBIAN = next(one.id("eu-west-1") for one in images.IMAGES if "debian-12-amd64" in one.name)
NEWER = "v1.99.0+k3s1"


@pytest.fixture
def world(world: cloud.World) -> cloud.World:
    world.laid(REEF)
    return world


def workers(world: cloud.World) -> list[dict[str, Any]]:
    groups = world.cloud.pages("ec2", "describe_instances", "Reservations", Filters=tagged(WHO))
    machines = [machine for group in groups for machine in group["Instances"]]
    return [one for one in machines if tags_of(one)[names.TAG_ROLE] == "worker"]


def pool(**changes: Any) -> config.ClusterConfig:
    return REEF.changed("worker", **changes)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (pool(disk=30), ["worker runs with a disk of 20 GiB, not 30: only machines that"]),
        (
            replace(REEF, image=DEBIAN),
            ["gateway runs with image ami-", "controller", "worker"],
        ),
        (replace(REEF, k3s=NEWER), [f"the controller runs k3s {REEF.k3s}, not {NEWER}: create"]),
    ],
    ids=["disk", "image", "k3s"],
)
def test_what_machines_that_run_do_not_get_is_told_and_is_no_success_of_plan(
    world: cloud.World, changed: config.ClusterConfig, said: list[str]
) -> None:
    for _ in range(2):  # also when create has written down what is wanted
        plan = world.design(changed).plan

        assert len(plan.unchanged) == len(said)
        assert all(map(str.startswith, plan.unchanged, said)), plan.unchanged
        world.converge(changed).execute()

    assert typed_plan(world, changed) == 4
    world.converge(REEF).execute()
    assert typed_plan(world, REEF) == 0


def typed_plan(world: cloud.World, wanted: config.ClusterConfig) -> int:
    with pytest.MonkeyPatch.context() as patch:
        cloud.typing(patch, world)
        patch.setattr("clusterous_cli.commands.opening.wanted", lambda *_: (world.cloud, wanted))
        return main.run(["plan", "--quiet"])


FILE: dict[str, Any] = {
    "name": "reef",
    "workers": {"count": 1},
    "pools": {"cpu": {"count": 1}},
    "volume": {"size": 20},
}
# For each key another value, and where it is refused, of what the refusal speaks.
OTHERS: dict[str, tuple[Any, str]] = {
    "version": (1, ""),
    "name": ("atoll", ""),
    "region": ("us-east-1", ""),
    "image": (DEBIAN, ""),
    "k3s": (NEWER, ""),
    "network.cidr": ("10.50.0.0/16", "cidr is 10.40.0.0/16, not 10.50.0.0/16"),
    "network.zone": ("b", "network.zone is eu-west-1a, not eu-west-1b"),
    "gateway.type": ("t3.micro", "gateway: type is t3.nano, not t3.micro"),
    "gateway.disk": (9, ""),
    "gateway.allow": (["203.0.113.0/24"], ""),
    "controller.type": ("t3.large", "controller: type is t3.medium, not t3.large"),
    "controller.disk": (30, ""),
    "master.type": ("t3.large", "master: type is t3.medium, not t3.large"),
    "master.disk": (30, ""),
    "workers.type": ("m7i.large", "worker: type is t3.large, not m7i.large"),
    "workers.count": (2, ""),
    "workers.disk": (30, ""),
    "workers.labels": ({"tier": "big"}, ""),
    "workers.taints": (["gpu:NoSchedule"], ""),
    "pools": ({"big": 1}, ""),
    "volume.type": ("efs", "No change of the file replaces a volume"),
    "volume.size": (30, ""),
    "volume.iops": (4000, ""),
    "volume.throughput": (250, ""),
    "volume.id": ("vol-0123456789abcdef0", "No change of the file replaces a volume"),
    "logging.level": (2, ""),
    "logging.store": ("light", ""),
    "logging.days": (30, ""),
    "logging.size": (50, ""),
    "logging.url": ("https://logs.example.org:9200", ""),
    "registry.type": ("s3", "registry is ecr, not s3"),
    "registry.bucket": ("layers-of-ours", "registry is ecr, not s3 (layers-of-ours)"),
    "tags": ({"owner": "ocean"}, ""),
    "environment_file": ("apps/program.yml", ""),
}


def test_a_change_of_each_key_does_what_the_page_says(world: cloud.World) -> None:
    world.converge(parsed(FILE)).execute()

    seen = {key: effect(world, key, *other) for key, other in OTHERS.items()}

    assert seen == {key: one.effect for key, one in fields.FIELDS.items()}


def parsed(content: dict[str, Any]) -> config.ClusterConfig:
    return config.parse(yaml.safe_dump(content))


def effect(world: cloud.World, key: str, value: Any, refusal: str) -> Effect | str:
    section, _, name = key.partition(".")
    content = {**FILE, section: {**FILE.get(section, {}), name: value} if name else value}
    if key in ("volume.type", "volume.id"):
        content["volume"] = {name: value}  # which have no size
    if key == "registry.bucket":
        content["registry"] = {"type": "s3", name: value}  # no other type has one
    changed = parsed(content)
    there = world.cloud.elsewhere(changed.region or "eu-west-1")
    try:
        plan = design.draw(there, changed, cloud.outside(), cloud.offer(world.folder)).plan
    except UserError as error:
        return Effect.REFUSED if refusal and refusal in str(error) else str(error)
    acts = [step for step in plan.pending if step.part != "files"]
    if not plan.pending:
        return Effect.NOTHING
    if all(step.action is Action.CREATE for step in plan.steps):
        return Effect.OTHER
    if acts:
        return Effect.DONE if not plan.unchanged else str(plan.unchanged)
    if plan.unchanged:
        (words, *_) = plan.unchanged
        return Effect.LATER if "create does not change that yet" in words else Effect.NEW
    return Effect.FURTHER


def test_a_new_worker_is_no_newer_than_its_controller(world: cloud.World) -> None:
    drawn = world.design(replace(pool(count=2), k3s=NEWER))

    assert all(REEF.k3s in one.release for one in drawn.artifacts.values() if one.name == "k3s")
    world.converge(replace(pool(count=2), k3s=NEWER)).execute()
    assert [tags_of(one)[names.TAG_K3S] for one in workers(world)] == [REEF.k3s] * 2


def test_a_type_may_change_where_no_machine_has_the_old_one(world: cloud.World) -> None:
    (old,) = workers(world)
    world.cloud.call("ec2", "terminate_instances", InstanceIds=[old["InstanceId"]])
    other = pool(type="m6i.large")
    world.converge(other).execute()

    assert [s.key for s in world.design(other).plan.pending] == []  # AWS still shows the dead one


def test_two_types_side_by_side_are_seen(world: cloud.World) -> None:
    (old,) = workers(world)
    made = world.cloud.call(
        "ec2", "run_instances", ImageId=old["ImageId"], InstanceType="m6i.large", MinCount=1,
        MaxCount=1, SubnetId=old["SubnetId"],
    )  # fmt: skip
    tags = [one for one in old["Tags"] if not one["Key"].startswith("aws:")]
    world.cloud.call(
        "ec2", "create_tags", Resources=[made["Instances"][0]["InstanceId"]], Tags=tags
    )

    with pytest.raises(UserError, match=r"worker: type is m6i.large, t3.large, not t3.large"):
        world.design(pool(count=2))
