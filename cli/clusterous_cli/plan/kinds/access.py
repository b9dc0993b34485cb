"""Who may come in and do what: security groups with their rules, roles with their policies."""

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from clusterous_api import names
from clusterous_api.errors import FailedError
from clusterous_cli.addons import table as addons
from clusterous_cli.cluster.config import ClusterConfig, VolumeType
from clusterous_cli.cluster.file import registry as registries
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import BEGUN, ROLES, SNAPSHOTS
from clusterous_cli.cluster.tags import is_ours, key_of, made_by_aws, tags_of
from clusterous_cli.plan.kinds.cloud import Cloud, Site
from clusterous_cli.plan.kinds.kind import (
    Found,
    Id,
    Kind,
    Left,
    Ref,
    Resource,
    Rule,
    Scope,
    Step,
    Value,
    Walk,
    Wish,
)
from clusterous_cli.plan.kinds.kubernetes import marks
from clusterous_cli.plan.kinds.network import EVERYWHERE

PART: Final = "access"


# -- security groups ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Group(Value):
    """A security group."""

    vpc: Id
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules(Value):
    """All that a group lets in, and whether it lets everything out, as EC2 makes each group."""

    group: Id
    rules: tuple[Rule, ...]
    out: bool | None = None


# What EC2 gives each group. Without it no machine reaches S3, the registry or another machine.
OUT: Final = Rule(protocol="-1", low=-1, high=-1, source=EVERYWHERE)
# What programs on the network of their machine may listen on, for one another: all that Mesos
# offered, but the kubelet's port, which each of these rules leaves out.
KUBELET: Final = 10250
PROGRAMS: Final = ((1024, KUBELET - 1), (KUBELET + 1, 65535))


def group_rules(allow: tuple[str, ...], volume: VolumeType) -> dict[str, tuple[Rule, ...]]:
    """Return what each security group lets in: nothing from the world, and no more than needed."""
    nodes = ("controller-group", "worker-group")

    def tcp(port: int, *sources: str) -> list[Rule]:
        return [Rule(protocol="tcp", low=port, high=port, source=source) for source in sources]

    def node() -> list[Rule]:
        # SSH through the gateway; the kubelet for logs, exec and metrics; the pods' network, which
        # carries all traffic between pods.
        vxlan = [Rule(protocol="udp", low=8472, high=8472, source=source) for source in nodes]
        return [*tcp(22, "gateway-group"), *tcp(KUBELET, *nodes), *vxlan]

    programs = [
        Rule(protocol="tcp", low=low, high=high, source="worker-group") for low, high in PROGRAMS
    ]
    rules = {
        "gateway": tcp(22, *allow),
        "controller": [*node(), *tcp(6443, *nodes)],
        "worker": [*node(), *programs],
    }
    if volume is VolumeType.EFS:
        rules["volume"] = tcp(2049, *nodes)
    elif volume is VolumeType.EBS:
        rules["controller"] += tcp(2049, "worker-group")
    return {name: tuple(sorted(set(found))) for name, found in rules.items()}


def _want_groups(wish: Wish) -> list[Resource]:
    return [
        Resource(
            kind=GROUP,
            key=f"{name}-group",
            value=Group(vpc=Ref("vpc"), name=f"clusterous-{wish.config.name}-{name}"),
        )
        for name in group_rules(wish.allow, wish.config.volume.type)
    ]


def _want_rules(wish: Wish) -> list[Resource]:
    return [
        Resource(
            kind=RULES,
            key=f"{name}-rules",
            value=Rules(group=Ref(f"{name}-group"), rules=rules, out=True),
            needs=tuple(sorted({r.source for r in rules if r.source.endswith("-group")})),
        )
        for name, rules in group_rules(wish.allow, wish.config.volume.type).items()
    ]


