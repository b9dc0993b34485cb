"""EBS: volumes, their attachments, growth and snapshots; states that take time, and refusals."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from moto.ec2.models.elastic_block_store import Snapshot, Volume, VolumeAttachment

from tests.region.aws import store
from tests.region.aws.ec2_answers import elements, passes, wrapped
from tests.region.aws.ec2_kind import Kind
from tests.region.aws.errors import Refusal
from tests.region.aws.request import Answer, Request, members, structures
from tests.region.aws.service import ask_moto
from tests.region.aws.world import World, current

Params = Mapping[str, str]


class _Limits(NamedTuple):
    """Of a type of volumes: GiB, IOPS and MiB/s, and what of them goes with what."""

    gib: tuple[int, int]
    iops: tuple[int, int] = (0, 0)
    throughput: tuple[int, int] = (0, 0)
    iops_per_gib: int = 0


# Those of all regions; where AWS offers more (gp3 up to 64 TiB), a plan should not count on it.
_LIMITS: Final = {
    "gp2": _Limits((1, 16384)),
    "gp3": _Limits((1, 16384), (3000, 16000), (125, 1000), 500),
    "io1": _Limits((4, 16384), (100, 64000), iops_per_gib=50),
    "io2": _Limits((4, 65536), (100, 256000), iops_per_gib=1000),
    "st1": _Limits((125, 16384)),
    "sc1": _Limits((125, 16384)),
    "standard": _Limits((1, 1024)),
}
_THROUGHPUT_PER_IOPS: Final = 0.25
_DEVICE: Final = re.compile(r"/dev/(sd[a-z][1-9]?|xvd[a-d]?[a-z])")
# Volumes and network interfaces of a Nitro instance.
_ATTACHMENTS: Final = 28
_PENDING_SNAPSHOTS: Final = 5
_DAY: Final = 24 * 3600.0
# How often a machine that has the volume mounted is asked whether it has let go.
_BUSY_SECONDS: Final = 0.5


# --- what is refused --------------------------------------------------------------------------


def _create_volume(world: World, backend: Any, params: Params) -> None:
    zone = params.get("AvailabilityZone", "")
    if not zone:
        raise Refusal("MissingParameter", "The request must contain the parameter zone")
    if zone not in {z.name for z in backend.describe_availability_zones()}:
        raise Refusal("InvalidZone.NotFound", f"The zone '{zone}' does not exist.")
    kind, size = params.get("VolumeType", "gp2"), _size(backend, params)
    _check_shape(kind, size, _number(params, "Iops"), _number(params, "Throughput"))
    used = sum(one.size for one in backend.volumes.values() if one.volume_type == kind)
    if kind == "gp3" and used + size > world.settings.gp3_tib_limit * 1024:
        raise Refusal(
            "VolumeLimitExceeded",
            f"You have exceeded your maximum gp3 storage limit of {world.settings.gp3_tib_limit} "
            "TiB in this region. Please contact AWS Support to request an Elastic Block Store "
            "service limit increase.",
        )


def _number(params: Params, name: str) -> int | None:
    return int(params[name]) if name in params else None


def _size(backend: Any, params: Params) -> int:
    """Return the GiB that a new volume is to have: at least those of its snapshot."""
    id, size = params.get("SnapshotId"), _number(params, "Size")
    if not id:
        if size is None:
            raise Refusal(
                "MissingParameter", "The request must contain the parameter size/snapshot"
            )
        return size
    snapshot = _snapshot(backend, id)
    if snapshot.status != "completed":
        raise Refusal("IncorrectState", f"Snapshot is in invalid state - {snapshot.status}")
    if size is not None and size < snapshot.volume_size:
        raise _bad(
            f"Volume of {size}GiB is smaller than snapshot '{id}', "
            f"expect size >= {snapshot.volume_size}GiB"
        )
    return int(size or snapshot.volume_size)


def _bad(message: str, code: str = "InvalidParameterValue") -> Refusal:
    return Refusal(code, message)


def _check_shape(kind: str, size: int, iops: int | None, throughput: int | None) -> None:
    if kind not in _LIMITS:
        raise _bad(f"Value ({kind}) for parameter volumeType is invalid.", "UnknownVolumeType")
    limits = _LIMITS[kind]
    low, high = limits.gib
    if not low <= size <= high:
        words = f"small for volume type {kind}; minimum is {low}"
        if size > high:
            words = f"large for volume type {kind}; maximum is {high}"
        raise _bad(f"Volume of {size}GiB is too {words}GiB.")
    _check_between("iops", kind, iops, limits.iops)
    _check_between("throughput", kind, throughput, limits.throughput)
    if iops is None and kind in ("io1", "io2"):
        raise Refusal("MissingParameter", "The request must contain the parameter iops")
    # What comes with the type needs no more GiB; more than that does.
    if iops is not None and iops > limits.iops[0] and iops > size * limits.iops_per_gib:
        raise _bad(
            f"Iops to volume size ratio of {iops / size:f} is too high; "
            f"maximum is {limits.iops_per_gib}."
        )
    ratio = (throughput or 0) / (iops or limits.iops[0] or 1)
    if ratio > _THROUGHPUT_PER_IOPS:
        raise _bad(
            f"Throughput (MiBps) to iops ratio of {ratio:f} is too high; "
            f"maximum is {_THROUGHPUT_PER_IOPS:f} MiBps per iops."
        )


def _check_between(name: str, kind: str, value: int | None, limits: tuple[int, int]) -> None:
    if value is None:
        return
    low, high = limits
    if not high:
        raise _bad(
            f"The parameter {name} is not supported for {kind} volumes.",
            "InvalidParameterCombination",
        )
    if not low <= value <= high:
        words = f"low; minimum is {low}" if value < low else f"high; maximum is {high}"
        raise _bad(f"Volume {name} of {value} is too {words}.")


def _attach(_: World, backend: Any, params: Params) -> None:
    volume = backend.get_volume(params["VolumeId"])
    instance = backend.get_instance(params["InstanceId"])
    device = params.get("Device", "")
    if not device:
        raise Refusal("MissingParameter", "The request must contain the parameter device")
    if volume.attachment:
        raise Refusal("VolumeInUse", f"{volume.id} is already attached to an instance")
    if volume.status != "available":
        raise Refusal("IncorrectState", f"{volume.id} is not 'available'.")
    if instance._state.name not in ("running", "stopped"):
        raise Refusal("IncorrectState", f"Instance '{instance.id}' is not 'running'.")
    if volume.zone.name != instance.placement.zone:
        raise Refusal(
            "InvalidVolume.ZoneMismatch",
            f"The volume '{volume.id}' is not in the same availability zone as instance "
            f"'{instance.id}'",
        )
    if not _DEVICE.fullmatch(device):
        raise _bad(
            f"Value ({device}) for parameter device is invalid. {device} is not a valid EBS "
            "device name."
        )
    taken = [name for name, _ in instance.get_block_device_mapping]
    if device in taken:
        raise _bad(
            f"Invalid value '{device}' for unixDevice. Attachment point {device} is already in use"
        )
    if len(taken) + len(instance.nics) >= _ATTACHMENTS:
        raise Refusal(
            "AttachmentLimitExceeded",
            f"The maximum number of attachments ({_ATTACHMENTS}) has been exceeded.",
        )


def _detach(_: World, backend: Any, params: Params) -> None:
    volume = backend.get_volume(params["VolumeId"])
    attachment = volume.attachment
    going = attachment is not None and attachment.status in ("detaching", "busy")
    if attachment is None or (going and params.get("Force") != "true"):
        state = attachment.status if attachment else volume.status
        raise Refusal("IncorrectState", f"Volume '{volume.id}' is in the '{state}' state.")
    instance = attachment.instance
    given = params.get("InstanceId", instance.id), params.get("Device", attachment.device)
    if given != (instance.id, attachment.device):
        raise Refusal(
            "InvalidAttachment.NotFound",
            f"The volume '{volume.id}' is not attached to instance '{given[0]}' as device "
            f"'{given[1]}'.",
        )
    if attachment.device == instance.root_device_name and instance._state.name != "stopped":
        raise Refusal(
            "OperationNotPermitted",
            f"Unable to detach root volume '{attachment.device}' from instance '{instance.id}'",
        )


def _modify(world: World, backend: Any, params: Params) -> None:
    volume = backend.get_volume(params["VolumeId"])
    asked = ("Size", "VolumeType", "Iops", "Throughput")
    if not any(name in params for name in asked):
        raise Refusal(
            "MissingParameter", "You must specify a size, volume type, iops or throughput"
        )
    if volume.status == "creating":
        raise Refusal("IncorrectState", f"The volume '{volume.id}' is in the 'creating' state.")
    _check_rate(world, volume)
    size = _number(params, "Size") or volume.size
    if size < volume.size:
        raise _bad("New size cannot be smaller than existing size")
    kind = params.get("VolumeType", volume.volume_type)
    same = kind == volume.volume_type
    iops = _number(params, "Iops") or (volume.iops if same else None)
    throughput = _number(params, "Throughput") or (volume.throughput if same else None)
    _check_shape(kind, size, iops, throughput)


def _check_rate(world: World, volume: Any) -> None:
    """AWS allows some in any day, and each only when the one before has come to its end."""
    if (
        volume.modifications
        and (state := _progress(world, volume.modifications[-1])) != "completed"
    ):
        raise Refusal(
            "IncorrectModificationState",
            f"Cannot modify volume in modification state {state.upper()}",
        )
    recent = [each for each in volume.modifications if world.clock() - each.region_since < _DAY]
    if len(recent) >= world.settings.volume_modifications_a_day:
        raise Refusal(
            "VolumeModificationRateExceeded",
            "You've reached the maximum modification rate per volume limit. Wait at least 6 hours "
            "between modifications per EBS volume.",
        )


def _modifications_known(_: World, backend: Any, params: Params) -> None:
    for id in members(params, "VolumeId"):
        if not backend.get_volume(id).modifications:
            raise Refusal(
                "InvalidVolumeModification.NotFound",
                f"Modification for volume '{id}' does not exist.",
            )


def _known_volumes(_: World, backend: Any, params: Params) -> None:
    for id in members(params, "VolumeId"):
        backend.get_volume(id)


def _snapshot(backend: Any, id: str) -> Any:
    if id not in backend.snapshots:
        raise Refusal("InvalidSnapshot.NotFound", f"The snapshot '{id}' does not exist.")
    return backend.snapshots[id]


def _known_snapshots(_: World, backend: Any, params: Params) -> None:
    for id in (*members(params, "SnapshotId"), *_one(params, "SnapshotId")):
        _snapshot(backend, id)


def _one(params: Params, name: str) -> tuple[str, ...]:
    return (params[name],) if name in params else ()


def _create_snapshot(world: World, backend: Any, params: Params) -> None:
    volume = backend.get_volume(params["VolumeId"])
    if volume.status == "creating":
        raise Refusal("IncorrectState", f"The volume '{volume.id}' is in the 'creating' state.")
    taken = [one for one in backend.snapshots.values() if one.volume is volume]
    if sum(one.status == "pending" for one in taken) >= _PENDING_SNAPSHOTS:
        raise Refusal(
            "ConcurrentSnapshotLimitExceeded",
            "You have exceeded the number of snapshots that may be pending for this volume.",
        )
    since = world.clock() - max((one.region_since for one in taken), default=0.0)
    if since < world.settings.snapshot_interval:
        raise Refusal(
            "SnapshotCreationPerVolumeRateExceeded",
            "The maximum per volume CreateSnapshot request rate has been exceeded. Use an "
            "increasing or variable sleep interval between requests.",
        )


# --- what takes its time, and what is answered ------------------------------------------------


def _attached(world: World, request: Request, params: dict[str, str]) -> Answer:
    answer = ask_moto(world, request, params)
    backend = store.ec2(request.region)
    attachment = backend.get_volume(params["VolumeId"]).attachment
    attachment.status = "attaching"
    _later(world.settings.volume_attaching, attachment, "attaching", "attached")
    return answer


def _detached(world: World, request: Request, params: dict[str, str]) -> Answer:
    backend = store.ec2(request.region)
    volume = backend.get_volume(params["VolumeId"])
    attachment = volume.attachment
    attachment.status = "detaching"

    def off() -> None:
        if volume.attachment is not attachment:
            return
        if params.get("Force") != "true" and world.volume_held(volume.id):
            attachment.status = "busy"
            world.timers.after(_BUSY_SECONDS, off)
        else:
            backend.detach_volume(volume.id, attachment.instance.id, attachment.device)

    world.timers.after(world.settings.volume_detaching, off)
    shown = {
        "volumeId": volume.id,
        "instanceId": attachment.instance.id,
        "device": attachment.device,
        "status": "detaching",
        "attachTime": _time(attachment.attach_time),
    }
    return wrapped(request, elements(shown))


def _later(seconds: float, thing: Any, expected: str, status: str) -> None:
    def change() -> None:
        if thing.status == expected:
            thing.status = status

    current().timers.after(seconds, change)


def _time(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _created(world: World, request: Request, params: dict[str, str]) -> Answer:
    """moto takes a snapshot's size from its volume as it is now."""
    size = _size(store.ec2(request.region), params)
    return ask_moto(world, request, {**params, "Size": str(size)})


