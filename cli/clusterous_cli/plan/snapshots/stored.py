"""Snapshots of what a cluster's Kubernetes knows, in its bucket: which there are, and one of them.

The controller writes them (boot/templates/snapshot.sh), and each tells at its beginning what it is.
It is believed as far as it has the right form, and no further.
"""

import gzip
import io
import json
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from clusterous_api.errors import UserError
from clusterous_cli.aws.client import MOST_READ, Aws
from clusterous_cli.cluster import record
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import SNAPSHOTS

FORMAT: Final = 1
NEWEST: Final = "newest"
# The folder of a snapshot says how long it is kept: until the same name comes again.
KEPT: Final = {"asked": "until destroy", "day": "a month", "quarter": "a day"}
KEY: Final = re.compile(rf"{SNAPSHOTS}({'|'.join(KEPT)})/[0-9TZ]+\.tar\.gz")
NAME: Final = re.compile(r"\d{8}T\d{6}Z")
VOLUME: Final = re.compile(r"snap-[0-9a-f]+|")
K3S: Final = re.compile(r"v\d+\.\d+\.\d+\S*")
MINOR: Final = re.compile(r"v(\d+)\.(\d+)\.")
# So much holds the first file of the archive, which is short.
BEGINNING: Final = 4096
LARGEST: Final = 512 << 20
PART: Final = MOST_READ
MEMBERS: Final = {"token", "state.db"}
# What S3 says where another object, or none, has come to be under the key.
OTHER: Final = ("PreconditionFailed", "412", record.NO_PART, "NoSuchKey")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One of them: *name* is when it was taken, *size* the bytes in the bucket.

    *volume* is the snapshot in EBS of the shared volume that was taken with it, if one was.
    """

    name: str
    key: str
    size: int
    kept: str
    cluster: str
    k3s: str
    volume: str = ""

    @property
    def taken(self) -> datetime:
        """When that was."""
        return datetime.strptime(self.name, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)

    @property
    def data(self) -> Mapping[str, Any]:
        """Return it for programs."""
        return {
            "name": self.name, "taken": self.taken.isoformat(), "size": self.size,
            "kept": KEPT[self.kept], "cluster": self.cluster, "k3s": self.k3s,
            "volume_snapshot": self.volume or None, "key": self.key,
        }  # fmt: skip


def read(key: str, size: int, beginning: bytes) -> Snapshot | None:
    """Return the snapshot of which these are the first bytes; None if it is none. Pure."""
    place = KEY.fullmatch(key)
    try:
        plain = zlib.decompressobj(wbits=31).decompress(beginning, 1 << 16)
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r|") as archive:
            first = archive.next()
            inner = archive.extractfile(first) if first and first.name == "about.json" else None
            about = json.loads(inner.read()) if inner else {}
        said = {name: about.get(name) for name in ("taken", "cluster", "k3s", "volume")}
    except (zlib.error, tarfile.TarError, ValueError, AttributeError, EOFError, RecursionError):
        return None
    texts = {name: one if isinstance(one, str) else "" for name, one in said.items()}
    if place is None or about.get("format") != FORMAT or not NAME.fullmatch(texts["taken"]):
        return None
    if not (K3S.fullmatch(texts["k3s"]) and VOLUME.fullmatch(texts["volume"])):
        return None
    return Snapshot(
        name=texts["taken"], key=key, size=size, kept=place[1], cluster=texts["cluster"][:63],
        k3s=texts["k3s"], volume=texts["volume"],
    )  # fmt: skip


def unique(found: Iterable[Snapshot]) -> tuple[Snapshot, ...]:
    """Return each once, the newest first: one may be kept in two places, the longer counts."""
    order = list(KEPT)
    ranked = sorted(found, key=lambda one: order.index(one.kept), reverse=True)
    return tuple(sorted({one.name: one for one in ranked}.values(), key=lambda one: one.name)[::-1])


def listed(cloud: Aws, who: Identity) -> tuple[Snapshot, ...]:
    """List those of a cluster, the newest first."""
    found = record.listed_objects(cloud, who, SNAPSHOTS)
    once = {one["ETag"]: one for one in sorted(found, key=lambda one: str(one["Key"]))[::-1]}

    def looked(one: Mapping[str, Any]) -> Snapshot | None:
        raw = record.read_object(cloud, who, one["Key"], BEGINNING)
        return None if raw is None else read(one["Key"], one["Size"], raw)

    with ThreadPoolExecutor(max_workers=8) as pool:
        return unique(one for one in pool.map(looked, once.values()) if one)


def chosen(found: Iterable[Snapshot], name: str, cluster: str) -> Snapshot:
    """Return the one called *name*, or the newest."""
    there = list(found)
    if not there:
        raise UserError(f"There is no snapshot of {cluster}.")
    if name == NEWEST:
        return there[0]
    for one in there:
        if one.name == name:
            return one
    raise UserError(
        f"There is no snapshot {name} of {cluster}; `clusterous snapshot ls --cluster {cluster}`"
        " lists them."
    )


def content(cloud: Aws, who: Identity, one: Snapshot) -> bytes:
    """Read a snapshot, all of it; its name may have come to be another's since it was listed."""
    if one.size > LARGEST:
        raise UserError(f"The snapshot {one.name} has {one.size >> 20} MiB, which is too much.")
    raw = b"".join(_parts(cloud, who, one))
    there = read(one.key, len(raw), raw[:BEGINNING])
    if there is None or there.name != one.name or len(raw) != one.size:
        raise UserError(f"The snapshot {one.name} is not there any more: a newer one took its key.")
    check_whole(one.name, raw)
    return raw


def _parts(cloud: Aws, who: Identity, one: Snapshot) -> Iterator[bytes]:
    """Read it a part at a time, for no call reads more; it ends where another took its key."""
    where = {"Bucket": who.bucket, "ExpectedBucketOwner": who.account, "Key": one.key}
    same: dict[str, str] = {}
    for start in range(0, one.size, PART):
        end = min(start + PART, one.size) - 1
        answer = cloud.attempt(
            "s3", "get_object", *OTHER, Range=f"bytes={start}-{end}", **same, **where
        )
        if answer is None:
            return
        same = {"IfMatch": str(answer["ETag"])}
        yield answer["Body"].read()


def check_whole(name: str, raw: bytes) -> None:
    """Refuse a snapshot that cannot be read to its end: nothing is ended for one. Pure."""
    try:
        with gzip.open(io.BytesIO(raw)) as plain:
            with tarfile.open(fileobj=plain, mode="r|") as archive:
                members = {one.name for one in archive}
            while plain.read(1 << 20):  # to its sum, which is the last of it
                pass
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise UserError(f"The snapshot {name} is damaged ({error}): take another one.") from error
    if not members >= MEMBERS:
        raise UserError(f"The snapshot {name} is not whole: take another one.")


def check_version(one: Snapshot, k3s: str) -> None:
    """Refuse what an older Kubernetes than it was taken of cannot read."""
    taken, here = MINOR.match(one.k3s), MINOR.match(k3s)
    if taken and here and (int(here[1]), int(here[2])) < (int(taken[1]), int(taken[2])):
        raise UserError(
            f"The snapshot {one.name} is of k3s {one.k3s}: k3s {k3s} of this cluster file is older,"
            f" and may not read all of it. Say k3s: {one.k3s}"
        )
