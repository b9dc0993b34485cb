"""The shared volume on EFS: a file system and its address in the network."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Final

from clusterous_api import names
from clusterous_api.errors import FailedError
from clusterous_cli.cluster import prices
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.tags import OWN, belongs_to, is_kept_from, is_ours, owner_of, tags_of
from clusterous_cli.plan.kinds.cloud import TOKENS, Cloud, Site
from clusterous_cli.plan.kinds.kind import (
    Found,
    Id,
    Item,
    Kind,
    Left,
    Ref,
    Resource,
    Scope,
    Step,
    Value,
    Wish,
)
from clusterous_cli.system import wait

PART: Final = "volume"
MOUNT_SECONDS: Final = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSystem(Value):
    """The file system; *size* is how many bytes are on it.

    It says its *token* only where it is to be made; *zone* where it is in one only; *elsewhere* is
    the network of others in which it is mounted, *owner* the cluster whose own it is.
    """

    token: str | None = None
    encrypted: bool | None = None
    size: int | None = None
    state: str | None = None
    zone: str | None = None
    elsewhere: str | None = None
    owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MountTarget(Value):
    """The address at which nodes mount it."""

    file_system: Id
    subnet: Id
    address: str
    group: Id | None = None
    ready: bool
    state: str | None = None


def _want_file_system(wish: Wish) -> list[Resource]:
    if not wish.on_efs or wish.config.volume.id:
        return []
    value = FileSystem(token=wish.who.role("volume"), encrypted=True)
    return [Resource(kind=FILE_SYSTEM, key="volume", value=value)]


def _want_given(wish: Wish) -> list[Resource]:
    if not wish.on_efs or not wish.config.volume.id:
        return []
    return [Resource(kind=GIVEN, key="volume", value=FileSystem())]


def _want_mount_target(wish: Wish) -> list[Resource]:
    value = MountTarget(
        file_system=Ref("volume"),
        subnet=Ref("control"),
        address=wish.addresses.volume,
        group=Ref("volume-group"),
        ready=True,
    )
    if not wish.on_efs:
        return []
    # By the note a destroy finds it, for mount targets bear no tags.
    needs = ("volume-note",) if wish.config.volume.id else ()
    return [Resource(kind=MOUNT_TARGET, key="volume-target", value=value, needs=needs)]


def _look_file_systems(at: Scope) -> list[Found]:
    found = []
    for one in at.cloud.pages("efs", "describe_file_systems", "FileSystems"):
        # Which nobody can change later; a number is behind it where one of that name was kept.
        named = re.fullmatch(rf"{re.escape(at.who.role('volume'))}(-[0-9]+)?", one["CreationToken"])
        if not (is_ours(one, at.who) and named) or one["LifeCycleState"] == "deleted":
            continue
        id = one["FileSystemId"]
        found.append(
            at.found(
                FILE_SYSTEM,
                one,
                id=id,
                value=FileSystem(
                    encrypted=bool(one.get("Encrypted")),
                    size=_bytes(one),
                ),
                broken=one["LifeCycleState"] == "deleting",
            )
        )
        targets = at.cloud.find("efs", "describe_mount_targets", FileSystemId=id) or {}
        found += [_mount_target(target) for target in targets.get("MountTargets", ())]
    return found


def given(cloud: Cloud, id: str, networks: Collection[str]) -> list[Found]:
    """Find an existing file system by its id, and its address in our *networks*."""
    answer = cloud.find("efs", "describe_file_systems", FileSystemId=id) or {}
    listed = [one for one in answer.get("FileSystems", ()) if _lasting([one])]
    if not listed:
        return []
    (one,) = listed
    targets = cloud.find("efs", "describe_mount_targets", FileSystemId=id) or {}
    living = [target for target in targets.get("MountTargets", ()) if _lasting([target])]
    ours = [target for target in living if target.get("VpcId") in networks]
    others = [str(target.get("VpcId")) for target in living if target not in ours]
    value = FileSystem(
        size=_bytes(one),
        state=one["LifeCycleState"],
        zone=one.get("AvailabilityZoneName"),
        elsewhere=others[0] if others else None,
        owner=owner_of(tags_of(one)),
    )
    there = Found(kind=GIVEN, key="volume", id=id, value=value)
    return [there, *(_mount_target(target) for target in ours)]


def _mount_target(one: Item) -> Found:
    state = one["LifeCycleState"]
    ready = state == "available"
    return Found(
        kind=MOUNT_TARGET,
        key="volume-target",
        id=one["MountTargetId"],
        value=MountTarget(
            file_system=one["FileSystemId"],
            subnet=one["SubnetId"],
            address=one.get("IpAddress", ""),
            ready=ready,
            state=state,
        ),
        ready=ready,
        broken=state in ("deleting", "deleted", "error"),
    )


def _make_file_system(to: Site, step: Step, wanted: FileSystem) -> str:
    for number in range(TOKENS):
        token = f"{wanted.token}-{number + 1}" if number else wanted.token
        answer = to.cloud.attempt(
            "efs",
            "create_file_system",
            "FileSystemAlreadyExists",
            CreationToken=token,
            Encrypted=True,
            PerformanceMode="generalPurpose",
            ThroughputMode="elastic",
            Tags=to.tags(step.key),
        )
        if answer is not None:
            return str(answer["FileSystemId"])
        (there,) = to.cloud.call("efs", "describe_file_systems", CreationToken=token)["FileSystems"]
        if is_ours(there, to.who):
            return str(there["FileSystemId"])
    raise FailedError(f"There are {TOKENS} file systems that earlier clusters of this name left.")


def _make_mount_target(to: Site, step: Step, wanted: MountTarget) -> str:
    if step.found is None:
        answer = to.cloud.call(
            "efs",
            "create_mount_target",
            FileSystemId=wanted.file_system,
            SubnetId=wanted.subnet,
            IpAddress=wanted.address,
            SecurityGroups=[wanted.group],
        )
        id = str(answer["MountTargetId"])
    else:
        id = step.found.id
    return wait.until(
        lambda: _mount_ready(to, id), "The volume's mount target", to.pauses, timeout=MOUNT_SECONDS
    )


def _mount_ready(to: Site, id: str) -> str | None:
    answer = to.cloud.call("efs", "describe_mount_targets", MountTargetId=id)
    state = answer["MountTargets"][0]["LifeCycleState"]
    if state in ("deleting", "deleted", "error"):
        raise FailedError(f"AWS could not make the volume's mount target ({state}).")
    return id if state == "available" else None


def remove(to: Site, found: Found) -> None:
    if not found.broken:
        to.cloud.call("efs", "delete_file_system", FileSystemId=found.id)

    def state() -> str | None:
        answer = to.cloud.find("efs", "describe_file_systems", FileSystemId=found.id) or {}
        return _lasting(answer.get("FileSystems", ()))

    to.gone(state, "Deleting the volume")


def _keep_file_system(to: Site, found: Found) -> None:
    kept = [{"Key": names.TAG_KEPT, "Value": to.who.name}]
    to.cloud.call("efs", "tag_resource", ResourceId=found.id, Tags=kept)
    to.cloud.call("efs", "untag_resource", ResourceId=found.id, TagKeys=list(OWN))


def _remove_mount_target(to: Site, found: Found) -> None:
    if found.value is None or found.value.state not in ("deleting", "deleted"):
        to.cloud.call("efs", "delete_mount_target", MountTargetId=found.id)

    def state() -> str | None:
        answer = to.cloud.find("efs", "describe_mount_targets", MountTargetId=found.id) or {}
        return _lasting(answer.get("MountTargets", ()))

    to.gone(state, "Deleting the volume's mount target")


def _lasting(listed: Iterable[Item]) -> str | None:
    """Return the state of what EFS lists, None when that is `deleted` or nothing is listed."""
    states = (one["LifeCycleState"] for one in listed)
    return next((state for state in states if state != "deleted"), None)


def _walk_file_systems(cloud: Cloud, who: Identity) -> list[Left]:
    left = []
    for one in cloud.pages("efs", "describe_file_systems", "FileSystems"):
        ours, kept = belongs_to(tags_of(one), who), is_kept_from(tags_of(one), who)
        if (ours or kept) and one["LifeCycleState"] != "deleted":
            found = Left(kind=FILE_SYSTEM.noun, id=one["FileSystemId"], ours=ours, kept=kept)
            left.append(replace(found, hourly=_hourly(one)))
    return left


def monthly(value: FileSystem) -> float:
    """Return the dollars of us-east-1 that a file system costs in a month."""
    return (value.size or 0) / (1 << 30) * prices.EFS_GIB_MONTH


def _hourly(one: Item) -> float:
    return monthly(FileSystem(size=_bytes(one))) / prices.HOURS_PER_MONTH


def _bytes(one: Item) -> int:
    return int(one.get("SizeInBytes", {}).get("Value", 0))


FILE_SYSTEM: Final = Kind(
    name="file-system",
    part=PART,
    noun="volume",
    words=lambda steps: "EFS, encrypted, grows with its data",
    wants=_want_file_system,
    look=_look_file_systems,
    make=_make_file_system,
    remove=remove,
    keep=_keep_file_system,
    after=("mount-target",),
    walked=_walk_file_systems,
)
GIVEN: Final = Kind(name="given-file-system", part=PART, wants=_want_given)
MOUNT_TARGET: Final = Kind(
    name="mount-target",
    part=PART,
    wants=_want_mount_target,
    make=_make_mount_target,
    remove=_remove_mount_target,
    changeable=True,
)
