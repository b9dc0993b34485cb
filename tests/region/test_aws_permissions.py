"""What a policy permits, in documents and through the API, and how a refusal is worded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.region.aws import images, loopback, policies
from tests.region.aws.policies import Access

AMI = images.IMAGES[0].id("eu-west-1")
TRUST = '{"Version":"2012-10-17"}'


def document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(action: Any, resource: Any = "*", **condition: Any) -> dict[str, Any]:
    more = {"Condition": condition} if condition else {}
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: Any, resource: Any = "*", **condition: Any) -> dict[str, Any]:
    return {**allow(action, resource, **condition), "Effect": "Deny"}


BOOT = "arn:aws:s3:::bucket/boot/*"
GET = {"action": "s3:GetObject", "resource": "arn:aws:s3:::bucket/boot/k3s"}


@pytest.mark.parametrize(
    ("statements", "access", "allowed"),
    [
        pytest.param([], GET, False, id="nothing-said"),
        pytest.param([allow("s3:GetObject", BOOT)], GET, True, id="exact"),
        pytest.param([allow("s3:getobject", BOOT)], GET, True, id="actions-ignore-case"),
        pytest.param([allow("s3:Get*", "arn:aws:s3:::bucket/*")], GET, True, id="wildcards"),
        pytest.param([allow("s3:GetObject", "arn:aws:s3:::BUCKET/*")], GET, False, id="case"),
        pytest.param([allow("s3:GetObject", "arn:aws:s3:::bucket")], GET, False, id="prefix"),
        pytest.param([allow("s3:PutObject", BOOT)], GET, False, id="other-action"),
        pytest.param([allow("*"), deny("s3:*", BOOT)], GET, False, id="deny-wins"),
        pytest.param(
            [{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}], GET, True, id="not-action"
        ),
        pytest.param(
            [{"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}],
            GET,
            False,
            id="not-action-hits",
        ),
        pytest.param(
            [{"Effect": "Allow", "Action": "*", "NotResource": BOOT}], GET, False, id="not-resource"
        ),
        pytest.param(
            [allow("ec2:*", StringEquals={"aws:RequestTag/c": ["a", "b"]})],
            {"action": "ec2:CreateVpc", "context": {"aws:requesttag/c": "b"}},
            True,
            id="string-equals-any-of",
        ),
        pytest.param(
            [allow("ec2:*", StringEquals={"aws:RequestTag/c": "a"})],
            {"action": "ec2:CreateVpc"},
            False,
            id="missing-key",
        ),
        pytest.param(
            [allow("ec2:*", StringEqualsIfExists={"aws:RequestTag/c": "a"})],
            {"action": "ec2:CreateVpc"},
            True,
            id="if-exists",
        ),
        pytest.param(
            [allow("s3:ListBucket", StringLike={"s3:prefix": "boot/*"})],
            {"action": "s3:ListBucket", "context": {"s3:prefix": "boot/x"}},
            True,
            id="string-like",
        ),
        pytest.param(
            [allow("s3:ListBucket", StringNotLike={"s3:prefix": "boot/*"})],
            {"action": "s3:ListBucket", "context": {"s3:prefix": "boot/x"}},
            False,
            id="string-not-like",
        ),
        pytest.param(
            [allow("ec2:CreateTags", **{"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}})],
            {"action": "ec2:CreateTags", "context": {"aws:tagkeys": ["a", "c"]}},
            False,
            id="for-all-values",
        ),
        pytest.param(
            [allow("ec2:CreateTags", **{"ForAnyValue:StringEquals": {"aws:TagKeys": ["a", "b"]}})],
            {"action": "ec2:CreateTags", "context": {"aws:tagkeys": ["a", "c"]}},
            True,
            id="for-any-value",
        ),
        pytest.param(
            [allow("s3:*", "arn:aws:s3:::b/home/${aws:username}.json")],
            {
                "action": "s3:PutObject",
                "resource": "arn:aws:s3:::b/home/you.json",
                "context": {"aws:username": "you"},
            },
            True,
            id="variable",
        ),
        pytest.param(
            [allow("s3:*", Null={"s3:prefix": "true"})],
            {"action": "s3:ListBucket"},
            True,
            id="null",
        ),
    ],
)
def test_a_policy_decides(statements: Any, access: dict[str, Any], allowed: bool) -> None:
    assert policies.allows([document(*statements)], Access(**access)) is allowed


@pytest.fixture
def aws() -> Iterator[loopback.Account]:
    with loopback.account() as account:
        yield account


def code(call: Any, **arguments: Any) -> str:
    """Return the code that *call* is refused with, or the empty string."""
    try:
        call(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def with_policy(aws: loopback.Account, *statements: dict[str, Any]) -> None:
    aws.configure(user_policy=document(*statements))


def test_the_users_policy_is_enforced_in_each_services_words(aws: loopback.Account) -> None:
    with_policy(aws)

    assert code(aws.client("ec2").describe_vpcs) == "UnauthorizedOperation"
    assert code(aws.client("iam").list_roles) == "AccessDenied"
    assert code(aws.client("s3").list_buckets) == "AccessDenied"
    assert code(aws.client("efs").describe_file_systems) == "AccessDeniedException"
    assert code(aws.client("ecr").get_authorization_token) == "AccessDeniedException"
    assert code(aws.client("sts").get_caller_identity) == ""


def test_a_vpc_may_be_made_only_with_our_tag(aws: loopback.Account) -> None:
    tagged = {"StringEquals": {"aws:RequestTag/clusterous.io/cluster": "c"}}
    with_policy(aws, allow(["ec2:CreateVpc", "ec2:CreateTags"], **tagged))
    ec2 = aws.client("ec2")
    tags = [{"ResourceType": "vpc", "Tags": [{"Key": "clusterous.io/cluster", "Value": "c"}]}]

    assert code(ec2.create_vpc, CidrBlock="10.0.0.0/16") == "UnauthorizedOperation"
    assert code(ec2.create_vpc, CidrBlock="10.0.0.0/16", TagSpecifications=tags) == ""


def test_tags_in_a_create_call_need_create_tags(aws: loopback.Account) -> None:
    with_policy(aws, allow("ec2:CreateVpc"))
    tags = [{"ResourceType": "vpc", "Tags": [{"Key": "a", "Value": "b"}]}]
    with pytest.raises(ClientError, match="ec2:CreateTags"):
        aws.client("ec2").create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=tags)


def test_only_our_own_may_be_deleted(aws: loopback.Account) -> None:
    ec2 = aws.client("ec2")
    tags = [{"ResourceType": "vpc", "Tags": [{"Key": "Owner", "Value": "mine"}]}]
    mine = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=tags)["Vpc"]["VpcId"]
    other = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    with_policy(aws, allow("ec2:DeleteVpc", StringEquals={"aws:ResourceTag/Owner": "mine"}))

    assert code(ec2.delete_vpc, VpcId=other) == "UnauthorizedOperation"
    assert code(ec2.delete_vpc, VpcId=mine) == ""


def profile(aws: loopback.Account, *statements: dict[str, Any]) -> None:
    iam = aws.client("iam")
    iam.create_role(RoleName="node", AssumeRolePolicyDocument=TRUST)
    iam.put_role_policy(
        RoleName="node", PolicyName="p", PolicyDocument=json.dumps(document(*statements))
    )
    iam.create_instance_profile(InstanceProfileName="node")
    iam.add_role_to_instance_profile(InstanceProfileName="node", RoleName="node")


def test_a_profile_is_given_only_by_who_may_pass_its_role(aws: loopback.Account) -> None:
    profile(aws, allow("s3:ListAllMyBuckets"))
    ec2 = aws.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    run = {
        "ImageId": AMI,
        "InstanceType": "t3.micro",
        "MinCount": 1,
        "MaxCount": 1,
        "SubnetId": subnet,
        "IamInstanceProfile": {"Name": "node"},
    }
    with_policy(aws, allow("ec2:*"))
    refused = code(ec2.run_instances, **run)
    passing = {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}
    with_policy(
        aws,
        allow("ec2:*"),
        allow("iam:PassRole", "arn:aws:iam::123456789012:role/node", **passing),
    )

    assert refused == "UnauthorizedOperation"
    assert code(ec2.run_instances, **run) == ""


def test_a_node_reads_only_what_its_role_may(aws: loopback.Account) -> None:
    node = "arn:aws:s3:::boot-things"
    profile(
        aws,
        allow("s3:GetObject", f"{node}/agent/*"),
        allow("s3:ListBucket", node, StringLike={"s3:prefix": "agent/*"}),
        allow("s3:PutObject", f"{node}/invented/${{ec2:SourceInstanceID}}.json"),
        allow("s3:PutObject", f"{node}/arns/${{ec2:SourceInstanceARN}}.json"),
        allow("ecr:GetAuthorizationToken"),
        allow("ecr:BatchGetImage", "arn:aws:ecr:eu-west-1:123456789012:repository/mine/*"),
    )
    user = aws.client("s3")
    user.create_bucket(
        Bucket="boot-things", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    for key in ("agent/token", "server/token"):
        user.put_object(Bucket="boot-things", Key=key, Body=b"x")
    keys = aws.server.credentials("node", "i-0123456789abcdef0")
    s3, ecr = aws.client("s3", keys), aws.client("ecr", keys)

    def ask(operation: str, **arguments: Any) -> str:
        return code(getattr(s3, operation), Bucket="boot-things", **arguments)

    assert ask("get_object", Key="agent/token") == ""
    assert ask("get_object", Key="server/token") == "AccessDenied"
    assert ask("list_objects_v2", Prefix="agent/") == ""
    assert ask("list_objects_v2") == "AccessDenied"
    # AWS knows no such variable, however well its name sounds.
    assert ask("put_object", Key="invented/i-0123456789abcdef0.json") == "AccessDenied"
    own = "arn:aws:ec2:eu-west-1:123456789012:instance"
    assert ask("put_object", Key=f"arns/{own}/i-0123456789abcdef0.json", Body=b"{}") == ""
    assert ask("put_object", Key=f"arns/{own}/i-0123456789abcdef1.json") == "AccessDenied"
    assert ask("put_object", Key="arns/${ec2:SourceInstanceARN}.json") == "AccessDenied"
    # Whether a missing object exists is told only to who may list.
    assert ask("get_object", Key="agent/none") == "AccessDenied"
    assert code(aws.client("ec2", keys).describe_instances) == "UnauthorizedOperation"

    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    assert aws.server.ecr_check(token)
    assert aws.server.ecr_allowed(token, "BatchGetImage", "mine/app")
    assert not aws.server.ecr_allowed(token, "BatchGetImage", "other")
    assert not aws.server.ecr_check("bm8=")


def test_what_a_machine_told_is_kept_beside_what_it_tells_now(aws: loopback.Account) -> None:
    profile(aws, allow("s3:PutObject", "arn:aws:s3:::boot-told/*"))
    user = aws.client("s3")
    user.create_bucket(
        Bucket="boot-told", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    node = aws.client("s3", aws.server.credentials("node", "i-0123456789abcdef0"))
    for phase in ("starting", "ready"):
        body = json.dumps({"phase": phase}).encode()
        node.put_object(Bucket="boot-told", Key="nodes/i.json", Body=body)
    node.put_object(Bucket="boot-told", Key="snapshot", Body=b"not a document")
    user.put_object(Bucket="boot-told", Key="private/secrets.json", Body=b"{}")

    told = aws.server.world.log.told()

    assert [(one.caller, one.resource, one.text) for one in told] == [
        ("node/i-0123456789abcdef0", "boot-told/nodes/i.json", '{"phase": "starting"}'),
        ("node/i-0123456789abcdef0", "boot-told/nodes/i.json", '{"phase": "ready"}'),
    ]
    assert told[0].time <= told[1].time


def test_a_deletion_of_many_is_decided_for_each_key(aws: loopback.Account) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(
        Bucket="many-things", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    for key in ("mine/1", "yours/1"):
        s3.put_object(Bucket="many-things", Key=key, Body=b"")
    with_policy(aws, allow("s3:DeleteObject", "arn:aws:s3:::many-things/mine/*"))

    done = s3.delete_objects(
        Bucket="many-things", Delete={"Objects": [{"Key": "mine/1"}, {"Key": "yours/1"}]}
    )

    assert [d["Key"] for d in done["Deleted"]] == ["mine/1"]
    assert [(e["Key"], e["Code"]) for e in done["Errors"]] == [("yours/1", "AccessDenied")]


def test_a_role_that_is_changed_is_changed_at_once(aws: loopback.Account) -> None:
    profile(aws, allow("s3:ListAllMyBuckets"))
    s3 = aws.client("s3", aws.server.credentials("node", "i-0123456789abcdef0"))
    before = code(s3.list_buckets)

    aws.client("iam").delete_role_policy(RoleName="node", PolicyName="p")

    assert (before, code(s3.list_buckets)) == ("", "AccessDenied")


def test_the_simulator_foretells_what_calls_would_meet(aws: loopback.Account) -> None:
    mine = "arn:aws:s3:::mine/*"
    with_policy(
        aws, allow(["ec2:*", "iam:Simulate*"]), deny("ec2:DeleteVpc"), allow("s3:GetObject", mine),
        allow("ecr:CreateRepository", StringEquals={"aws:RequestTag/a": "b"}),
    )  # fmt: skip
    user = "arn:aws:iam::123456789012:user/you"

    def foretold(action: str, resource: str = "*", **more: Any) -> tuple[str, list[str]]:
        answer = aws.client("iam").simulate_principal_policy(
            PolicySourceArn=user, ActionNames=[action], ResourceArns=[resource], **more
        )
        (one,) = answer["EvaluationResults"]
        return one["EvalDecision"], one["MissingContextValues"]

    tag = {"ContextKeyName": "aws:RequestTag/a", "ContextKeyType": "string"}
    assert foretold("ec2:CreateVpc") == ("allowed", [])
    assert foretold("ec2:DeleteVpc") == ("explicitDeny", [])
    assert foretold("s3:GetObject") == ("implicitDeny", [])
    assert foretold("s3:GetObject", "arn:aws:s3:::mine/x") == ("allowed", [])
    assert foretold("ecr:CreateRepository") == ("implicitDeny", ["aws:RequestTag/a"])
    told = [{**tag, "ContextKeyValues": ["b"]}]
    assert foretold("ecr:CreateRepository", ContextEntries=told) == ("allowed", [])
    simulate = aws.client("iam").simulate_principal_policy
    nobody = user.replace("you", "nobody")
    assert code(simulate, PolicySourceArn=nobody, ActionNames=["s3:GetObject"]) == "NoSuchEntity"
    with_policy(aws, allow("ec2:*"))
    assert code(simulate, PolicySourceArn=user, ActionNames=["s3:GetObject"]) == "AccessDenied"
