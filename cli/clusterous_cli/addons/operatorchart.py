"""Our operator: its definition of apps, what it should know of the cluster, and its chart."""

from typing import Final

import yaml

from clusterous_api import names
from clusterous_api.mounts import EFS_OPTIONS
from clusterous_cli.addons.addon import Addon, Manifest, Mark, Setting, helm_chart, packed
from clusterous_cli.cluster.addresses import addresses
from clusterous_cli.cluster.config import VolumeType
from clusterous_cli.system import assets

IMAGE: Final = "ghcr.io/clusterous/clusterous-operator"


def manifests(setting: Setting, mark: Mark) -> list[Manifest]:
    """Return its objects."""
    return [_namespace(), _config(setting), _chart(setting, mark)]


def _namespace() -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": names.NAMESPACE}}


def definitions() -> bytes:
    """Return the definitions of apps, which Helm installs once and changes never."""
    folder = assets.chart_folder() / "crds"
    return b"".join(b"---\n" + path.read_bytes() for path in sorted(folder.glob("*.yaml")))


def _config(setting: Setting) -> Manifest:
    config = setting.config
    data = {"name": config.name, names.CLUSTER_REGION_KEY: setting.region}
    if config.volume.type is VolumeType.EFS:
        server = addresses(config.cidr).volume
        nfs = {"server": server, "path": "/", "mountOptions": list(EFS_OPTIONS)}
        data[names.CLUSTER_VOLUME_KEY] = yaml.safe_dump({"nfs": nfs}, sort_keys=False)
    elif config.volume.served:
        # By the node's own mount, on the controller the volume itself: none is mounted for a pod.
        folder = {"hostPath": {"path": names.VOLUME_GATE}}
        data[names.CLUSTER_VOLUME_KEY] = yaml.safe_dump(folder, sort_keys=False)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": names.CLUSTER_CONFIG, "namespace": names.NAMESPACE},
        "data": data,
    }


def _chart(setting: Setting, mark: Mark) -> Manifest:
    repository, _, tag = setting.operator.rpartition(":")
    values = {
        "image": {"repository": repository, "tag": tag, "pullPolicy": "IfNotPresent"},
        # Its image is taken in by the controller, and lies nowhere else.
        "nodeSelector": {names.LABEL_CONTROL_PLANE: "true"},
        # Programs fill the controller to the last millicore: there is room for one of it, and
        # none for a second beside it.
        "surge": False,
        "priorityClassName": "system-cluster-critical",
        "podAnnotations": dict(mark),
    }
    # The job that installs the chart may run on the controller, before any worker is there.
    return helm_chart("clusterous", packed(chart()), names.NAMESPACE, values, bootstrap=True)


def chart() -> bytes:
    """Return the operator's chart, packed."""
    return assets.chart_archive(assets.chart_folder())


ADDON: Final = Addon(
    name="operator", noun="operator", manifests=manifests, files=definitions, images=("operator",)
)
