"""The shared volume on EBS: ours to make, or an existing one that is never ours to remove."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from clusterous_api import names
from clusterous_api.errors import FailedError, NotBeforeError
from clusterous_cli.cluster import prices
from clusterous_cli.cluster.config import ClusterConfig
from clusterous_cli.cluster.prices import Prices
from clusterous_cli.cluster.tags import OWN, key_of, owner_of, tagged, tags_of
from clusterous_cli.plan.kinds.cloud import Cloud, Site
from clusterous_cli.plan.kinds.kind import (
    Action,
    Found,
    Item,
    Kind,
    Price,
    Resource,
    Scope,
    Step,
    Value,
    Wish,
    facts,
)
from clusterous_cli.plan.kinds.machines import SHARED
from clusterous_cli.plan.kinds.network import LOCK
from clusterous_cli.plan.kinds.volume import attachment, efs, note, snapshot
from clusterous_cli.system import wait
from clusterous_cli.terminal import spell

PART: Final = "volume"
KEY: Final = SHARED
GONE: Final = ("deleting", "deleted")
MODIFY_SECONDS: Final = 600
# A machine that has ended lets go of its volumes, but AWS may show it a little later.
FREE_SECONDS: Final = 60
# How the file system of a volume is marked that came with a snapshot.
COPIED: Final = "before"
# What AWS calls our figures.
FIGURES: Final = {"size": "Size", "iops": "Iops", "throughput": "Throughput"}
# Four changes in a day, each when the one before is completed; elsewhere one in six hours.
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyVolume.html
WINDOW: Final = timedelta(hours=24)
AT_WORK: Final = "IncorrectModificationState"
TOO_SOON: Final = ("VolumeModificationRateExceeded", AT_WORK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume(Value):
    """A volume of gp3; *formatted*: its file system was made, which is never done again.

    *owner* is the cluster whose own it is; *begins* is what makes a new one another than those that
    were put aside; *copied* is the snapshot that a new one is made of.
    """

    zone: str | None = None
    size: int | None = None
    iops: int | None = None
    throughput: int | None = None
    encrypted: bool | None = None
    formatted: bool | None = None
    state: str | None = None
    owner: str | None = None
    begins: str | None = None
    copied: str | None = None


def _want(wish: Wish) -> list[Resource]:
    if not wish.config.volume.served or wish.config.volume.id:
        return []
    figures, copied = _figures(wish.config), wish.copied or None
    value = replace(figures, zone=wish.controls, encrypted=True, copied=copied)
    return [Resource(kind=VOLUME, key=KEY, value=value, needs=LOCK)]


def _want_given(wish: Wish) -> list[Resource]:
    if not wish.config.volume.served or not wish.config.volume.id:
        return []
    return [Resource(kind=GIVEN, key=KEY, value=_figures(wish.config))]


def _figures(config: ClusterConfig) -> Volume:
    asked = config.volume
    return Volume(size=asked.size, iops=asked.iops, throughput=asked.throughput)


def look(at: Scope) -> list[Found]:
    """Find the cluster's own volume, the one that it took, who has them, and its note."""
    listed = at.cloud.pages("ec2", "describe_volumes", "Volumes", Filters=tagged(at.who))
    own = [one for one in listed if at.owns(one) and key_of(one, at.who) == KEY]
    found = [thing for one in own for thing in listed_as(VOLUME, one)]
    noted = note.look(at)
    for one in noted:
        known = one.value.volume in {item["VolumeId"] for item in own}
        if not known and not one.value.is_own_on_efs:
            found += existing(at.cloud, one.value.volume, at.networks)
    return [*found, *noted]


def existing(cloud: Cloud, id: str, networks: Collection[str]) -> list[Found]:
    """Find an existing volume of either kind."""
    return efs.given(cloud, id, networks) if id.startswith("fs-") else given(cloud, id)


def given(cloud: Cloud, id: str) -> list[Found]:
    """Find an existing volume by its id, and who has it; it is nobody's to remove."""
    return [thing for one in items(cloud, id) for thing in listed_as(GIVEN, one)]


def items(cloud: Cloud, id: str) -> list[Item]:
    """Ask for a volume by its id."""
    # By filter: what is not there is no error.
    which = [{"Name": "volume-id", "Values": [id]}]
    return cloud.pages("ec2", "describe_volumes", "Volumes", Filters=which)


