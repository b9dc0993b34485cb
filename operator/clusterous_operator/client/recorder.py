"""Events for a person who runs `kubectl describe`: few, on what changed for the better or worse.

What to tell follows from the status before and after alone, so that an operator that starts again
repeats nothing. The same thing told again becomes a count on the first event.
"""

import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from clusterous_api import names
from clusterous_api.errors import ClusterousError
from clusterous_operator.cache.record import Record
from clusterous_operator.client.cluster import Cluster, MissingError

logger = logging.getLogger(__name__)

Status = Mapping[str, Any]

_MESSAGE_LIMIT = 1000  # of the API server
# An app may tell ten things at once, and then one each half minute; what is more is dropped.
_BURST = 10.0
_REFILL_SECONDS = 30.0
_SERIES_SECONDS = 600.0
_REMEMBERED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What to tell: a warning or not, a reason for programs, words for people."""

    warning: bool
    reason: str
    message: str


# What to tell.

# States that everybody passes through, or that have a note of their own.
_QUIET = frozenset(
    {"", "Progressing", "Waiting", "VolumePending", "Suspending", "Suspended", "Idle"}
)
_RUNNING = "Running"


def notes(before: Status, after: Status) -> list[Note]:
    """Return what is worth telling when the status *before* becomes that *after*."""
    old, new = _conditions(before), _conditions(after)
    found = [*_suspension(old, new), *_restarts(before, after), *_outcome(before, after, old, new)]
    return [*found, *_volume(old, new), *_scaled(before, after, old, new)]


_Conditions = Mapping[str, Mapping[str, Any]]


def _conditions(status: Status) -> _Conditions:
    return {item["type"]: item for item in status.get("conditions") or ()}


def _reason(conditions: _Conditions, kind: str) -> str:
    return str(conditions.get(kind, {}).get("reason", ""))


def _holds(conditions: _Conditions, kind: str) -> bool:
    return conditions.get(kind, {}).get("status") == "True"


def _outcome(before: Status, after: Status, old: _Conditions, new: _Conditions) -> Iterable[Note]:
    """Tell when Ready, Stalled, or the reason for not being ready has changed."""
    reason, message = _reason(new, "Ready"), str(new.get("Ready", {}).get("message", ""))
    is_news = reason != _reason(old, "Ready")
    if _holds(new, "Ready"):
        if is_news or not _holds(old, "Ready"):
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
    message = str(new.get("Ready", {}).get("message", ""))
    if _holds(new, "Suspended") and not _holds(old, "Suspended"):
        yield Note(warning=False, reason=_reason(new, "Suspended"), message=message)
    was = _reason(old, "Suspended")
    if was not in ("", _RUNNING) and _reason(new, "Suspended") == _RUNNING:
        yield Note(warning=False, reason="Resumed", message="It is started again.")


def _restarts(before: Status, after: Status) -> Iterable[Note]:
    count, known = after.get("restarts", 0), before.get("restarts", 0)
    if count > known:
        words = f"The failure policy has started pods again; {count} times by now."
        yield Note(warning=True, reason="Restarted", message=words)


_OF_VOLUMES = {"VolumeResizing": False, "NotResizable": True, "Lost": True, "Deleting": True}


def _volume(old: _Conditions, new: _Conditions) -> Iterable[Note]:
    reason = _reason(new, "VolumeBound")
    was = _reason(old, "VolumeBound")
    if reason in _OF_VOLUMES and reason != was:
        words = str(new["VolumeBound"].get("message", ""))
        yield Note(warning=_OF_VOLUMES[reason], reason=reason, message=words)


def _scaled(before: Status, after: Status, old: _Conditions, new: _Conditions) -> Iterable[Note]:
    """Tell of other numbers of pods, once it has been ready and as long as it runs."""
    ran = _reason(old, "Suspended") == _RUNNING == _reason(old, "Completed")
    runs = _reason(new, "Suspended") == _RUNNING == _reason(new, "Completed")
    if not (ran and runs and "readyTime" in before and "readyTime" in after):
        return
    known = {one["name"]: one.get("desired") for one in before.get("components") or ()}
    for one in after.get("components") or ():
        was = known.get(one["name"])
        if was is not None and was != one["desired"]:
            words = f"{one['name']} scaled from {was} to {one['desired']}."
            yield Note(warning=False, reason="Scaled", message=words)


# How to tell it.


@dataclass(slots=True)
class _Series:
    """An event that may come again."""

    name: str
    count: int
    last: float


@dataclass(slots=True)
class _Bucket:
    """How many more events an app may write."""

    left: float
    since: float


class Recorder:
    """Writes events, not too many; *clock* counts seconds."""

    def __init__(self, cluster: Cluster, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._clock = clock
        self._series: OrderedDict[tuple[str, str, str], _Series] = OrderedDict()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    async def tell(self, record: Record, note: Note, time: str) -> None:
        """Write an event; one that does not get through is not worth more than a log line."""
        if not self._may_tell(record.uid):
            logger.info("%s/%s: too many events; dropped %s.", *_who(record), note.reason)
            return
        try:
            await self._write(record, note, time)
        except ClusterousError as error:
            logger.warning("%s/%s: event lost: %s", *_who(record), error)

    async def _write(self, record: Record, note: Note, time: str) -> None:
        # Only the numbers differ: how often it was restarted, how many wait.
        key = (record.uid, note.reason, re.sub(r"\d+", "#", note.message))
        known = self._series.get(key)
        if known is not None and self._clock() - known.last < _SERIES_SECONDS:
            try:
                await self._count(record, known, time)
            except MissingError:
                pass  # events are kept for an hour at most
            else:
                return
        answer = await self._cluster.create("Event", record.namespace, _event(record, note, time))
        _remember(self._series, key, _Series(answer["metadata"]["name"], 1, self._clock()))

    async def _count(self, record: Record, known: _Series, time: str) -> None:
        series = {"count": known.count + 1, "lastObservedTime": time}
        await self._cluster.patch("Event", record.namespace, known.name, {"series": series})
        known.count += 1
        known.last = self._clock()

    def _may_tell(self, uid: str) -> bool:
        now = self._clock()
        bucket = self._buckets.get(uid) or _Bucket(_BURST, now)
        bucket.left = min(_BURST, bucket.left + (now - bucket.since) / _REFILL_SECONDS)
        bucket.since = now
        _remember(self._buckets, uid, bucket)
        if bucket.left < 1:
            return False
        bucket.left -= 1
        return True


def _remember(table: OrderedDict[Any, Any], key: object, value: object) -> None:
    """Keep the newest; who is forgotten may tell a thing once more, which does no harm."""
    table[key] = value
    table.move_to_end(key)
    if len(table) > _REMEMBERED:
        table.popitem(last=False)


def _who(record: Record) -> tuple[str, str]:
    return record.namespace, record.name


def _event(record: Record, note: Note, time: str) -> dict[str, Any]:
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"namespace": record.namespace, "generateName": f"{record.name}-"},
        "eventTime": time,
        "type": "Warning" if note.warning else "Normal",
        "reason": note.reason,
        "note": (note.message or note.reason)[:_MESSAGE_LIMIT],
        "action": "Reconcile",
        "reportingController": f"{names.DOMAIN}/operator",
        "reportingInstance": names.FIELD_MANAGER,
        "regarding": {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "namespace": record.namespace,
            "name": record.name,
            "uid": record.uid,
        },
    }
