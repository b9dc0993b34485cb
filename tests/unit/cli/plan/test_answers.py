"""What kinds make of AWS's answers that a simulated AWS seldom gives, or gives too politely."""

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from clusterous_api import names
from clusterous_api.errors import FailedError, TransientError
from clusterous_cli.cluster import config, prices
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import RECORD
from clusterous_cli.cluster.tags import as_items
from clusterous_cli.plan import planner, sweep
from clusterous_cli.plan.kinds import (
    access,
    files,
    images,
    machines,
    network,
    table,
)
from clusterous_cli.plan.kinds.cloud import Site
from clusterous_cli.plan.kinds.kind import (
    Action,
    Found,
    Kind,
    Left,
    Resource,
    Rule,
    Scope,
    Step,
)
from clusterous_cli.plan.kinds.volume import efs, snapshot
from clusterous_cli.system import wait

WHO = Identity(name="reef", account="123456789012", region="us-east-1")
OTHER = Identity(name="other", account="123456789012", region="us-east-1")
NEVER = "not called in this test"


class Answers:
    """An AWS that says what it is told to say, by action, and remembers what it was asked."""

    region = WHO.region

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def call(self, service: str, action: str, **params: Any) -> Any:
        self.calls.append((action, params))
        return self.answers.get(action, {})

    find = call

    def attempt(self, service: str, action: str, *codes: str, **params: Any) -> Any:
        return self.call(service, action, **params)

    def pages(self, service: str, action: str, key: str, **params: Any) -> list[Any]:
        return list(self.call(service, action, **params).get(key, ()))

    def upload(self, path: Path, *, bucket: str, key: str, owner: str) -> None:
        raise AssertionError(NEVER)


def site(cloud: Answers) -> Site:
    return Site(cloud=cloud, who=WHO, pauses=wait.Pauses())


def tags(who: Identity = WHO, role: str = "thing") -> list[dict[str, str]]:
    return as_items(who.tags(role))


def removed(kind: Kind, cloud: Answers, id: str = "id-1") -> list[tuple[str, dict[str, Any]]]:
    assert kind.remove is not None
    kind.remove(site(cloud), Found(kind=kind, key="", id=id))
    return cloud.calls


RULES = (
    Rule(protocol="-1", low=-1, high=-1, source="sg-1"),
    Rule(protocol="tcp", low=22, high=22, source="203.0.113.7/32"),
    Rule(protocol="tcp", low=22, high=22, source="2001:db8::1/128"),
    Rule(protocol="tcp", low=80, high=443, source="pl-1"),
    Rule(protocol="tcp", low=2049, high=2049, source="sg-2"),
    Rule(protocol="udp", low=8472, high=8472, source="10.1.0.0/16"),
)


def test_rules_of_every_kind_are_read_as_they_are_written() -> None:
    spelled = access.permissions(RULES)

    assert access.rules_of(spelled) == tuple(sorted(RULES))
    assert {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-1"}]} in spelled


@pytest.mark.parametrize("out", [True, False], ids=["as made", "shut by somebody"])
def test_a_group_that_lets_nothing_out_any_more_is_opened(out: bool) -> None:
    group = {
        "GroupId": "sg-1", "GroupName": "worker", "VpcId": "vpc-1", "Tags": tags(role="x-group"),
        "IpPermissions": access.permissions(RULES),
        "IpPermissionsEgress": access.permissions([access.OUT]) if out else [],
    }  # fmt: skip
    cloud = Answers(describe_security_groups={"SecurityGroups": [group]})
    assert access.GROUP.look is not None
    assert access.RULES.make is not None

    _, found = access.GROUP.look(Scope(cloud=cloud, who=WHO, networks=("vpc-1",)))
    wanted = access.Rules(group="sg-1", rules=tuple(sorted(RULES)), out=True)
    resource = Resource(kind=access.RULES, key="x-rules", value=wanted)
    drift = planner.differences(resource, found, {})
    step = Step(action=Action.CHANGE, key="x-rules", kind=access.RULES)
    access.RULES.make(site(cloud), step, wanted)

    assert drift == (() if out else ("out",))
    every = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "clusterous"}]}
    opened = [params for name, params in cloud.calls if name == "authorize_security_group_egress"]
    assert opened == ([] if out else [{"GroupId": "sg-1", "IpPermissions": [every]}])


