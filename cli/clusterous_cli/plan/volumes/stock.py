"""The volumes and snapshots of ours in a region: of whichever cluster, used or kept.

Tags say whose a thing is. That a volume which was taken by its id is a living cluster's, no tag of
it says: each cluster's own note of its volume does, in its bucket.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_cli.aws import errors
from clusterous_cli.aws.client import Aws
from clusterous_cli.cluster import prices, record
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import VOLUME
from clusterous_cli.cluster.tags import tags_of
from clusterous_cli.plan.kinds.kind import Found, Item
from clusterous_cli.plan.kinds.machines import SHARED, VOLUMES
from clusterous_cli.plan.kinds.volume import attachment, ebs, efs, note, snapshot

GIB: Final = 1 << 30
DISK: Final = "disk"  # the role of what is a machine's own


class Type(StrEnum):
    """What a thing is."""

    EBS = "ebs"
    EFS = "efs"
    SNAPSHOT = "snapshot"


# How the ids of each begin.
PREFIXES: Final = {"vol": Type.EBS, "fs": Type.EFS, "snap": Type.SNAPSHOT}


class State(StrEnum):
    """Whether it may go: what is in use, or a cluster's own, may not."""

    IN_USE = "in use"
    OWNED = "not in use"
    KEPT = "kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """One volume or snapshot.

    *cluster* made it (empty: no cluster of ours), for what *role*; *user* is the cluster, or the
    machine or network, that has it. *size* in bytes, *monthly* in dollars of the region, at most.
    A snapshot is *of* a volume; *says* is its description, or how far it is.
    """

    id: str
    type: Type
    cluster: str
    state: State
    size: int
    since: datetime
    monthly: float
    role: str = SHARED
    user: str = ""
    zone: str = ""
    of: str = ""
    says: str = ""
    found: Found = field(repr=False)
    is_kept: bool = False  # it is no cluster's own, whoever uses it


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """Which cluster has a volume, by the volume's id; *unseen* are those that may not be asked."""

    by_id: Mapping[str, str] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """All that there is, and in words where nobody could look."""

    things: tuple[Thing, ...] = ()
    unseen: tuple[str, ...] = ()


def take(cloud: Aws) -> Stock:
    """List what clusters of ours have made and left in the region."""
    with ThreadPoolExecutor(max_workers=len(Type) + 1) as pool:
        asked = pool.submit(users, cloud)
        looks = {type: pool.submit(_listed, type, cloud) for type in Type}
        used = asked.result()
        seen = {type: look.result() for type, look in looks.items()}
    factor = prices.FACTORS.get(cloud.region, 1.0)
    found = [
        READS[type](one, used.by_id, factor) for type, (items, _) in seen.items() for one in items
    ]
    # A machine's own disk is none that anybody keeps, while the machine is.
    ours = [
        one
        for one in found
        if one and one.cluster and (one.role != DISK or one.state is not State.IN_USE)
    ]
    return Stock(
        things=tuple(sorted(ours, key=lambda one: (one.cluster, one.since, one.id))),
        unseen=(
            *(words for _, words in seen.values() if words),
            *(f"could not look whether {name} uses one" for name in used.unseen),
        ),
    )


def _listed(type: Type, cloud: Aws) -> tuple[list[Any], str]:
    """Let one look that is not permitted be no reason to forget what the others see."""
    try:
        return LISTS[type](cloud), ""
    except errors.Denied as error:
        return [], f"could not look for {NOUNS[type]}: not permitted ({error.call})"


def users(cloud: Aws) -> Users:
    """Ask each cluster of the region which volume is its own, or was taken by it."""
    clusters = record.cluster_names(cloud)
    if not clusters:
        return Users()
    with ThreadPoolExecutor(max_workers=8) as pool:
        told = list(pool.map(lambda name: _noted(cloud, name), clusters))
    known = {id: name for name, id in zip(clusters, told, strict=True) if id}
    unseen = [name for name, id in zip(clusters, told, strict=True) if id is None]
    return Users(by_id=known, unseen=tuple(unseen))


def _noted(cloud: Aws, name: str) -> str | None:
    """Return the id of a cluster's volume, nothing if it has none, None where that is not known."""
    who = Identity(name=name, account=cloud.account, region=cloud.region)
    try:
        raw = record.read_object(cloud, who, VOLUME)
    except errors.Denied:
        return None
    told = note.TEXT.fullmatch((raw or b"").decode("utf-8", "replace"))
    return told[1] if told else ""


def find(cloud: Aws, id: str, used: Users) -> Thing:
    """Find one by its id, whosesoever it is."""
    if (type := _type(id)) is None:
        raise UserError(
            f"{id!r} is no id of a volume or a snapshot; `clusterous ls-volumes` shows them."
        )
    thing = look(cloud, id, used)
    if thing is None:
        what = "snapshot" if type is Type.SNAPSHOT else "volume"
        raise UserError(f"There is no {what} {id} in {cloud.region} (account {cloud.account}).")
    return thing


def look(cloud: Aws, id: str, used: Users) -> Thing | None:
    """Look for one by its id; None where AWS does not show it (yet)."""
    if (type := _type(id)) is None:
        return None
    factor = prices.FACTORS.get(cloud.region, 1.0)
    found = (READS[type](one, used.by_id, factor) for one in FINDS[type](cloud, id))
    return next(found, None)


