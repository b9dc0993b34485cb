"""The journal of a turn: each call that changes something, in the cluster's bucket.

It is first written here, to a file of this machine: who is killed leaves what was called, and the
next turn from here brings it to the bucket.
"""

import fcntl
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TextIO

from clusterous_api.errors import ClusterousError
from clusterous_cli.aws.client import READS, Aws
from clusterous_cli.cluster import local, record
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import AUDIT, LOCK_KEY
from clusterous_cli.system import private, wait
from clusterous_cli.turns import calls
from clusterous_cli.turns.lock import person

# How long the bucket may be behind.
SECONDS: Final = 5.0
PATTERN: Final = "audit-*.jsonl"


class Journal:
    """What one turn of one process called; see aws.client.Witness."""

    def __init__(self, file: TextIO, *, by: str, doing: str, now: Callable[[], datetime]) -> None:
        self._file = file
        self._now = now
        self._lock = threading.Lock()
        self._bringing = threading.Lock()
        self._count = 0
        self._kept = 0  # how much of the file is in the bucket
        self._over = False  # the bucket is about to go, and the journal with it
        self._write(calls.heading(by, doing))

    def asked(self, service: str, action: str, parameters: Mapping[str, Any]) -> int | None:
        """Note a call before it is made, and return its number; None if it changes nothing."""
        if action.startswith(READS) or _is_about_turns(parameters):
            return None
        if (service, action) in ENDING:
            with self._bringing:  # what is on its way to the bucket arrives before it is emptied
                self._over = True
        with self._lock:
            self._count += 1
            spelled = f"{service}:{''.join(part.capitalize() for part in action.split('_'))}"
            self._write(calls.asked(self._count, spelled, self._time(), parameters))
            return self._count

    def answered(self, number: int, answer: Any, error: str) -> None:
        """Note what came of it."""
        with self._lock:
            self._write(calls.answered(number, self._time(), answer, error))

    def bring(self, put: Callable[[bytes], bool]) -> bool:
        """Bring what is new to the bucket; whether all is there."""
        with self._bringing:
            if self._over or not self._count:
                return True
            content = Path(self._file.name).read_bytes()
            if len(content) > self._kept and put(content):
                self._kept = len(content)
            return self._kept == len(content)

    def _write(self, line: str) -> None:
        self._file.write(line)
        self._file.flush()

    def _time(self) -> str:
        return self._now().isoformat(timespec="milliseconds")


# How `destroy` begins to remove the bucket, and nothing else begins.
ENDING: Final = (("s3", "delete_objects"), ("s3", "delete_bucket"))


def _is_about_turns(parameters: Mapping[str, Any]) -> bool:
    """Whether it is the journal's own call, or the lock's: they come every few seconds."""
    key = parameters.get("Key", "")
    return key == LOCK_KEY or str(key).startswith(AUDIT)


@contextmanager
def kept(cloud: Aws, who: Identity, doing: str, now: Callable[[], datetime]) -> Iterator[None]:
    """Keep a journal of what this process calls while it is *doing* something to the cluster."""
    folder = local.settle(who)
    private.folder(folder)
    _bring_earlier(cloud, who, folder)
    key = f"{now():%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
    path = folder / PATTERN.replace("*", key)
    with path.open("x") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # tells others that its process is alive
        journal = Journal(file, by=person(), doing=doing, now=now)
        put = _putting(cloud, who, key)
        over = threading.Event()
        try:
            with wait.beside(partial(_follow, journal, put, over), over, patience=None):
                cloud.witness = journal
                try:
                    yield
                finally:
                    cloud.witness = None
        finally:
            if journal.bring(put):
                path.unlink(missing_ok=True)


def _follow(journal: Journal, put: Callable[[bytes], bool], over: threading.Event) -> None:
    while not over.wait(SECONDS):
        journal.bring(put)


def _putting(cloud: Aws, who: Identity, key: str) -> Callable[[bytes], bool]:
    def put(content: bytes) -> bool:
        try:
            cloud.call(
                "s3", "put_object", Bucket=who.bucket, ExpectedBucketOwner=who.account,
                Key=f"{AUDIT}{key}.jsonl", Body=content,
            )  # fmt: skip
        except ClusterousError:
            return False  # tried again; the work itself meets what it is
        return True

    return put


def _bring_earlier(cloud: Aws, who: Identity, folder: Path) -> None:
    """Bring what processes left that were killed, or whose network was cut."""
    for path in sorted(folder.glob(PATTERN)):
        with suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # one that runs has it
            key = path.name.removeprefix("audit-").removesuffix(".jsonl")
            if _putting(cloud, who, key)(file.read()):
                path.unlink()


def listed(cloud: Aws, who: Identity, most: int) -> tuple[calls.Call, ...]:
    """Return the last *most* calls, in the order of their time."""
    found = record.listed_objects(cloud, who, AUDIT)
    heard: list[calls.Call] = []
    # A turn's name begins with its time; one that began before may still have gone on after.
    for one in sorted((str(one["Key"]) for one in found), reverse=True):
        heard += calls.read((record.read_object(cloud, who, one) or b"").decode(errors="replace"))
        if len(heard) >= most:
            break
    return tuple(sorted(heard, key=lambda one: one.began)[-most:])