def test_a_policy_is_the_same_in_whatever_order_aws_tells_it() -> None:
    ours = access.policy(WHO, names.ROLE_WORKER)

    def turned(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: turned(item) for key, item in reversed(value.items())}
        return [turned(item) for item in value] if isinstance(value, list) else value

    assert access.spelled(turned(json.loads(ours))) == ours
    assert access.spelled(json.dumps(turned(json.loads(ours)))) == ours


@pytest.mark.parametrize(
    ("state", "lives"),
    [("pending", True), ("available", True), ("deleting", False), ("failed", False),
     ("deleted", False)],
)  # fmt: skip
def test_what_a_token_of_before_made_lives_only_if_it_can_be_used(state: str, lives: bool) -> None:
    nat = Answers(describe_nat_gateways={"NatGateways": [{"State": state}]})
    endpoint = Answers(describe_vpc_endpoints={"VpcEndpoints": [{"State": state.title()}]})

    assert (network._nat_lives(site(nat), "nat-1") is not None) is lives
    assert (network._endpoint_lives(site(endpoint), "vpce-1") is not None) is lives


def test_an_endpoint_that_stays_is_told_and_one_that_is_gone_is_not() -> None:
    def answer(*errors: dict[str, str]) -> Answers:
        refused = [{"ResourceId": "vpce-1", "Error": error} for error in errors]
        return Answers(delete_vpc_endpoints={"Unsuccessful": refused})

    with pytest.raises(TransientError, match="The S3 endpoint stays: in use"):
        removed(network.ENDPOINT, answer({"Code": "DependencyViolation", "Message": "in use"}))
    removed(network.ENDPOINT, answer({"Code": "InvalidVpcEndpointId.NotFound"}))
    removed(network.ENDPOINT, answer())
    removed(network.ENDPOINT, answer({}))


def test_keys_that_are_there_must_be_ours() -> None:
    def there(content: bytes) -> Answers:
        cloud = Answers(get_object={"Body": io.BytesIO(content)})
        cloud.answers["put_object"] = None
        return cloud

    files._put_once(site(there(b"ours")), "private/secrets.json", b"ours")
    with pytest.raises(FailedError, match="Another create of reef is at work"):
        files._put_once(site(there(b"theirs")), "private/secrets.json", b"ours")


OF_OTHERS = {
    "ID": "guard",
    "Status": "Enabled",
    "Filter": {"Prefix": ""},
    "Expiration": {"Days": 9},
}


@pytest.mark.parametrize(
    ("rules", "fading"),
    [
        ([{**one, "Said": "by S3 alone"} for one in files.FADING], True),
        ([OF_OTHERS, *files.FADING], True),
        ([OF_OTHERS, files.FADING[0]], False),
        ([files.FADING[0], {**files.FADING[1], "Status": "Disabled"}], False),
        ([OF_OTHERS], False),
        (None, None),
    ],
)
def test_versions_of_what_comes_again_go_and_rules_of_others_stay(
    rules: list[dict[str, Any]] | None, fading: bool | None
) -> None:
    answer = None if rules is None else {"Rules": rules}
    cloud = Answers(get_bucket_lifecycle_configuration=answer)
    assert files.BUCKET.look is not None
    assert files.LIFECYCLE.make is not None

    found = files.BUCKET.look(Scope(cloud=cloud, who=WHO))
    seen = [one.value.fading for one in found if one.kind is files.LIFECYCLE]
    assert seen == ([] if fading is None else [fading])

    step = Step(action=Action.CHANGE, key="bucket-lifecycle", kind=files.LIFECYCLE)
    files.LIFECYCLE.make(site(cloud), step, files.Lifecycle(bucket=WHO.bucket, fading=True))
    (put,) = (params for action, params in cloud.calls if action.startswith("put_"))
    after = put["LifecycleConfiguration"]["Rules"]
    assert after[-2:] == list(files.FADING)
    assert after[:-2] == ([OF_OTHERS] if OF_OTHERS in (rules or ()) else [])


def test_no_call_removes_more_objects_than_s3_takes() -> None:
    objects = [{"Key": f"boot/{number}", "VersionId": "1"} for number in range(2000)]
    listed = {"Versions": objects, "DeleteMarkers": [{"Key": "boot/0", "VersionId": "2"}]}
    calls = removed(files.BUCKET, Answers(list_object_versions=listed), WHO.bucket)

    batches = [len(each["Delete"]["Objects"]) for action, each in calls
               if action == "delete_objects"]  # fmt: skip
    assert batches == [1000, 1000, 1]


