"""One `create` or `destroy` of a cluster at a time: an object in its bucket says whose turn it is.

Whoever works renews it; what was not renewed for a while is taken over. How long ago that was is
told by S3's own clock, so that those of laptops do not matter.
"""

import getpass
import json
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

from clusterous_api.errors import ClusterousError, TransientError
from clusterous_cli.aws import errors
from clusterous_cli.aws.client import Aws
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import LOCK_KEY
from clusterous_cli.system import wait
from clusterous_cli.terminal.lines import Lines

# Renewed thrice before it runs out: one lost answer is no reason to lose it.
SECONDS: Final = 60.0
RENEWED: Final = 20.0
# Until who renews a lock has seen that it was broken.
NOTICED: Final = RENEWED + 5.0
LOOKS: Final = 2.0
TRIES: Final = 5
TAKEN: Final = ("PreconditionFailed", "412", "NoSuchKey")


class Busy(TransientError):
    """Another create or destroy of the cluster is at work, or has just been."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A lock as S3 has it: whose, which writing of it, and the seconds since that.

    *process* is who holds it as this machine would know it: where, and which number.
    """

    by: str
    id: str
    etag: str
    age: float
    process: tuple[str, int] = ("", 0)
    broke: str = ""  # the id of the lock that it was taken from by force

    @property
    def over(self) -> bool:
        """Whether it ran out, or its process was killed on this very machine."""
        return self.age >= SECONDS or (
            self.process[0] == here() != "" and not _runs(self.process[1])
        )


@dataclass(slots=True, kw_only=True)
class Lock:
    """The lock as one process takes it for what it is *doing*."""

    cloud: Aws
    who: Identity
    doing: str
    pauses: wait.Pauses
    breaks: bool = False  # take it also from who is at work
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    lost: str = ""  # whose it has become
    broken: bool = False  # and by force
    taken_from: str = ""  # whose it was, where this one took it by force
    _broke: str = ""
    _etag: str = ""
    _turn: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def take(self, lines: Lines) -> None:
        """Take it, or say whose it is: who renews it is alive, and is not waited for."""
        first = self._first(lines)
        if first is not None and not self.taken_from:
            lines.set("lock", f"{first.by} ended", done=True)

    def _first(self, lines: Lines) -> Held | None:
        """Take it, and return whose it was before, if anybody's."""
        first: Held | None = None
        while not self._put(IfNoneMatch="*"):
            held = self.look()
            if held is None:
                continue  # it was released just now
            if held.id == self.id:  # the answer was lost
                self._etag = held.etag
                break
            if held.over and self._put(IfMatch=held.etag):
                break
            if self.breaks:
                self._broke = held.id
                if self._put(IfMatch=held.etag):
                    self.taken_from = held.by
                    break
                continue  # it was renewed just now
            if first and held.etag != first.etag:
                raise Busy(f"{held.by} is at work on {self.who.name}. {AFTER}")
            first = first or held
            lines.set("lock", f"{held.by} was at work {held.age:.0f} s ago, and may have ended")
            self.pauses.sleep(LOOKS)
        return first

    def let_stop(self, lines: Lines) -> None:
        """Wait until whose lock was broken knows that, and has stopped."""
        if self.taken_from:
            words = f"taken from {self.taken_from}, whose work stops within {NOTICED:.0f} s"
            lines.set("lock", words)
            self.pauses.sleep(NOTICED)
            lines.set("lock", f"taken from {self.taken_from}", done=True)

    def look(self) -> Held | None:
        """Return whose it is now."""
        answer = self.cloud.find("s3", "get_object", **self._place)
        if answer is None:
            return None
        date = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        age = (date - answer["LastModified"]).total_seconds()
        return _read(answer["Body"].read(2000), answer["ETag"], age)

    def renew(self) -> None:
        """Keep it until it is released; stop the work when it has become another's."""
        while not self.ended.wait(RENEWED):
            try:
                if self._put(IfMatch=self._etag):
                    continue
                held = self.look()
            except errors.NotFound:
                return  # destroy removes the bucket last
            except ClusterousError:
                continue  # tried again before it runs out; the work itself meets what it is
            if held is None:
                return
            if held.id != self.id:
                self.lost, self.broken = held.by, held.broke == self.id
                self.pauses.stop()
                return
            self._etag = held.etag

    def release(self) -> None:
        """Let the next one in; where that fails, it runs out by itself."""
        self.ended.set()
        with suppress(ClusterousError):
            if (held := self.look()) and held.id == self.id:
                self.cloud.call("s3", "delete_object", **self._place)

    @property
    def _place(self) -> dict[str, str]:
        owner = self.who.account
        return {"Bucket": self.who.bucket, "ExpectedBucketOwner": owner, "Key": LOCK_KEY}

    def _put(self, **condition: str) -> bool:
        self._turn += 1  # so that each writing has a mark of its own
        content = {
            "by": f"{self.doing} by {person()}",
            "id": self.id,
            "turn": self._turn,
            "process": [here(), os.getpid()],
            "broke": self._broke,
        }
        body = json.dumps(content).encode()
        for left in reversed(range(TRIES)):
            try:
                answer = self.cloud.attempt(
                    "s3", "put_object", *TAKEN, Body=body, **self._place, **condition
                )
                break
            except TransientError:
                if not left:
                    raise
                self.pauses.sleep(LOOKS)
        if answer is not None:
            self._etag = str(answer["ETag"])
        return answer is not None


AFTER: Final = (
    "Try again when that has ended. One that was killed, or whose machine sleeps, is not waited for"
    f" longer than {SECONDS:.0f} s; --break-lock takes the turn from one that is at work."
)


def changed(who: Identity) -> Busy:
    """Say that what was seen of the cluster is not so any more."""
    return Busy(
        f"Another create or destroy has changed {who.name} meanwhile. Nothing was done; run the"
        " command again: it looks anew."
    )


def person() -> str:
    """Return who works here, as others may know them."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        user = "somebody"
    return f"{user} on {socket.gethostname()}"


def here() -> str:
    """Name where process numbers are as ours: this start of this machine, and this container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""  # another system than Linux: what was killed runs out


def _runs(number: int) -> bool:
    """Whether a process is there, and not one that has ended and whose parent has not looked."""
    try:
        told = Path(f"/proc/{number}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    except OSError:
        return True
    return told.rpartition(")")[2].split()[0] not in ("Z", "X")


def _read(body: bytes, etag: str, age: float) -> Held:
    try:
        content = json.loads(body)
        place, number = content["process"]
        process = (str(place), int(number))
        broke = str(content.get("broke", ""))
        return Held(
            by=str(content["by"]), id=content["id"], etag=etag, age=age, process=process,
            broke=broke,
        )  # fmt: skip
    except (ValueError, KeyError, TypeError):
        return Held(by="another clusterous", id="", etag=etag, age=age)


@contextmanager
def held(lock: Lock, lines: Lines) -> Iterator[None]:
    """Hold the lock while the work goes on; it is released at the end, whatever that is."""
    try:
        lock.take(lines)
    except errors.NotFound as error:  # the bucket, which was there
        raise changed(lock.who) from error
    try:
        with wait.beside(lock.renew, lock.ended):
            lock.let_stop(lines)
            yield
    except wait.Stopped as error:
        if not lock.lost:
            raise
        how = (
            f"{lock.lost} took the turn from this command (--break-lock), and"
            if lock.broken
            else f"This machine was away for longer than {SECONDS:.0f} s, and {lock.lost}"
        )
        raise Busy(
            f"{how} is at work on {lock.who.name} now. What was begun here is found again. {AFTER}"
        ) from error
    finally:
        lock.release()
