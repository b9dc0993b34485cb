"""Whether watches still speak: what we wrote ourselves must come back through one. Pure.

A stream that is open and silent looks exactly like a quiet cluster. Only something that is known to
have happened tells the two apart; for the operator that is the renewal of its own Lease.
"""

from collections.abc import Callable


class Canary:
    """Remembers the oldest write that has not come back yet."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._awaited: tuple[int, float] | None = None
        self._seen = 0

    def expect(self, version: int) -> None:
        """We wrote *version*, or have read it: the watch must bring it, or a later one."""
        if version > self._seen and self._awaited is None:
            self._awaited = (version, self._clock())

    def saw(self, version: int) -> None:
        """The watch brought *version*."""
        self._seen = max(self._seen, version)
        if self._awaited is not None and self._awaited[0] <= self._seen:
            self._awaited = None

    def silent_seconds(self) -> float:
        """Return for how long something has been missing; 0 if nothing is."""
        return 0.0 if self._awaited is None else self._clock() - self._awaited[1]
