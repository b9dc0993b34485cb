"""The buckets: names and versions in memory, bodies in files that are never changed once made."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of an object; *path* is None for a delete marker."""

    key: str
    id: str
    path: Path | None
    size: int
    etag: str
    modified: float
    headers: Mapping[str, str] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    path: Path
    size: int
    etag: str
    modified: float


@dataclass(slots=True, kw_only=True)
class Upload:
    id: str
    key: str
    headers: Mapping[str, str]
    tags: Mapping[str, str]
    began: float
    parts: dict[int, Part] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Bucket:
    """*documents* holds each configuration as it was put, by the name of its subresource."""

    name: str
    region: str
    created: float
    folder: Path
    documents: dict[str, bytes] = field(default_factory=dict)
    versions: dict[str, list[Version]] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)

    @property
    def versioning(self) -> str:
        document = self.documents.get("versioning", b"")
        if b"<Status>Enabled</Status>" in document:
            return "Enabled"
        return "Suspended" if b"<Status>Suspended</Status>" in document else ""

    def latest(self, key: str) -> Version | None:
        """Return the object that *key* names now, or None if there is none or it is deleted."""
        versions = self.versions.get(key)
        return versions[-1] if versions and versions[-1].path else None

    def version(self, key: str, id: str) -> Version | None:
        return next((v for v in self.versions.get(key, ()) if v.id == id), None)

    def current(self) -> Iterator[Version]:
        """Yield the present objects in the order in which S3 lists them."""
        for key in sorted(self.versions, key=lambda k: k.encode()):
            version = self.latest(key)
            if version:
                yield version

    def put(self, version: Version) -> None:
        kept = self.versions.setdefault(version.key, [])
        if version.id == "null":
            for old in [v for v in kept if v.id == "null"]:
                self._drop(kept, old)
        kept.append(version)

    def remove(self, key: str, id: str) -> None:
        kept = self.versions.get(key, [])
        for old in [v for v in kept if v.id == id]:
            self._drop(kept, old)
        if not kept:
            self.versions.pop(key, None)

    def new_file(self) -> Path:
        return self.folder / uuid.uuid4().hex

    def new_version_id(self) -> str:
        return uuid.uuid4().hex if self.versioning == "Enabled" else "null"

    @staticmethod
    def _drop(kept: list[Version], old: Version) -> None:
        kept.remove(old)
        if old.path:
            old.path.unlink(missing_ok=True)


class Buckets:
    """All buckets of the account. *lock* guards names and versions, not the bodies' transfer."""

    def __init__(self, folder: Path) -> None:
        self.lock = threading.RLock()
        self._folder = folder
        self._buckets: dict[str, Bucket] = {}

    def find(self, name: str) -> Bucket | None:
        return self._buckets.get(name)

    def all(self) -> list[Bucket]:
        return sorted(self._buckets.values(), key=lambda bucket: bucket.name)

    def create(self, name: str, region: str, now: float) -> Bucket:
        folder = self._folder / name
        folder.mkdir(parents=True)
        bucket = Bucket(name=name, region=region, created=now, folder=folder)
        self._buckets[name] = bucket
        return bucket

    def kept(self) -> Mapping[str, Bucket]:
        return self._buckets

    def put_back(self, buckets: Mapping[str, Bucket], later: float) -> None:
        """Make *buckets* those there are; all in them was put *later* by so many seconds."""
        self._buckets = dict(buckets)
        for bucket in self._buckets.values():
            bucket.versions = {
                key: [replace(each, modified=each.modified + later) for each in versions]
                for key, versions in bucket.versions.items()
            }

    def delete(self, name: str) -> None:
        bucket = self._buckets.pop(name)
        for left in bucket.folder.iterdir():
            left.unlink()
        bucket.folder.rmdir()
