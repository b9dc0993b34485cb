"""Whose turn it is on a bucket of images: many may push at a time, or one collects.

Who pushes says so first and then looks whether somebody collects; who collects takes the lock
first and then waits for those who push. S3 shows each writing at once, so one of two sees the
other. A push that had begun unseen would lose layers that no image names yet.
"""

import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Final

from clusterous_api.errors import ClusterousError, TransientError
from clusterous_cli.aws.client import Aws
from clusterous_cli.cluster.file.registry import TURNS
from clusterous_cli.system.wait import beside
from clusterous_cli.terminal.lines import Lines
from clusterous_cli.turns import lock

LOCK: Final = f"{TURNS}lock.json"
PUSHES: Final = f"{TURNS}pushes/"
# In seconds. A collection is ended before its lock is over, however its laptop is.
COLLECTS: Final = 3000
OVER: Final = 3600
# A push says again and again that it goes on; so long without a word, its laptop is gone.
RENEWED: Final = 60.0
SILENT: Final = 600
LOOKS: Final = 5.0


class Collected(TransientError):
    """Somebody collects what no image of the bucket needs any more."""


@dataclass(slots=True, kw_only=True)
class Lock(lock.Lock):
    """The lock of a bucket of images, as one process takes it to collect."""

    bucket: str = field(default="")

    @property
    def _place(self) -> dict[str, str]:
        return {"Bucket": self.bucket, "ExpectedBucketOwner": self.who.account, "Key": LOCK}

    def _first(self, lines: Lines) -> lock.Held | None:
        """Take it, and return whose it was before, if anybody's.

        That its laptop is gone says nothing of what it began on its cluster: that ends by itself.
        """
        for _ in range(lock.TRIES):
            if self._put(IfNoneMatch="*"):
                return None
            held = self.look()
            if held is None:
                continue  # it was released just now
            if held.age >= OVER and self._put(IfMatch=held.etag):
                return held
            raise lock.Busy(
                f"{held.by} has the lock of the bucket {self.bucket}, and was seen {held.age:.0f} s"
                f" ago. It is over {OVER // 60} minutes after its last word; try again then."
            )
        raise lock.changed(self.who)


@contextmanager
def pushing(cloud: Aws, bucket: str, lasts: int = 0) -> Iterator[None]:
    """Push meanwhile; Collected if somebody collects.

    What pushes may go on without this machine for as many seconds as *lasts*.
    """
    owner = {"Bucket": bucket, "ExpectedBucketOwner": cloud.account}
    place = {**owner, "Key": f"{PUSHES}{uuid.uuid4().hex}.json"}
    ended = threading.Event()

    def say() -> None:
        body = json.dumps({"by": lock.person(), "lasts": lasts}).encode()
        cloud.call("s3", "put_object", Body=body, **place)

    def renew() -> None:
        while not ended.wait(RENEWED):
            with suppress(ClusterousError):
                say()

    say()
    try:
        if (by := collects(cloud, owner)) is not None:
            raise Collected(
                f"{by} collects what no image in the bucket {bucket} needs. Nothing is pushed"
                " meanwhile, from any cluster; try again when that has ended."
            )
        with beside(renew, ended):
            yield
    finally:
        with suppress(ClusterousError):
            cloud.call("s3", "delete_object", **place)


def collects(cloud: Aws, owner: Mapping[str, str]) -> str | None:
    """Return who collects, or None."""
    answer = cloud.find("s3", "get_object", Key=LOCK, **owner)
    if answer is None or _age(answer) >= OVER:
        return None
    return str(json.loads(answer["Body"].read()).get("by", "somebody"))


def pushers(cloud: Aws, owner: Mapping[str, str]) -> list[str]:
    """Return who pushes now."""
    found = []
    for one in cloud.pages("s3", "list_objects_v2", "Contents", Prefix=PUSHES, **owner):
        answer = cloud.find("s3", "get_object", Key=one["Key"], **owner)
        if answer is None:
            continue
        told = json.loads(answer["Body"].read())
        if _age(answer) < max(SILENT, int(told["lasts"])):
            found.append(str(told["by"]))
    return found


def _age(answer: Mapping[str, Any]) -> float:
    """Return the seconds since an object was written, by S3's own clock."""
    date = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    return float((date - answer["LastModified"]).total_seconds())


def wait_for_pushes(
    cloud: Aws, bucket: str, pause: Callable[[float], None], tell: Callable[[str], None]
) -> None:
    """Wait until nobody pushes, who began before the lock was taken."""
    owner = {"Bucket": bucket, "ExpectedBucketOwner": cloud.account}
    while there := pushers(cloud, owner):
        tell(f"waits for {', '.join(sorted(set(there)))}, who push")
        pause(LOOKS)
