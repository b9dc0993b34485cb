"""The volume that the controller's state lies on: k3s' datastore, and what belongs to it.

It outlasts the controller's machine: the next one goes on with it. What the controller has to
know of it is an object of the bucket, as with the shared volume (see `note`). Another object there
is put by the first controller that is ready, and from then on nothing begins on an empty volume.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from clusterous_api import names
from clusterous_api.errors import FailedError, UserError
from clusterous_cli.cluster import prices
from clusterous_cli.cluster.config import ClusterConfig
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import BEGUN, SNAPSHOTS
from clusterous_cli.cluster.payload import STATE as OBJECT
from clusterous_cli.cluster.tags import key_of, tagged
from clusterous_cli.plan.kinds.cloud import Cloud, Site
from clusterous_cli.plan.kinds.files import CLOSED
from clusterous_cli.plan.kinds.files import OBJECT as OBJECTS
from clusterous_cli.plan.kinds.kind import (
    Found,
    Id,
    Kind,
    Ref,
    Resource,
    Scope,
    Step,
    Value,
    Wish,
)
from clusterous_cli.plan.kinds.machines import SHARED, STATE, STATE_NOTE
from clusterous_cli.plan.kinds.network import LOCK
from clusterous_cli.plan.kinds.volume import ebs
from clusterous_cli.plan.kinds.volume.ebs import Volume

PART: Final = "volume"
# GiB. A datastore has some MiB for each hundred programs; the rest is room, and gp3's least price.
SIZE: Final = 8
FIGURES: Final = Volume(
    size=SIZE, iops=prices.DISK_IOPS_FREE, throughput=prices.DISK_MIB_FREE, encrypted=True
)
SYSTEM: Final = "ext4"  # which every image can make; see keep_state in boot/templates/state.sh
TEXT: Final = re.compile(r"id=(vol-[0-9a-f]+)\nmarked=(yes|no)\n(?:restore=([0-9a-f]{64})\n)?")
# What a volume is called from then on that a restore put aside; it goes with the cluster.
ASIDE: Final = f"{STATE}-before"
# Finds the newest snapshot of a volume.
Snapshot = Callable[[str], Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Note(Value):
    """Which volume, and whether its file system was made.

    *restore* is the sum of the snapshot that the datastore begins with, where none has begun.
    """

    volume: Id
    formatted: bool
    restore: str = ""

    @property
    def text(self) -> str:
        """Spell it as the controller's boot reads it."""
        more = f"restore={self.restore}\n" if self.restore else ""
        return f"id={self.volume}\nmarked={'yes' if self.formatted else 'no'}\n{more}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """What there is of the controller's state.

    *own* is the volume, *noted* what the controller was told, *begun* says that programs may be in
    it; *kept* is false for a cluster of an older release, whose state is on its controller's disk;
    *snapshots* says that there are some in the bucket.
    """

    own: Found | None = None
    noted: Note | None = None
    begun: bool = False
    kept: bool = True
    snapshots: bool = False

    @property
    def formatted(self) -> bool:
        """Whether the file system was made: what was said once of this volume stays said."""
        if self.own is None or self.begun:
            return self.begun
        noted = self.noted is not None and self.noted.volume == self.own.id and self.noted.formatted
        return bool(self.own.value.formatted) or noted

    @property
    def restore(self) -> str:
        """What the controller was told to begin with."""
        return self.noted.restore if self.noted else ""


def present(found: Iterable[Found], living: Iterable[str]) -> Present:
    """Say what there is; *living* are the pools of which machines live."""
    things = list(found)
    own = [one for one in things if one.kind is VOLUME]
    note = next((one.value for one in things if one.kind is NOTE), None)
    noted = [one for one in own if note and one.id == note.volume]
    is_older = not own and note is None and any(pool != names.ROLE_GATEWAY for pool in living)
    return Present(
        own=next(iter([*noted, *sorted(own, key=lambda one: one.uses, reverse=True)]), None),
        noted=note,
        begun=any(one.kind is OBJECTS and one.id == BEGUN for one in things),
        kept=not is_older,
        snapshots=any(one.kind is OBJECTS and one.id.startswith(SNAPSHOTS) for one in things),
    )


def zone(cloud: Cloud, who: Identity) -> str | None:
    """Return where the controller is bound to be: in the zone of its volume."""
    found = _look(Scope(cloud=cloud, who=who))
    return next((one.value.zone for one in found if one.kind is VOLUME), None)


def refuse(
    who: Identity, there: Present, controller: Found | None, zone: str, snapshot: Snapshot
) -> None:
    """Refuse to begin anew beside what lives on: *controller* is the one that lives."""
    if not there.kept and controller is None:
        raise UserError(
            f"The controller of {who.name} is gone, and what Kubernetes knew went with it: an older"
            " clusterous made it, which kept that on the machine's own disk. A new controller would"
            " know nothing of programs, and no worker would ever join it. Save what is on workers'"
            f" disks, then `clusterous destroy {who.name}` (--leave-shared-volume keeps the shared"
            " volume), and create it anew."
        )
    if there.begun and there.own is None and there.noted:
        raise _loss(who, there, zone, snapshot(str(there.noted.volume)))


def _loss(
    who: Identity, there: Present, zone: str, snapshot: Mapping[str, Any] | None
) -> FailedError:
    assert there.noted is not None
    id = there.noted.volume
    said = (
        f"The volume {id} is gone, on which the controller of {who.name} kept what Kubernetes knew:"
        " AWS has it no more, or lost it. None is begun on an empty one in its stead: programs that"
        " run on workers would be forgotten, and no worker would know the new one."
    )
    if snapshot is None and there.snapshots:
        return FailedError(
            f"{said} `clusterous snapshot restore newest --cluster {who.name}` begins with what the"
            " newest snapshot in its bucket knows, apps suspended."
        )
    if snapshot is None:
        return FailedError(
            f"{said} There is no snapshot of it. `clusterous destroy {who.name}`"
            " (--leave-shared-volume keeps the shared volume), and create it anew."
        )
    tags = {**who.tags(STATE), names.TAG_FORMATTED: SYSTEM}
    spelled = ",".join(f"{{Key={key},Value={value}}}" for key, value in tags.items())
    return FailedError(
        f"{said} Its newest snapshot is {snapshot['SnapshotId']} of"
        f" {snapshot['StartTime']:%Y-%m-%d %H:%M} UTC: make a volume of it, and run create again.\n"
        f"    aws ec2 create-volume --snapshot-id {snapshot['SnapshotId']} --availability-zone"
        f" {zone} --volume-type gp3 --encrypted --tag-specifications"
        f" 'ResourceType=volume,Tags=[{spelled}]'"
    )


OLDER: Final = (
    "the controller was made by an older clusterous: what Kubernetes knows is on that machine's own"
    " disk, and ends with it. Create does not change that; in a cluster that is created anew a"
    " volume of its own keeps it"
)


def _want(wish: Wish) -> list[Resource]:
    if not wish.keeps_state:
        return []
    # One of a snapshot may be larger; nothing of it is changed while the cluster lives.
    value = replace(FIGURES, zone=wish.controls, begins=wish.restore or None)
    return [Resource(kind=VOLUME, key=STATE, value=value, needs=LOCK)]


def _look(at: Scope) -> list[Found]:
    listed = at.cloud.pages("ec2", "describe_volumes", "Volumes", Filters=tagged(at.who))
    own = [one for one in listed if at.owns(one) and key_of(one, at.who) == STATE]
    return [thing for one in own for thing in ebs.listed_as(VOLUME, one, STATE)]


def _differ(wanted: Volume, there: Volume) -> tuple[str, ...]:
    return ()


def _billed(config: ClusterConfig) -> list[Volume]:
    return [FIGURES]


def _words(steps: Sequence[Step]) -> str:
    return f"{SIZE} GiB for the controller's state"


def _want_note(wish: Wish) -> list[Resource]:
    if not wish.keeps_state:
        return []
    value = Note(volume=Ref(STATE), formatted=wish.state_formatted, restore=wish.restore)
    first = tuple(f"s3:{one.key}" for one in wish.blobs if one.sha256 == wish.restore)
    # Nothing begins with what was known while the files of then are not there.
    files = (SHARED,) if wish.copied else ()
    return [Resource(kind=NOTE, key=STATE_NOTE, value=value, needs=(*CLOSED, *first, *files))]


def _look_note(at: Scope) -> list[Found]:
    told = TEXT.fullmatch(at.told(OBJECT) or "")
    if told is None:
        return []
    value = Note(volume=told[1], formatted=told[2] == "yes", restore=told[3] or "")
    return [Found(kind=NOTE, key=STATE_NOTE, id=OBJECT, value=value)]


def _make_note(to: Site, step: Step, wanted: Note) -> str:
    _put(to, wanted)
    return OBJECT


def _put(to: Site, told: Note) -> None:
    to.s3("put_object", Key=OBJECT, Body=told.text.encode())


def mark(to: Site, told: str) -> None:
    """Let the volume's own tag and the controller know that its file system was made.

    *told* is which volume the controller says it was: only our own is marked.
    """
    at = Scope(cloud=to.cloud, who=to.who)
    for one in _look(at):
        if one.kind is not VOLUME or one.id != told:
            continue
        ebs.mark_formatted(to, one, SYSTEM)
        for other in _look_note(at):
            marked = replace(other.value, volume=told, formatted=True)
            if other.value != marked:
                _put(to, marked)


def put_aside(to: Site, restore: str) -> None:
    """Let the next controller begin with the snapshot of this sum, on a volume that is yet to be
    made; the one before is kept beside it until the cluster goes.

    No machine may have it any more. Wherever this is cut short, either the volume of before goes on
    or a new one begins with the snapshot: never an empty one. It ends when AWS shows it so: by tags
    of a moment ago, the volume of before would be planned with, and go on.
    """
    at = Scope(cloud=to.cloud, who=to.who)
    for told in _look_note(at):
        _put(to, replace(told.value, restore=restore))
    to.s3("delete_object", Key=BEGUN)
    for one in _look(at):
        if one.kind is VOLUME:
            to.ec2("create_tags", Resources=[one.id], Tags=to.tags(ASIDE))
    to.gone(lambda: _own(at), "Putting the volume of the controller's state aside")


def _own(at: Scope) -> str | None:
    return next((one.id for one in _look(at) if one.kind is VOLUME), None)


VOLUME: Final = Kind(
    name="state-volume",
    part=PART,
    words=_words,
    wants=_want,
    look=_look,
    make=ebs.make,
    remove=ebs.remove,
    after=("machines",),
    differ=_differ,
    billed=_billed,
    bill=ebs.bill,
)
NOTE: Final = Kind(
    name=STATE_NOTE, part=PART, wants=_want_note, look=_look_note, make=_make_note, changeable=True
)
