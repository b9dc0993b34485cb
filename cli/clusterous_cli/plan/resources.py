"""Everything a cluster is made of, as values: what is wanted follows from config and identity.

A resource is one thing that one AWS call makes. Its facts are what must be true of it; a `Ref` in a
fact names another resource whose id is not known yet, and is at the same time a dependency.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from clusterous_api import names
from clusterous_cli.cluster.addresses import addresses
from clusterous_cli.cluster.config import ClusterConfig, Pool
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import ROLES, SECRETS_KEY, Blob, Machine


class Kind(StrEnum):
    """What AWS would call it, at the grain of one call each."""

    VPC = "vpc"
    VPC_DNS = "vpc-dns"
    SUBNET = "subnet"
    GATEWAY = "internet-gateway"
    GATEWAY_LINK = "internet-gateway-attachment"
    TABLE = "route-table"
    TABLE_LINK = "route-table-association"
    ROUTE = "route"
    ADDRESS = "elastic-ip"
    NAT = "nat-gateway"
    ENDPOINT = "vpc-endpoint"
    GROUP = "security-group"
    RULES = "security-group-rules"
    ROLE = "iam-role"
    POLICY = "iam-policy"
    PROFILE = "instance-profile"
    PROFILE_LINK = "instance-profile-role"
    BUCKET = "bucket"
    BUCKET_BLOCK = "bucket-public-access-block"
    BUCKET_ENCRYPTION = "bucket-encryption"
    BUCKET_POLICY = "bucket-policy"
    OBJECT = "object"
    FILE_SYSTEM = "file-system"
    MOUNT_TARGET = "mount-target"
    MACHINES = "machines"
    # Never wanted, but found by destroy.
    VOLUME = "volume"
    INTERFACE = "network-interface"
    REPOSITORY = "image-repository"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Ref:
    """The id of another resource, which may not exist yet."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Rule:
    """Traffic that a security group lets in; *source* is a CIDR or the key of another group."""

    protocol: str
    low: int
    high: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One thing that is wanted."""

    kind: Kind
    key: str
    part: str  # the line of the picture that people see: network, access, files, volume, machines
    facts: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()

    @property
    def dependencies(self) -> tuple[str, ...]:
        """Return the keys of all resources that must exist before this one."""
        return tuple(dict.fromkeys((*self.needs, *refs(self.facts.values()))))


def refs(values: Iterable[Any]) -> list[str]:
    """List the keys that the values refer to, however deep."""
    found = []
    for value in values:
        if isinstance(value, Ref):
            found.append(value.key)
        elif isinstance(value, tuple):
            found += refs(value)
    return found


EVERYWHERE: Final = "0.0.0.0/0"


def wanted(
    config: ClusterConfig,
    who: Identity,
    *,
    zone: str,
    image: str,
    allow: tuple[str, ...],
    machines: Iterable[Machine],
    blobs: Iterable[Blob],
) -> tuple[Resource, ...]:
    """Return everything that the cluster is made of."""
    return (
        *_network(config, who, zone),
        *_groups(config, allow),
        *_roles(who),
        *_bucket(who),
        *(_object(who, blob) for blob in blobs),
        *(_volume(config, who) if config.volume == "efs" else ()),
        *(_machines(config, who, machine, image) for machine in machines),
    )


def _network(config: ClusterConfig, who: Identity, zone: str) -> list[Resource]:
    plan = addresses(config.cidr)

    def make(kind: Kind, key: str, *needs: str, **facts: Any) -> Resource:
        return Resource(kind=kind, key=key, part="network", facts=facts, needs=needs)

    made = [
        make(Kind.VPC, "vpc", cidr=config.cidr),
        make(Kind.VPC_DNS, "vpc-dns", vpc=Ref("vpc"), hostnames=True),
        make(Kind.GATEWAY, "igw"),
        make(Kind.GATEWAY_LINK, "igw-link", gateway=Ref("igw"), vpc=Ref("vpc")),
        make(Kind.ADDRESS, "nat-address"),
        make(
            Kind.NAT, "nat", "igw-link", "public-route", "public-link",
            subnet=Ref("public"), address=Ref("nat-address"), ready=True,
        ),
        make(
            Kind.ENDPOINT, "s3-endpoint",
            vpc=Ref("vpc"), service=f"com.amazonaws.{who.region}.s3",
            tables=(Ref("private-table"), Ref("public-table")),
        ),
        make(
            Kind.ROUTE, "public-route", "igw-link",
            table=Ref("public-table"), destination=EVERYWHERE, target=Ref("igw"),
        ),
        make(
            Kind.ROUTE, "private-route",
            table=Ref("private-table"), destination=EVERYWHERE, target=Ref("nat"),
        ),
    ]  # fmt: skip
    made += [make(Kind.TABLE, f"{side}-table", vpc=Ref("vpc")) for side in ("public", "private")]
    for side, cidr in (
        ("public", plan.public),
        ("control", plan.control),
        ("private", plan.private),
    ):
        table = Ref("public-table" if side == "public" else "private-table")
        made += [
            make(Kind.SUBNET, side, vpc=Ref("vpc"), cidr=cidr, zone=zone),
            make(Kind.TABLE_LINK, f"{side}-link", table=table, subnet=Ref(side)),
        ]
    return made


def group_rules(allow: tuple[str, ...], volume: bool) -> dict[str, tuple[Rule, ...]]:
    """Return what each security group lets in: nothing from the world, and no more than needed."""
    nodes = ("controller-group", "worker-group")

    def tcp(port: int, *sources: str) -> list[Rule]:
        return [Rule(protocol="tcp", low=port, high=port, source=source) for source in sources]

    def node() -> list[Rule]:
        # SSH through the gateway; the kubelet for logs, exec and metrics; the pods' network, which
        # carries all traffic between pods.
        vxlan = [Rule(protocol="udp", low=8472, high=8472, source=source) for source in nodes]
        return [*tcp(22, "gateway-group"), *tcp(10250, *nodes), *vxlan]

    rules = {
        "gateway": tcp(22, *allow),
        "controller": [*node(), *tcp(6443, *nodes)],
        "worker": node(),
    }
    if volume:
        rules["volume"] = tcp(2049, *nodes)
    return {name: tuple(sorted(found)) for name, found in rules.items()}


def _groups(config: ClusterConfig, allow: tuple[str, ...]) -> list[Resource]:
    made = []
    for name, rules in group_rules(allow, config.volume == "efs").items():
        sources = {rule.source for rule in rules if rule.source.endswith("-group")}
        made += [
            Resource(
                kind=Kind.GROUP, key=f"{name}-group", part="access",
                facts={"vpc": Ref("vpc"), "name": f"clusterous-{config.name}-{name}"},
            ),
            Resource(
                kind=Kind.RULES, key=f"{name}-rules", part="access", needs=tuple(sorted(sources)),
                facts={"group": Ref(f"{name}-group"), "rules": rules},
            ),
        ]  # fmt: skip
    return made


# What each kind of machine may read in the bucket. No role reads private/, and only the controller
# reads server/: who holds the server's token or an authority's key holds the cluster.
READABLE: Final = {
    names.ROLE_GATEWAY: ("boot",),
    names.ROLE_CONTROLLER: ("boot", "agent", "server"),
    names.ROLE_WORKER: ("boot", "agent"),
}


def policy(who: Identity, role: str) -> str:
    """Return what the machines of *role* may do: read their boot files, report, pull images."""
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
    if role != names.ROLE_GATEWAY:
        statements += _pull(who)
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, sort_keys=True)


def _pull(who: Identity) -> list[dict[str, Any]]:
    repositories = f"arn:{who.partition}:ecr:{who.region}:{who.account}:repository/{who.name}/*"
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
            "Resource": repositories,
        },
    ]


def _roles(who: Identity) -> list[Resource]:
    made = []
    for role in ROLES:
        name = who.role(role)
        facts: tuple[tuple[Kind, str, dict[str, Any]], ...] = (
            (Kind.ROLE, "role", {"name": name}),
            (Kind.POLICY, "policy", {"role": Ref(f"{role}-role"), "document": policy(who, role)}),
            (Kind.PROFILE, "profile", {"name": name}),
            (
                Kind.PROFILE_LINK,
                "profile-role",
                {"profile": Ref(f"{role}-profile"), "role": Ref(f"{role}-role")},
            ),
        )
        made += [
            Resource(kind=kind, key=f"{role}-{suffix}", part="access", facts=fact)
            for kind, suffix, fact in facts
        ]
    return made


def bucket_policy(who: Identity) -> str:
    """Refuse everything that does not come over TLS."""
    bucket = f"arn:{who.partition}:s3:::{who.bucket}"
    statement = {
        "Sid": "OnlyTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [bucket, f"{bucket}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, sort_keys=True)


def _bucket(who: Identity) -> list[Resource]:
    def make(kind: Kind, key: str, **facts: Any) -> Resource:
        return Resource(kind=kind, key=key, part="files", facts=facts)

    return [
        make(Kind.BUCKET, "bucket", name=who.bucket),
        make(Kind.BUCKET_BLOCK, "bucket-block", bucket=Ref("bucket"), blocked=True),
        make(Kind.BUCKET_ENCRYPTION, "bucket-encryption", bucket=Ref("bucket"), algorithm="AES256"),
        make(
            Kind.BUCKET_POLICY, "bucket-policy", bucket=Ref("bucket"), document=bucket_policy(who)
        ),
    ]


def _object(who: Identity, blob: Blob) -> Resource:
    # Secrets go only into a bucket that is already closed.
    closed = ("bucket-block", "bucket-encryption", "bucket-policy")
    return Resource(
        kind=Kind.OBJECT,
        key=f"s3:{blob.key}",
        part="files",
        needs=closed,
        facts={"bucket": Ref("bucket"), "key": blob.key, "sha256": blob.sha256},
    )


def _volume(config: ClusterConfig, who: Identity) -> list[Resource]:
    return [
        Resource(
            kind=Kind.FILE_SYSTEM, key="volume", part="volume",
            facts={"token": who.role("volume"), "encrypted": True},
        ),
        Resource(
            kind=Kind.MOUNT_TARGET, key="volume-target", part="volume",
            facts={
                "file_system": Ref("volume"), "subnet": Ref("control"),
                "address": addresses(config.cidr).volume, "group": Ref("volume-group"),
                "ready": True,
            },
        ),
    ]  # fmt: skip


def pool(config: ClusterConfig, role: str) -> Pool:
    """Return the pool of *role*."""
    pools = {
        names.ROLE_GATEWAY: config.gateway,
        names.ROLE_CONTROLLER: config.controller,
        names.ROLE_WORKER: config.workers,
    }
    return pools[role]


SIDES: Final = {
    names.ROLE_GATEWAY: "public",
    names.ROLE_CONTROLLER: "control",
    names.ROLE_WORKER: "private",
}


def _machines(config: ClusterConfig, who: Identity, machine: Machine, image: str) -> Resource:
    role, chosen = machine.role, pool(config, machine.role)
    side = SIDES[role]
    fixed = addresses(config.cidr).controller if role == names.ROLE_CONTROLLER else ""
    return Resource(
        kind=Kind.MACHINES,
        key=role,
        part="machines",
        # Not NAT: machines boot from S3 by the endpoint, and NAT takes minutes.
        needs=(f"{role}-rules", f"{role}-policy", f"{role}-profile-role", f"s3:{SECRETS_KEY}")
        + (f"{side}-link", "s3-endpoint", "vpc-dns")
        + (("public-route",) if side == "public" else ()),
        facts={
            "count": chosen.count,
            "type": chosen.type,
            "disk": chosen.disk,
            "image": image,
            "address": fixed,
            "public": side == "public",
            "subnet": Ref(side),
            "group": Ref(f"{role}-group"),
            "profile": who.role(role),
            "user_data": machine.user_data,
        },
    )
