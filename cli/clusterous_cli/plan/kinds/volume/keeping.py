"""What may become of a shared volume: no change of the file ever replaces or removes one. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from clusterous_api.errors import FailedError, UserError
from clusterous_cli.cluster.config import PREFIXES, VolumeType
from clusterous_cli.cluster.config import Volume as Asked
from clusterous_cli.plan.kinds.kind import Found, facts
from clusterous_cli.plan.kinds.machines import GRAVE, MACHINES
from clusterous_cli.plan.kinds.volume import ebs, efs
from clusterous_cli.plan.kinds.volume.attachment import ATTACHMENT
from clusterous_cli.plan.kinds.volume.note import NOTE, Note

SPELLED: Final = {
    VolumeType.EBS: "on EBS",
    VolumeType.EFS: "on EFS",
    VolumeType.NONE: "none",
}
OTHER: Final = (
    "No change of the file replaces a volume, so that no data is lost. Put it back in the file. Or"
    " create another cluster, and copy with `get` and `put`; or destroy the cluster and create it"
    " anew: `clusterous destroy --leave-shared-volume` keeps this volume, for volume: {id: …}."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """The shared volume as it is, by all that tells of it; *type* None: nothing does."""

    type: VolumeType | None = None
    own: Found | None = None  # ours, on EBS
    files: Found | None = None  # ours, on EFS
    given: Found | None = None  # the one that the controller was told of
    asked: Found | None = None  # the one that the file names
    note: Note | None = None

    @property
    def id(self) -> str | None:
        """The id of an existing one that the cluster took; its own goes by its type."""
        return str(self.note.volume) if self.note and self.note.given else None

    @property
    def volume(self) -> Found | None:
        """The volume on EBS, wherever it comes from."""
        return self.own or self.given or self.asked


def present(found: Iterable[Found], asked: Asked, recorded: Mapping[str, Any] | None) -> Present:
    """Say what there is; *recorded* is the volume in the record of a cluster that lives."""
    things = list(found)
    note = next((one.value for one in things if one.kind is NOTE), None)
    own = [one for one in things if one.kind is ebs.VOLUME]
    others = {one.id: one for one in things if one.kind in (ebs.GIVEN, efs.GIVEN)}
    noted = others.get(str(note.volume)) if note else None
    type = VolumeType(recorded["type"]) if recorded else None
    files = [one for one in things if one.kind is efs.FILE_SYSTEM]
    if files:
        type = VolumeType.EFS
    elif own or note:
        type = PREFIXES[str(note.volume).partition("-")[0]] if note else VolumeType.EBS
    preferred = [one for one in own if note and one.id == note.volume] or own
    return Present(
        type=type,
        own=preferred[0] if preferred else None,
        files=next((one for one in files if not one.broken), None),
        given=noted,
        asked=others.get(asked.id or ""),
        note=note,
    )


def lost(there: Present) -> str | None:
    """Return the id of a volume that the controller was told of and AWS has no more."""
    if there.note is None:
        return None
    lasting = (there.own, there.files, there.given)
    known = {one.id for one in lasting if one and one.value.state != "error"}
    noted = str(there.note.volume)
    return None if noted in known else noted


def loss(id: str, zone: str, snapshot: Mapping[str, Any] | None) -> FailedError:
    """Say that a volume is gone, and how to go on with its newest snapshot."""
    said = f"The shared volume {id} is gone: AWS has it no more, or lost it."
    if id.startswith("fs-"):
        return FailedError(
            f"{said} No empty one is made in its stead. EFS has no snapshots; where AWS Backup has"
            " a recovery point of it, let it make another file system, and name that in the file as"
            " volume: {id: fs-…}. If its data is not needed, destroy the cluster and create it"
            " anew."
        )
    none = f"{said} No empty one is made in its stead. {way_back(snapshot)}"
    if snapshot is None:
        return FailedError(
            f"{none} If its data is not needed, destroy the cluster and create it anew."
        )
    return FailedError(
        f"{none} Make one of it, and name that in the file as volume: {{id: vol-…}}:\n"
        f"    clusterous volume restore {snapshot['SnapshotId']} --zone {zone}"
    )


def way_back(snapshot: Mapping[str, Any] | None) -> str:
    """Name the newest snapshot of a volume."""
    if snapshot is None:
        return "There is no snapshot of it."
    made = f"{snapshot['StartTime']:%Y-%m-%d %H:%M} UTC"
    return f"Its newest snapshot is {snapshot['SnapshotId']} of {made}."


def refuse(asked: Asked, there: Present, found: Sequence[Found]) -> None:
    """Refuse what would replace, shrink or take away a volume, with the way to do it."""
    wrong = [*_replaced(asked, there), *_of_others(asked, there)]
    if not wrong:
        wrong = [*_smaller(asked, there), *_held(there, found)]
    if wrong:
        raise UserError("\n".join(wrong))


def _replaced(asked: Asked, there: Present) -> list[str]:
    if there.type is None or (lost(there) and asked.type is there.type):
        return []
    if there.own is not None and asked.id == there.own.id:
        return [f"{asked.id} is the cluster's own volume: say volume: ebs."]
    if (asked.type, asked.id) == (there.type, there.id):
        return []
    was = there.id or SPELLED[there.type]
    wanted = asked.id or SPELLED[asked.type]
    if was == wanted:
        wanted = "one of its own"
    return [f"the shared volume is {was}, not {wanted}\n{OTHER}"]


def _of_others(asked: Asked, there: Present) -> list[str]:
    if asked.id in (None, lost(there)):  # of which `loss` tells, with the way back
        return []
    if there.asked is None:
        return [f"volume.id: there is no volume {asked.id} in this region."]
    owner, elsewhere = there.asked.value.owner, facts(there.asked.value).get("elsewhere")
    if elsewhere:
        return [
            f"volume.id: {asked.id} is mounted in the network {elsewhere}, and AWS lets a file"
            " system be in one network only: remove its mount targets there first."
        ]
    if owner is None:
        return []
    keep = f"`clusterous destroy {owner} --leave-shared-volume`"
    return [f"volume.id: {asked.id} is the own volume of cluster {owner}, and goes with it: {keep}"
            " keeps it, and makes it free to be given."]  # fmt: skip


def _smaller(asked: Asked, there: Present) -> list[str]:
    volume = there.volume
    if asked.size is None or volume is None or volume.value.size <= asked.size:
        return []
    size = volume.value.size
    return [
        f"volume.size is {size} GiB, not {asked.size}: a volume can grow, not shrink. Say size:"
        f" {size}, or create another cluster with a smaller one, and copy with `get` and `put`."
    ]


def _held(there: Present, found: Sequence[Found]) -> list[str]:
    volume = there.volume
    machines = _machines(found)
    return [
        f"{one.id} is attached to {one.value.instance}, which is no machine of this cluster."
        " Detach it there, and run this again."
        for one in found
        if volume and one.kind is ATTACHMENT and one.id == volume.id
        and one.value.instance not in machines
    ]  # fmt: skip


def _machines(found: Iterable[Found]) -> Collection[str]:
    ours = [one for one in found if one.kind in (MACHINES, GRAVE) and one.ours]
    states = [id for one in ours if one.value for id in facts(one.value).get("states", {})]
    return {*states, *(id for one in ours for id in one.id.split())}


def zone_of(there: Present) -> str | None:
    """Return where the volume is, and so the machine that it is attached to."""
    volume = there.volume
    return volume.value.zone if volume else None


def is_formatted(there: Present) -> bool:
    """Whether the file system was made: what was said once stays said."""
    tagged = bool(there.own and there.own.value.formatted)
    return tagged or bool(there.note and there.note.formatted)
