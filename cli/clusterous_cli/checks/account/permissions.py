"""Whether we may do all that create and destroy do: by IAM's simulator, else by trying."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from clusterous_api import names
from clusterous_api.errors import ClusterousError
from clusterous_cli.aws import errors
from clusterous_cli.checks.account import things
from clusterous_cli.checks.check import Check, Finding, Mark, Place
from clusterous_cli.cluster.file import registry
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.tags import as_items
from clusterous_cli.terminal import spell

# What each command calls, in IAM's words; a test compares it with the calls themselves.
LOOK: Final = (
    *("ec2:DescribeAddresses", "ec2:DescribeImages", "ec2:DescribeInstances"),
    *("ec2:DescribeInstanceTypeOfferings", "ec2:DescribeInternetGateways"),
    *("ec2:DescribeNatGateways", "ec2:DescribeRouteTables", "ec2:DescribeSecurityGroups"),
    *("ec2:DescribeSubnets", "ec2:DescribeVolumes", "ec2:DescribeVpcs"),
    *("ec2:DescribeVpcAttribute", "ec2:DescribeVpcEndpoints"),
    *("elasticfilesystem:DescribeFileSystems", "elasticfilesystem:DescribeMountTargets"),
)
MAKE: Final = (
    *("ec2:AllocateAddress", "ec2:AssociateRouteTable", "ec2:AttachInternetGateway"),
    *("ec2:AttachVolume", "ec2:AuthorizeSecurityGroupIngress", "ec2:CreateInternetGateway"),
    *("ec2:CreateNatGateway", "ec2:CreateRoute", "ec2:CreateRouteTable"),
    *("ec2:CreateSecurityGroup", "ec2:CreateSubnet", "ec2:CreateTags", "ec2:CreateVolume"),
    *("ec2:CreateVpc", "ec2:CreateVpcEndpoint", "ec2:ModifyVpcAttribute", "ec2:RunInstances"),
)
MAKE_EFS: Final = (
    *("elasticfilesystem:CreateFileSystem", "elasticfilesystem:CreateMountTarget"),
    *("elasticfilesystem:TagResource",),
)
REMOVE: Final = (
    *("ec2:DeleteInternetGateway", "ec2:DeleteNatGateway", "ec2:DeleteRouteTable"),
    *("ec2:DeleteSecurityGroup", "ec2:DeleteSubnet", "ec2:DeleteVolume", "ec2:DeleteVpc"),
    *("ec2:DeleteVpcEndpoints", "ec2:DetachInternetGateway", "ec2:ModifyInstanceAttribute"),
    *("ec2:ReleaseAddress", "ec2:RevokeSecurityGroupIngress", "ec2:TerminateInstances"),
)
REMOVE_EFS: Final = (
    *("elasticfilesystem:DeleteFileSystem", "elasticfilesystem:DeleteMountTarget"),
)
ROLES: Final = ("iam:CreateRole", "iam:PutRolePolicy", "iam:PassRole", "iam:TagRole")
ROLES_GONE: Final = ("iam:DeleteRole", "iam:DeleteRolePolicy")
PROFILES: Final = (
    *("iam:AddRoleToInstanceProfile", "iam:CreateInstanceProfile", "iam:TagInstanceProfile"),
)
PROFILES_GONE: Final = ("iam:DeleteInstanceProfile", "iam:RemoveRoleFromInstanceProfile")
BUCKET: Final = (
    *("s3:CreateBucket", "s3:ListBucket", "s3:PutBucketPolicy", "s3:PutBucketPublicAccessBlock"),
    *("s3:PutBucketTagging", "s3:PutEncryptionConfiguration", "s3:PutLifecycleConfiguration"),
)
BUCKET_GONE: Final = ("s3:DeleteBucket",)
# Of a bucket of images that is made where there is none.
SHARED: Final = (
    *("s3:CreateBucket", "s3:GetBucketLocation", "s3:ListBucket"),
    *("s3:PutBucketPublicAccessBlock", "s3:PutBucketTagging"),
)
OBJECTS: Final = ("s3:GetObject", "s3:PutObject")
OBJECTS_GONE: Final = ("s3:DeleteObject",)
# What may be tried without being done, and needs nothing that is not there yet.
DRY: Final[Mapping[str, tuple[str, Mapping[str, Any], str]]] = {
    "ec2:CreateVpc": ("create_vpc", {"CidrBlock": "10.40.0.0/16"}, "vpc"),
    "ec2:AllocateAddress": ("allocate_address", {"Domain": "vpc"}, "elastic-ip"),
    "ec2:CreateInternetGateway": ("create_internet_gateway", {}, "internet-gateway"),
}
SHOWN: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Actions on the same things, and whether create needs them, or destroy alone."""

    actions: tuple[str, ...]
    resources: tuple[str, ...] = ("*",)
    makes: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is *allowed*, *denied* (of that, what *only destroy* needs), and what nobody knows."""

    allowed: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()
    only_destroy: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()
    why: str = ""
    root: bool = False


def questions(who: Identity, *, on_efs: bool, shared: str = "") -> tuple[Question, ...]:
    """Return what a cluster takes, each about the things that it would be about.

    *shared* is the bucket of images that clusters share, if it wants one.
    """
    arn = f"arn:{who.partition}"
    kinds = ("gateway", "controller", "worker")
    lent = (names.ROLE_REGISTRY,) if shared else ()
    roles = tuple(f"{arn}:iam::{who.account}:role/{who.role(kind)}" for kind in (*kinds, *lent))
    profiles = tuple(
        f"{arn}:iam::{who.account}:instance-profile/{who.role(kind)}" for kind in kinds
    )
    bucket, objects = (f"{arn}:s3:::{who.bucket}",), (f"{arn}:s3:::{who.bucket}/boot/any",)
    return (
        Question(actions=(*LOOK, *MAKE, *(MAKE_EFS if on_efs else ()))),
        Question(actions=ROLES, resources=roles),
        Question(actions=PROFILES, resources=profiles),
        Question(actions=BUCKET, resources=bucket),
        Question(actions=OBJECTS, resources=objects),
        Question(actions=(*REMOVE, *(REMOVE_EFS if on_efs else ())), makes=False),
        Question(actions=ROLES_GONE, resources=roles, makes=False),
        Question(actions=PROFILES_GONE, resources=profiles, makes=False),
        *_of_shared(f"{arn}:s3:::{shared}" if shared else ""),
        Question(actions=BUCKET_GONE, resources=bucket, makes=False),
        Question(actions=OBJECTS_GONE, resources=objects, makes=False),
    )


def _of_shared(arn: str) -> tuple[Question, ...]:
    if not arn:
        return ()
    used = f"{arn}/{registry.USERS}any"
    return (
        Question(actions=SHARED, resources=(arn,)),
        Question(actions=(*OBJECTS, *OBJECTS_GONE), resources=(used,)),
    )


def look(place: Place) -> Facts:
    """Ask the simulator; who may not ask it tries what can be tried."""
    there = place.config.registry
    asked = questions(
        place.who,
        on_efs=place.config.volume.type == "efs",
        shared=(there.bucket or place.who.image_bucket) if there.on_cluster else "",
    )
    if place.approach.arn.endswith(":root"):
        return Facts(root=True)
    try:
        return _simulated(place, asked)
    except (errors.Denied, errors.AwsFailed) as error:
        return _tried(place, asked, str(error))


# -- by IAM's simulator -------------------------------------------------------------------


def _simulated(place: Place, asked: Sequence[Question]) -> Facts:
    principal = _principal(place)
    said: dict[str, set[Word]] = {}
    for question in _joined(asked):
        for action, _, word in _answers(place, principal, question):
            said.setdefault(action, set()).add(word)
    said |= _narrowed(place, principal, said)
    denied = {action for action, words in said.items() if words & {Word.SILENT, Word.DENIED}}
    unknown = {action for action, words in said.items() if Word.UNKNOWN in words} - denied
    makes = {action for question in asked if question.makes for action in question.actions}
    return Facts(
        allowed=frozenset(said.keys() - denied - unknown), denied=frozenset(denied),
        only_destroy=frozenset(denied - makes), unknown=frozenset(unknown),
        why="the policy has conditions that only a call itself can meet" if unknown else "",
    )  # fmt: skip


class Word(StrEnum):
    """What a policy says of an action."""

    ALLOWED = "allowed"
    SILENT = "implicitDeny"  # it does not speak of it, which is a no
    DENIED = "explicitDeny"
    UNKNOWN = "unknown"  # a condition of it asks for what only a call has


def _answers(place: Place, principal: str, question: Question) -> Iterator[tuple[str, str, Word]]:
    """Ask the simulator; each action is answered with each thing."""
    results = place.aws.pages(
        "iam", "simulate_principal_policy", "EvaluationResults",
        PolicySourceArn=principal, ActionNames=list(question.actions),
        ResourceArns=list(question.resources), ContextEntries=context(place.who),
    )  # fmt: skip
    for one in results:
        word = Word(one["EvalDecision"])
        if word is not Word.ALLOWED and one.get("MissingContextValues"):
            word = Word.UNKNOWN
        yield str(one["EvalActionName"]), str(one.get("EvalResourceName", "*")), word


def _narrowed(place: Place, principal: str, said: Mapping[str, set[Word]]) -> dict[str, set[Word]]:
    """Ask about what is not allowed on everything once more: on what it would be about.

    A policy that names things of a kind by their ARN does not speak of everything.
    """
    about = {
        action: things.of(place.who, action)
        for action, words in said.items()
        if words <= {Word.SILENT, Word.UNKNOWN}
    }
    about = {action: arns for action, arns in about.items() if arns}
    if not about:
        return {}
    resources = tuple(sorted({arn for arns in about.values() for arn in arns}))
    told: dict[str, set[Word]] = {}
    question = Question(actions=tuple(about), resources=resources)
    for action, resource, word in _answers(place, principal, question):
        if resource in about[action]:
            told.setdefault(action, set()).add(word)
    return told


def _joined(asked: Iterable[Question]) -> Iterator[Question]:
    """Ask once about the same things."""
    by_things: dict[tuple[str, ...], tuple[str, ...]] = {}
    for one in asked:
        by_things[one.resources] = (*by_things.get(one.resources, ()), *one.actions)
    for resources, actions in by_things.items():
        yield Question(actions=actions, resources=resources)


def _principal(place: Place) -> str:
    """Return whose policies count: of a session, its role's, whose path the session hides."""
    arn = place.approach.arn
    if ":assumed-role/" not in arn:
        return arn
    role = arn.split("/")[1]
    return str(place.aws.call("iam", "get_role", RoleName=role)["Role"]["Arn"])


