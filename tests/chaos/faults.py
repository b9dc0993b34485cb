"""What can go wrong between an operator and the API server, one class each.

Shares are probabilities; each fault draws from a random generator of its own, so that a seed tells
what happened, as far as the order of calls is the same.
"""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Callable
from typing import Any

from tests.chaos import calls
from tests.chaos.calls import Call, DroppedError, Events, Fault, Reply

Which = Callable[[Call], bool]

_CLIENT_GIVES_UP = 35.0  # longer than the operator waits for an answer


def writes(call: Call) -> bool:
    """Choose what changes something."""
    return call.is_write


def reads(call: Call) -> bool:
    """Choose lists and single reads."""
    return call.method == "GET" and not call.is_watch


def anything(call: Call) -> bool:
    """Choose every call but the streams."""
    return not call.is_watch


class Kills(Fault):
    """Ends the operator at its *number*-th write to *namespace*: before it reaches the server, or
    *late*, when it was done but the answer is still under way."""

    def __init__(self, *, namespace: str, number: int, late: bool, kill: Callable[[], None]):
        self._namespace = namespace
        self._number = number
        self._late = late
        self._kill = kill
        self._chosen: Call | None = None
        self.counted = 0
        self.struck: str | None = None  # the write at which it happened

    async def before(self, call: Call) -> Reply | None:
        if not call.changes(self._namespace):
            return None
        self.counted += 1
        if self.counted != self._number:
            return None
        self._chosen = call
        if not self._late:
            self._strike(call)
        return None

    async def after(self, call: Call, reply: Reply) -> Reply:
        if call is self._chosen:
            self._strike(call)
        return reply

    def _strike(self, call: Call) -> None:
        self.strikes += 1
        self._kill()
        self.struck = str(call)
        raise DroppedError


class KillsEach(Fault):
    """Ends the operator at each of its first *times* writes to *namespace*, in turn before and
    after: hardly any of its lives sees more than one write through."""

    def __init__(self, *, namespace: str, times: int, kill: Callable[[], None]) -> None:
        self._namespace = namespace
        self._left = times
        self._kill = kill
        self._seen: set[str] = set()

    async def before(self, call: Call) -> Reply | None:
        # The same write is let through the second time; else nothing would ever get done.
        if self._is_due(call) and str(call) not in self._seen:
            self._seen.add(str(call))
            self._strike()
        return None

    async def after(self, call: Call, reply: Reply) -> Reply:
        if self._is_due(call):
            self._strike()
        return reply

    def _is_due(self, call: Call) -> bool:
        return self._left > 0 and call.changes(self._namespace)

    def _strike(self) -> None:
        self.strikes += 1
        self._left -= 1
        self._kill()
        raise DroppedError


class Refuses(Fault):
    """Answers with an error instead of the API server."""

    def __init__(
        self,
        rng: random.Random,
        *,
        code: int,
        reason: str,
        which: Which = anything,
        share: float = 0.3,
        retry_after: int = 0,
    ) -> None:
        self._rng = rng
        self._reply = calls.refusal(code, reason, f"chaos: {reason}", retry_after)
        self._which = which
        self._share = share

    async def before(self, call: Call) -> Reply | None:
        if self._which(call) and self._rng.random() < self._share:
            self.strikes += 1
            return self._reply
        return None


class LosesAnswers(Fault):
    """Breaks the connection after the API server has done what was asked."""

    def __init__(self, rng: random.Random, *, which: Which = anything, share: float = 0.4) -> None:
        self._rng = rng
        self._which = which
        self._share = share

    async def after(self, call: Call, reply: Reply) -> Reply:
        if self._which(call) and self._rng.random() < self._share:
            self.strikes += 1
            raise DroppedError
        return reply


class FailsAfterwards(Fault):
    """Answers 500 although it was done, as an API server does whose store answered too late."""

    def __init__(self, rng: random.Random, *, share: float = 0.4) -> None:
        self._rng = rng
        self._share = share

    async def after(self, call: Call, reply: Reply) -> Reply:
        if call.is_write and self._rng.random() < self._share:
            self.strikes += 1
            return calls.refusal(500, "InternalError", "chaos: etcdserver: request timed out")
        return reply