def listed_as(kind: Kind, one: Item, key: str = KEY) -> list[Found]:
    """Read a volume that AWS lists, as one of this *kind*, and who has it."""
    if one["State"] in GONE:
        return []
    tags = tags_of(one)
    value = Volume(
        zone=one["AvailabilityZone"],
        size=one["Size"],
        iops=one.get("Iops"),
        throughput=one.get("Throughput"),
        encrypted=bool(one.get("Encrypted")),
        formatted=names.TAG_FORMATTED in tags,
        state=one["State"],
        owner=owner_of(tags),
    )
    held = attachment.found(one, key)
    return [Found(kind=kind, key=key, id=one["VolumeId"], value=value, uses=len(held)), *held]


def differ(wanted: Volume, there: Volume) -> tuple[str, ...]:
    """Name the figures that are not as wanted."""
    return tuple(
        name
        for name in FIGURES
        if name in facts(wanted) and facts(wanted)[name] != facts(there).get(name)
    )


def make(to: Site, step: Step, wanted: Volume) -> str:
    """Make it, or change what can be changed."""
    if step.found is not None:
        return _modified(to, step.found, wanted)
    figures = [facts(wanted)[name] for name in FIGURES]
    figures += [one for one in (wanted.begins, wanted.copied) if one]
    # Of a snapshot, it is marked by the very call: no file system is ever made on it.
    copied = {"SnapshotId": wanted.copied} if wanted.copied else {}
    tags = to.tags(step.key, **({names.TAG_FORMATTED: COPIED} if copied else {}))

    def made(more: str) -> str:
        answer = to.ec2(
            "create_volume",
            AvailabilityZone=wanted.zone,
            VolumeType="gp3",
            Encrypted=True,
            **{FIGURES[name]: facts(wanted)[name] for name in FIGURES},
            ClientToken=to.token(step.key, wanted.zone, *figures, *([more] if more else [])),
            TagSpecifications=[{"ResourceType": "volume", "Tags": tags}],
            **copied,
        )
        return str(answer["VolumeId"])

    return to.alive(made, lambda id: _own_state(to, step.key, id))


def _own_state(to: Site, key: str, id: str) -> str | None:
    """Return the state of the volume with this key; None of one that is called otherwise by now."""
    which = [{"Name": "volume-id", "Values": [id]}]
    listed = to.cloud.pages("ec2", "describe_volumes", "Volumes", Filters=which)
    return next(
        (str(one["State"]) for one in listed
         if one["State"] not in GONE and key_of(one, to.who) == key),
        None,
    )  # fmt: skip


def state_of(cloud: Cloud, id: str) -> str | None:
    """Return what AWS says of a volume; None where it has it no more, or not yet."""
    return next((str(one.value.state) for one in given(cloud, id) if one.kind is GIVEN), None)


def _modified(to: Site, found: Found, wanted: Volume) -> str:
    # In one call: AWS takes the next one only later.
    asked = {FIGURES[name]: facts(wanted)[name] for name in differ(wanted, found.value)}
    try:
        to.ec2("modify_volume", VolumeId=found.id, **asked)
    except FailedError as error:
        if getattr(error, "code", "") not in TOO_SOON:
            raise
        last = _modification(to, found.id)
        # A create that was killed may have asked for the very same a moment ago.
        if any(last.get(f"Target{figure}") != number for figure, number in asked.items()):
            raise _too_soon(found.id, error, last) from error
    return wait.until(
        lambda: _is_modified(to, found.id), "Changing the volume", to.pauses,
        timeout=MODIFY_SECONDS,
    )  # fmt: skip


def _too_soon(id: str, error: FailedError, last: Item) -> NotBeforeError:
    """Say when AWS takes the next change; of those of a day it tells only the *last*."""
    state = str(last.get("ModificationState", ""))
    then = "Run create again then; nothing is lost, and all else is done."
    if getattr(error, "code", "") == AT_WORK:
        done = f" ({state}, {last.get('Progress', 0)}%)" if state else ""
        return NotBeforeError(
            f"AWS is still at work on the last change of {id}{done}, which may take hours, and"
            f" takes the next one when that is completed. {then}"
        )
    began = last.get("StartTime")
    when = f"{began + WINDOW:%H:%M on %d %B} (UTC)" if isinstance(began, datetime) else "tomorrow"
    return NotBeforeError(
        f"AWS takes some changes of a volume in a day, and the next one of {id} by {when} at the"
        f" latest. It says: {error} {then}"
    )


def _modification(to: Site, id: str) -> Item:
    answer = to.cloud.find("ec2", "describe_volumes_modifications", VolumeIds=[id]) or {}
    listed = answer.get("VolumesModifications", ())
    return max(listed, key=lambda one: str(one.get("StartTime", "")), default={})


