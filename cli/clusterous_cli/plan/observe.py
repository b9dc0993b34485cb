"""What exists of a cluster: asked of AWS by tag, by name and by network, all at once."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

from clusterous_api import names
from clusterous_cli.aws import errors
from clusterous_cli.aws.client import Aws
from clusterous_cli.cluster import record
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import ROLES
from clusterous_cli.cluster.record import tags_of
from clusterous_cli.plan.planner import Found, Observed
from clusterous_cli.plan.resources import Kind, Rule

Facts = Mapping[str, Any]
Look = Callable[[Aws, Identity, tuple[str, ...]], list[Found]]


def survey(cloud: Aws, who: Identity, *, deep: bool = False) -> tuple[Found, ...]:
    """Find everything of the cluster; *deep* also what others put into its network."""
    vpcs = _vpcs(cloud, who)
    networks = tuple(found.id for found in vpcs if found.kind is Kind.VPC)
    looks = (*LOOKS, *DEEP_LOOKS) if deep else LOOKS
    with ThreadPoolExecutor(max_workers=16) as pool:
        rest = pool.map(lambda look: look(cloud, who, networks), looks)
        return _with_link_keys((*vpcs, *(found for part in rest for found in part)))


def _with_link_keys(found: tuple[Found, ...]) -> tuple[Found, ...]:
    """Name each association of a route table after its subnet, which another answer told."""
    subnets = {one.id: one.key for one in found if one.kind is Kind.SUBNET}
    return tuple(
        replace(one, key=f"{subnets.get(one.facts['subnet'], '')}-link")
        if one.kind is Kind.TABLE_LINK
        else one
        for one in found
    )


def index(found: Iterable[Found], failed: frozenset[str] = frozenset()) -> Observed:
    """Give each key its one thing; copies made by lost answers, and *failed* machines, are surplus.

    Of two networks the one in use is kept; things in the other one count as surplus too.
    """
    things = [one for one in found if one.ours and one.key]
    home = _home(things)
    kept: dict[str, Found] = {}
    surplus: list[Found] = []
    for one in sorted(things, key=_preference, reverse=True):
        if one.kind is Kind.MACHINES:
            healthy, broken = _split(one, failed)
            surplus += [broken] if broken else []
            if healthy is not None:
                kept[one.key] = healthy
        elif one.key in kept or one.facts.get("vpc", home) not in ("", home):
            if one.kind in DUPLICATED:
                surplus.append(one)
        elif not one.facts.get("broken"):
            kept[one.key] = one
        else:
            surplus.append(one)
    return Observed(found=kept, surplus=tuple(surplus))


# What AWS makes twice when the answer to the first call is lost.
DUPLICATED: Final = frozenset({Kind.VPC, Kind.GATEWAY, Kind.TABLE, Kind.ADDRESS, Kind.SUBNET})


def _home(things: Iterable[Found]) -> str:
    """Return the network that most other things are in."""
    vpcs = sorted(one.id for one in things if one.kind is Kind.VPC)
    uses = {vpc: sum(one.facts.get("vpc") == vpc for one in things) for vpc in vpcs}
    return max(vpcs, key=lambda vpc: uses[vpc], default="")


def _preference(one: Found) -> tuple[int, str]:
    return (int(one.facts.get("uses", 0)), one.id)


def _split(one: Found, failed: frozenset[str]) -> tuple[Found | None, Found | None]:
    ids = one.id.split()
    good = [id for id in ids if id not in failed and one.facts["states"][id] in record.LIVE]
    bad = [id for id in ids if id in failed]
    return (_machines(one, good) if good else None, _machines(one, bad) if bad else None)


def _machines(one: Found, ids: list[str]) -> Found:
    return Found(
        kind=one.kind, key=one.key, id=" ".join(ids), facts={**one.facts, "count": len(ids)}
    )


def _ours(item: Mapping[str, Any], who: Identity) -> bool:
    # Asked again here, since a filter that is ignored would show us another cluster's things.
    return tags_of(item).get(names.TAG_UID) == who.uid


def _key(item: Mapping[str, Any], who: Identity) -> str:
    return tags_of(item).get(names.TAG_ROLE, "") if _ours(item, who) else ""


def _found(kind: Kind, item: Mapping[str, Any], who: Identity, id: str, **facts: Any) -> Found:
    ours = _ours(item, who)
    return Found(kind=kind, key=_key(item, who), id=id, facts=facts, ours=ours)


def _tagged(who: Identity) -> list[dict[str, Any]]:
    return [{"Name": f"tag:{names.TAG_UID}", "Values": [who.uid]}]


def _within(networks: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{"Name": "vpc-id", "Values": list(networks)}]


def _vpcs(cloud: Aws, who: Identity) -> list[Found]:
    found = []
    for vpc in cloud.pages("ec2", "describe_vpcs", "Vpcs", Filters=_tagged(who)):
        if not _ours(vpc, who):
            continue
        id = vpc["VpcId"]
        attribute = _or_none(
            cloud, "ec2", "describe_vpc_attribute", VpcId=id, Attribute="enableDnsHostnames"
        )
        hostnames = bool(attribute and attribute["EnableDnsHostnames"]["Value"])
        found.append(_found(Kind.VPC, vpc, who, id, cidr=vpc["CidrBlock"], vpc=id))
        found.append(
            Found(
                kind=Kind.VPC_DNS, key="vpc-dns", id=id, facts={"vpc": id, "hostnames": hostnames}
            )
        )
    return found


def _subnets(cloud: Aws, who: Identity, networks: tuple[str, ...]) -> list[Found]:
    if not networks:
        return []
    return [
        _found(
            Kind.SUBNET, one, who, one["SubnetId"],
            vpc=one["VpcId"], cidr=one["CidrBlock"], zone=one["AvailabilityZone"],
        )
        for one in cloud.pages("ec2", "describe_subnets", "Subnets", Filters=_within(networks))
    ]  # fmt: skip


def _gateways(cloud: Aws, who: Identity, networks: tuple[str, ...]) -> list[Found]:
    found = []
    listed = cloud.pages(
        "ec2", "describe_internet_gateways", "InternetGateways", Filters=_tagged(who)
    )
    for one in listed:
        vpcs = [attached["VpcId"] for attached in one.get("Attachments", ())]
        vpc, id = next(iter(vpcs), ""), one["InternetGatewayId"]
        found.append(_found(Kind.GATEWAY, one, who, id, attached=vpc, uses=len(vpcs)))
        if vpc and _ours(one, who):
            facts = {"gateway": id, "vpc": vpc}
            found.append(Found(kind=Kind.GATEWAY_LINK, key="igw-link", id=id, facts=facts))
    return found


def _tables(cloud: Aws, who: Identity, networks: tuple[str, ...]) -> list[Found]:
    found: list[Found] = []
    if not networks:
        return found
    listed = cloud.pages("ec2", "describe_route_tables", "RouteTables", Filters=_within(networks))
    for table in listed:
        links = table.get("Associations", ())
        if any(link.get("Main") for link in links):
            continue
        id, vpc = table["RouteTableId"], table["VpcId"]
        found.append(_found(Kind.TABLE, table, who, id, vpc=vpc, uses=len(links)))
        side = _key(table, who).removesuffix("-table")
        if not side:
            continue
        found += [
            Found(
                kind=Kind.TABLE_LINK, key=f"{side}-link", id=link["RouteTableAssociationId"],
                facts={"table": id, "subnet": link.get("SubnetId", ""), "vpc": vpc},
            )
            for link in links
        ]  # fmt: skip
        found += [_route(route, side, id, vpc) for route in table["Routes"] if _default(route)]
    return found


def _default(route: Mapping[str, Any]) -> bool:
    return route.get("DestinationCidrBlock") == "0.0.0.0/0"


def _route(route: Mapping[str, Any], side: str, table: str, vpc: str) -> Found:
    target = route.get("NatGatewayId") or route.get("GatewayId") or ""
    facts = {"table": table, "destination": "0.0.0.0/0", "target": target, "vpc": vpc}
    return Found(kind=Kind.ROUTE, key=f"{side}-route", id=table, facts=facts)


def _addresses(cloud: Aws, who: Identity, networks: tuple[str, ...]) -> list[Found]:
    listed = cloud.pages("ec2", "describe_addresses", "Addresses", Filters=_tagged(who))
    return [
        _found(
            Kind.ADDRESS, one, who, one["AllocationId"],
            uses=int(bool(one.get("AssociationId"))), ip=one.get("PublicIp", ""),
        )
        for one in listed
    ]  # fmt: skip


def _nats(cloud: Aws, who: Identity, networks: tuple[str, ...]) -> list[Found]:
    if not networks:
        return []
    listed = cloud.pages("ec2", "describe_nat_gateways", "NatGateways", Filters=_within(networks))
    return [
        _found(
            Kind.NAT, one, who, one["NatGatewayId"],
            vpc=one["VpcId"], subnet=one["SubnetId"], ready=one["State"] == "available",
            broken=one["State"] not in ("available", "pending"), state=one["State"],
        )
        for one in listed
        if one["State"] != "deleted" and one["VpcId"] in networks
    ]  # fmt: skip


def _endpoints(cloud: Aws, who: Identity, networks: tuple[str, ...]) -> list[Found]:
    if not networks:
        return []
    listed = cloud.pages("ec2", "describe_vpc_endpoints", "VpcEndpoints", Filters=_within(networks))
    return [
        _found(
            Kind.ENDPOINT, one, who, one["VpcEndpointId"],
            vpc=one["VpcId"], service=one["ServiceName"],
            tables=tuple(sorted(one.get("RouteTableIds", ()))),
        )
        for one in listed
        if one.get("State", "").lower() not in ("deleted", "deleting")
    ]  # fmt: skip


def _groups(cloud: Aws, who: Identity, networks: tuple[str, ...]) -> list[Found]:
    found: list[Found] = []
    if not networks:
        return found
    listed = cloud.pages(
        "ec2", "describe_security_groups", "SecurityGroups", Filters=_within(networks)
    )
    for group in listed:
        if group["GroupName"] == "default":
            continue
        id, vpc = group["GroupId"], group["VpcId"]
        one = _found(Kind.GROUP, group, who, id, vpc=vpc, name=group["GroupName"])
        found.append(one)
        rules = rules_of(group.get("IpPermissions", ()))
        facts = {"group": id, "rules": rules, "vpc": vpc}
        if one.ours and rules:
            key = one.key.removesuffix("-group") + "-rules"
            found.append(Found(kind=Kind.RULES, key=key, id=id, facts=facts))
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


def _instances(cloud: Aws, who: Identity, networks: tuple[str, ...]) -> list[Found]:
    # The dead are asked for too: their names keep a new launch from being taken for theirs.
    listed = cloud.pages("ec2", "describe_instances", "Reservations", Filters=_tagged(who))
    by_role: dict[str, list[Mapping[str, Any]]] = {}
    for machine in (each for group in listed for each in group["Instances"]):
        if _ours(machine, who):
            by_role.setdefault(_key(machine, who), []).append(machine)
    return [found for role, machines in by_role.items() for found in _pools(role, machines)]


def _pools(role: str, machines: list[Mapping[str, Any]]) -> list[Found]:
    states = {one["InstanceId"]: one["State"]["Name"] for one in machines}
    dead = sorted(id for id, state in states.items() if state == "terminated")
    ids = sorted(set(states) - set(dead))
    facts = {"count": len(ids), "type": machines[0]["InstanceType"], "states": states}
    found = [Found(kind=Kind.MACHINES, key=role, id=" ".join(ids), facts=facts)] if ids else []
    grave = [Found(kind=Kind.OTHER, key=f"dead {role}", id=" ".join(dead))] if dead else []
    return [*found, *grave]


def _or_none(cloud: Aws, service: str, action: str, **params: Any) -> Any:
    try:
        return cloud.call(service, action, **params)
    except errors.NotFound:
        return None


def _roles(cloud: Aws, who: Identity, networks: tuple[str, ...]) -> list[Found]:
    with ThreadPoolExecutor(max_workers=len(ROLES)) as pool:
        parts = pool.map(lambda role: _role(cloud, who, role), ROLES)
        return [found for part in parts for found in part]


def _role(cloud: Aws, who: Identity, role: str) -> list[Found]:
    name = who.role(role)
    found = []
    if _or_none(cloud, "iam", "get_role", RoleName=name):
        found.append(Found(kind=Kind.ROLE, key=f"{role}-role", id=name, facts={"name": name}))
        answer = _or_none(cloud, "iam", "get_role_policy", RoleName=name, PolicyName=POLICY_NAME)
        if answer:
            facts = {"role": name, "document": _spelled(answer["PolicyDocument"])}
            found.append(Found(kind=Kind.POLICY, key=f"{role}-policy", id=name, facts=facts))
    profile = _or_none(cloud, "iam", "get_instance_profile", InstanceProfileName=name)
    if profile:
        facts = {"name": name}
        found.append(Found(kind=Kind.PROFILE, key=f"{role}-profile", id=name, facts=facts))
        if profile["InstanceProfile"]["Roles"]:
            facts = {"profile": name, "role": profile["InstanceProfile"]["Roles"][0]["RoleName"]}
            key = f"{role}-profile-role"
            found.append(Found(kind=Kind.PROFILE_LINK, key=key, id=name, facts=facts))
    return found


POLICY_NAME: Final = "clusterous"


def _spelled(document: Any) -> str:
    parsed = json.loads(document) if isinstance(document, str) else document
    return json.dumps(parsed, sort_keys=True)


def _bucket(cloud: Aws, who: Identity, networks: tuple[str, ...]) -> list[Found]:
    owner = {"Bucket": who.bucket, "ExpectedBucketOwner": who.account}
    if _or_none(cloud, "s3", "head_bucket", **owner) is None:
        return []
    found = [Found(kind=Kind.BUCKET, key="bucket", id=who.bucket, facts={"name": who.bucket})]
    block = _or_none(cloud, "s3", "get_public_access_block", **owner)
    if block:
        whole = all(block["PublicAccessBlockConfiguration"].values())
        found.append(_bucket_part(Kind.BUCKET_BLOCK, "bucket-block", who, blocked=whole))
    encryption = _or_none(cloud, "s3", "get_bucket_encryption", **owner)
    if encryption:
        rule = encryption["ServerSideEncryptionConfiguration"]["Rules"][0]
        algorithm = rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"]
        found.append(
            _bucket_part(Kind.BUCKET_ENCRYPTION, "bucket-encryption", who, algorithm=algorithm)
        )
    policy = _or_none(cloud, "s3", "get_bucket_policy", **owner)
    if policy:
        document = _spelled(policy["Policy"])
        found.append(_bucket_part(Kind.BUCKET_POLICY, "bucket-policy", who, document=document))
    return [*found, *_objects(cloud, who)]


def _bucket_part(kind: Kind, key: str, who: Identity, **facts: Any) -> Found:
    return Found(kind=kind, key=key, id=who.bucket, facts={"bucket": who.bucket, **facts})


def _objects(cloud: Aws, who: Identity) -> list[Found]:
    listed = cloud.pages("s3", "list_objects_v2", "Contents", Bucket=who.bucket)
    # Boot files carry their hash in their name. The record does not: it is read and hashed.
    facts = {one["Key"]: {"bucket": who.bucket, "key": one["Key"]} for one in listed}
    if record.RECORD in facts:
        answer = cloud.call("s3", "get_object", Bucket=who.bucket, Key=record.RECORD)
        digest = hashlib.sha256(answer["Body"].read()).hexdigest()
        facts[record.RECORD] = {**facts[record.RECORD], "sha256": digest}
    return [
        Found(kind=Kind.OBJECT, key=f"s3:{key}", id=key, facts=fact)
        for key, fact in facts.items()
        if not key.startswith(record.NODES)
    ]


def _file_systems(cloud: Aws, who: Identity, networks: tuple[str, ...]) -> list[Found]:
    found = []
    for one in cloud.pages("efs", "describe_file_systems", "FileSystems"):
        if not _ours(one, who) or one["LifeCycleState"] == "deleted":
            continue
        id = one["FileSystemId"]
        found.append(
            _found(
                Kind.FILE_SYSTEM, one, who, id,
                token=one["CreationToken"], encrypted=bool(one.get("Encrypted")),
                broken=one["LifeCycleState"] == "deleting",
                size=int(one.get("SizeInBytes", {}).get("Value", 0)),
            )
        )  # fmt: skip
        targets = _or_none(cloud, "efs", "describe_mount_targets", FileSystemId=id)
        found += [_mount_target(one) for one in (targets or {}).get("MountTargets", ())]
    return found


def _mount_target(one: Mapping[str, Any]) -> Found:
    state = one["LifeCycleState"]
    return Found(
        kind=Kind.MOUNT_TARGET,
        key="volume-target",
        id=one["MountTargetId"],
        facts={
            "file_system": one["FileSystemId"],
            "subnet": one["SubnetId"],
            "address": one.get("IpAddress", ""),
            "ready": state == "available",
            "broken": state in ("deleting", "deleted", "error"),
        },
    )


def _volumes(cloud: Aws, who: Identity, networks: tuple[str, ...]) -> list[Found]:
    listed = cloud.pages("ec2", "describe_volumes", "Volumes", Filters=_tagged(who))
    return [
        _found(
            Kind.VOLUME, one, who, one["VolumeId"],
            size=one["Size"], busy=bool(one["Attachments"]),
        )
        for one in listed
    ]  # fmt: skip


def _interfaces(cloud: Aws, who: Identity, networks: tuple[str, ...]) -> list[Found]:
    if not networks:
        return []
    listed = cloud.pages(
        "ec2", "describe_network_interfaces", "NetworkInterfaces", Filters=_within(networks)
    )
    return [
        _found(
            Kind.INTERFACE, one, who, one["NetworkInterfaceId"],
            vpc=one["VpcId"], subnet=one.get("SubnetId", ""), says=one.get("Description", ""),
            busy=one.get("Status", "") != "available",
            instance=(one.get("Attachment") or {}).get("InstanceId", ""),
        )
        for one in listed
    ]  # fmt: skip


def _strangers(cloud: Aws, who: Identity, networks: tuple[str, ...]) -> list[Found]:
    """Machines in our network that are not ours."""
    if not networks:
        return []
    listed = cloud.pages("ec2", "describe_instances", "Reservations", Filters=_within(networks))
    machines = [each for group in listed for each in group["Instances"]]
    return [
        Found(
            kind=Kind.MACHINES, key="", id=one["InstanceId"], ours=False,
            facts={"vpc": one.get("VpcId", ""), "subnet": one.get("SubnetId", "")},
        )
        for one in machines
        if not _ours(one, who) and one["State"]["Name"] != "terminated"
    ]  # fmt: skip


def _repositories(cloud: Aws, who: Identity, networks: tuple[str, ...]) -> list[Found]:
    listed = cloud.pages("ecr", "describe_repositories", "repositories")
    mine = [one for one in listed if one["repositoryName"].startswith(f"{who.name}/")]
    found = []
    for one in mine:
        answer = cloud.call("ecr", "list_tags_for_resource", resourceArn=one["repositoryArn"])
        if _ours({"Tags": answer.get("tags", ())}, who):
            name = one["repositoryName"]
            found.append(Found(kind=Kind.REPOSITORY, key=name, id=name))
    return found


LOOKS: Final[tuple[Look, ...]] = (
    _subnets, _gateways, _tables, _addresses, _nats, _endpoints, _groups, _instances,
    _roles, _bucket, _file_systems,
)  # fmt: skip
DEEP_LOOKS: Final[tuple[Look, ...]] = (_volumes, _interfaces, _strangers, _repositories)