def repositories(*listed: tuple[str, Identity]) -> Answers:
    cloud = Answers(
        describe_repositories={
            "repositories": [{"repositoryName": name, "repositoryArn": name} for name, _ in listed]
        }
    )
    by_arn = {name: {"tags": tags(who)} for name, who in listed}

    def call(service: str, action: str, **params: Any) -> Any:
        if action == "list_tags_for_resource":
            return by_arn[params["resourceArn"]]
        return Answers.call(cloud, service, action, **params)

    cloud.call = call  # type: ignore[method-assign]
    return cloud


def test_repositories_are_ours_by_name_and_tags_and_go_with_their_images() -> None:
    mine = f"{WHO.repositories}app"
    cloud = repositories((mine, WHO), (f"{WHO.repositories}theirs", OTHER), ("backend", WHO))
    look, walk = images.REPOSITORY.deep, images.REPOSITORY.walked
    assert look is not None
    assert walk is not None

    assert [(one.id, one.ours) for one in look(Scope(cloud=cloud, who=WHO))] == [(mine, True)]
    assert walk(cloud, WHO) == [Left(kind="image repository", id=mine, ours=True, hourly=None)]
    assert removed(images.REPOSITORY, cloud, mine)[-1] == (
        "delete_repository",
        {"repositoryName": mine, "force": True},
    )


def test_what_the_last_look_finds_by_our_names_is_ours() -> None:
    cloud = Answers(
        list_roles={"Roles": [{"RoleName": WHO.role("worker")}, {"RoleName": "theirs"}]},
        list_instance_profiles={
            "InstanceProfiles": [
                {"InstanceProfileName": WHO.role("worker")},
                {"InstanceProfileName": OTHER.role("worker")},
            ]
        },
        list_buckets={"Buckets": [{"Name": WHO.bucket}, {"Name": OTHER.bucket}]},
    )

    found = {
        kind.name: cast("Callable[..., list[Left]]", kind.walked)(cloud, WHO)
        for kind in (access.ROLE, access.PROFILE, files.BUCKET)
    }

    assert found == {
        "iam-role": [Left(kind="role", id=WHO.role("worker"), ours=True)],
        "instance-profile": [Left(kind="instance profile", id=WHO.role("worker"), ours=True)],
        "bucket": [Left(kind="bucket", id=WHO.bucket, ours=True, hourly=None)],
    }

    assert found["iam-role"][0].hourly == 0.0, "a role costs nothing"


@pytest.mark.parametrize(
    ("kind", "call", "answer"),
    [
        (access.ROLE, "get_role", "Role"),
        (access.PROFILE, "get_instance_profile", "InstanceProfile"),
    ],
    ids=["role", "profile"],
)
def test_of_what_is_there_already_only_ours_is_taken(kind: Kind, call: str, answer: str) -> None:
    trust = access.trust(WHO)
    wanted = access.Role(name="x", trust=trust) if kind is access.ROLE else access.Profile(name="x")
    step = Step(action=Action.CREATE, key="worker-role", kind=kind)

    def made(who: Identity) -> str:
        there = {"Tags": tags(who), "AssumeRolePolicyDocument": json.loads(trust)}
        cloud = Answers(**{call: {answer: there}})
        cloud.attempt = lambda *args, **params: None  # type: ignore[method-assign]
        assert kind.make is not None
        return kind.make(site(cloud), step, wanted)

    assert made(WHO) == "x"
    with pytest.raises(FailedError, match="that clusterous did not make"):
        made(OTHER)


def test_what_a_bucket_holds_and_is_like_is_read() -> None:
    block = dict.fromkeys(("BlockPublicAcls", "BlockPublicPolicy"), True)
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    keys = [RECORD, "boot/abc", "nodes/i-1.json"]
    cloud = Answers(
        get_public_access_block={"PublicAccessBlockConfiguration": block},
        get_bucket_encryption={"ServerSideEncryptionConfiguration": {"Rules": [rule]}},
        get_bucket_policy={"Policy": files.bucket_policy(WHO)},
        list_objects_v2={"Contents": [{"Key": key} for key in keys]},
        get_object={"Body": io.BytesIO(b"{}")},
    )

    found = {one.key: one.value for one in files._look_bucket(Scope(cloud=cloud, who=WHO))}

    assert found == {
        "bucket": files.Bucket(name=WHO.bucket),
        "bucket-block": files.Block(bucket=WHO.bucket, blocked=True),
        "bucket-encryption": files.Encryption(bucket=WHO.bucket, algorithm="AES256"),
        "bucket-policy": files.BucketPolicy(bucket=WHO.bucket, document=files.bucket_policy(WHO)),
        f"s3:{RECORD}": files.Object(
            bucket=WHO.bucket, key=RECORD, sha256=hashlib.sha256(b"{}").hexdigest()
        ),
        "s3:boot/abc": files.Object(bucket=WHO.bucket, key="boot/abc"),
    }
    assert all(params["ExpectedBucketOwner"] == WHO.account for _, params in cloud.calls)


