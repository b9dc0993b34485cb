"""The queue: which apps are to be looked at, each once, by one worker at a time.

An app that is added while it is being worked on comes again afterwards. Failures come again later
and later: from *first_delay* doubling up to *last_delay*, with jitter so that they spread.

What a user asks for overtakes what merely happens: while five hundred pods start, a change of
another app does not wait for them.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable

Key = tuple[str, str]

_FAIR_TURN = 4  # so often it is the turn of those that are overtaken


class WorkQueue:
    """Keys waiting for a worker."""

    def __init__(
        self,
        *,
        first_delay: float = 0.1,
        last_delay: float = 300.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._first_delay = first_delay
        self._last_delay = last_delay
        self._jitter = jitter
        self._lanes: tuple[deque[Key], deque[Key]] = (deque(), deque())  # the urgent one first
        self._entries = asyncio.Semaphore(0)  # in both lanes
        self._turn = 0
        self._urgent: set[Key] = set()
        self._wanted: dict[Key, float] = {}  # since when
        self._busy: dict[Key, float] = {}  # since when
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self.adds = 0
        self.retries = 0

    def busy_seconds(self) -> list[float]:
        """Return for how long each key has been worked on that still is."""
        now = asyncio.get_running_loop().time()
        return [now - since for since in self._busy.values()]

    def __len__(self) -> int:
        """Return how many keys wait."""
        return len(self._wanted.keys() - self._busy.keys())

    def add(self, key: Key, delay: float = 0.0, *, urgent: bool = False) -> None:
        """Ask for a look at *key*, at once or in *delay* seconds; the earliest request counts.

        An urgent one overtakes the others that wait.
        """
        overtakes = urgent and key not in self._urgent
        if urgent:
            self._urgent.add(key)
        if key in self._wanted:
            if overtakes and key not in self._busy:
                self._enter(key)  # its first entry is skipped when it comes
            return
        if delay > 0:
            self._add_later(key, delay)
            return
        self._stop_timer(key)
        self._wanted[key] = asyncio.get_running_loop().time()
        self.adds += 1
        if key not in self._busy:
            self._enter(key)

    def _enter(self, key: Key) -> None:
        self._lanes[0 if key in self._urgent else 1].append(key)
        self._entries.release()

    def _add_later(self, key: Key, delay: float) -> None:
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= loop.time() + delay:
            return
        self._stop_timer(key)
        self._timers[key] = loop.call_later(delay, self.add, key)

    def _stop_timer(self, key: Key) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    async def take(self) -> tuple[Key, float]:
        """Wait for a key; return it and since when it has been wanted."""
        while True:
            await self._entries.acquire()
            key = self._next()
            if key in self._wanted and key not in self._busy:
                break
        self._urgent.discard(key)
        self._busy[key] = asyncio.get_running_loop().time()
        self._idle.clear()
        return key, self._wanted.pop(key)

    def _next(self) -> Key:
        """Take an entry out of a lane; every few turns the other lane goes first."""
        self._turn += 1
        urgent, patient = self._lanes
        first, second = (patient, urgent) if self._turn % _FAIR_TURN == 0 else (urgent, patient)
        return (first or second).popleft()

    def done(self, key: Key) -> None:
        """Say that the work on *key* has ended, well or not."""
        self._busy.pop(key, None)
        if not self._busy:
            self._idle.set()
        if key in self._wanted:
            self._enter(key)

    async def idle(self) -> None:
        """Wait until nobody is at work."""
        await self._idle.wait()

    def succeeded(self, key: Key) -> None:
        """Forget the failures of *key*."""
        self._failures.pop(key, None)

    def failed(self, key: Key, at_least: float = 0.0, at_most: float = float("inf")) -> float:
        """Ask for *key* again after a while; return how long."""
        self.retries += 1
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        pause: float = min(self._first_delay * 2 ** min(count, 30), self._last_delay)
        delay = min(max(pause * (0.5 + self._jitter() / 2), at_least), at_most)
        self.add(key, delay)
        return delay
