"""What the cluster itself runs reaches a cluster that lives, and a new one is one line."""

from dataclasses import replace

import pytest

from clusterous_cli.addons import operatorchart, table
from clusterous_cli.addons.addon import Addon, Manifest, Mark, Setting
from clusterous_cli.cluster import config, record
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import ADDONS
from clusterous_cli.output import show
from clusterous_cli.plan import cost, design
from clusterous_cli.plan.kinds.kind import Action
from tests.functional import cloud

REEF = config.parse("name: reef\nworkers: 1\nvolume: none\n")
ANOTHER_CHART = b"a chart of another release"


def shown(world: cloud.World) -> str:
    return show.plan_table(world.design(REEF), cost.of(REEF, "eu-west-1"))


def digests(world: cloud.World) -> dict[str, str]:
    """Return what the table in the bucket says."""
    who = Identity(name="reef", account=world.cloud.account, region="eu-west-1")
    return table.digests((record.read_object(world.cloud, who, ADDONS) or b"").decode())


def test_a_changed_operator_is_an_update_of_that_addon_and_nothing_else(
    world: cloud.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.stand(REEF)
    before = digests(world)
    monkeypatch.setattr(operatorchart, "chart", lambda: ANOTHER_CHART)

    again = world.design(REEF)

    changed = {step.key: step for step in again.plan.pending}
    objects = next(key for key in changed if key.endswith("/operator.yaml"))
    assert set(changed) == {objects, "addons"}
    assert changed["addons"].action is Action.CHANGE
    assert changed["addons"].drift == ("operator",)
    assert objects in changed["addons"].needs
    assert "operator changed" in shown(world)

    world.create(REEF)

    after = digests(world)
    assert after["operator"] != before["operator"]
    assert after["cloud-controller"] == before["cloud-controller"]
    assert world.design(REEF).plan.pending == ()


def test_create_waits_until_the_new_operator_is_out(
    world: cloud.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.stand(REEF)
    old = digests(world)["operator"]
    monkeypatch.setattr(operatorchart, "chart", lambda: ANOTHER_CHART)
    rolled = {"rollouts": f"operator@{old} clusterous-operator 1 1 1 1 1 1\n"}

    with pytest.raises(Exception, match=r"nothing has come further: the operator"):
        world.create(REEF, seconds=3, view=rolled)


def objects(setting: Setting, mark: Mark) -> list[Manifest]:
    labels = {"app": "mirror"}
    template = {
        "metadata": {"labels": labels, "annotations": dict(mark)},
        "spec": {"containers": [{"name": "mirror", "image": "registry:2"}]},
    }
    spec = {"selector": {"matchLabels": labels}, "template": template}
    meta = {"name": "mirror", "namespace": "kube-system"}
    return [{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}]


MIRROR = Addon(
    name="mirror", noun="image mirror", manifests=objects, images=("operator",),
    wanted=lambda config: config.volume.type == "none", actions=("ecr:DescribeRepositories",),
)  # fmt: skip


def test_all_of_the_program_knows_an_addon_that_is_in_the_table(
    world: cloud.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.stand(REEF)
    monkeypatch.setattr(table, "ALL", (*table.ALL, MIRROR))

    pending = {step.key for step in world.design(REEF).plan.pending}
    assert {key for key in pending if not key.endswith("mirror.yaml")} == {
        "addons",
        "controller-policy",
    }
    assert "image mirror added" in shown(world)

    sick = {"rollouts": ""}
    with pytest.raises(Exception, match="the operator, the image mirror"):
        world.create(REEF, seconds=3, view=sick)
    world.create(REEF)

    assert list(digests(world)) == ["operator", "cloud-controller", "app-names", "mirror"]
    opened = record.open_cluster("reef", world.cloud)
    assert show.addons_data(opened)["image mirror"] == {"ready": True, "says": "ready"}
    role = Identity(name="reef", account=world.cloud.account, region="eu-west-1").role("controller")
    policy = world.cloud.call("iam", "get_role_policy", RoleName=role, PolicyName="clusterous")
    allowed = [one["Action"] for one in policy["PolicyDocument"]["Statement"]]
    assert ["ec2:DescribeInstances", "ecr:DescribeRepositories"] in allowed

    monkeypatch.setattr(table, "ALL", tuple(one for one in table.ALL if one is not MIRROR))
    assert "mirror removed" in shown(world)
    world.create(REEF)
    assert list(digests(world)) == ["operator", "cloud-controller", "app-names"]


def test_an_addon_that_is_not_wanted_is_not_there(
    world: cloud.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    unwanted = replace(MIRROR, wanted=lambda config: False)
    monkeypatch.setattr(table, "ALL", (*table.ALL, unwanted))

    world.create(REEF)

    assert "mirror" not in digests(world)


OLD = {"addons": None, "rollouts": None, "operator": {"clusterous-operator": "1/1"}}


def test_a_controller_of_an_older_release_is_told_to_stay_as_it_is(world: cloud.World) -> None:
    world.create(REEF, view=OLD)

    drawn = world.design(REEF)

    assert drawn.plan.unchanged == (design.DEAF,)
    said = shown(world)
    assert "made by an older clusterous and does not look for changes" in said
    assert "destroy the cluster and create it anew" in said


def test_a_controller_that_follows_is_told_nothing_of_the_kind(world: cloud.World) -> None:
    world.stand(REEF)

    assert world.design(REEF).plan.unchanged == ()


def test_status_says_which_addon_is_not_ready_and_why(world: cloud.World) -> None:
    sick = {
        "rollouts": None,
        "stuck": "boot/1/x.tar could not be fetched from the bucket\n",
        "containers": [
            {"pod": "operator-1", "restarts": 4, "reason": "CrashLoopBackOff", "said": "no kopf"}
        ],
    }
    world.stand(REEF)
    cloud.report(world.cloud, REEF, {}, seen=sick)
    opened = record.open_cluster("reef", world.cloud)

    words = show.addon_words(opened)

    assert words == [
        "what the cluster should run does not reach it: boot/1/x.tar could not be fetched from the"
        " bucket",
        "the operator is not ready: starting",
        "the cloud controller is not ready: starting",
        "operator-1: CrashLoopBackOff, started again 4 times: no kopf",
    ]
