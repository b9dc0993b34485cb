"""What events say to who runs `kubectl describe`: few, on what became better or worse. Pure.

It follows from the status before and after alone, so that an operator that starts again repeats
nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from clusterous_api.conditions import Type
from clusterous_operator.status import standing

Status = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What to tell: a warning or not, a reason for programs, words for people."""

    warning: bool
    reason: str
    message: str


# States that everybody passes through, or that have a note of their own.
_QUIET = frozenset(
    {
        "",
        "Progressing",
        "Waiting",
        "VolumePending",
        "VolumeDeleted",
        "Suspending",
        "Suspended",
        "Idle",
    }
)
_RUNNING = "Running"


def notes(before: Status, after: Status) -> list[Note]:
    """Return what is worth telling when the status *before* becomes that *after*."""
    old, new = _conditions(before), _conditions(after)
    found = [*_suspension(old, new), *_restarts(before, after), *_outcome(before, after, old, new)]
    return [*found, *_volume(old, new), *_scaled(before, after, old, new), *_late(before, after)]


_Conditions = Mapping[str, Mapping[str, Any]]


def _conditions(status: Status) -> _Conditions:
    return {item["type"]: item for item in status.get("conditions") or ()}


def _reason(conditions: _Conditions, kind: Type) -> str:
    return str(conditions.get(kind, {}).get("reason", ""))


def _holds(conditions: _Conditions, kind: Type) -> bool:
    return conditions.get(kind, {}).get("status") == "True"


def _outcome(before: Status, after: Status, old: _Conditions, new: _Conditions) -> Iterable[Note]:
    """Tell when Ready, Stalled, or the reason for not being ready has changed."""
    reason, message = _reason(new, Type.READY), str(new.get(Type.READY, {}).get("message", ""))
    is_news = reason != _reason(old, Type.READY)
    if _holds(new, Type.READY):
        if is_news or not _holds(old, Type.READY):
            yield _good(before, after, reason, message)
    elif is_news and reason not in _QUIET:
        yield Note(warning=True, reason=reason, message=message)


def _good(before: Status, after: Status, reason: str, message: str) -> Note:
    if reason != "Ready":
        return Note(warning=False, reason=reason, message=message)
    counts = ", ".join(f"{one['name']} {one['desired']}" for one in after.get("components") or ())
    if before.get("readyTime") != after.get("readyTime"):
        words = f"Ready after {after.get('timeToReadySeconds', 0)} s: {counts}."
        return Note(warning=False, reason="Ready", message=words)
    updating = [str(one.get("progress", "")) for one in before.get("components") or ()]
    if any(told.endswith(" updated") for told in updating):
        return Note(warning=False, reason="Updated", message=f"All pods are updated: {counts}.")
    return Note(warning=False, reason="Ready", message=f"Ready again: {counts}.")


def _suspension(old: _Conditions, new: _Conditions) -> Iterable[Note]:
    message = str(new.get(Type.READY, {}).get("message", ""))
    if _holds(new, Type.SUSPENDED) and not _holds(old, Type.SUSPENDED):
        yield Note(warning=False, reason=_reason(new, Type.SUSPENDED), message=message)
    was = _reason(old, Type.SUSPENDED)
    if was not in ("", _RUNNING) and _reason(new, Type.SUSPENDED) == _RUNNING:
        yield Note(warning=False, reason="Resumed", message="It is started again.")


def _restarts(before: Status, after: Status) -> Iterable[Note]:
    count, known = after.get("restarts", 0), before.get("restarts", 0)
    if count > known:
        why = after.get("restartedFor") or "The failure policy has started pods again"
        words = f"{why}. {count} {'restart' if count == 1 else 'restarts'} by now."
        yield Note(warning=True, reason="Restarted", message=words)


_OF_VOLUMES = {
    "VolumeResizing": False,
    "NotResizable": True,
    "Lost": True,
    "Deleting": True,
    "VolumeDeleted": True,
}


def _volume(old: _Conditions, new: _Conditions) -> Iterable[Note]:
    reason = _reason(new, Type.VOLUME_BOUND)
    was = _reason(old, Type.VOLUME_BOUND)
    if reason in _OF_VOLUMES and reason != was:
        words = str(new[Type.VOLUME_BOUND].get("message", ""))
        yield Note(warning=_OF_VOLUMES[reason], reason=reason, message=words)


def _scaled(before: Status, after: Status, old: _Conditions, new: _Conditions) -> Iterable[Note]:
    """Tell of other numbers of pods, once it has been ready and as long as it runs."""
    ran = _reason(old, Type.SUSPENDED) == _RUNNING == _reason(old, Type.COMPLETED)
    runs = _reason(new, Type.SUSPENDED) == _RUNNING == _reason(new, Type.COMPLETED)
    if not (ran and runs and "readyTime" in before and "readyTime" in after):
        return
    known = {one["name"]: one.get("desired") for one in before.get("components") or ()}
    for one in after.get("components") or ():
        was = known.get(one["name"])
        if was is not None and was != one["desired"]:
            words = f"{one['name']} scaled from {was} to {one['desired']}."
            yield Note(warning=False, reason="Scaled", message=words)


def _late(before: Status, after: Status) -> Iterable[Note]:
    """Tell that a change does not reach a Job that has begun."""
    known = {one["name"]: str(one.get("progress", "")) for one in before.get("components") or ()}
    for one in after.get("components") or ():
        is_late = standing.NEXT_RUN in str(one.get("progress", ""))
        if is_late and standing.NEXT_RUN not in known.get(one["name"], ""):
            words = f"{one['name']} has begun; {standing.NEXT_RUN}."
            yield Note(warning=False, reason="NextRun", message=words)
