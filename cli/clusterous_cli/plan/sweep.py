"""The last look after `destroy`: what of the cluster is there, by another way than `observe` takes.

`destroy` deletes what `observe` finds, so `observe` cannot tell what it overlooks. Here every
service is walked by itself: everything that bears the cluster's tags, its names, or is in one of
its networks; and a filter that a service ignores changes nothing, since all is asked again here.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from clusterous_api import names
from clusterous_cli.aws import errors
from clusterous_cli.aws.client import Aws
from clusterous_cli.cluster import prices
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.record import tags_of
from clusterous_cli.terminal import spell

Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """One thing that is still there; *hourly* in dollars, None where the price is not known."""

    kind: str
    id: str
    ours: bool
    hourly: float | None = 0.0
    says: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is still there, and in words where nobody could look."""

    left: tuple[Left, ...] = ()
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """How the things of one kind in EC2 are listed, told apart, and what they cost."""

    kind: str
    action: str
    key: str
    id: str
    placed: bool = False  # in a network, which EC2 can filter by
    gone: Callable[[Item], bool] = lambda item: False
    hourly: Callable[[Item], float | None] = lambda item: 0.0
    says: Callable[[Item], str] = lambda item: ""


def _machine_price(item: Item) -> float | None:
    if item["State"]["Name"] == "stopped":
        return 0.0
    return prices.MACHINES.get(item.get("InstanceType", ""))


def _disk_price(item: Item) -> float:
    return float(item["Size"]) * prices.DISK_GIB_MONTH / prices.HOURS_PER_MONTH


def _snapshot_price(item: Item) -> float:
    return float(item["VolumeSize"]) * prices.SNAPSHOT_GIB_MONTH / prices.HOURS_PER_MONTH


def _endpoint_price(item: Item) -> float | None:
    return 0.0 if item.get("VpcEndpointType", "Gateway") == "Gateway" else None


def _is_default(item: Item) -> bool:
    """Whether it comes and goes with the network itself."""
    main = any(link.get("Main") for link in item.get("Associations", ()))
    return main or item.get("GroupName") == "default"


def _state(*gone: str) -> Callable[[Item], bool]:
    return lambda item: str(item.get("State", "")).lower() in gone


WALKS: Final = (
    Walk(
        kind="machine", action="describe_instances", key="Reservations", id="InstanceId",
        placed=True, hourly=_machine_price, gone=lambda item: item["State"]["Name"] == "terminated",
    ),
    Walk(
        kind="disk", action="describe_volumes", key="Volumes", id="VolumeId",
        hourly=_disk_price, gone=_state("deleting", "deleted"),
    ),
    Walk(
        kind="public address", action="describe_addresses", key="Addresses", id="AllocationId",
        hourly=lambda item: prices.PUBLIC_ADDRESS,
    ),
    Walk(
        kind="NAT gateway", action="describe_nat_gateways", key="NatGateways", id="NatGatewayId",
        placed=True, hourly=lambda item: prices.NAT_GATEWAY, gone=_state("deleted", "failed"),
    ),
    Walk(
        kind="endpoint", action="describe_vpc_endpoints", key="VpcEndpoints", id="VpcEndpointId",
        placed=True, hourly=_endpoint_price, gone=_state("deleted", "deleting"),
    ),
    Walk(
        kind="network interface", action="describe_network_interfaces", key="NetworkInterfaces",
        id="NetworkInterfaceId", placed=True, says=lambda item: str(item.get("Description", "")),
    ),
    Walk(
        kind="security group", action="describe_security_groups", key="SecurityGroups",
        id="GroupId", placed=True, gone=_is_default,
    ),
    Walk(kind="subnet", action="describe_subnets", key="Subnets", id="SubnetId", placed=True),
    Walk(
        kind="route table", action="describe_route_tables", key="RouteTables", id="RouteTableId",
        placed=True, gone=_is_default,
    ),
    Walk(
        kind="internet gateway", action="describe_internet_gateways", key="InternetGateways",
        id="InternetGatewayId",
    ),
    Walk(kind="network", action="describe_vpcs", key="Vpcs", id="VpcId", placed=True),
    Walk(
        kind="snapshot", action="describe_snapshots", key="Snapshots", id="SnapshotId",
        hourly=_snapshot_price,
    ),
    Walk(kind="key pair", action="describe_key_pairs", key="KeyPairs", id="KeyPairId"),
)  # fmt: skip


def look(cloud: Aws, who: Identity, networks: Iterable[str]) -> Seen:
    """List all that is there of the cluster; *networks* are those that it had."""
    known = tuple(sorted(set(networks)))
    looks = [_looked(walk.kind, _of_ec2(cloud, who, known, walk)) for walk in WALKS]
    looks += [_looked(kind, _of_service(cloud, who, service)) for kind, service in SERVICES.items()]
    with ThreadPoolExecutor(max_workers=len(looks)) as pool:
        parts = list(pool.map(lambda one: one(), looks))
    return Seen(
        left=tuple(sorted((one for part in parts for one in part.left), key=lambda one: one.kind)),
        unseen=tuple(words for part in parts for words in part.unseen),
    )


def _looked(kind: str, walked: Callable[[], list[Left]]) -> Callable[[], Seen]:
    """Let one look that is not permitted be no reason to forget what the others see."""

    def looked() -> Seen:
        try:
            return Seen(left=tuple(walked()))
        except errors.Denied as error:
            things = spell.plural(2, kind).removeprefix("2 ")
            return Seen(unseen=(f"could not look for {things}: not permitted ({error.call})",))

    return looked