def context(who: Identity) -> list[dict[str, Any]]:
    """Return what our calls say, by which policies may tell them from others."""
    tags = {names.TAG_CLUSTER: who.name, names.TAG_UID: who.uid}
    said = {
        "aws:RequestedRegion": who.region,
        "ec2:Region": who.region,
        "iam:PassedToService": "ec2.amazonaws.com",
        **{f"{space}/{key}": value for key, value in tags.items()
           for space in ("aws:RequestTag", "aws:ResourceTag", "ec2:ResourceTag")},
    }  # fmt: skip
    single = [
        {"ContextKeyName": key, "ContextKeyType": "string", "ContextKeyValues": [value]}
        for key, value in said.items()
    ]
    keys = [names.TAG_CLUSTER, names.TAG_UID, names.TAG_ROLE, "Name"]
    listed = {
        "ContextKeyName": "aws:TagKeys", "ContextKeyType": "stringList", "ContextKeyValues": keys
    }  # fmt: skip
    return [*single, listed]


# -- by calls that do nothing -------------------------------------------------------------


def _tried(place: Place, asked: Sequence[Question], why: str) -> Facts:
    """Call EC2 without doing; what cannot be tried so stays unknown."""
    answers = {action: _dry(place, action) for action in DRY}
    everything = {action for question in asked for action in question.actions}
    allowed = {action for action, may in answers.items() if may}
    denied = {action for action, may in answers.items() if may is False}
    return Facts(
        allowed=frozenset(allowed), denied=frozenset(denied),
        unknown=frozenset(everything - allowed - denied), why=why,
    )  # fmt: skip


