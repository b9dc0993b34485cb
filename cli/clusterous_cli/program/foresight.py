"""What of a program would wait for ever on this very cluster, told before anything is applied.

The operator says the same of an app that is there. `run` knows the cluster already, and need not
build images and wait for half an hour to hear it.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

from clusterous_api import models, names
from clusterous_api.errors import UserError
from clusterous_api.models import App, ClusterVolume, Component, NewClaim
from clusterous_cli.program.convert import Machine
from clusterous_cli.reach.kube import Api, Object

# k3s' own storage: folders of a node. It refuses every other mode, unless it was told of a folder
# that all nodes have (github.com/rancher/local-path-provisioner, its README: sharedFileSystemPath).
LOCAL: Final = "rancher.io/local-path"
LOCAL_MODES: Final = ("ReadWriteOnce", "ReadWriteOncePod")
LOCAL_CONFIG: Final = "/api/v1/namespaces/kube-system/configmaps/local-path-config"
_SHARED: Final = "sharedFileSystemPath"
_CLASSES: Final = "/apis/storage.k8s.io/v1/storageclasses"
_IS_DEFAULT: Final = "storageclass.kubernetes.io/is-default-class"
_CREATED: Final = "creationTimestamp"


def check_volume(api: Api, manifest: Object, has_volume: bool) -> None:
    """Refuse a program whose claim for a volume nothing on the cluster will ever serve."""
    if said := unserved(api, manifest, has_volume):
        raise UserError(f"{said}\n  Nothing was started.")


def unserved(api: Api, manifest: Object, has_volume: bool) -> str | None:
    """Say why the volume that *manifest* asks for will never be there, and what to do instead.

    None wherever that is not sure. *has_volume* tells whether the cluster has one for all apps.
    """
    app = models.parse(manifest)
    claim = _claim(app, has_volume)
    if claim is None or claim.access_mode in LOCAL_MODES or _is_there(api, app):
        return None
    asked = claim.access_mode or "ReadWriteMany"
    if claim.access_mode is None and len(api.items("/api/v1/nodes")) <= 1:
        return None  # the operator asks for the volume of that node
    served = storage_class(api.items(_CLASSES), claim.storage_class)
    if served is None or served.get("provisioner") != LOCAL or _is_shared(api):
        return None
    title = str(served["metadata"]["name"])
    if any(is_free(one, title, asked) for one in api.items("/api/v1/persistentvolumes")):
        return None
    why = "" if has_volume else ", and this cluster was made without one (volume: none)"
    return (
        f"{app.name} asks for a volume that several nodes can use ({asked}){why}: storage class"
        f" {title} makes folders of one node only, so the program would wait for ever.\n"
        "  Let the app ask for a volume of one node, which keeps all its pods there"
        " (sharedVolume: {accessMode: ReadWriteOnce}; `clusterous convert FILE` writes an"
        " environment file as the manifest to put that into), or for a file system that there is"
        " (sharedVolume.existing), or another storage class; or make a cluster with a volume."
    )


def _claim(app: App, has_volume: bool) -> NewClaim | None:
    """Return the claim that the operator will make for *app*, if it makes one."""
    match app.volume.source:
        case NewClaim() as own:
            return own
        case ClusterVolume() if not has_volume:
            return NewClaim()
        case _:
            return None


def _is_there(api: Api, app: App) -> bool:
    """Whether the app has a claim already; of that the operator says how it is."""
    path = f"/api/v1/namespaces/{quote(app.namespace, safe='')}/persistentvolumeclaims"
    own = names.claim(app.name)
    is_cluster = isinstance(app.volume.source, ClusterVolume)
    wanted = [own, *([names.CLUSTER_CLAIM] if is_cluster else [])]
    return any(api.find(f"{path}/{quote(name, safe='')}") is not None for name in wanted)


def storage_class(classes: Sequence[Object], name: str | None) -> Object | None:
    """Return the class called so; without a name the default, the youngest where several are."""
    if name is not None:
        return next((one for one in classes if one["metadata"]["name"] == name), None)
    found = [
        one
        for one in classes
        if (one["metadata"].get("annotations") or {}).get(_IS_DEFAULT) == "true"
    ]
    return max(found, key=lambda one: str(one["metadata"].get(_CREATED, "")), default=None)


def is_free(volume: Object, title: str, mode: str) -> bool:
    """Whether a volume that somebody made by hand may be what is asked for."""
    spec, phase = volume.get("spec") or {}, (volume.get("status") or {}).get("phase")
    is_fit = spec.get("storageClassName") == title and mode in (spec.get("accessModes") or ())
    return bool(is_fit and phase in (None, "Pending", "Available"))


def _is_shared(api: Api) -> bool:
    """Whether k3s' storage was told of a folder that all nodes have."""
    found = api.find(LOCAL_CONFIG)
    return found is not None and _SHARED in json.dumps(found.get("data") or {})


# -- what waits until the cluster has it -----------------------------------------------------


def lacks(app: App, machines: Mapping[str, Machine], nodes: Sequence[Object]) -> list[str]:
    """Say what of *app* waits for nodes that the cluster does not have now.

    They may come, by `add-nodes` or another hand: this is no reason to refuse.
    """
    said = []
    for one in app.components:
        pool = one.placement.pool
        if pool and isinstance(pool, str) and pool not in machines:
            there = ", ".join(sorted(machines)) or "none"
            said.append(
                f"{one.name} is placed on pool {pool}, of which the cluster has no node that is"
                f" ready (it has: {there}); it waits until there is one"
            )
        said += [
            f"{one.name} asks for {kind}, which no node of the cluster has; it waits until one does"
            for kind in devices(one)
            if not any(_has(node, kind) for node in nodes)
        ]
    return said


def devices(component: Component) -> list[str]:
    """Return what of nodes' devices a component asks for: kinds of a maker's, such as GPUs."""
    # Of a namespace that is not there yet, the cluster has not looked at what is asked for.
    asked = component.resources if isinstance(component.resources, Mapping) else {}
    parts = [part for part in map(asked.get, ("requests", "limits")) if isinstance(part, Mapping)]
    return list(dict.fromkeys(k for part in parts for k in part if isinstance(k, str) and "/" in k))


def _has(node: Object, kind: str) -> bool:
    amount = ((node.get("status") or {}).get("allocatable") or {}).get(kind, "0")
    return str(amount) != "0"
