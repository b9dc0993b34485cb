"""What a shared bucket has of images, as distribution lays them out; read and removed by S3 itself.

So it takes no cluster, and no layer is asked of one. The layout is version 2 of distribution's:
https://github.com/distribution/distribution/blob/main/registry/storage/paths.go
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final

from clusterous_cli.aws.client import Aws
from clusterous_cli.cluster.file.registry import PREFIX
from clusterous_cli.images.registry import Known
from clusterous_cli.images.stock.shelf import Item

ROOT: Final = f"{PREFIX}docker/registry/v2"
REPOSITORIES: Final = f"{ROOT}/repositories/"
_TAG: Final = re.compile(rf"{REPOSITORIES}(?P<name>.+)/_manifests/tags/(?P<tag>[^/]+)/current/link")
_IMAGE: Final = re.compile(
    rf"{REPOSITORIES}(?P<name>.+)/_manifests/revisions/sha256/(?P<sum>[0-9a-f]{{64}})/link"
)
AT_A_TIME: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """A bucket of images of the account."""

    cloud: Aws
    bucket: str

    def find(self, name: str, *tags: str) -> Known | None:
        """Return what the first of *tags* stands for, with those of them that do; None if nothing.

        One whose image was removed stands for nothing.
        """
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            links = list(pool.map(lambda tag: self._text(_current(name, tag)), tags))
        digest = links[0]
        if digest is None or self._text(_revision(name, digest)) is None:
            return None
        same = tuple(tag for tag, one in zip(tags, links, strict=True) if one == digest)
        return Known(digest=digest, tags=same)

    def newest(self, name: str, tag: str) -> Known | None:
        """Return what *tag* of an image stands for, else what was pushed last under its name."""
        found = [one for one in self.listed(name) if one.tags and not one.is_cache]
        named = [one for one in found if tag in one.tags]
        last = max(named or found, key=lambda one: one.pushed, default=None)
        return None if last is None else Known(digest=last.digest, tags=last.tags)

    def listed(self, name: str = "") -> list[Item]:
        """Return all images, or those of a *name*, by name and then by age."""
        prefix = f"{REPOSITORIES}{name}/_manifests/" if name else REPOSITORIES
        every = [(one["Key"], one["LastModified"]) for one in self._objects(prefix)]
        named = [(found, key) for key, _ in every if (found := _TAG.fullmatch(key))]
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            digests = list(pool.map(self._text, (key for _, key in named)))
        tags: dict[tuple[str, str], list[str]] = {}
        for (found, _), digest in zip(named, digests, strict=True):
            if digest:
                tags.setdefault((found["name"], digest), []).append(found["tag"])
        items = [
            _item(found["name"], f"sha256:{found['sum']}", tags, pushed)
            for key, pushed in every
            if (found := _IMAGE.fullmatch(key))
        ]
        return sorted(self._sized(items), key=lambda one: (one.name, one.pushed, one.digest))

    def _sized(self, items: Sequence[Item]) -> list[Item]:
        """Return *items* with their layers and sizes, as their manifests have them."""
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            texts = list(pool.map(lambda one: self._text(_blob(one.digest)), items))
        return [_read(one, text) for one, text in zip(items, texts, strict=True)]

    def config(self, item: Item) -> dict[str, Any]:
        """Return what an image says of itself."""
        manifest = json.loads(self._text(_blob(item.digest)) or "{}")
        text = self._text(_blob(manifest["config"]["digest"])) if "config" in manifest else None
        return dict(json.loads(text or "{}"))

    def remove(self, items: Iterable[Item]) -> None:
        """Remove images with all their names; their layers stay until they are collected.

        Names first: one must not stand for what is gone.
        """
        for item in items:
            home = f"{REPOSITORIES}{item.repository}/_manifests"
            sum = item.digest.removeprefix("sha256:")
            tags = [f"{home}/tags/{tag}/" for tag in item.tags]
            for prefix in (*tags, f"{home}/revisions/sha256/{sum}/"):
                keys = [{"Key": one["Key"]} for one in self._objects(prefix)]
                if keys:
                    self.cloud.call("s3", "delete_objects", Delete={"Objects": keys}, **self._owner)

    def size(self) -> int:
        """Return how many bytes all its images take."""
        return sum(int(one["Size"]) for one in self._objects(f"{ROOT}/blobs/"))

    @property
    def _owner(self) -> dict[str, str]:
        return {"Bucket": self.bucket, "ExpectedBucketOwner": self.cloud.account}

    def _objects(self, prefix: str) -> list[Mapping[str, Any]]:
        return self.cloud.pages("s3", "list_objects_v2", "Contents", Prefix=prefix, **self._owner)

    def _text(self, key: str) -> str | None:
        answer = self.cloud.find("s3", "get_object", Key=key, **self._owner)
        return None if answer is None else answer["Body"].read().decode().strip()


def _current(name: str, tag: str) -> str:
    return f"{REPOSITORIES}{name}/_manifests/tags/{tag}/current/link"


def _revision(name: str, digest: str) -> str:
    return f"{REPOSITORIES}{name}/_manifests/revisions/{digest.replace(':', '/')}/link"


def _blob(digest: str) -> str:
    kind, _, sum = digest.partition(":")
    return f"{ROOT}/blobs/{kind}/{sum[:2]}/{sum}/data"


def _item(
    name: str, digest: str, tags: Mapping[tuple[str, str], Sequence[str]], pushed: Any
) -> Item:
    known = tuple(sorted(tags.get((name, digest), ())))
    return Item(repository=name, name=name, digest=digest, tags=known, size=0, pushed=pushed)


def _read(item: Item, text: str | None) -> Item:
    manifest = json.loads(text or "{}")
    layers = manifest.get("layers") or ()
    parts = [*layers, *([manifest["config"]] if "config" in manifest else [])]
    size = sum(int(one.get("size", 0)) for one in parts)
    return replace(item, size=size, layers=tuple(str(one["digest"]) for one in layers))