def _look_groups(at: Scope) -> list[Found]:
    found: list[Found] = []
    for group in at.placed("describe_security_groups", "SecurityGroups"):
        if group["GroupName"] == "default":
            continue
        # In our network, and by its tags this cluster's: a controller of Kubernetes made it.
        of_cluster = marks.names(tags_of(group), at.who)
        ours = is_ours(group, at.who) or of_cluster
        id, vpc = group["GroupId"], group["VpcId"]
        key, value = key_of(group, at.who), Group(vpc=vpc, name=group["GroupName"])
        by_aws = bool(made_by_aws(group))
        found.append(
            Found(kind=GROUP, key=key, id=id, value=value, ours=ours, vpc=vpc, managed=by_aws)
        )
        present = rules_of(group.get("IpPermissions", ()))
        if ours and present:
            out = OUT in rules_of(group.get("IpPermissionsEgress", ()))
            rules = Rules(group=id, rules=present, out=out)
            its = f"{key.removesuffix('-group')}-rules" if key else ""
            found.append(Found(kind=RULES, key=its, id=id, value=rules, vpc=vpc))
    return found


def rules_of(permissions: Iterable[Mapping[str, Any]]) -> tuple[Rule, ...]:
    """Spell what AWS says of a group's ingress as our rules, with group ids as sources."""
    rules = []
    for one in permissions:
        sources = [
            *(pair["GroupId"] for pair in one.get("UserIdGroupPairs", ())),
            *(block["CidrIp"] for block in one.get("IpRanges", ())),
            *(block["CidrIpv6"] for block in one.get("Ipv6Ranges", ())),
            *(block["PrefixListId"] for block in one.get("PrefixListIds", ())),
        ]
        rules += [
            Rule(
                protocol=one["IpProtocol"],
                low=one.get("FromPort", -1),
                high=one.get("ToPort", -1),
                source=source,
            )
            for source in sources
        ]
    return tuple(sorted(rules))