def _type(id: str) -> Type | None:
    return PREFIXES.get(id.rpartition("-")[0])


# -- what AWS tells ------------------------------------------------------------------------


# What bears any tag of ours; whose it is, is asked of its tags.
TAGGED: Final = ("tag-key", f"{names.DOMAIN}/*")


def _list_volumes(cloud: Aws) -> list[Any]:
    filter, value = TAGGED
    which = [{"Name": filter, "Values": [value]}]
    return cloud.pages("ec2", "describe_volumes", "Volumes", Filters=which)


def _list_file_systems(cloud: Aws) -> list[Any]:
    return cloud.pages("efs", "describe_file_systems", "FileSystems")


def _list_snapshots(cloud: Aws) -> list[Any]:
    return snapshot.listed(cloud, *TAGGED)


def _cluster(item: Item) -> str:
    tags = tags_of(item)
    own = tags.get(names.TAG_CLUSTER, "") if tags.get(names.TAG_UID) else ""
    return own or tags.get(names.TAG_KEPT, "")


def _state(item: Item, user: str) -> State:
    if user:
        return State.IN_USE
    return State.KEPT if _is_kept(item) else State.OWNED


def _role(said: str) -> str:
    """Say what a volume is for; one that a restore put aside had the controller's state, too."""
    return next((one for one in VOLUMES if said.partition("-")[0] == one), DISK)


def _is_kept(item: Item) -> bool:
    return not tags_of(item).get(names.TAG_UID)


def _volume(item: Item, used: Mapping[str, str], factor: float) -> Thing | None:
    listed = ebs.listed_as(ebs.GIVEN, item)
    if not listed:
        return None
    found = listed[0]
    held = [one for one in listed if one.kind is attachment.ATTACHMENT]
    role = tags_of(item).get(names.TAG_ROLE, SHARED)
    owner = found.value.owner or ""
    user = used.get(found.id, "") or (owner if held else "")
    return Thing(
        id=found.id,
        type=Type.EBS,
        cluster=_cluster(item),
        role=_role(role),
        state=_state(item, user or (held[0].value.instance if held else "")),
        user=user or (str(held[0].value.instance) if held else ""),
        size=item["Size"] * GIB,
        zone=item["AvailabilityZone"],
        since=item["CreateTime"],
        monthly=ebs.monthly(found.value) * factor,
        found=found,
        is_kept=_is_kept(item),
    )


def _file_system(item: Item, used: Mapping[str, str], factor: float) -> Thing | None:
    if item["LifeCycleState"] in ("deleting", "deleted"):
        return None
    id, size = item["FileSystemId"], int(item.get("SizeInBytes", {}).get("Value", 0))
    mounted = bool(item.get("NumberOfMountTargets"))
    value = efs.FileSystem(size=size, state=item["LifeCycleState"])
    owner = tags_of(item).get(names.TAG_CLUSTER, "") if mounted else ""
    user = used.get(id, "") or owner or ("a network" if mounted else "")
    return Thing(
        id=id,
        type=Type.EFS,
        cluster=_cluster(item),
        state=_state(item, user),
        user=user,
        size=size,
        zone=item.get("AvailabilityZoneName", ""),
        since=item["CreationTime"],
        monthly=efs.monthly(value) * factor,
        found=Found(kind=efs.FILE_SYSTEM, key=SHARED, id=id, value=value),
        is_kept=_is_kept(item),
    )


def _snapshot(item: Item, used: Mapping[str, str], factor: float) -> Thing | None:
    found = snapshot.read(item)
    value: snapshot.Snapshot = found.value
    done = value.state == "completed"
    return Thing(
        id=found.id,
        type=Type.SNAPSHOT,
        cluster=value.kept or "",
        state=State.KEPT,
        size=value.size * GIB,
        since=value.began,
        monthly=snapshot.monthly(value) * factor,
        of=value.volume,
        says=value.description if done else f"{value.state} {value.progress}".strip(),
        found=found,
        is_kept=True,
    )


def snapshots_of(cloud: Aws, volume: str) -> tuple[Thing, ...]:
    """List the snapshots of a volume, oldest first: ours, and those of others."""
    factor = prices.FACTORS.get(cloud.region, 1.0)
    found = [_snapshot(one, {}, factor) for one in snapshot.listed(cloud, "volume-id", volume)]
    return tuple(sorted((one for one in found if one), key=lambda one: one.since))


def _file_system_by_id(cloud: Aws, id: str) -> list[Any]:
    answer = cloud.find("efs", "describe_file_systems", FileSystemId=id) or {}
    return list(answer.get("FileSystems", ()))


def _snapshot_by_id(cloud: Aws, id: str) -> list[Any]:
    return snapshot.listed(cloud, "snapshot-id", id)


NOUNS: Final = {Type.EBS: "volumes", Type.EFS: "file systems", Type.SNAPSHOT: "snapshots"}
LISTS: Final = {
    Type.EBS: _list_volumes, Type.EFS: _list_file_systems, Type.SNAPSHOT: _list_snapshots,
}  # fmt: skip
READS: Final = {Type.EBS: _volume, Type.EFS: _file_system, Type.SNAPSHOT: _snapshot}
FINDS: Final = {
    Type.EBS: ebs.items, Type.EFS: _file_system_by_id, Type.SNAPSHOT: _snapshot_by_id,
}  # fmt: skip
