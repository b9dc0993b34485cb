"""Time in the region: changes that are due later, and a counter that grows with every change."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable


class Changes:
    """A generation that grows, and waiting for it."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._generation = 0

    @property
    def generation(self) -> int:
        return self._generation

    def bump(self) -> None:
        with self._condition:
            self._generation += 1
            self._condition.notify_all()

    def wait(self, after: int, timeout: float) -> int:
        """Wait until the generation exceeds *after*, at most *timeout* seconds; return it."""
        with self._condition:
            self._condition.wait_for(lambda: self._generation > after, timeout)
            return self._generation


class Timers:
    """Actions with a due time. Whoever holds the region's lock calls `run_due`."""

    def __init__(self, clock: Callable[[], float], changes: Changes) -> None:
        self._clock = clock
        self._changes = changes
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Do *action* in *seconds*; at once if that is no time at all."""
        if seconds <= 0:
            action()
            self._changes.bump()
            return
        heapq.heappush(self._queue, (self._clock() + seconds, next(self._order), action))

    def is_due(self) -> bool:
        return bool(self._queue) and self._queue[0][0] <= self._clock()

    def run_due(self) -> None:
        while self.is_due():
            _, _, action = heapq.heappop(self._queue)
            action()
            self._changes.bump()

    def waits(self) -> bool:
        """Tell whether anything is still to come."""
        return bool(self._queue)

    def clear(self) -> None:
        self._queue.clear()
