"""Waiting that can be interrupted, with a clock and a sleep that tests replace."""

import contextlib
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeVar

from clusterous_api.errors import ClusterousError, FailedError, TransientError

T = TypeVar("T")
# Seconds for what is under way beside a block at its end; a call that hangs is not waited for.
PATIENCE: Final = 10.0


class Stopped(FailedError):
    """The user asked to stop; what was begun is finished, nothing new is begun."""

    exit_code = 130


@dataclass(slots=True)
class Pauses:
    """A clock and a sleep; once stopped, every sleep ends at once with Stopped."""

    clock: Callable[[], float] = time.monotonic
    event: threading.Event = field(default_factory=threading.Event)

    def sleep(self, seconds: float) -> None:
        """Wait, unless the user asks to stop."""
        if self.event.wait(seconds):
            raise Stopped("Stopped.")

    def stop(self) -> None:
        """Let every present and future sleep end."""
        self.event.set()

    @property
    def stopped(self) -> bool:
        """Whether the user asked to stop."""
        return self.event.is_set()


def until(
    check: Callable[[], T | None],
    what: str,
    pauses: Pauses,
    *,
    timeout: float,
    first: float = 0.5,
    longest: float = 5.0,
) -> T:
    """Ask *check* again and again, less often with time, until it answers something."""
    deadline = pauses.clock() + timeout
    delay = first
    while True:
        answer = check()
        if answer is not None:
            return answer
        if pauses.clock() + delay > deadline:
            raise FailedError(f"{what} took longer than {timeout:.0f} s.")
        pauses.sleep(delay)
        delay = min(delay * 1.5, longest)


@dataclass(slots=True, kw_only=True)
class Progress:
    """How long nothing has come further: what is slow is waited for, what stands still is not.

    Each mark counts once, so that what goes to and fro is no progress.
    """

    clock: Callable[[], float] = time.monotonic
    _since: float | None = None
    _seen: set[Hashable] = field(default_factory=set)

    def still(self, *marks: Hashable) -> float:
        """Return the seconds since a mark was seen that had not been seen before."""
        new = set(marks) - self._seen
        if new or self._since is None:
            self._seen |= new
            self._since = self.clock()
        return self.clock() - self._since


@dataclass(slots=True, kw_only=True)
class Lasting:
    """How long troubles last, each by its name: what passes by is none."""

    clock: Callable[[], float] = time.monotonic
    _free: dict[str, float] = field(default_factory=dict)
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()

    def seconds(self, trouble: str, holds: bool) -> float:
        """Return the seconds since *trouble* was last seen not to hold, or since the beginning."""
        now = self.clock()
        if not holds:
            self._free[trouble] = now
        return now - self._free.get(trouble, self._began)


@dataclass(slots=True, kw_only=True)
class Patience:
    """Asks again what got no answer: a connection that breaks for a moment ends no wait.

    What cannot be had for *seconds* without a break is an error after all. *mend* is tried between,
    such as to open a tunnel again, and *tell* hears of it once each time.
    """

    mend: Callable[[], None]
    tell: Callable[[str], None]
    name: str = "The cluster"
    seconds: float = 300.0
    pause: float = 2.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def ask(self, question: Callable[[], T]) -> T:
        """Return the answer to *question*, however often it takes."""
        began: float | None = None
        while True:
            try:
                return question()
            except TransientError as error:
                if began is None:
                    began = self.clock()
                    self.tell(f"{self.name} does not answer; trying again. ({error})")
                if self.clock() - began >= self.seconds:
                    raise
            self.sleep(self.pause)
            with contextlib.suppress(ClusterousError):  # the question itself says why not
                self.mend()


@contextlib.contextmanager
def beside(
    work: Callable[[], None], ended: threading.Event, patience: float | None = PATIENCE
) -> Iterator[None]:
    """Do *work* in a thread beside the block; it returns soon after *ended* is set, at its end.

    What comes after the block finds nothing of it under way: a renewal that arrives after what it
    renews was taken away would bring that back.
    """
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(patience)
