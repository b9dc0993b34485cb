"""What controllers on a cluster made in AWS: it goes with the cluster, if it is its alone."""

from typing import Any

import pytest

from clusterous_api import names
from clusterous_api.errors import LeftBehindError
from clusterous_cli import main
from clusterous_cli.cluster import config
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.tags import as_items, tags_of
from clusterous_cli.output import removal
from clusterous_cli.plan import inventory
from clusterous_cli.plan.kinds.kubernetes import marks
from tests.functional import cloud

REEF = config.parse("name: reef\nmaster: none\nworkers: 1\nvolume: none\n")
WHO = Identity(name="reef", account="123456789012", region="eu-west-1")
MINE = {"kubernetes.io/cluster/reef": "owned"}
THEIRS = {"kubernetes.io/cluster/atoll": "owned"}
CLAIMED = {
    "ebs.csi.aws.com/cluster": "true",
    "CSIVolumeName": "pvc-1",
    "kubernetes.io/created-for/pvc/namespace": "default",
    "kubernetes.io/created-for/pvc/name": "data",
}


@pytest.fixture
def world(world: cloud.World, monkeypatch: pytest.MonkeyPatch) -> cloud.World:
    monkeypatch.setattr("clusterous_cli.plan.converge.SECONDS_WITH_FOREIGN", 1.0)
    monkeypatch.setattr("clusterous_cli.aws.client.connect", lambda *_: world.cloud)
    world.laid(REEF)
    return world


def worker(world: cloud.World) -> str:
    groups = world.cloud.pages("ec2", "describe_instances", "Reservations")
    (id,) = [
        one["InstanceId"]
        for group in groups
        for one in group["Instances"]
        if tags_of(one)[names.TAG_ROLE] == "worker"
    ]
    return str(id)


def volume(world: cloud.World, tags: dict[str, str], *, held: bool) -> str:
    """Make a volume as the CSI driver does, which the worker has or has not."""
    ec2 = world.cloud.client("ec2")
    made = ec2.create_volume(
        AvailabilityZone="eu-west-1a", Size=20, VolumeType="gp3",
        TagSpecifications=[{"ResourceType": "volume", "Tags": as_items(tags)}],
    )["VolumeId"]  # fmt: skip
    if held:
        ec2.attach_volume(VolumeId=made, InstanceId=worker(world), Device="/dev/xvdba")
    return str(made)


def volumes(world: cloud.World) -> list[str]:
    return [one["VolumeId"] for one in world.cloud.pages("ec2", "describe_volumes", "Volumes")]


def network(world: cloud.World) -> tuple[str, str]:
    """Return the cluster's network, and a subnet of it."""
    (subnet,) = world.cloud.client("ec2").describe_subnets(
        Filters=[{"Name": "tag:Name", "Values": ["reef-public"]}]
    )["Subnets"]
    return subnet["VpcId"], subnet["SubnetId"]


def group(world: cloud.World, tags: dict[str, str], name: str = "k8s-elb-a1") -> str:
    """Make a load balancer's security group, which the workers let in, and which lets them in."""
    ec2 = world.cloud.client("ec2")
    vpc, _ = network(world)
    made = ec2.create_security_group(
        GroupName=name, VpcId=vpc, Description="Security group for Kubernetes ELB a1 (default/web)",
        TagSpecifications=[{"ResourceType": "security-group", "Tags": as_items(tags)}],
    )["GroupId"]  # fmt: skip
    (ours,) = ec2.describe_security_groups(
        Filters=[{"Name": "group-name", "Values": ["clusterous-reef-worker"]}]
    )["SecurityGroups"]
    for to, source in ((ours["GroupId"], made), (made, ours["GroupId"])):
        rule = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": source}]}
        ec2.authorize_security_group_ingress(GroupId=to, IpPermissions=[rule])
    return str(made)


def balancer(world: cloud.World, tags: dict[str, str], type: str = "application") -> str:
    """Make a load balancer with a listener and a target group, as its controller does."""
    elb, (vpc, subnet) = world.cloud.client("elbv2"), network(world)
    protocol: Any = "TCP" if type == "network" else "HTTP"
    bears = as_items(tags)
    groups = {} if type == "network" else {"SecurityGroups": [group(world, tags)]}
    made = elb.create_load_balancer(
        Name="k8s-web", Subnets=[subnet], Type=type, Tags=bears, **groups
    )["LoadBalancers"][0]["LoadBalancerArn"]
    targets = elb.create_target_group(
        Name="k8s-web", Protocol=protocol, Port=80, VpcId=vpc, Tags=bears
    )["TargetGroups"][0]["TargetGroupArn"]
    action: Any = {"Type": "forward", "TargetGroupArn": targets}
    elb.create_listener(LoadBalancerArn=made, Protocol=protocol, Port=80, DefaultActions=[action])
    return str(made)


