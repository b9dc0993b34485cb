"""Central logging: its chart, as the cluster file asks for it, and for EFK the operator of Elastic.

Elastic's operator comes from Elastic's own place for charts: its licence lets it be used, not be
given on as a part of something else.
"""

from typing import Any, Final

from clusterous_api import names
from clusterous_cli.addons.addon import Addon, Manifest, Mark, Setting, helm_chart, packed
from clusterous_cli.cluster.config import ClusterConfig, Pool
from clusterous_cli.cluster.file.centrallogging import (
    NAMESPACE,
    POOL,
    SECRET,
    CentralLogging,
    Store,
)
from clusterous_cli.system import assets

NAME: Final = "clusterous-logging"
ELASTIC: Final = "elastic-system"
# The operator's image lies there alone.
_CONTROLLER: Final = {names.LABEL_CONTROL_PLANE: "true"}
ECK: Final = ("https://helm.elastic.co", "eck-operator", "3.5.0")


def manifests(setting: Setting, mark: Mark) -> list[Manifest]:
    """Return its objects."""
    wanted = setting.config.logging
    if wanted is None:
        return []
    eck = [_operator(mark)] if wanted.store is Store.EFK else []
    own = {"images": {"events": setting.operator}, "events": {"nodeSelector": _CONTROLLER}}
    return [*eck, _chart({**values(setting.config, wanted, mark), **own})]


def values(config: ClusterConfig, wanted: CentralLogging, mark: Mark) -> dict[str, Any]:
    """Return the values of the chart that a cluster wants."""
    own = next((one for one in config.workers if one.name == POOL), None)
    return {
        "store": str(wanted.store) if wanted.store.ours else str(Store.YOURS),
        "level": wanted.level,
        "retentionDays": wanted.days,
        "sizeGiB": wanted.size,
        **({"podAnnotations": dict(mark)} if mark else {}),
        **(_where(own, wanted.store) if wanted.store.ours else _yours(wanted)),
    }


def _yours(wanted: CentralLogging) -> dict[str, Any]:
    flavor = "opensearch" if wanted.store is Store.OPENSEARCH else "elasticsearch"
    return {"yours": {"url": wanted.url, "secret": SECRET, "flavor": flavor}}


def _where(own: Pool | None, store: Store) -> dict[str, Any]:
    """Keep a store to the pool that is for it; else the light one likes the controller best.

    That outlives the workers, which come and go with the disks that are theirs.
    """
    if own is not None:
        selector = {names.LABEL_POOL: own.name}
        return {str(store): {"nodeSelector": selector, "tolerations": _tolerated(own)}}
    if store is not Store.LIGHT:
        return {}
    there = {"key": names.LABEL_CONTROL_PLANE, "operator": "Exists"}
    wish = {"weight": 100, "preference": {"matchExpressions": [there]}}
    nodes = {"preferredDuringSchedulingIgnoredDuringExecution": [wish]}
    return {str(store): {"affinity": {"nodeAffinity": nodes}}}


def _tolerated(own: Pool) -> list[dict[str, str]]:
    keys = dict.fromkeys(taint.partition(":")[0].partition("=")[0] for taint in own.taints)
    return [{"key": key, "operator": "Exists"} for key in keys]


def _operator(mark: Mark) -> Manifest:
    repository, chart, version = ECK
    told = {
        "telemetry": {"disabled": True},
        "managedNamespaces": [NAMESPACE],
        "priorityClassName": "system-cluster-critical",
        **({"podAnnotations": dict(mark)} if mark else {}),
    }
    where = {"repo": repository, "chart": chart, "version": version}
    return helm_chart(chart, where, ELASTIC, told)


def _chart(told: dict[str, Any]) -> Manifest:
    """Its namespace is no object of ours: with that would go the disk with what was collected."""
    content = assets.chart_archive(assets.chart_folder(NAME))
    return helm_chart(NAME, packed(content), NAMESPACE, told)


ADDON: Final = Addon(
    name="central-logging",
    noun="central logging",
    manifests=manifests,
    wanted=lambda config: config.logging is not None,
    # Nothing that starts needs it, and its images come through NAT, which takes minutes.
    awaited=False,
)