_SHAPE: Final = ("size", "volume_type", "iops", "throughput")


def _modified(world: World, request: Request, params: dict[str, str]) -> Answer:
    """The new size is there when the volume is `optimizing`; until it has, nothing else is."""
    volume = store.ec2(request.region).get_volume(params["VolumeId"])
    before = {name: getattr(volume, name) for name in _SHAPE}
    answer = ask_moto(world, request, params)
    if answer.status >= 400:
        return answer
    modification = volume.modifications[-1]
    modification.region_since = world.clock()
    for name in _SHAPE:
        setattr(modification, f"original_{name}", before[name])
        setattr(modification, f"target_{name}", getattr(volume, name))
        setattr(volume, name, before[name])
    world.timers.after(world.settings.volume_modifying, lambda: _take_shape(volume, modification))
    return wrapped(
        request, f"<volumeModification>{_modification(world, modification)}</volumeModification>"
    )


def _take_shape(volume: Any, modification: Any) -> None:
    for name in _SHAPE:
        setattr(volume, name, getattr(modification, f"target_{name}"))


def _progress(world: World, modification: Any) -> str:
    age = world.clock() - modification.region_since
    if age < world.settings.volume_modifying:
        return "modifying"
    optimized = world.settings.volume_modifying + world.settings.volume_optimizing
    return "optimizing" if age < optimized else "completed"