class Hangs(Fault):
    """Lets the first *times* calls wait for longer than the operator does, done or not done."""

    def __init__(self, rng: random.Random, *, which: Which, times: int) -> None:
        self._rng = rng
        self._which = which
        self._left = times

    async def before(self, call: Call) -> Reply | None:
        if self._is_due(call) and self._rng.random() < 0.5:
            await self._hang()
        return None

    async def after(self, call: Call, reply: Reply) -> Reply:
        if self._is_due(call):
            await self._hang()
        return reply

    def _is_due(self, call: Call) -> bool:
        return self._left > 0 and self._which(call)

    async def _hang(self) -> None:
        self.strikes += 1
        self._left -= 1
        await asyncio.sleep(_CLIENT_GIVES_UP)
        raise DroppedError


class Slow(Fault):
    """Delays each answer, so that many calls are under way at the same time."""

    def __init__(self, rng: random.Random, *, most: float = 1.0) -> None:
        self._rng = rng
        self._most = most

    async def before(self, call: Call) -> Reply | None:
        self.strikes += 1
        await asyncio.sleep(self._rng.random() * self._most / 2)
        return None

    async def after(self, call: Call, reply: Reply) -> Reply:
        await asyncio.sleep(self._rng.random() * self._most / 2)
        return reply


class Detains(Fault):
    """Keeps writes on their way for long: they arrive when nobody waits for them any more."""

    def __init__(self, *, seconds: float, namespace: str) -> None:
        self._seconds = seconds
        self._namespace = namespace

    async def before(self, call: Call) -> Reply | None:
        if call.changes(self._namespace):
            self.strikes += 1
            await asyncio.sleep(self._seconds)
        return None


class Partition(Fault):
    """No connection comes about while it is active; what is open, `Proxy.cut` breaks."""

    async def before(self, call: Call) -> Reply | None:
        self.strikes += 1
        raise DroppedError


class Tokens(Fault):
    """Knows only one token, and ends the streams of the others."""

    def __init__(self, current: str) -> None:
        self.current = current

    async def before(self, call: Call) -> Reply | None:
        if call.token == self.current:
            return None
        self.strikes += 1
        return calls.refusal(401, "Unauthorized", "Unauthorized")

    async def stream(self, call: Call, events: Events) -> Events:
        async for line in events:
            if call.token != self.current:
                raise DroppedError
            yield line


class StaleLists(Fault):
    """Answers lists from what they were when first asked for: an API server that lags behind."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], Reply] = {}
        self.serving = False

    async def before(self, call: Call) -> Reply | None:
        if self.serving and call.is_list and (known := self._first.get(_key(call))) is not None:
            self.strikes += 1
            return known
        return None

    async def after(self, call: Call, reply: Reply) -> Reply:
        if call.is_list and reply.status == 200:
            self._first.setdefault(_key(call), reply)
        return reply

    def forget(self) -> None:
        """Let the next lists be the ones to be served again."""
        self._first.clear()


def _key(call: Call) -> tuple[str, str]:
    return call.path, json.dumps(sorted(call.query.items()))


# Streams.


class Cuts(Fault):
    """Ends each watch after a short while, at times in the midst of an event."""

    def __init__(self, rng: random.Random, *, least: float = 0.2, most: float = 1.5) -> None:
        self._rng = rng
        self._least = least
        self._most = most

    async def stream(self, call: Call, events: Events) -> Events:
        seconds = self._rng.uniform(self._least, self._most)
        async for batch in _batches(events, 0.0, lasting=seconds):
            for line in batch:
                yield line
        self.strikes += self.active
        if self.active and self._rng.random() < 0.5:
            raise DroppedError(b'{"type":"MODIFIED","object":{"kind":"Po')


class Silences(Fault):
    """Lets the watches that are open fall silent when told to: they stay open, nothing comes any
    more. Those that begin later are well."""

    def __init__(self) -> None:
        self._times = 0

    def silence(self) -> None:
        """Let all that are open now fall silent."""
        self._times += 1

    async def stream(self, call: Call, events: Events) -> Events:
        mine = self._times
        async for line in events:
            if mine == self._times:
                yield line
            else:
                self.strikes += 1


class Repeats(Fault):
    """Sends each event twice."""

    async def stream(self, call: Call, events: Events) -> Events:
        async for line in events:
            yield line
            if self.active and _kind(line) != "ERROR":
                self.strikes += 1
                yield line


class Lags(Fault):
    """Holds events back: what the operator sees is always some seconds old."""

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds

    async def stream(self, call: Call, events: Events) -> Events:
        async for batch in _batches(events, self._seconds):
            self.strikes += 1
            for line in batch:
                yield line


class Reorders(Fault):
    """Mixes events of different objects, and keeps the order of each object's own."""

    def __init__(self, rng: random.Random, *, seconds: float = 0.4) -> None:
        self._rng = rng
        self._seconds = seconds

    async def stream(self, call: Call, events: Events) -> Events:
        async for batch in _batches(events, self._seconds):
            for line in self._mixed(batch):
                yield line

    def _mixed(self, batch: list[bytes]) -> list[bytes]:
        queues: dict[str, list[bytes]] = {}
        last = []
        for line in batch:
            kind, body = _read(line)
            if kind in ("BOOKMARK", "ERROR"):
                last.append(line)  # a bookmark says that nothing before it is missing
            else:
                queues.setdefault(body["metadata"]["uid"], []).append(line)
        mixed = []
        while queues:
            uid = self._rng.choice(sorted(queues))
            mixed.append(queues[uid].pop(0))
            if not queues[uid]:
                del queues[uid]
        self.strikes += mixed + last != batch
        return mixed + last