def _dry(place: Place, action: str) -> bool | None:
    verb, params, kind = DRY[action]
    tags = as_items(place.who.tags(kind))
    tagged = {"TagSpecifications": [{"ResourceType": kind, "Tags": tags}]}
    try:
        done = place.aws.attempt("ec2", verb, "DryRunOperation", **params, **tagged, DryRun=True)
    except errors.Denied:
        return False
    except ClusterousError:
        return None
    return True if done is None else None


# -- the judgement ------------------------------------------------------------------------


def judge(facts: Facts) -> Finding:
    """What create needs and may not is a failure; what destroy alone needs, a warning."""
    whole = len(facts.allowed | facts.denied | facts.unknown)
    if facts.root:
        return Finding(
            mark=Mark.OK, says="the account's root user may do everything; better take another"
        )
    if stops := facts.denied - facts.only_destroy:
        return Finding(
            mark=Mark.FAILURE,
            says=f"you may not do {_listed(stops)}",
            why="create would stop there, when the rest is made already",
            do="ask who cares for your AWS account for these actions",
        )
    if facts.denied:
        return Finding(
            mark=Mark.WARNING,
            says=f"you may not do {_listed(facts.denied)}",
            why="destroy could not remove what create makes",
            do="ask who cares for your AWS account for these actions",
        )
    if facts.unknown:
        says = f"{len(facts.allowed)} of {whole} actions"
        return Finding(
            mark=Mark.UNKNOWN,
            says=f"{says}; whether you may do the others could not be asked",
            why=facts.why,
        )
    return Finding(mark=Mark.OK, says=f"{spell.plural(whole, 'action')}, all allowed")


def _listed(actions: Iterable[str]) -> str:
    ordered = sorted(actions)
    more = f" and {len(ordered) - SHOWN} more" if len(ordered) > SHOWN else ""
    return f"{', '.join(ordered[:SHOWN])}{more}"


CHECK: Final = Check(name="permissions", look=look, judge=judge)