def permissions(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    """Spell rules as EC2 wants them."""
    spelled = []
    for rule in rules:
        one: dict[str, Any] = {"IpProtocol": rule.protocol}
        if rule.protocol != "-1":
            one |= {"FromPort": rule.low, "ToPort": rule.high}
        if rule.source.startswith("sg-"):
            one["UserIdGroupPairs"] = [{"GroupId": rule.source}]
        elif rule.source.startswith("pl-"):
            one["PrefixListIds"] = [{"PrefixListId": rule.source}]
        elif ":" in rule.source:
            one["Ipv6Ranges"] = [{"CidrIpv6": rule.source}]
        else:
            one["IpRanges"] = [{"CidrIp": rule.source, "Description": "clusterous"}]
        spelled.append(one)
    return spelled


def _make_group(to: Site, step: Step, wanted: Group) -> str:
    answer = to.ec2(
        "create_security_group",
        GroupName=wanted.name,
        Description=f"clusterous: the {step.key.removesuffix('-group')} of {to.who.name}",
        VpcId=wanted.vpc,
        TagSpecifications=to.tagged("security-group", step.key),
    )
    return str(answer["GroupId"])


def _make_rules(to: Site, step: Step, wanted: Rules) -> str:
    id = wanted.group
    # Asked now, not taken from the plan: a repeated attempt must not add what is there.
    listed = to.ec2("describe_security_groups", GroupIds=[id])["SecurityGroups"]
    present = set(rules_of(listed[0].get("IpPermissions", ()))) if listed else set()
    if listed and OUT not in rules_of(listed[0].get("IpPermissionsEgress", ())):
        to.ec2("authorize_security_group_egress", GroupId=id, IpPermissions=permissions([OUT]))
    if missing := sorted(set(wanted.rules) - present):
        to.ec2("authorize_security_group_ingress", GroupId=id, IpPermissions=permissions(missing))
    if extra := sorted(present - set(wanted.rules)):
        to.ec2("revoke_security_group_ingress", GroupId=id, IpPermissions=permissions(extra))
    return str(id)


def _remove_group(to: Site, found: Found) -> None:
    to.ec2("delete_security_group", GroupId=found.id)


def _remove_rules(to: Site, found: Found) -> None:
    # Groups that name each other cannot be deleted; without rules they can, in any order.
    groups = to.ec2("describe_security_groups", GroupIds=[found.id])["SecurityGroups"]
    present = groups[0].get("IpPermissions") if groups else None
    if present:
        to.ec2("revoke_security_group_ingress", GroupId=found.id, IpPermissions=present)


GROUP: Final = Kind(
    name="security-group",
    part=PART,
    noun="security group",
    counted="security group",
    wants=_want_groups,
    look=_look_groups,
    make=_make_group,
    remove=_remove_group,
    after=(
        *("security-group-rules", "machines", "mount-target", "network-interface"),
        "load-balancer",
    ),
    walk=Walk(
        action="describe_security_groups",
        key="SecurityGroups",
        id="GroupId",
        placed=True,
        gone=lambda item: item.get("GroupName") == "default",
        says=lambda item: (
            made_by_aws(item) or marks.says(tags_of(item)) or str(item.get("GroupName", ""))
        ),
    ),
)
RULES: Final = Kind(
    name="security-group-rules",
    part=PART,
    wants=_want_rules,
    make=_make_rules,
    remove=_remove_rules,
    changeable=True,
)


# -- roles --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Role(Value):
    """An IAM role; *trust* is who may take it, *others* are policies that are not ours."""

    name: str
    trust: str | None = None
    others: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(Value):
    """What a role may do, as the JSON of a policy."""

    role: Id
    document: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile(Value):
    """An instance profile, by which a machine takes a role."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileLink(Value):
    """Which role a profile gives."""

    profile: Id
    role: Id


def trust(who: Identity) -> str:
    """Return who may take the role: machines, by the name that EC2 has in that partition."""
    domain = "amazonaws.com.cn" if who.partition == "aws-cn" else "amazonaws.com"
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": f"ec2.{domain}"},
        "Action": "sts:AssumeRole",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, sort_keys=True)


def registry_trust(who: Identity) -> str:
    """Return who may take the registry's role: the controller, for the pod there.

    It is named by what it is called, not as the principal: that would have to be there before.
    """
    account = f"arn:{who.partition}:iam::{who.account}"
    controller = f"{account}:role/{who.role(names.ROLE_CONTROLLER)}"
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"{account}:root"},
        "Action": "sts:AssumeRole",
        "Condition": {"ArnEquals": {"aws:PrincipalArn": controller}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, sort_keys=True)


POLICY_NAME: Final = "clusterous"
# What each kind of machine may read in the bucket. No role reads private/, and only the controller
# reads server/: who holds the server's token or an authority's key holds the cluster.
READABLE: Final = {
    names.ROLE_GATEWAY: ("boot",),
    names.ROLE_CONTROLLER: ("boot", "agent", "server"),
    names.ROLE_WORKER: ("boot", "agent"),
}


def registry_policy(who: Identity, bucket: str) -> str:
    """Return what the registry may do: all with its own part of the bucket, and nothing else."""
    arn = f"arn:{who.partition}:s3:::{bucket}"
    statements = [
        {
            # Of the whole bucket: who may list a part of it alone is told of what is not there that
            # it is forbidden, and the registry would take every new name for an error.
            # https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
            "Sid": "ListImages",
            "Effect": "Allow",
            "Action": [
                "s3:GetBucketLocation",
                "s3:ListBucket",
                "s3:ListBucketMultipartUploads",
            ],
            "Resource": arn,
        },
        {
            "Sid": "KeepImages",
            "Effect": "Allow",
            "Action": [
                "s3:AbortMultipartUpload",
                "s3:DeleteObject",
                "s3:GetObject",
                "s3:ListMultipartUploadParts",
                "s3:PutObject",
            ],
            "Resource": f"{arn}/{registries.PREFIX}*",
        },
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, sort_keys=True)


def policy(
    who: Identity, role: str, actions: Sequence[str] = (), *, with_registry: bool = False
) -> str:
    """Return what the machines of *role* may do: read their boot files, report, pull images.

    *actions* are what add-ons do with the controller's role; *with_registry*, it may take that of
    the registry, too.
    """
    bucket = f"arn:{who.partition}:s3:::{who.bucket}"
    statements: list[dict[str, Any]] = [
        {
            "Sid": "ReadBootFiles",
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": [f"{bucket}/{folder}/*" for folder in READABLE[role]],
        },
        {
            "Sid": "Report",
            "Effect": "Allow",
            "Action": "s3:PutObject",
            # Its own report only: who could write another's could plant an SSH host key there.
            "Resource": f"{bucket}/nodes/${{ec2:SourceInstanceARN}}.json",
        },
    ]
    if role == names.ROLE_CONTROLLER:
        statements.append(
            {
                "Sid": "TellThatItBegan",
                "Effect": "Allow",
                "Action": "s3:PutObject",
                "Resource": f"{bucket}/{BEGUN}",
            }
        )
        statements.append(
            {
                "Sid": "PutSnapshots",
                "Effect": "Allow",
                "Action": "s3:PutObject",
                "Resource": f"{bucket}/{SNAPSHOTS}*",
            }
        )
    if role != names.ROLE_GATEWAY:
        statements += _pull(who)
    if role == names.ROLE_CONTROLLER and actions:
        statement = {"Sid": "AddOns", "Effect": "Allow", "Action": list(actions), "Resource": "*"}
        statements.append(statement)
    if role == names.ROLE_CONTROLLER and with_registry:
        statements.append(
            {
                "Sid": "TakeRegistryRole",
                "Effect": "Allow",
                "Action": "sts:AssumeRole",
                "Resource": f"arn:{who.partition}:iam::{who.account}:role/"
                f"{who.role(names.ROLE_REGISTRY)}",
            }
        )
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, sort_keys=True)


def _pull(who: Identity) -> list[dict[str, Any]]:
    registry = f"arn:{who.partition}:ecr:{who.region}:{who.account}:repository"
    return [
        {
            "Sid": "LogInToRegistry",
            "Effect": "Allow",
            "Action": "ecr:GetAuthorizationToken",
            "Resource": "*",
        },
        {
            "Sid": "PullImages",
            "Effect": "Allow",
            "Action": [
                "ecr:BatchCheckLayerAvailability",
                "ecr:BatchGetImage",
                "ecr:GetDownloadUrlForLayer",
            ],
            "Resource": f"{registry}/{who.repositories}*",
        },
    ]


def spelled(document: Any) -> str:
    """Spell a policy so that equal ones look the same."""
    parsed = json.loads(document) if isinstance(document, str) else document
    return json.dumps(parsed, sort_keys=True)


def roles(config: ClusterConfig) -> tuple[str, ...]:
    """Return what there is a role for in a cluster."""
    return (*ROLES, names.ROLE_REGISTRY) if config.registry.on_cluster else ROLES


def _trusted(who: Identity, role: str) -> str:
    return registry_trust(who) if role == names.ROLE_REGISTRY else trust(who)


def _permitted(wish: Wish, role: str) -> str:
    there = wish.config.registry
    if role == names.ROLE_REGISTRY:
        return registry_policy(wish.who, there.bucket or wish.who.image_bucket)
    actions = addons.actions(wish.config)
    return policy(wish.who, role, actions, with_registry=there.on_cluster)


def _want_roles(wish: Wish) -> list[Resource]:
    return [
        Resource(
            kind=ROLE,
            key=f"{role}-role",
            value=Role(name=wish.who.role(role), trust=_trusted(wish.who, role), others=()),
        )
        for role in roles(wish.config)
    ]


def _want_policies(wish: Wish) -> list[Resource]:
    return [
        Resource(
            kind=POLICY,
            key=f"{role}-policy",
            value=Policy(role=Ref(f"{role}-role"), document=_permitted(wish, role)),
        )
        for role in roles(wish.config)
    ]


def _want_profiles(wish: Wish) -> list[Resource]:
    return [
        Resource(kind=PROFILE, key=f"{role}-profile", value=Profile(name=wish.who.role(role)))
        for role in ROLES
    ]


def _want_profile_links(wish: Wish) -> list[Resource]:
    return [
        Resource(
            kind=PROFILE_LINK,
            key=f"{role}-profile-role",
            value=ProfileLink(profile=Ref(f"{role}-profile"), role=Ref(f"{role}-role")),
        )
        for role in ROLES
    ]


def _look_roles(at: Scope) -> list[Found]:
    looks = [
        *((_look_role, role) for role in (*ROLES, names.ROLE_REGISTRY)),
        *((_look_profile, role) for role in ROLES),
    ]
    with ThreadPoolExecutor(max_workers=len(looks)) as pool:
        parts = pool.map(lambda look: look[0](at, look[1]), looks)
        return [found for part in parts for found in part]


def _look_role(at: Scope, role: str) -> list[Found]:
    name = at.who.role(role)
    answer = at.cloud.find("iam", "get_role", RoleName=name)
    # The name can be computed by anybody in the account: only our tags make it ours.
    if not answer or not is_ours(answer["Role"], at.who):
        return []
    trusted = spelled(answer["Role"]["AssumeRolePolicyDocument"])
    held = Role(name=name, trust=trusted, others=_others(at.cloud, name))
    found = [Found(kind=ROLE, key=f"{role}-role", id=name, value=held)]
    answer = at.cloud.find("iam", "get_role_policy", RoleName=name, PolicyName=POLICY_NAME)
    if answer:
        value = Policy(role=name, document=spelled(answer["PolicyDocument"]))
        found.append(Found(kind=POLICY, key=f"{role}-policy", id=name, value=value))
    return found


def _others(cloud: Cloud, name: str) -> tuple[str, ...]:
    """Name what else gives the role rights."""
    inline = cloud.pages("iam", "list_role_policies", "PolicyNames", RoleName=name)
    listed = cloud.pages("iam", "list_attached_role_policies", "AttachedPolicies", RoleName=name)
    attached = [one["PolicyArn"] for one in listed]
    return tuple(sorted([*(one for one in inline if one != POLICY_NAME), *attached]))


def _look_profile(at: Scope, role: str) -> list[Found]:
    name = at.who.role(role)
    answer = at.cloud.find("iam", "get_instance_profile", InstanceProfileName=name)
    if not answer or not is_ours(answer["InstanceProfile"], at.who):
        return []
    found = [Found(kind=PROFILE, key=f"{role}-profile", id=name, value=Profile(name=name))]
    for held in answer["InstanceProfile"]["Roles"][:1]:
        link = ProfileLink(profile=name, role=held["RoleName"])
        found.append(Found(kind=PROFILE_LINK, key=f"{role}-profile-role", id=name, value=link))
    return found


def _make_role(to: Site, step: Step, wanted: Role) -> str:
    done = to.cloud.attempt(
        "iam",
        "create_role",
        "EntityAlreadyExists",
        RoleName=wanted.name,
        AssumeRolePolicyDocument=wanted.trust,
        Description=f"clusterous: machines of {to.who.name}",
        Tags=to.tags(step.key),
    )
    if done is None:
        answer = to.iam("get_role", RoleName=wanted.name)["Role"]
        there = spelled(answer["AssumeRolePolicyDocument"])
        _check_ours(to, "role", wanted.name, is_ours(answer, to.who) and there == wanted.trust)
    return wanted.name


def _check_ours(to: Site, what: str, name: str, ours: bool) -> None:
    """Take for ours only what an earlier call of ours made, whose answer was lost."""
    if not ours:
        raise FailedError(
            f"The account has a {what} {name} that clusterous did not make. It would give rights"
            f" over {to.who.name} to whoever made it: look who did, and remove it."
        )


def _make_policy(to: Site, step: Step, wanted: Policy) -> str:
    to.iam(
        "put_role_policy",
        RoleName=wanted.role,
        PolicyName=POLICY_NAME,
        PolicyDocument=wanted.document,
    )
    return str(wanted.role)


def _make_profile(to: Site, step: Step, wanted: Profile) -> str:
    done = to.cloud.attempt(
        "iam",
        "create_instance_profile",
        "EntityAlreadyExists",
        InstanceProfileName=wanted.name,
        Tags=to.tags(step.key),
    )
    if done is None:
        answer = to.iam("get_instance_profile", InstanceProfileName=wanted.name)
        ours = is_ours(answer["InstanceProfile"], to.who)
        _check_ours(to, "instance profile", wanted.name, ours)
    return wanted.name


def _make_profile_link(to: Site, step: Step, wanted: ProfileLink) -> str:
    link = {"InstanceProfileName": wanted.profile, "RoleName": wanted.role}
    done = to.cloud.attempt("iam", "add_role_to_instance_profile", "LimitExceeded", **link)
    if done is None:
        # A profile holds one role; a call whose answer was lost has put ours there.
        answer = to.iam("get_instance_profile", InstanceProfileName=wanted.profile)
        if [role["RoleName"] for role in answer["InstanceProfile"]["Roles"]] != [wanted.role]:
            to.iam("add_role_to_instance_profile", **link)  # to hear what is wrong
    return str(wanted.profile)


def _remove_role(to: Site, found: Found) -> None:
    for name in to.cloud.pages("iam", "list_role_policies", "PolicyNames", RoleName=found.id):
        to.iam("delete_role_policy", RoleName=found.id, PolicyName=name)
    attached = to.cloud.pages(
        "iam", "list_attached_role_policies", "AttachedPolicies", RoleName=found.id
    )
    for one in attached:
        to.iam("detach_role_policy", RoleName=found.id, PolicyArn=one["PolicyArn"])
    to.iam("delete_role", RoleName=found.id)


def _remove_profile(to: Site, found: Found) -> None:
    answer = to.iam("get_instance_profile", InstanceProfileName=found.id)
    for role in answer["InstanceProfile"]["Roles"]:
        to.iam(
            "remove_role_from_instance_profile",
            InstanceProfileName=found.id,
            RoleName=role["RoleName"],
        )
    to.iam("delete_instance_profile", InstanceProfileName=found.id)


def _left(kind: Kind, found: Sequence[str], who: Identity) -> list[Left]:
    mine = [name for name in found if name.startswith(f"clusterous-{who.name}-{who.uid}")]
    return [Left(kind=kind.noun, id=name, ours=True) for name in mine]


def _walk_roles(cloud: Cloud, who: Identity) -> list[Left]:
    listed = cloud.pages("iam", "list_roles", "Roles")
    return _left(ROLE, [one["RoleName"] for one in listed], who)


def _walk_profiles(cloud: Cloud, who: Identity) -> list[Left]:
    listed = cloud.pages("iam", "list_instance_profiles", "InstanceProfiles")
    return _left(PROFILE, [one["InstanceProfileName"] for one in listed], who)


ROLE: Final = Kind(
    name="iam-role",
    part=PART,
    noun="role",
    counted="role",
    wants=_want_roles,
    look=_look_roles,
    make=_make_role,
    remove=_remove_role,
    after=("instance-profile",),
    walked=_walk_roles,
)
POLICY: Final = Kind(
    name="iam-policy", part=PART, wants=_want_policies, make=_make_policy, changeable=True
)
PROFILE: Final = Kind(
    name="instance-profile",
    part=PART,
    noun="instance profile",
    wants=_want_profiles,
    make=_make_profile,
    remove=_remove_profile,
    after=("machines",),
    walked=_walk_profiles,
)
PROFILE_LINK: Final = Kind(
    name="instance-profile-role", part=PART, wants=_want_profile_links, make=_make_profile_link
)