def classic(world: cloud.World, tags: dict[str, str]) -> None:
    _, subnet = network(world)
    world.cloud.client("elb").create_load_balancer(
        LoadBalancerName="a1", Subnets=[subnet], SecurityGroups=[group(world, tags)],
        Listeners=[{"Protocol": "TCP", "LoadBalancerPort": 80, "InstancePort": 30080}],
        Tags=as_items(tags),
    )  # fmt: skip


def refused(world: cloud.World) -> str:
    with pytest.raises(LeftBehindError) as told:
        world.destroy("reef")
    assert told.value.exit_code == 3
    return str(told.value)


# -- volumes ------------------------------------------------------------------------------


def test_a_claims_volume_that_is_this_clusters_goes_with_it(world: cloud.World) -> None:
    volume(world, {**CLAIMED, **MINE}, held=True)
    found = inventory.take(world.cloud, WHO, deep=True)
    assert "1 volume of programs' claims (20 GiB)" in removal.removal_words(WHO, found)

    world.destroy("reef")

    assert world.server.leftovers() == []
    asked = world.mutating()
    assert "ec2:DetachVolume" not in asked
    assert asked.index("ec2:CreateTags") < asked.index("ec2:TerminateInstances")


@pytest.mark.parametrize(
    ("tags", "held", "why"),
    [
        pytest.param(CLAIMED, True, "and no tag says of which cluster", id="nobody's"),
        pytest.param({**CLAIMED, **THEIRS}, True, "of a cluster called atoll", id="another's"),
        pytest.param(
            {**CLAIMED, **MINE, **THEIRS}, True, "of a cluster called atoll", id="two names"
        ),
        pytest.param(
            {**CLAIMED, **MINE}, False, "a cluster that was called reef, too", id="of that name"
        ),
    ],
)
def test_one_that_may_be_anothers_is_named_with_its_reason_and_price(
    world: cloud.World, tags: dict[str, str], held: bool, why: str
) -> None:
    id = volume(world, tags, held=held)

    said = refused(world)

    assert volumes(world) == [id]
    (line,) = [line for line in said.splitlines() if f"disk {id}" in line]
    assert "$/h: a CSI driver made it for the claim default/data" in line
    assert why in line
    assert f"aws ec2 delete-volume --volume-id {id}" in line
    assert names.TAG_UID not in said
    assert main.run(["destroy", "reef", "--yes"]) == 0  # there is nothing of reef any more
    assert volumes(world) == [id]


def test_one_that_may_not_be_marked_stays_and_is_told(world: cloud.World) -> None:
    id = volume(world, {**CLAIMED, **MINE}, held=True)
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    deny = {"Effect": "Deny", "Action": "ec2:CreateTags", "Resource": "*"}
    world.configure(user_policy={"Version": "2012-10-17", "Statement": [everything, deny]})

    said = refused(world)

    assert f"disk {id}" in said
    assert "of this cluster, and it could not be marked as this one's: " in said
    assert "ec2:CreateTags" in said
    assert volumes(world) == [id]


def test_volumes_of_other_clusters_are_not_even_named(world: cloud.World) -> None:
    id = volume(world, {**CLAIMED, **THEIRS}, held=False)

    world.destroy("reef")

    assert volumes(world) == [id]


# -- load balancers and security groups ---------------------------------------------------


@pytest.mark.parametrize(
    "tags",
    [MINE, {"elbv2.k8s.aws/cluster": "reef", "elbv2.k8s.aws/resource": "LoadBalancer"}],
    ids=["cloud controller", "load balancer controller"],
)
@pytest.mark.parametrize("type", ["application", "network"])
def test_a_load_balancer_goes_with_all_that_was_made_for_it(
    world: cloud.World, tags: dict[str, str], type: str
) -> None:
    balancer(world, tags, type)
    found = inventory.take(world.cloud, WHO, deep=True)
    assert "1 load balancer" in removal.removal_words(WHO, found)

    world.destroy("reef")

    assert world.server.leftovers() == []
    asked = world.mutating()
    # A controller that still lived would make it anew.
    assert asked.index("ec2:TerminateInstances") < asked.index("elb:DeleteLoadBalancer")
    assert asked.index("elb:DeleteTargetGroup") < asked.index("elb:DeleteLoadBalancer")


