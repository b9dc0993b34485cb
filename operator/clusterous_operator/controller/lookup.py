"""What is asked of the API server now and then instead of being watched: usage, classes, volumes.

Only apps that need an answer cause a question, and answers are kept for a while. An API that does
not answer is no error: what depends on it then does not happen.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from clusterous_api import names, quantity
from clusterous_api.errors import ClusterousError
from clusterous_operator.cache.look import Look
from clusterous_operator.cache.observed import Child
from clusterous_operator.client.cluster import Cluster, MissingError
from clusterous_operator.decisions import storage
from clusterous_operator.objects import idle as idleness
from clusterous_operator.objects.idle import State

logger = logging.getLogger(__name__)

USAGE_SECONDS = 15.0  # as often as metrics-server looks
_ABSENT_SECONDS = 60.0
_CLASS_SECONDS = 10.0
_MOST_KEPT = 100
_BARREN_SECONDS = 10.0  # a Job whose controller is slow is no news
_BARREN_AGAIN_SECONDS = 60.0
CLASS_AGAIN_SECONDS = 30.0  # nobody tells when a class begins to let volumes grow

Usage = Mapping[str, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What was found out for one look at one app."""

    idle: State | None = None
    can_grow: bool = False
    reach: Mapping[str, Any] | None = None
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Kept:
    """An answer, and until when it is good enough."""

    value: Any = None
    until: float = field(default=float("-inf"))


