"""How long a number of apps takes from the first one's creation until all are ready."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from bench.operator import audit, client, processes, statistic
from bench.operator.client import Client
from bench.operator.errors import BenchError
from bench.operator.testbed import Testbed

Manifest = Mapping[str, Any]
Tell = Callable[[str], None]

_CREATORS = 16
_TELL_SECONDS = 10.0
_SETTLE_SECONDS = 5.0
# Far more than any side has needed: whoever is not done by then never will be.
_LIMIT_SECONDS = 120.0
_LIMIT_SECONDS_PER_APP = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """Where to watch for readiness: *read* names the app whose part has become ready, or None."""

    path: str
    read: Callable[[Manifest], tuple[str, str] | None]


class Side(Protocol):
    """Who brings apps up."""

    name: str
    user: str  # in the audit log

    @property
    def signs(self) -> Sequence[Sign]:
        """Return where to watch for readiness."""

    def prepare(self, bed: Testbed) -> None:
        """Install what it needs on an empty server."""

    def running(self, bed: Testbed) -> contextlib.AbstractAsyncContextManager[int | None]:
        """Let it work; give the id of its process, if it has one of its own."""

    def app(self, index: int) -> tuple[str, Manifest]:
        """Return where an app is created, and what."""

    def needed(self) -> int:
        """Return how many parts of an app have to become ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rise:
    """One measurement. CPU in seconds, memory in MiB."""

    side: str
    apps: int
    seconds: float
    created_seconds: float
    ready_seconds: Mapping[str, float]  # of single apps, from the first one's creation
    cpu: Mapping[str, float]
    writes: Mapping[str, int]
    idle_mib: float | None = None
    resident_mib: float | None = None
    peak_mib: float | None = None
    load_before: float = 0.0


@dataclass(slots=True)
class _Progress:
    """Which parts of which apps are ready, and when each app was."""

    needed: int
    parts: dict[str, set[str]] = field(default_factory=dict)
    ready: dict[str, float] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def saw(self, app: str, part: str) -> None:
        parts = self.parts.setdefault(app, set())
        parts.add(part)
        if len(parts) == self.needed and app not in self.ready:
            self.ready[app] = time.perf_counter()
            self.news.set()


async def measure(side: Side, bed: Testbed, count: int, running: int | None, tell: Tell) -> Rise:
    """Create *count* apps at once and wait until all are ready."""
    load = os.getloadavg()[0]
    pids = bed.pids() | ({side.name: running} if running else {})
    idle = processes.memory(running) if running else None
    since = audit.size(bed.plane.audit_log)
    async with (
        client.as_administrator(bed.plane) as administrator,
        _watching(administrator, side) as progress,
    ):
        before, began = processes.usage(pids), time.perf_counter()
        await _create(administrator, [side.app(index) for index in range(count)])
        created = time.perf_counter()
        await _until_ready(progress, count, f"{side.name} {count}", tell)
        after = processes.usage(pids)
    ended = max(progress.ready.values())
    await asyncio.sleep(_SETTLE_SECONDS)
    memory = processes.memory(running) if running else None
    writes = audit.by(side.user, audit.read(bed.plane.audit_log, since))
    return Rise(
        side=side.name,
        apps=count,
        seconds=round(ended - began, 2),
        created_seconds=round(created - began, 2),
        ready_seconds=statistic.summary([one - began for one in progress.ready.values()]),
        cpu=processes.spent(before, after),
        writes=audit.counted(writes),
        idle_mib=None if idle is None else idle.resident_mib,
        resident_mib=None if memory is None else memory.resident_mib,
        peak_mib=None if memory is None else memory.peak_mib,
        load_before=round(load, 2),
    )


async def _create(administrator: Client, apps: Sequence[tuple[str, Manifest]]) -> None:
    """Create apps as fast as the server takes them from a handful of connections."""
    waiting = iter(apps)

    async def creator() -> None:
        for where, body in waiting:
            await administrator.call("POST", where, body)

    async with asyncio.TaskGroup() as group:
        for _ in range(_CREATORS):
            group.create_task(creator())


@contextlib.asynccontextmanager
async def _watching(administrator: Client, side: Side) -> AsyncIterator[_Progress]:
    progress = _Progress(needed=side.needed())

    async def watch(sign: Sign) -> None:
        async for _, body in administrator.follow(sign.path):
            if (found := sign.read(body)) is not None:
                progress.saw(*found)

    async with together(*(watch(sign) for sign in side.signs)):
        await asyncio.sleep(0.5)  # the watches are open
        yield progress


@contextlib.asynccontextmanager
async def together(*work: Any) -> AsyncIterator[None]:
    """Run coroutines beside the block; they end with it, and it ends when one of them fails."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in work]
        yield
        for task in tasks:
            task.cancel()


async def _until_ready(progress: _Progress, count: int, what: str, tell: Tell) -> None:
    limit = time.perf_counter() + _LIMIT_SECONDS + count * _LIMIT_SECONDS_PER_APP
    told = time.perf_counter()
    while len(progress.ready) < count:
        if time.perf_counter() > limit:
            raise BenchError(f"{what}: only {len(progress.ready)} became ready in time")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await progress.news.wait()
        progress.news.clear()
        if time.perf_counter() - told > _TELL_SECONDS:
            told = time.perf_counter()
            tell(f"{what}: {len(progress.ready)} ready")