def _modification(world: World, each: Any) -> str:
    state = _progress(world, each)
    shapes = {
        f"{when}{name}": getattr(each, f"{when}_{attribute}")
        for when in ("target", "original")
        for attribute, name in zip(
            _SHAPE, ("Size", "VolumeType", "Iops", "Throughput"), strict=True
        )
    }
    fields = {
        "volumeId": each.volume.id,
        "modificationState": state,
        **shapes,
        "progress": {"modifying": "0", "optimizing": "50", "completed": "100"}[state],
        "startTime": _time(each.start_time),
        "endTime": _time(each.end_time) if state == "completed" else None,
    }
    return elements(fields)


def _modifications(world: World, request: Request, params: dict[str, str]) -> Answer:
    """The last one of each volume, as AWS tells it."""
    ids = members(params, "VolumeId")
    last = [
        volume.modifications[-1]
        for volume in store.ec2(request.region).volumes.values()
        if volume.modifications and (not ids or volume.id in ids)
    ]
    shown = [
        each
        for each in last
        if passes(
            params,
            {"volume-id": each.volume.id, "modification-state": _progress(world, each)},
        )
    ]
    items = "".join(f"<item>{_modification(world, each)}</item>" for each in shown)
    return wrapped(request, f"<volumeModificationSet>{items}</volumeModificationSet>")


