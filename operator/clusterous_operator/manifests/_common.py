"""What all manifests share: metadata with labels, the owner, and the facts they depend on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from clusterous_api import names
from clusterous_api.models import App

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the wanted objects depend on beside the app itself."""

    addresses: Mapping[str, str] = field(default_factory=dict)  # ClusterIP by component
    replicas: Mapping[str, int] = field(default_factory=dict)  # by component that may run
    on_cluster_volume: bool = False  # what an app without a volume of its own mounts
    cluster_volume: Mapping[str, Any] | None = None  # the ConfigMap's volume.yaml
    region: str | None = None
    single_node: bool = False
    data_lost: bool = False  # the claim is gone that the data was behind: an empty one is no other
    attempts: Mapping[str, int] = field(default_factory=dict)  # by component, beyond the first
    life: int = 0  # the generation with which the attempts began anew
    halted: bool = False  # suspended, idle, done or failed: what is not done yet must not go on
    cleared: bool = False  # done long enough ago: only the data stays
    # By component, the note of what its workload was applied as: names.ANNOTATION_APPLIED.
    applied: Mapping[str, str] = field(default_factory=dict)
    masters_anywhere: bool = False  # as before there was a machine for them


def labels(app: App, component: str) -> dict[str, str]:
    """Return the labels of a component's objects."""
    return {
        **names.selector(app.name, component),
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
    }


def owner(app: App) -> dict[str, Any]:
    """Return the reference by which the cluster removes an object together with its app."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "name": app.name,
        "uid": app.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def inherited(app: App) -> tuple[dict[str, str], dict[str, str]]:
    """Return the labels and annotations of the app that its children carry, too.

    The reader of the app has kept no others than those on the operator's lists, and what is ours.
    """
    ours = f"{names.DOMAIN}/"
    noted = {key: value for key, value in app.annotations.items() if not key.startswith(ours)}
    return dict(app.labels), noted


def metadata(app: App, component: str) -> dict[str, Any]:
    """Return the metadata of a component's Deployment, Job or Service."""
    given, noted = inherited(app)
    return {
        "namespace": app.namespace,
        "name": names.child(app.name, component),
        "labels": {**given, **labels(app, component)},
        **({"annotations": noted} if noted else {}),
        "ownerReferences": [owner(app)],
    }