def test_an_address_that_leads_elsewhere_is_not_ours_whatever_its_tags() -> None:
    def ours(vpc: str, **address: str) -> bool:
        interfaces = {"NetworkInterfaces": [{"VpcId": vpc}]}
        listed = [{"AllocationId": "eipalloc-1", "Tags": tags(role="nat-address"), **address}]
        cloud = Answers(
            describe_addresses={"Addresses": listed}, describe_network_interfaces=interfaces
        )
        return bool(network._look_addresses(Scope(cloud=cloud, who=WHO, networks=("vpc-1",))))

    assert ours("vpc-9")
    assert ours("vpc-1", NetworkInterfaceId="eni-1")
    assert not ours("vpc-9", NetworkInterfaceId="eni-1")


def test_disks_are_ours_by_their_tags_and_busy_while_a_machine_has_them() -> None:
    listed = [
        {"VolumeId": "vol-1", "Tags": tags(), "Attachments": [{}]},
        {"VolumeId": "vol-2", "Tags": tags(), "Attachments": []},
        {"VolumeId": "vol-3", "Tags": tags(OTHER), "Attachments": []},
    ]
    cloud = Answers(describe_volumes={"Volumes": listed})

    found = machines._look_disks(Scope(cloud=cloud, who=WHO, networks=("vpc-1",)))

    assert [(one.id, one.busy) for one in found] == [("vol-1", True), ("vol-2", False)]


def test_a_plan_says_how_many_machines_come() -> None:
    value = machines.Machines(count=4, type="c7i.xlarge", pool="worker")
    wanted = Resource(kind=machines.MACHINES, key="worker", value=value)
    there = Found(kind=machines.MACHINES, key="worker", id="i-1")
    step = Step(action=Action.CREATE, key="worker", kind=machines.MACHINES, resource=wanted)
    failed = Step(action=Action.DELETE, key="surplus i-1", kind=machines.MACHINES, found=there)

    assert machines._words([step]) == "4 workers (c7i.xlarge)"
    assert machines._words([replace(step, found=there)]) == "3 workers (c7i.xlarge)"
    assert machines._words([failed, step]) == "remove failed worker, 4 workers (c7i.xlarge)"
    named = replace(wanted, key="pool cpu", value=replace(value, pool="cpu"))
    assert machines._words([replace(step, resource=named)]) == "4 of cpu (c7i.xlarge)"


def test_machines_cost_their_type_their_disk_and_the_gateway_its_address() -> None:
    reef = config.parse("name: reef\nworkers: {type: t3.medium, count: 3}\n")
    month = prices.DISK_GIB_MONTH / prices.HOURS_PER_MONTH

    known = prices.listed("us-east-1")
    found = [machines.bill(one, known).hourly for one in machines._billed(reef)]

    expected = [
        (prices.MACHINES[each.type] + each.disk * month) * each.count
        + (prices.PUBLIC_ADDRESS if each.role == names.ROLE_GATEWAY else 0.0)
        for each in reef.pools
    ]
    assert found == pytest.approx(expected)


def file_system(id: str, state: str = "available", who: Identity = WHO) -> dict[str, Any]:
    size = {"Value": 3 << 30}
    return {"FileSystemId": id, "LifeCycleState": state, "Tags": tags(who), "SizeInBytes": size}


def test_a_volume_that_is_left_is_told_with_what_it_costs() -> None:
    listed = [file_system("fs-1"), file_system("fs-2", "deleted"), file_system("fs-3", who=OTHER)]
    walk = efs.FILE_SYSTEM.walked
    assert walk is not None

    (found,) = walk(Answers(describe_file_systems={"FileSystems": listed}), WHO)

    assert (found.id, found.ours) == ("fs-1", True)
    assert found.hourly == pytest.approx(3 * prices.EFS_GIB_MONTH / prices.HOURS_PER_MONTH)


