"""The claim behind /home/data. It has no owner unless asked for: data outlives its app."""

from collections.abc import Sequence
from typing import Any, assert_never

from clusterous_api import names, partitions
from clusterous_api.errors import UserError
from clusterous_api.models import (
    App,
    ClusterVolume,
    EfsFileSystem,
    ExistingClaim,
    NewClaim,
    NfsExport,
)
from clusterous_api.mounts import EFS_OPTIONS, NFS_OPTIONS
from clusterous_operator.manifests._common import Facts, Manifest, inherited
from clusterous_operator.manifests._common import owner as owner_of


def on_cluster_volume(*, configured: bool, has_own: bool, has_shared: bool) -> bool:
    """Tell whether an app without wishes mounts the cluster's volume.

    It stays with the claim that it began with, whatever the configuration says later: other data
    under the same path would be a loss.
    """
    return not has_own and (configured or has_shared)


def claim_name(app: App, facts: Facts) -> str:
    """Return the name of the claim that the app's pods mount."""
    match app.volume.source:
        case ExistingClaim(name=name):
            return name
        case ClusterVolume() if facts.on_cluster_volume:
            return names.CLUSTER_CLAIM
        case _:
            return names.claim(app.name)


def volume(app: App, facts: Facts) -> list[Manifest]:
    """Return the volume and the claim that must be there; none for a claim of the user's."""
    source = app.volume.source
    match source:
        case ExistingClaim():
            return []
        case NewClaim():
            return [_dynamic(app, source, facts)]
        case NfsExport():
            return _static(app, app.name, _nfs(source.server, source.path), NFS_OPTIONS, facts)
        case EfsFileSystem():
            where = _nfs(_efs(source, facts), source.path)
            return _static(app, app.name, where, EFS_OPTIONS, facts)
        case ClusterVolume():
            return _of_cluster(app, facts)
    assert_never(source)


def _of_cluster(app: App, facts: Facts) -> list[Manifest]:
    if not facts.on_cluster_volume:
        return [_dynamic(app, NewClaim(), facts)]
    if facts.cluster_volume is None:
        return []  # the claim is there, what is behind it is not known any more
    folder = facts.cluster_volume.get("hostPath")
    if folder:
        return _static(app, None, {"hostPath": {**folder, "type": "Directory"}}, (), facts)
    nfs = facts.cluster_volume.get("nfs")
    if not nfs or not nfs.get("server"):
        raise UserError(
            f"ConfigMap {names.CLUSTER_CONFIG} names no NFS server in {names.CLUSTER_VOLUME_KEY},"
            " and no folder of the nodes."
        )
    options = nfs.get("mountOptions") or EFS_OPTIONS
    return _static(app, None, _nfs(nfs["server"], nfs.get("path", "/")), options, facts)


def _nfs(server: str, path: str) -> dict[str, Any]:
    return {"nfs": {"server": server, "path": path}}


def _efs(source: EfsFileSystem, facts: Facts) -> str:
    if source.server:
        return source.server
    if facts.region is None:
        raise UserError(
            f"The address of {source.file_system_id} is not known here; "
            "give sharedVolume.existing.efs.server."
        )
    domain = partitions.of(facts.region).domain
    return f"{source.file_system_id}.efs.{facts.region}.{domain}"


def _dynamic(app: App, source: NewClaim, facts: Facts) -> Manifest:
    # Storage that lives on a node can be shared by its pods only, and refuses the other mode.
    ours = "ReadWriteOnce" if facts.single_node else "ReadWriteMany"
    spec: dict[str, Any] = {
        "accessModes": [source.access_mode or ours],
        "resources": {"requests": {"storage": source.size}},
    }
    if source.storage_class:
        spec["storageClassName"] = source.storage_class
    claim = _claim(app, names.claim(app.name), spec)
    if app.volume.is_kept:
        return claim
    return {**claim, "metadata": {**claim["metadata"], "ownerReferences": [owner_of(app)]}}


def _static(
    app: App, owner: str | None, where: dict[str, Any], options: Sequence[str], facts: Facts
) -> list[Manifest]:
    """Return a volume that is there, and its claim; of the whole namespace where *owner* is None.

    *where* is it over NFS, or as a folder of each node.
    """
    name = names.persistent_volume(app.namespace, owner)
    claim = claim_name(app, facts)
    capacity = {"storage": names.DEFAULT_VOLUME_SIZE}  # of no effect here, but required
    volume_spec = {
        "capacity": capacity,
        "accessModes": ["ReadWriteMany"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": "",
        **({"mountOptions": list(options)} if options else {}),
        **where,
        "claimRef": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": app.namespace,
            "name": claim,
        },
    }
    claim_spec = {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": capacity},
        "storageClassName": "",
        "volumeName": name,
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name, "labels": _labels(app, owner)},
            "spec": volume_spec,
        },
        _claim(app, claim, claim_spec, owner),
    ]


def _claim(app: App, name: str, spec: dict[str, Any], owner: str | None = "") -> Manifest:
    # What the whole namespace shares carries nothing of one app.
    given, noted = ({}, {}) if owner is None else inherited(app)
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "namespace": app.namespace,
            "name": name,
            "labels": {**given, **_labels(app, app.name if owner == "" else owner)},
            **({"annotations": noted} if noted else {}),
        },
        "spec": spec,
    }


def _labels(app: App, owner: str | None) -> dict[str, str]:
    own = {} if owner is None else {names.LABEL_APP: app.name}
    return {**own, names.LABEL_MANAGED_BY: names.MANAGED_BY}