class _Memory:
    """Answers by whom they are about; many that are good no more are forgotten."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: dict[str, _Kept] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, name: str) -> _Kept:
        """Return what is kept about *name*, to be filled in."""
        if name not in self._kept and len(self._kept) >= _MOST_KEPT:
            now = self._clock()
            self._kept = {key: one for key, one in self._kept.items() if one.until > now}
        return self._kept.setdefault(name, _Kept())


class Lookup:
    """Asks, and keeps what it was told; *clock* counts seconds, *now* tells time."""

    def __init__(
        self, cluster: Cluster, clock: Callable[[], float], now: Callable[[], datetime]
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._now = now
        self._usage = _Memory(clock)
        self._classes = _Memory(clock)
        self._reach = _Memory(clock)
        self._refusals = _Memory(clock)

    def is_needed(self, look: Look) -> bool:
        """Tell whether anything must be asked before this app can be decided on."""
        if look.app.idle is not None or storage.is_of_one_node(look):
            return True
        return storage.more(look) is not None or any(_barren(look))

    async def answers(self, look: Look) -> Answers:
        """Return what this app's look needs to know."""
        claim = look.claim
        state = {} if claim is None else claim.state
        grows = storage.more(look) is not None
        return Answers(
            idle=await self._idle(look),
            can_grow=grows and await self._can_grow(state.get("class", "")),
            reach=await self._reaches(state["volume"]) if storage.is_of_one_node(look) else None,
            refused={one.component or "": await self._refusal(one) for one in _barren(look)},
        )

    async def cpu(self, namespace: str) -> Usage | None:
        """Return the CPU that each pod of a namespace uses, if the metrics API tells."""
        kept = self._usage.of(namespace)
        if kept.until <= self._clock():
            kept.value, seconds = await self._ask_usage(namespace)
            kept.until = self._clock() + seconds
        found: Usage | None = kept.value
        return found

    async def _ask_usage(self, namespace: str) -> tuple[Usage | None, float]:
        try:
            answer = await self._cluster.read("PodMetrics", namespace, "")
        except MissingError:
            return None, _ABSENT_SECONDS
        except ClusterousError as error:
            logger.info("The metrics API does not tell of %s: %s", namespace, error)
            return None, USAGE_SECONDS
        return {item["metadata"]["name"]: _cpu(item) for item in answer["items"]}, USAGE_SECONDS

    async def _idle(self, look: Look) -> State | None:
        if look.app.idle is None:
            return None
        before = idleness.read(look.before)
        living = [one for one in look.pods if not one.ended]
        ready = [one.name for one in living if one.ready]
        others = [one.name for one in living if not one.ready]
        is_up = ready and not before.suspended and not look.app.suspend
        cpu = await self.cpu(look.app.namespace) if is_up else None
        return idleness.decide(
            look.app.idle,
            before,
            used=idleness.used(ready, others, cpu),
            now=self._now(),
            resume=look.app.annotations.get(names.ANNOTATION_RESUME, ""),
            changed=look.before.get("observedGeneration", look.app.generation)
            != look.app.generation,
        )

    async def _refusal(self, job: Child) -> str:
        """Return why a Job cannot make its pods: it tells by events only, the last one counts."""
        kept = self._refusals.of(job.uid)
        if kept.until <= self._clock():
            kept.value = await self._last_event(job)
            kept.until = self._clock() + _BARREN_AGAIN_SECONDS
        return str(kept.value)

    async def _last_event(self, job: Child) -> str:
        which = f"regarding.kind=Job,regarding.uid={job.uid},reason=FailedCreate"
        found: list[tuple[str, str]] = []
        try:
            async for page in self._cluster.list_pages(
                "Event", job.namespace, {"fieldSelector": which}, _told
            ):
                found += page.items
        except ClusterousError as error:
            logger.info("The events of Job %s/%s cannot be read: %s", *_key(job), error)
        return max(found, default=("", ""))[1]

    async def _can_grow(self, name: str) -> bool:
        """Tell whether a storage class lets volumes grow; where it does not say, they do not."""
        kept = self._classes.of(name)
        if name and kept.until <= self._clock():
            found = await self._read("StorageClass", name)
            kept.value = bool(found.get("allowVolumeExpansion"))
            kept.until = self._clock() + _CLASS_SECONDS
        return bool(kept.value)

    async def _reaches(self, name: str) -> Mapping[str, Any] | None:
        """Return the node affinity of a volume; None where nobody tells."""
        kept = self._reach.of(name)
        if kept.until <= self._clock():
            found = await self._read("PersistentVolume", name)
            spec = found.get("spec") or {}
            # NFS is mounted by as many nodes as like, whatever the claim says of itself.
            is_known = bool(found) and "nfs" not in spec
            kept.value = (spec.get("nodeAffinity") or {}) if is_known else None
            kept.until = self._clock() + (_ABSENT_SECONDS if found else _CLASS_SECONDS)
        value: Mapping[str, Any] | None = kept.value
        return value

    async def _read(self, kind: str, name: str) -> Mapping[str, Any]:
        try:
            return await self._cluster.read(kind, None, name)
        except ClusterousError as error:
            logger.info("%s %s cannot be read: %s", kind, name, error)
            return {}


def _key(job: Child) -> tuple[str, str]:
    return job.namespace, job.name


def _told(event: Mapping[str, Any]) -> tuple[str, str]:
    """Return when an event was told last, and its words."""
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("deprecatedLastTimestamp"))
    return max(filter(None, (*times, event.get("eventTime"))), default=""), event.get("note", "")


def _barren(look: Look) -> Iterable[Child]:
    """Return the Jobs that are to run and have had no pod for a while."""
    return (one for one, left in _waits_of(look) if left <= 0)


def barren_in(look: Look) -> float | None:
    """Return in how many seconds it is to be asked why a Job has no pod, or asked again."""
    found = [left if left > 0 else _BARREN_AGAIN_SECONDS for _, left in _waits_of(look)]
    return min(found, default=None)


def _waits_of(look: Look) -> Iterable[tuple[Child, float]]:
    for one in look.children.values():
        since = one.state.get("barren_since")
        if since and look.now and not one.deleting and not one.state.get("suspended"):
            passed = look.now - datetime.fromisoformat(since)
            yield one, _BARREN_SECONDS - passed.total_seconds()


def _cpu(item: Mapping[str, Any]) -> Decimal:
    """Return what all containers of a pod use together."""
    parts = [quantity.amounts(one.get("usage")) for one in item.get("containers") or ()]
    return quantity.total(parts).get("cpu", Decimal(0))