class Replays(Fault):
    """Sends older versions of an object again, after newer ones, while it lives."""

    def __init__(self, rng: random.Random, *, share: float = 0.5) -> None:
        self._rng = rng
        self._share = share

    async def stream(self, call: Call, events: Events) -> Events:
        past: dict[str, list[bytes]] = {}
        async for line in events:
            yield line
            kind, body = _read(line)
            uid = body.get("metadata", {}).get("uid")
            if uid is None:
                continue
            if kind == "DELETED":
                past.pop(uid, None)
                continue
            older = past.setdefault(uid, [])
            if self.active and older and self._rng.random() < self._share:
                self.strikes += 1
                yield calls.event("MODIFIED", _read(self._rng.choice(older))[1])
            older.append(line)


class Expires(Fault):
    """Says 410 Gone: instead of a watch, or in it after a while."""

    def __init__(self, rng: random.Random, *, share: float = 0.3, most: float = 1.5) -> None:
        self._rng = rng
        self._share = share
        self._most = most

    async def before(self, call: Call) -> Reply | None:
        if call.is_watch and self._rng.random() < self._share:
            self.strikes += 1
            return calls.refusal(410, "Expired", "chaos: too old resource version")
        return None

    async def stream(self, call: Call, events: Events) -> Events:
        seconds = self._rng.uniform(0.2, self._most)
        async for batch in _batches(events, 0.0, lasting=seconds):
            for line in batch:
                yield line
        if self.active:
            self.strikes += 1
            status = calls.refusal(410, "Expired", "chaos: too old resource version")
            yield calls.event("ERROR", json.loads(status.body))


def _read(line: bytes) -> tuple[str, dict[str, Any]]:
    found = json.loads(line)
    return found["type"], found["object"]


def _kind(line: bytes) -> str:
    return _read(line)[0]


async def _batches(
    events: Events, seconds: float, *, lasting: float | None = None
) -> AsyncGenerator[list[bytes]]:
    """Return events as they come, or all that came within *seconds*; end with the stream, or when
    it has been *lasting* so long."""
    loop = asyncio.get_running_loop()
    end = None if lasting is None else loop.time() + lasting
    queue: asyncio.Queue[bytes | None] = asyncio.Queue()
    pump = asyncio.ensure_future(_pump(events, queue))
    try:
        ended = False
        while not ended:
            try:
                async with asyncio.timeout_at(end):
                    batch = [await queue.get()]
            except TimeoutError:
                return
            await asyncio.sleep(seconds)
            while not queue.empty():
                batch.append(queue.get_nowait())
            ended = None in batch
            yield [one for one in batch if one is not None]
    finally:
        pump.cancel()


async def _pump(events: Events, queue: asyncio.Queue[bytes | None]) -> None:
    try:
        async for line in events:
            queue.put_nowait(line)
    finally:
        queue.put_nowait(None)