def kinds() -> int:
    """Return how many kinds of things are looked for."""
    return len(WALKS) + len(SERVICES)


def price(left: Iterable[Left]) -> str:
    """Spell what the things cost together; what has no price here is said."""
    things = list(left)
    known = sum(one.hourly for one in things if one.hourly is not None)
    unknown = any(one.hourly is None for one in things)
    if not known:
        return "cost what is not known here" if unknown else "cost nothing"
    return f"cost {'at least ' if unknown else ''}{known:.3f} $/h"


def is_ours(tags: Mapping[str, str], who: Identity) -> bool:
    """Whether the tags are our cluster's; by its name alone where there is no other's uid."""
    uid = tags.get(names.TAG_UID)
    return uid == who.uid or (uid is None and tags.get(names.TAG_CLUSTER) == who.name)


def _of_ec2(
    cloud: Aws, who: Identity, networks: tuple[str, ...], walk: Walk
) -> Callable[[], list[Left]]:
    def walked() -> list[Left]:
        filters = [
            {"Name": f"tag:{names.TAG_CLUSTER}", "Values": [who.name]},
            {"Name": f"tag:{names.TAG_UID}", "Values": [who.uid]},
        ]
        if walk.placed and networks:
            filters.append({"Name": "vpc-id", "Values": list(networks)})
        items: dict[str, Item] = {}
        for one in filters:
            found = cloud.pages("ec2", walk.action, walk.key, Filters=[one])
            items |= {item[walk.id]: item for item in _flat(walk, found)}
        factor = prices.FACTORS.get(who.region, 1.0)
        return [
            _left(walk, item, who, factor)
            for item in items.values()
            if _belongs(item, who, networks) and not walk.gone(item)
        ]

    return walked


def _flat(walk: Walk, found: list[Any]) -> list[Any]:
    if walk.key == "Reservations":
        return [machine for group in found for machine in group["Instances"]]
    return found


def _belongs(item: Item, who: Identity, networks: tuple[str, ...]) -> bool:
    return is_ours(tags_of(item), who) or item.get("VpcId") in networks


def _left(walk: Walk, item: Item, who: Identity, factor: float) -> Left:
    hourly = walk.hourly(item)
    tags = tags_of(item)
    ours = tags.get(names.TAG_UID) == who.uid
    return Left(
        kind=walk.kind,
        id=item[walk.id],
        ours=ours,
        hourly=None if hourly is None else hourly * factor,
        says="" if ours else _foreign(is_ours(tags, who), walk.says(item)),
    )


def _foreign(named: bool, says: str) -> str:
    where = "bears the cluster's name" if named else "is in its network"
    return f"{where}, but was not made by clusterous" + (f": {says}" if says else "")


Service = Callable[[Aws, Identity], list[Left]]


def _of_service(cloud: Aws, who: Identity, service: Service) -> Callable[[], list[Left]]:
    return lambda: service(cloud, who)


def _prefix(who: Identity) -> str:
    return f"clusterous-{who.name}-{who.uid}"


def _roles(cloud: Aws, who: Identity) -> list[Left]:
    listed = cloud.pages("iam", "list_roles", "Roles")
    found = [one["RoleName"] for one in listed if one["RoleName"].startswith(_prefix(who))]
    return [Left(kind="role", id=name, ours=True) for name in found]


def _profiles(cloud: Aws, who: Identity) -> list[Left]:
    listed = cloud.pages("iam", "list_instance_profiles", "InstanceProfiles")
    every = [one["InstanceProfileName"] for one in listed]
    found = [name for name in every if name.startswith(_prefix(who))]
    return [Left(kind="instance profile", id=name, ours=True) for name in found]


def _buckets(cloud: Aws, who: Identity) -> list[Left]:
    listed = cloud.pages("s3", "list_buckets", "Buckets")
    found = [one["Name"] for one in listed if one["Name"].startswith(_prefix(who))]
    return [Left(kind="bucket", id=name, ours=True, hourly=None) for name in found]


def _repositories(cloud: Aws, who: Identity) -> list[Left]:
    listed = cloud.pages("ecr", "describe_repositories", "repositories")
    near = [one for one in listed if one["repositoryName"].startswith(f"{who.name}/")]
    return [
        Left(kind="image repository", id=one["repositoryName"], ours=True, hourly=None)
        for one in near
        if is_ours(_repository_tags(cloud, one["repositoryArn"]), who)
    ]


def _repository_tags(cloud: Aws, arn: str) -> dict[str, str]:
    answer = cloud.call("ecr", "list_tags_for_resource", resourceArn=arn)
    return tags_of({"Tags": answer.get("tags", ())})


def _file_systems(cloud: Aws, who: Identity) -> list[Left]:
    factor = prices.FACTORS.get(who.region, 1.0)
    return [
        Left(
            kind="volume",
            id=one["FileSystemId"],
            ours=True,
            hourly=_file_system_price(one) * factor,
        )
        for one in cloud.pages("efs", "describe_file_systems", "FileSystems")
        if is_ours(tags_of(one), who) and one["LifeCycleState"] != "deleted"
    ]


def _file_system_price(one: Item) -> float:
    size = float(one.get("SizeInBytes", {}).get("Value", 0)) / (1 << 30)
    return size * prices.EFS_GIB_MONTH / prices.HOURS_PER_MONTH


SERVICES: Final[Mapping[str, Service]] = {
    "role": _roles,
    "instance profile": _profiles,
    "bucket": _buckets,
    "image repository": _repositories,
    "volume": _file_systems,
}
