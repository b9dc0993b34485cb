"""What a kind of thing is: how it is wanted, looked for, made and removed, and the values of that.

A resource is one thing that one AWS call makes. Its value is what must be true of it; a `Ref` in a
value names another resource whose id is not known yet, and is at the same time a dependency.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any

from clusterous_cli.addons.table import Made
from clusterous_cli.cluster.addresses import Addresses, addresses
from clusterous_cli.cluster.config import ClusterConfig, VolumeType
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import Blob, Machine
from clusterous_cli.cluster.prices import Prices
from clusterous_cli.cluster.tags import is_named, is_ours, key_of
from clusterous_cli.plan.kinds.cloud import Cloud, Site

Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ref:
    """The id of another resource, which may not exist yet."""

    key: str


Id = str | Ref


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Rule:
    """Traffic that a security group lets in; *source* is a CIDR or the key of another group."""

    protocol: str
    low: int
    high: int
    source: str


class Value:
    """What is wanted or true of a thing: a frozen dataclass of each kind's own.

    A field that is None says nothing: it is not wanted in particular, or was not looked at.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the resources follow from."""

    config: ClusterConfig
    who: Identity
    zone: str
    image: str
    k3s: str  # of machines that are started now
    allow: tuple[str, ...]
    machines: tuple[Machine, ...]
    blobs: tuple[Blob, ...]
    addons: Made | None
    formatted: bool  # whether the shared volume has had its file system made
    keeps_state: bool  # whether the controller's state has a volume of its own
    state_formatted: bool  # whether that has had its file system made
    restore: str  # the sum of the snapshot that it begins with, if with any
    copied: str  # the snapshot in EBS that the shared volume is made of, if of any
    control_zone: str  # where the controller and the volumes are, if not with the rest

    @property
    def controls(self) -> str:
        """Return the zone of the controller, and so of the volumes."""
        return self.control_zone or self.zone

    @property
    def addresses(self) -> Addresses:
        """Return the plan of the network."""
        return addresses(self.config.cidr)

    @property
    def on_efs(self) -> bool:
        """Whether the shared volume is an EFS file system."""
        return self.config.volume.type is VolumeType.EFS


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Where to look: whose things, and the networks that are known to be the cluster's."""

    cloud: Cloud
    who: Identity
    networks: tuple[str, ...] = ()

    def placed(self, action: str, key: str) -> list[Any]:
        """List by an action of EC2 what is in the cluster's networks; nothing is in none."""
        if not self.networks:
            return []
        within = [{"Name": "vpc-id", "Values": list(self.networks)}]
        return self.cloud.pages("ec2", action, key, Filters=within)

    def told(self, key: str) -> str | None:
        """Read an object of the cluster's bucket as text; None if it is not there."""
        owner = {"Bucket": self.who.bucket, "ExpectedBucketOwner": self.who.account}
        answer = self.cloud.find("s3", "get_object", Key=key, **owner)
        return None if answer is None else str(answer["Body"].read().decode("utf-8", "replace"))

    def owns(self, item: Item, *networks: str) -> bool:
        """Whether a thing that bears our tags is ours: it is in our network, or in none and named
        like ours. To others in the account a tag may be theirs to give; what they gave ours to
        must not be removed for it.
        """
        there = [network for network in networks if network]
        if any(network not in self.networks for network in there):
            return False
        return is_ours(item, self.who) if there else is_named(item, self.who)

    def found(self, kind: "Kind", item: Item, id: str, value: Any = None, **state: Any) -> "Found":
        """Return a thing that AWS lists with its tags: by them it is ours, and has its key."""
        key, ours = key_of(item, self.who), is_ours(item, self.who)
        return Found(kind=kind, key=key, id=id, value=value, ours=ours, **state)


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """A part of what the running cluster costs, in dollars per hour.

    *unknown* is what has no price here, with how many there are of it.
    """

    hourly: float
    unknown: Mapping[str, int] | None = None