def _snapshots(world: World, request: Request, params: dict[str, str]) -> Answer:
    """moto shows everybody's, whoever is asked for."""
    account = world.settings.account
    owners = [account if each == "self" else each for each in members(params, "Owner")]
    if owners:
        number = len(structures(params, "Filter")) + 1
        params[f"Filter.{number}.Name"] = "owner-id"
        params |= {f"Filter.{number}.Value.{n}": each for n, each in enumerate(owners, 1)}
    return ask_moto(world, request, params)


# --- moto's models ----------------------------------------------------------------------------

_ORIGINAL: dict[str, Callable[..., Any]] = {}


def install() -> None:
    """Patch moto, once per process."""
    if _ORIGINAL:
        return
    _ORIGINAL.update(
        volume=Volume.__init__, snapshot=Snapshot.__init__, filtered=Volume.get_filter_value
    )
    for owner, name, value in (
        (Volume, "__init__", _volume_init),
        (Volume, "status", property(_volume_status)),
        (Volume, "get_filter_value", _filter_value),
        (VolumeAttachment, "delete_on_termination", property(_goes_with_instance)),
        (Snapshot, "__init__", _snapshot_init),
        (Snapshot, "volume_size", property(lambda self: self.region_size)),
        (Snapshot, "progress", property(lambda s: "100%" if s.status == "completed" else "0%")),
    ):
        setattr(owner, name, value)


