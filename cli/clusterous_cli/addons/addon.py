"""What an add-on is: its objects, its images, when it is wanted, and what marks its pods. Pure."""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from clusterous_api import names
from clusterous_cli.cluster.config import ClusterConfig
from clusterous_cli.cluster.payload import Blob

# The annotations with which the pods of an add-on say whose they are, and of which digest.
Mark = Mapping[str, str]
Manifest = dict[str, Any]
DIGITS: Final = 16
# A container that writes nothing of its own and gains no right.
CONFINED: Final[Mapping[str, Any]] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What the add-ons of a cluster follow from; *archives* of images are known by their names."""

    config: ClusterConfig
    region: str
    operator: str  # the full name of its image
    archives: Mapping[str, Blob]
    volume_server: str = ""  # the same, where there is one
    # Of a registry on the cluster: its bucket, and by what it is known (`pki.Secrets.registry`).
    bucket: str = ""
    registry: Mapping[str, str] = field(default_factory=dict, repr=False)


def helm_chart(
    name: str,
    chart: Mapping[str, Any],
    space: str,
    values: Mapping[str, Any],
    **more: Any,
) -> Manifest:
    """Return what has k3s install a *chart* (its content, or where it is) into a namespace."""
    return {
        "apiVersion": "helm.cattle.io/v1",
        "kind": "HelmChart",
        "metadata": {"name": name, "namespace": "kube-system"},
        "spec": {
            **chart,
            "targetNamespace": space,
            "createNamespace": True,
            **more,
            "valuesContent": yaml.safe_dump(dict(values), sort_keys=False),
        },
    }


def packed(content: bytes) -> dict[str, Any]:
    """Return a packed chart as `helm_chart` takes it."""
    return {"chartContent": base64.b64encode(content).decode()}


def always(config: ClusterConfig) -> bool:
    """Say that every cluster wants it."""
    return True


def nothing() -> bytes:
    """Say that no object of it stands in a file."""
    return b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addon:
    """One thing that the cluster itself runs.

    It is ready when everything in the cluster that bears its mark bears the newest and is rolled
    out; so *manifests* put the mark on the template of each pod.
    """

    name: str
    noun: str  # how people call it
    manifests: Callable[[Setting, Mark], list[Manifest]]
    # Objects that stand in files come as they are: to read them as YAML takes longer than all else.
    files: Callable[[], bytes] = nothing
    images: tuple[str, ...] = ()  # the archives that the controller takes in; others are pulled
    wanted: Callable[[ClusterConfig], bool] = always
    awaited: bool = True  # whether create waits for it
    pods: bool = True  # whether any are of it; else it is ready as soon as it is taken
    folder: str = "manifests"  # where k3s finds it: as objects, or as `pods` of the node itself
    actions: tuple[str, ...] = ()  # what the controller's role may do for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """An add-on as it is brought to a cluster."""

    addon: Addon
    digest: str
    manifest: bytes
    images: tuple[Blob, ...]


def rendered(addon: Addon, setting: Setting) -> Rendered:
    """Spell the add-on's objects; what is spelled the same, with the same images, is the same."""
    images = tuple(setting.archives[name] for name in addon.images)
    files = addon.files()
    plain = files + spelled(addon.manifests(setting, {}))
    sums = "".join(image.sha256 for image in images).encode()
    digest = hashlib.sha256(plain + sums).hexdigest()[:DIGITS]
    marked = files + spelled(addon.manifests(setting, mark(addon.name, digest)))
    return Rendered(addon=addon, digest=digest, manifest=marked, images=images)


def mark(name: str, digest: str) -> dict[str, str]:
    """Return the annotations that tell the pods of an add-on."""
    return {names.ANNOTATION_ADDON: label(name, digest)}


def label(name: str, digest: str) -> str:
    """Return how a mark names an add-on."""
    return f"{name}@{digest}"


def labelled(text: str) -> str:
    """Return the name of the add-on that a mark is about."""
    return text.partition("@")[0]


def spelled(objects: list[Manifest]) -> bytes:
    """Spell objects as JSON, which is YAML, too, and takes a fiftieth of the time."""
    return b"".join(b"---\n%b\n" % json.dumps(one, indent=2).encode() for one in objects)