# What something that costs by the hour costs: what is wanted of it, or what is there.
Bill = Callable[[Any, Prices], Price]


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """One thing that is still there; *hourly* in dollars, None where the price is not known."""

    kind: str
    id: str
    ours: bool
    hourly: float | None = 0.0
    says: str = ""
    kept: bool = False  # it outlasts its cluster, as somebody wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """How the last look lists the things of a kind in EC2, tells them apart, and what they cost."""

    action: str
    key: str
    id: str
    placed: bool = False  # in a network, which EC2 can filter by
    gone: Callable[[Item], bool] = lambda item: False
    hourly: Callable[[Item], float | None] = lambda item: 0.0
    says: Callable[[Item], str] = lambda item: ""
    kept: str = ""  # how people call one that outlasts its cluster, as somebody wanted


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Kind:
    """All that is known of one kind; what is left out, it has not."""

    name: str  # what AWS would call it
    part: str  # the line of the picture that people see: network, access, files, volume, machines
    noun: str = ""  # how people call it; only what is looked for in the end needs one
    counted: str = ""  # what a plan counts it as; that a network has routes goes without saying
    words: "Callable[[Sequence[Step]], str] | None" = None  # what a plan says instead of a count
    wants: "Callable[[Wish], Iterable[Resource]]" = lambda wish: ()
    # What there is of it; of some kinds, the look at what holds them tells.
    look: "Callable[[Scope], list[Found]] | None" = None
    deep: "Callable[[Scope], list[Found]] | None" = None  # only destroy looks this far
    make: "Callable[[Site, Step, Any], str] | None" = None
    remove: "Callable[[Site, Found], None] | None" = None  # others go with what holds them
    # Lets go of it: it stays, and is nobody's.
    keep: "Callable[[Site, Found], None] | None" = None
    after: tuple[str, ...] = ()  # the kinds that must be gone before it can go
    # What is not as wanted, in the kind's own words; else the names of the facts that differ.
    differ: "Callable[[Any, Any], tuple[str, ...]] | None" = None
    changeable: bool = False  # its call may be repeated; all others would have to be made anew
    duplicated: bool = False  # AWS makes a second one when the answer to the first call is lost
    # The values of it that the running cluster is billed for, and how.
    billed: Callable[[ClusterConfig], Iterable[Any]] = lambda config: ()
    bill: Bill | None = None
    # The last look: by EC2's lists, or by one of its own.
    walk: Walk | None = None
    walked: Callable[[Cloud, Identity], list[Left]] | None = None

    def __str__(self) -> str:
        return self.name

    __repr__ = __str__


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One thing that is wanted."""

    kind: Kind
    key: str
    value: Any  # of the kind's own class
    needs: tuple[str, ...] = ()

    @property
    def dependencies(self) -> tuple[str, ...]:
        """Return the keys of all resources that must exist before this one."""
        return tuple(dict.fromkeys((*self.needs, *refs(facts(self.value).values()))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One thing that exists. *key* is empty when it is not one that we know by role."""

    kind: Kind
    key: str
    id: str
    value: Any = None  # of the kind's own class; None when nothing more is known
    ours: bool = True
    vpc: str = ""  # the network that it is in
    uses: int = 0  # how many hold on to it: of two, the one in use is kept
    ready: bool = True
    broken: bool = False  # it will never be ready (again)
    busy: bool = False  # it goes with what uses it
    managed: bool = False  # AWS made it by itself, and says so; it may go if the person wants


class Action(StrEnum):
    """What a step does."""

    KEEP = "keep"
    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to do; *needs* are the keys of the steps that must be done before."""

    action: Action
    key: str
    kind: Kind
    needs: tuple[str, ...] = ()
    resource: Resource | None = None
    found: Found | None = None
    drift: tuple[str, ...] = ()
    replaces: str = ""  # machines that are dead or failed, in whose place new ones come
    drains: bool = False  # its machines go when their programs have

    @property
    def part(self) -> str:
        """The line of the picture that the step belongs to."""
        return self.kind.part


def facts(value: Any) -> dict[str, Any]:
    """Return what *value* says, by the names of its fields."""
    if value is None:
        return {}
    said = {field.name: getattr(value, field.name) for field in fields(value)}
    return {name: item for name, item in said.items() if item is not None}


def refs(values: Iterable[Any]) -> list[str]:
    """List the keys that the values refer to, however deep."""
    found = []
    for value in values:
        if isinstance(value, Ref):
            found.append(value.key)
        elif isinstance(value, tuple):
            found += refs(value)
    return found


def settled(value: Any, ids: Mapping[str, str]) -> Any:
    """Return *value* with ids in the place of what refers to other resources."""
    return replace(value, **{name: resolved(item, ids) for name, item in facts(value).items()})


def resolved(value: Any, ids: Mapping[str, str]) -> Any:
    """Replace what refers to other resources by their ids."""
    match value:
        case Ref(key=key):
            return ids.get(key, "")
        case Rule(source=source) if source in ids:
            return replace(value, source=ids[source])
        case tuple():
            return tuple(sorted(resolved(item, ids) for item in value))
        case _:
            return value
