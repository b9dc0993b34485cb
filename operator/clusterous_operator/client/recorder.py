"""Sends events, not too many: the same thing told again becomes a count on the first event."""

import logging
import re
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from clusterous_api import names
from clusterous_api.errors import ClusterousError
from clusterous_operator.cache.record import Record
from clusterous_operator.client.cluster import BusyError, Cluster, ConflictError, MissingError
from clusterous_operator.status.events import Note

logger = logging.getLogger(__name__)

_MESSAGE_LIMIT = 1024  # of the API server, in bytes: it counts as Go does
# An app may tell ten things at once, and then one each half minute; what is more is dropped.
_BURST = 10.0
_REFILL_SECONDS = 30.0
_SERIES_SECONDS = 600.0
_REMEMBERED = 1000
_AGAIN_SECONDS = 5.0  # until the API server is asked again to take what it had no time for
_OWED = 100  # that many of those are kept


@dataclass(slots=True)
class _Series:
    """An event that may come again."""

    name: str
    count: int
    last: float


@dataclass(frozen=True, slots=True)
class _Owed:
    """An event that the API server had no time for; since when."""

    record: Record
    key: tuple[str, str, str]
    body: dict[str, Any]
    since: float


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
        self._owed: deque[_Owed] = deque(maxlen=_OWED)

    @property
    def owes_in(self) -> float | None:
        """In how many seconds to write `again`, where something is owed."""
        if not self._owed:
            return None
        return max(0.0, self._owed[0].since + _AGAIN_SECONDS - self._clock())

    async def tell(self, record: Record, note: Note, time: str) -> None:
        """Write an event, now or `again`; one that is refused is not worth more than a log line."""
        if not self._may_tell(record.uid):
            logger.info("%s/%s: too many events; dropped %s.", *_who(record), note.reason)
            return
        try:
            await self._write(record, note, time)
        except ClusterousError as error:
            logger.warning("%s/%s: event lost: %s", *_who(record), error)

    async def again(self) -> None:
        """Write what the API server had no time for, oldest first, if it may have time now."""
        while self.owes_in == 0.0:
            one = self._owed.popleft()
            try:
                await self._create(one.record, one.key, one.body)
            except ClusterousError as error:
                logger.warning("%s/%s: event lost: %s", *_who(one.record), error)

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
        await self._create(record, key, _event(record, note, time))

    async def _create(
        self, record: Record, key: tuple[str, str, str], body: dict[str, Any]
    ) -> None:
        try:
            await self._cluster.create("Event", record.namespace, body)
        except BusyError:
            self._owed.append(_Owed(record, key, body, self._clock()))
            return
        except ConflictError:
            pass  # it was taken before, and the answer lost
        _remember(self._series, key, _Series(body["metadata"]["name"], 1, self._clock()))

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


def _cut(text: str) -> str:
    """Return as much of *text* as an event takes."""
    return text.encode(errors="replace")[:_MESSAGE_LIMIT].decode(errors="ignore")


def _event(record: Record, note: Note, time: str) -> dict[str, Any]:
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        # A name of our own: what is written again is there once.
        "metadata": {"namespace": record.namespace, "name": f"{record.name}-{uuid4().hex[:12]}"},
        "eventTime": time,
        "type": "Warning" if note.warning else "Normal",
        "reason": note.reason,
        "note": _cut(note.message or note.reason),
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