def test_a_classic_load_balancer_goes_too(world: cloud.World) -> None:
    classic(world, MINE)

    world.destroy("reef")

    assert world.server.leftovers() == []


@pytest.mark.parametrize("dies", range(1, 41, 5))
def test_killed_anywhere_the_next_destroy_leaves_nothing(world: cloud.World, dies: int) -> None:
    balancer(world, MINE)
    volume(world, {**CLAIMED, **MINE}, held=True)
    cloud.die_after(world, dies)
    with pytest.raises(cloud.Killed):
        world.destroy("reef")
    world.renew()

    world.destroy("reef")

    assert world.server.leftovers() == []


def test_a_load_balancer_of_another_cluster_stays_and_its_name_is_told(world: cloud.World) -> None:
    arn = balancer(world, THEIRS)

    said = refused(world)

    there = world.cloud.client("elbv2").describe_load_balancers()["LoadBalancers"]
    assert [one["LoadBalancerArn"] for one in there] == [arn]
    name = arn.partition(":loadbalancer/")[2]
    made = "a controller of a Kubernetes cluster called atoll made it"
    assert f"not made by clusterous: ELB {name}: {made}" in said
    assert any("security group sg-" in line and made in line for line in said.splitlines())


def test_who_may_not_ask_whose_a_load_balancer_is_hears_that(world: cloud.World) -> None:
    balancer(world, MINE)
    deny = {"Effect": "Deny", "Action": "elasticloadbalancing:*", "Resource": "*"}
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [everything, deny]}
    world.configure(user_policy=policy)

    said = refused(world)

    assert "whose it is could not be asked" in said
    assert "elasticloadbalancing:DescribeTags" in said


def test_why_a_load_balancer_would_not_go_is_told(
    world: cloud.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clusterous_cli.plan.converge.SECONDS", 1.0)
    balancer(world, MINE)
    words = "The load balancer cannot be deleted because deletion protection is enabled"
    world.fault(
        service="elb", action="DeleteLoadBalancer", kind="error", code="OperationNotPermitted",
        message=words, times=0,
    )  # fmt: skip

    assert words in refused(world)

    world.server.world.faults.clear()
    world.destroy("reef")
    assert world.server.leftovers() == []


def test_from_a_protected_load_balancer_nothing_is_taken(world: cloud.World) -> None:
    arn = balancer(world, MINE)
    elb = world.cloud.client("elbv2")
    lasts = {"Key": "deletion_protection.enabled", "Value": "true"}
    elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[lasts])

    said = refused(world)

    assert "somebody protects it from being deleted" in said
    assert f"--load-balancer-arn {arn} --attributes Key=deletion_protection.enabled,Value" in said
    assert len(elb.describe_listeners(LoadBalancerArn=arn)["Listeners"]) == 1
    assert len(elb.describe_target_groups(LoadBalancerArn=arn)["TargetGroups"]) == 1
    assert "elb:DeleteLoadBalancer" not in world.mutating()
    elb.modify_load_balancer_attributes(
        LoadBalancerArn=arn, Attributes=[{**lasts, "Value": "false"}]
    )
    world.destroy("reef")
    assert world.server.leftovers() == []


def test_without_any_nobody_asks_for_load_balancers(world: cloud.World) -> None:
    world.destroy("reef")

    assert {one.service for one in world.server.log()}.isdisjoint({"elb"})


@pytest.mark.parametrize(
    ("tags", "clusters"),
    [
        ({}, ()),
        ({"kubernetes.io/cluster/reef": "shared"}, ()),
        (MINE, ("reef",)),
        ({**MINE, "KubernetesCluster": "reef"}, ("reef",)),
        ({**MINE, **THEIRS}, ("atoll", "reef")),
        ({"ingress.k8s.aws/cluster": "atoll"}, ("atoll",)),
        ({"elbv2.k8s.aws/cluster": ""}, ()),
    ],
)
def test_whose_a_thing_is_by_its_tags(tags: dict[str, str], clusters: tuple[str, ...]) -> None:
    assert marks.clusters(tags) == clusters
    assert marks.names(tags, WHO) == (clusters == ("reef",))
