"""All add-ons. A new one is a file in this room, and a line in ALL."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from clusterous_cli.addons import (
    appnames,
    centrallogging,
    cloudcontroller,
    operatorchart,
    registry,
    volumeserver,
)
from clusterous_cli.addons.addon import Addon, Rendered, Setting, rendered
from clusterous_cli.boot import bootstrap
from clusterous_cli.cluster.config import ClusterConfig
from clusterous_cli.cluster.payload import Blob

ALL: Final[tuple[Addon, ...]] = (
    operatorchart.ADDON,
    cloudcontroller.ADDON,
    volumeserver.ADDON,
    appnames.ADDON,
    centrallogging.ADDON,
    registry.ADDON,
)


def wanted(config: ClusterConfig) -> tuple[Addon, ...]:
    """Return the add-ons that the cluster wants."""
    return tuple(addon for addon in ALL if addon.wanted(config))


def actions(config: ClusterConfig) -> tuple[str, ...]:
    """Return what the controller's role may do for the add-ons."""
    return tuple(sorted({action for addon in wanted(config) for action in addon.actions}))


def noun(name: str) -> str:
    """Return how people call an add-on; that of another release has its name alone."""
    return next((addon.noun for addon in ALL if addon.name == name), name)


def has_pods(name: str) -> bool:
    """Tell whether an add-on has pods; that of another release has."""
    return next((addon.pods for addon in ALL if addon.name == name), True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The add-ons as they are brought to a cluster: the table, and the files that it names."""

    text: str
    blobs: tuple[Blob, ...]
    awaited: dict[str, str]  # the digests of those that create waits for


def made(setting: Setting) -> Made:
    """Return what the cluster's add-ons are."""
    every = tuple(rendered(addon, setting) for addon in wanted(setting.config))
    files = [file for one in every for file in _files(one)]
    return Made(
        text="".join(f"{file.line}\n" for file in files),
        blobs=tuple(file.blob for file in files),
        awaited={one.addon.name: one.digest for one in every if one.addon.awaited},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One line of the table; see addons.sh for who reads it."""

    line: str
    blob: Blob


def _files(one: Rendered) -> Iterator[File]:
    name = one.addon.name
    # Images first: the controller goes by the order of the lines.
    for archive, blob in zip(one.addon.images, one.images, strict=True):
        yield _file(one, "images", f"addon-{archive}{_suffix(blob.key)}", blob)
    manifest = bootstrap.content("server", f"{name}.yaml", one.manifest)
    yield _file(one, one.addon.folder, f"addon-{name}.yaml", manifest)


def _file(one: Rendered, folder: str, file: str, blob: Blob) -> File:
    words = (one.addon.name, one.digest, folder, file, blob.key, blob.sha256)
    return File(line=" ".join(words), blob=blob)


def _suffix(key: str) -> str:
    found = re.search(r"\.tar(\.[a-z0-9]+)?$", key)
    assert found is not None, f"k3s takes no images from {key}"
    return found[0]


def digests(text: str) -> dict[str, str]:
    """Return the digests by the names of the add-ons in a table."""
    words = [line.split() for line in text.splitlines()]
    return {line[0]: line[1] for line in words if len(line) > 1}
