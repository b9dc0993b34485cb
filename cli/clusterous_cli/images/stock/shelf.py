"""What the account's registry has of a cluster's images, and how it is removed there."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from clusterous_api.errors import FailedError, UserError
from clusterous_cli.aws import errors
from clusterous_cli.aws.client import Aws
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.images import contexts
from clusterous_cli.images.context import taken
from clusterous_cli.plan.kinds import images

# How many images ECR tells or deletes in one call.
AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One image: in which *repository*, called *name* there, with *size* in bytes.

    *layers* are digests, the lowest first: an image is built on another whose layers it begins
    with. They are empty where nobody asked, and for what is no image.
    """

    repository: str
    name: str
    digest: str
    tags: tuple[str, ...]
    size: int
    pushed: datetime
    layers: tuple[str, ...] = ()

    @property
    def pointers(self) -> tuple[str, ...]:
        """Return the tags by which people call it."""
        ours = (taken.PREFIX, taken.CACHE)
        return tuple(tag for tag in self.tags if not tag.startswith(ours))

    @property
    def is_cache(self) -> bool:
        """Tell whether it is no image, but what a builder can use again."""
        return any(tag.startswith(taken.CACHE) for tag in self.tags)

    @property
    def title(self) -> str:
        """Say which image this is: as people call it, else by its content."""
        tag = next(iter(self.pointers or self.tags), None)
        return f"{self.name}:{tag}" if tag else f"{self.name}@{self.digest[:19]}"


def listed(cloud: Aws, who: Identity) -> list[Item]:
    """Return the images of a cluster, by name and then by age."""
    repositories = images.ours(cloud, who)
    found = [item for one in repositories for item in _images(cloud, who, one)]
    return sorted(found, key=lambda item: (item.name, item.pushed, item.digest))


def _images(cloud: Aws, who: Identity, repository: str) -> list[Item]:
    details = cloud.pages("ecr", "describe_images", "imageDetails", repositoryName=repository)
    return [
        Item(
            repository=repository,
            name=repository.removeprefix(who.repositories),
            digest=one["imageDigest"],
            tags=tuple(sorted(one.get("imageTags") or ())),
            size=int(one.get("imageSizeInBytes") or 0),
            pushed=one["imagePushedAt"],
        )
        for one in details
    ]


def find(items: Sequence[Item], text: str) -> Item:
    """Return the image that *text* names: NAME, NAME:TAG, or NAME@sha256:… (its beginning)."""
    name, at, digest = text.partition("@")
    if at:
        fitting = [one for one in items if one.name == name and one.digest.startswith(digest)]
        fitting = fitting if len(digest) > len("sha256:") + 5 else []
    else:
        name, tag = contexts.named(text)
        fitting = [one for one in items if one.name == name and tag in one.tags]
    if len(fitting) == 1:
        return fitting[0]
    others = ", ".join(sorted({one.title for one in items if one.name == name}))
    raise UserError(f"There is no image {text}." + (f" There is {others}." if others else ""))


def with_layers(cloud: Aws, items: Sequence[Item]) -> list[Item]:
    """Return *items* with what each is built of."""
    layers: dict[tuple[str, str], tuple[str, ...]] = {}
    for repository, some in _portions(items):
        answer = cloud.call(
            "ecr",
            "batch_get_image",
            repositoryName=repository,
            imageIds=[{"imageDigest": digest} for digest in some],
        )
        for one in answer["images"]:
            layers[repository, one["imageId"]["imageDigest"]] = _layers(one["imageManifest"])
    return [replace(item, layers=layers.get((item.repository, item.digest), ())) for item in items]


def _portions(items: Sequence[Item]) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield each repository with digests in it, as many as ECR takes in one call."""
    for repository in sorted({item.repository for item in items}):
        digests = [item.digest for item in items if item.repository == repository]
        for at in range(0, len(digests), AT_ONCE):
            yield repository, digests[at : at + AT_ONCE]


def _layers(manifest: str) -> tuple[str, ...]:
    parsed: Mapping[str, Any] = json.loads(manifest)
    return tuple(str(one["digest"]) for one in parsed.get("layers") or ())


def remove(cloud: Aws, items: Sequence[Item]) -> None:
    """Delete images with all their names; what is gone already is as it should be."""
    failed: list[str] = []
    for repository, some in _portions(items):
        failed += _deleted(cloud, repository, some)
    if failed:
        raise FailedError("Not removed: " + "; ".join(failed))


def _deleted(cloud: Aws, repository: str, digests: Sequence[str]) -> list[str]:
    try:
        answer = cloud.call(
            "ecr",
            "batch_delete_image",
            repositoryName=repository,
            imageIds=[{"imageDigest": digest} for digest in digests],
        )
    except errors.NotFound:
        return []
    return [
        f"{repository}@{one['imageId'].get('imageDigest', '')}: {one['failureReason']}"
        for one in answer.get("failures") or ()
        if one["failureCode"] != "ImageNotFound"
    ]