def _volume_init(self: Any, *args: Any, **kwargs: Any) -> None:
    _ORIGINAL["volume"](self, *args, **kwargs)
    self.region_ready = current().clock() + current().settings.volume_creating
    if self.volume_type == "gp3":
        self.throughput = self.throughput or _LIMITS["gp3"].throughput[0]


def _volume_status(self: Any) -> str:
    if self.attachment:
        return "in-use"
    return "creating" if current().clock() < self.region_ready else "available"


def _filter_value(self: Any, name: str, method_name: str | None = None) -> Any:
    if name == "volume-type":
        return self.volume_type
    return _ORIGINAL["filtered"](self, name, method_name)


def _goes_with_instance(self: Any) -> bool:
    devices = dict(self.instance.get_block_device_mapping)
    return self.device in devices and bool(devices[self.device].delete_on_termination)


def _snapshot_init(self: Any, *args: Any, **kwargs: Any) -> None:
    _ORIGINAL["snapshot"](self, *args, **kwargs)
    self.region_size = self.volume.size
    # Those of public images are as old as the account.
    self.region_since = 0.0 if self.from_ami else current().clock()
    if not self.from_ami:
        self.status = "pending"
        _later(current().settings.snapshot_pending, self, "pending", "completed")


VOLUME: Final = Kind(
    name="volume",
    prefix="vol",
    noun="volume",
    made_by=("RunInstances", "CreateVolume"),
    unknown="InvalidVolume.NotFound",
    left=lambda backend: backend.volumes,
    answers={
        "CreateVolume": _created,
        "AttachVolume": _attached,
        "DetachVolume": _detached,
        "ModifyVolume": _modified,
        "DescribeVolumesModifications": _modifications,
    },
    rules={
        "CreateVolume": _create_volume,
        "DescribeVolumes": _known_volumes,
        "AttachVolume": _attach,
        "DetachVolume": _detach,
        "ModifyVolume": _modify,
        "DescribeVolumesModifications": _modifications_known,
    },
)
SNAPSHOT: Final = Kind(
    name="snapshot",
    prefix="snap",
    noun="snapshot",
    made_by=("CreateSnapshot", "CreateSnapshots"),
    unknown="InvalidSnapshot.NotFound",
    left=lambda backend: (s.id for s in backend.snapshots.values() if s.from_ami is None),
    answers={"DescribeSnapshots": _snapshots},
    rules={
        "CreateSnapshot": _create_snapshot,
        "DeleteSnapshot": _known_snapshots,
        "DescribeSnapshots": _known_snapshots,
    },
)