DISK = {"Size": 10, "VolumeSize": 10, "State": "available", "Attachments": []}
RUNNING = {"State": {"Name": "running"}, "InstanceType": "t3.medium"}
TERMINATED = {"State": {"Name": "terminated"}}


@pytest.mark.parametrize(
    ("kind", "item", "hourly"),
    [
        (machines.MACHINES, RUNNING, prices.MACHINES["t3.medium"]),
        (machines.MACHINES, {**RUNNING, "InstanceType": "x9.huge"}, None),
        (machines.MACHINES, {**RUNNING, "State": {"Name": "stopped"}}, 0.0),
        (machines.DISK, DISK, 10 * prices.DISK_GIB_MONTH / prices.HOURS_PER_MONTH),
        (snapshot.SNAPSHOT, DISK, 10 * prices.SNAPSHOT_GIB_MONTH / prices.HOURS_PER_MONTH),
        (network.ENDPOINT, {}, 0.0),
        (network.ENDPOINT, {"VpcEndpointType": "Interface"}, None),
        (network.VPC, {}, 0.0),
        (network.SUBNET, {}, 0.0),
        (network.TABLE, {}, 0.0),
        (network.INTERFACE, {}, 0.0),
        (access.GROUP, {"GroupName": "x"}, 0.0),
    ],
    ids=lambda value: str(value) if isinstance(value, Kind) else None,
)
def test_the_last_look_names_each_thing_and_its_price(
    kind: Kind, item: dict[str, Any], hourly: float | None
) -> None:
    walk = kind.walk
    assert walk is not None
    id_field = {
        "machines": "InstanceId", "volume": "VolumeId", "snapshot": "SnapshotId",
        "vpc-endpoint": "VpcEndpointId", "vpc": "VpcId", "subnet": "SubnetId",
        "route-table": "RouteTableId", "network-interface": "NetworkInterfaceId",
        "security-group": "GroupId",
    }[kind.name]  # fmt: skip
    there = {**item, id_field: "id-1", "Tags": tags()}
    listed = [{"Instances": [there]}] if walk.key == "Reservations" else [there]

    (found,) = sweep._of_ec2(Answers(**{walk.action: {walk.key: listed}}), WHO, (), kind)

    assert found == Left(kind=kind.noun, id="id-1", ours=True, hourly=hourly)


@pytest.mark.parametrize(
    ("kind", "item"),
    [
        (machines.MACHINES, TERMINATED),
        (machines.DISK, {**DISK, "State": "deleting"}),
        (network.ENDPOINT, {"State": "Deleted"}),
        (network.TABLE, {"Associations": [{"Main": True}]}),
        (access.GROUP, {"GroupName": "default"}),
    ],
    ids=lambda value: str(value) if isinstance(value, Kind) else None,
)
def test_what_goes_by_itself_is_not_left(kind: Kind, item: dict[str, Any]) -> None:
    assert kind.walk is not None
    assert kind.walk.gone(item)


def test_an_interface_of_others_is_told_in_its_own_words() -> None:
    assert network.INTERFACE.walk is not None

    assert network.INTERFACE.walk.says({"Description": "ELB theirs"}) == "ELB theirs"


@pytest.mark.parametrize(
    ("says", "instance", "made"),
    [
        ("EFS mount target for fs-1 (fsmt-1)", "", True),
        ("", "i-1", True),
        ("Interface for NAT Gateway nat-9", "i-9", False),
        ("", "", False),
    ],
)
def test_whose_an_interface_is(says: str, instance: str, made: bool) -> None:
    interface = network.Interface(says=says, instance=instance)

    assert interface.made_for({"i-1", "fsmt-1"}) is made


def test_which_calls_take_no_token_and_are_looked_after() -> None:
    """AWS makes a second one of these when the answer to the first call is lost."""
    assert {kind.name for kind in table.ALL if kind.duplicated} == {
        "elastic-ip",
        "internet-gateway",
        "route-table",
        "subnet",
        "vpc",
    }


def test_what_create_mends_on_a_cluster_that_lives() -> None:
    """What of another kind is not as the file says would have to be made anew: it is refused."""
    assert {kind.name for kind in table.ALL if kind.changeable} == {
        "add-ons",
        "bucket-encryption",
        "bucket-lifecycle",
        "bucket-policy",
        "bucket-public-access-block",
        "given-volume",
        "homes",
        "iam-policy",
        "image-bucket",
        "mount-target",
        "nat-gateway",
        "object",
        "route",
        "security-group-rules",
        "shared-volume",
        "state-note",
        "volume-attachment",
        "volume-note",
        "vpc-dns",
    }


