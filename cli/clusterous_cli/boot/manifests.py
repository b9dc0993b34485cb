"""The objects that the controller's k3s applies by itself when it starts."""

import base64
from typing import Any

import yaml

from clusterous_api import names
from clusterous_api.mounts import EFS_OPTIONS
from clusterous_cli.boot import cloudcontroller
from clusterous_cli.system import assets

OPERATOR_IMAGE = "ghcr.io/clusterous/clusterous-operator"


def documents(*, cluster: str, volume_address: str | None, version: str, chart: bytes) -> bytes:
    """Spell the manifests: the namespace, what the operator should know, its chart, the add-ons."""
    objects = [_namespace(), _config(cluster, volume_address), _chart(version, chart)]
    objects += cloudcontroller.manifests()
    return yaml.safe_dump_all(objects, sort_keys=False).encode()


def _namespace() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": names.NAMESPACE}}


def _config(cluster: str, volume_address: str | None) -> dict[str, Any]:
    data = {"name": cluster}
    if volume_address:
        nfs = {"server": volume_address, "path": "/", "mountOptions": list(EFS_OPTIONS)}
        data["volume.yaml"] = yaml.safe_dump({"nfs": nfs}, sort_keys=False)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": names.CLUSTER_CONFIG, "namespace": names.NAMESPACE},
        "data": data,
    }


def _chart(version: str, chart: bytes) -> dict[str, Any]:
    values = {
        "image": {"repository": OPERATOR_IMAGE, "tag": version, "pullPolicy": "IfNotPresent"},
        # Its image came with the boot files of the controller, and lies nowhere else.
        "nodeSelector": {names.LABEL_CONTROL_PLANE: "true"},
    }
    return {
        "apiVersion": "helm.cattle.io/v1",
        "kind": "HelmChart",
        "metadata": {"name": "clusterous", "namespace": "kube-system"},
        "spec": {
            "chartContent": base64.b64encode(chart).decode(),
            "targetNamespace": names.NAMESPACE,
            "createNamespace": True,
            # The job that installs the chart may run on the controller, before any worker is there.
            "bootstrap": True,
            "valuesContent": yaml.safe_dump(values, sort_keys=False),
        },
    }


def chart() -> bytes:
    """Return the operator's chart, packed."""
    return assets.chart_archive(assets.chart_folder())