def _is_modified(to: Site, id: str) -> str | None:
    # What is grown can be used from then on, long before AWS calls it completed.
    state = _modification(to, id).get("ModificationState", "completed")
    if state == "failed":
        raise FailedError(f"AWS could not change {id}. It is as before, and nothing is lost.")
    return id if state in ("optimizing", "completed") else None


def remove(to: Site, found: Found) -> None:
    """Delete it, once no machine has it."""
    _free(to, found)
    to.ec2("delete_volume", VolumeId=found.id)
    to.gone(lambda: state_of(to.cloud, found.id), "Deleting the volume")


def _keep(to: Site, found: Found) -> None:
    _free(to, found)
    kept = [{"Key": names.TAG_KEPT, "Value": to.who.name}]
    ours = [{"Key": key} for key in OWN]
    to.ec2("create_tags", Resources=[found.id], Tags=kept)
    to.ec2("delete_tags", Resources=[found.id], Tags=ours)
    # By tags of a moment ago, the last look would call it left behind, and a create its own.
    to.gone(lambda: _owner(to.cloud, found.id), "Letting go of the volume")


def _owner(cloud: Cloud, id: str) -> str | None:
    return next((one.value.owner for one in given(cloud, id) if one.kind is GIVEN), None)


def _free(to: Site, found: Found) -> None:
    """Wait until no machine has it. It is never taken from one by force, which loses data."""

    def holders() -> list[str]:
        return [
            one.value.instance
            for one in given(to.cloud, found.id)
            if one.kind is attachment.ATTACHMENT
        ]

    deadline = to.pauses.clock() + FREE_SECONDS
    while held := holders():
        if to.pauses.clock() > deadline:
            raise FailedError(f"{held[0]} has it attached: detach it there, and run destroy again.")
        to.pauses.sleep(1.0)


def monthly(value: Volume, known: Prices = prices.TABLE) -> float:
    """Return the dollars that a volume costs in a month."""
    return known.gp3(value.size or 0, value.iops, value.throughput)


def _billed(config: ClusterConfig) -> list[Volume]:
    asked = config.volume
    if not asked.served or asked.id:  # which costs with and without the cluster
        return []
    return [_figures(config)]


def bill(value: Volume, known: Prices) -> Price:
    """Return what a volume costs in an hour."""
    return Price(hourly=monthly(value, known) / prices.HOURS_PER_MONTH)


def words(steps: Sequence[Step]) -> str:
    """Say what is made or changed."""
    (step,) = steps
    assert step.resource is not None
    wanted: Volume = step.resource.value
    if step.action is Action.CREATE:
        return f"{wanted.size} GiB gp3, encrypted" + f", of {wanted.copied}" * bool(wanted.copied)
    assert step.found is not None
    there = facts(step.found.value)
    changes = [f"{name} {there.get(name)} → {facts(wanted)[name]}" for name in step.drift]
    return f"{step.found.id}: {', '.join(changes)}"


def mark(to: Site, told: str) -> None:
    """Let the volume's own tag and the controller know that its file system was made.

    *told* is which volume the controller says it was: only our own is marked.
    """
    found = look(Scope(cloud=to.cloud, who=to.who))
    for one in found:
        if one.kind is not VOLUME or one.id != told:
            continue
        mark_formatted(to, one, "xfs")
        marked = note.Note(volume=told, given=False, formatted=True)
        if any(other.kind is note.NOTE and other.value != marked for other in found):
            note.put(to, marked)


def mark_formatted(to: Site, found: Found, system: str) -> None:
    """Tag a volume as one whose file system was made."""
    if not found.value.formatted:
        tag = {"Key": names.TAG_FORMATTED, "Value": system}
        to.cloud.find("ec2", "create_tags", Resources=[found.id], Tags=[tag])


def newest_snapshot(cloud: Cloud, id: str) -> Mapping[str, Any] | None:
    """Return the newest snapshot of a volume that is complete, None where there is none."""
    listed = snapshot.listed(cloud, "volume-id", id)
    whole = [one for one in listed if one.get("State") == "completed"]
    return max(whole, key=lambda one: str(one["StartTime"]), default=None)


VOLUME: Final = Kind(
    name="shared-volume",
    part=PART,
    words=words,
    wants=_want,
    look=look,
    make=make,
    remove=remove,
    keep=_keep,
    after=("machines",),
    differ=differ,
    changeable=True,
    billed=_billed,
    bill=bill,
)
GIVEN: Final = Kind(
    name="given-volume",
    part=PART,
    words=words,
    wants=_want_given,
    make=make,
    differ=differ,
    changeable=True,
)


def spelled(found: Found) -> str:
    """Say which volume it is: vol-1 (20 GiB)."""
    return f"{found.id} ({spell.size(found.value.size << 30)})"