class Turning(Answers):
    """An EC2 whose machines go off and end only while somebody waits."""

    def __init__(self, **answers: Any) -> None:
        super().__init__(**answers)
        self.turns = 3
        self.pauses = Counted(self)

    def attempt(self, service: str, action: str, *codes: str, **params: Any) -> Any:
        if action != "start_instances" or not self.turns:
            return self.call(service, action, **params)
        if "IncorrectInstanceState" in codes:
            return None
        raise TransientError("The instance 'i-1' is not in a state from which it can be started.")

    def pages(self, service: str, action: str, key: str, **params: Any) -> list[Any]:
        assert (action, key) == ("describe_instances", "Reservations")
        ids = ["i-1", "i-9"] if self.turns else ["i-9"]
        return [{"Instances": [{"InstanceId": id} for id in ids]}]


class Counted(wait.Pauses):
    """A time in which nobody waits, but machines come further."""

    def __init__(self, cloud: Turning) -> None:
        super().__init__(clock=lambda: 0.0)
        self.cloud = cloud

    def sleep(self, seconds: float) -> None:
        self.cloud.turns -= 1


def test_machines_that_still_go_off_are_waited_for_and_started() -> None:
    cloud = Turning()

    machines._start(Site(cloud=cloud, who=WHO, pauses=cloud.pauses), ["i-1"])

    assert cloud.calls == [("start_instances", {"InstanceIds": ["i-1"]})]


def test_machines_are_removed_when_they_are_gone() -> None:
    cloud = Turning()

    to = Site(cloud=cloud, who=WHO, pauses=cloud.pauses)
    machines._remove(to, Found(kind=machines.MACHINES, key="worker", id="i-1"))

    assert cloud.calls == [("terminate_instances", {"InstanceIds": ["i-1"]})]
    assert cloud.turns == 0


def test_only_living_machines_count_and_failed_ones_are_told_apart() -> None:
    states = {"i-1": "running", "i-2": "shutting-down", "i-3": "running"}
    value = machines.Machines(count=3, type="t3.medium", states=states)
    pool = Found(kind=machines.MACHINES, key="worker", id="i-1 i-2 i-3", value=value)

    good, bad = machines.split(pool, frozenset({"i-3"}))
    assert good is not None
    assert bad is not None
    assert (good.id, good.value.count) == ("i-1", 1)
    assert (bad.id, bad.value.count) == ("i-3", 1)
    assert machines.split(pool, frozenset())[1] is None
    assert machines.split(pool, frozenset(states))[0] is None


def test_strangers_are_machines_that_are_not_ours_and_not_gone() -> None:
    def one(id: str, who: Identity, state: str = "running") -> dict[str, Any]:
        return {"InstanceId": id, "Tags": tags(who), "State": {"Name": state}, "VpcId": "vpc-1"}

    listed = [one("i-1", WHO), one("i-2", OTHER), one("i-3", OTHER, "terminated")]
    cloud = Answers(describe_instances={"Reservations": [{"Instances": listed}]})

    found = machines._look_strangers(Scope(cloud=cloud, who=WHO, networks=("vpc-1",)))

    assert [(one.id, one.ours, one.vpc) for one in found] == [("i-2", False, "vpc-1")]
    assert cloud.calls[0][1]["Filters"] == [{"Name": "vpc-id", "Values": ["vpc-1"]}]
    assert machines._look_strangers(Scope(cloud=cloud, who=WHO)) == []


@pytest.mark.parametrize("answer", [None, {}, {"Images": []}], ids=["unknown", "empty", "none"])
def test_that_the_image_of_its_machines_was_withdrawn_is_told_with_the_way_on(answer: Any) -> None:
    cloud = Answers(describe_images=answer, describe_instances={"Reservations": []})
    wanted = machines.Machines(count=1, type="t3.nano", pool="worker", image="ami-1", disk=20)
    step = Step(action=Action.CREATE, key="worker", kind=machines.MACHINES)

    assert machines.MACHINES.make is not None
    with pytest.raises(FailedError, match=r"no image ami-1 .* any more: .*image: ami-…"):
        machines.MACHINES.make(site(cloud), step, wanted)
    assert "run_instances" not in [action for action, _ in cloud.calls]
