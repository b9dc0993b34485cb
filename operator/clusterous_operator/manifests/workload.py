"""The Deployment or Job of a component, and the pods in it."""

from collections.abc import Mapping
from typing import Any

from clusterous_api import names
from clusterous_api.models import App, Component, Placement
from clusterous_operator import merge
from clusterous_operator.manifests import volume
from clusterous_operator.manifests._common import Facts, Manifest, labels, metadata

# A node that does not answer is given up after ten seconds, not after the usual five minutes, so
# that its pods are replaced within a minute of its loss.
_LOST_NODE = tuple(
    {"key": f"node.kubernetes.io/{state}", "operator": "Exists", "effect": "NoExecute"}
    for state in ("not-ready", "unreachable")
)
LOST_NODE_SECONDS = 10
JOB_RETRIES = 6
_OLD_REPLICA_SETS = 2


def workload(app: App, component: Component, facts: Facts) -> Manifest:
    """Return a component's Deployment, or its Job where it is to end."""
    build = _job if app.is_job(component) else _deployment
    return build(app, component, facts)


def _deployment(app: App, component: Component, facts: Facts) -> Manifest:
    # Two masters at once could both write the results: the old one ends before the new one starts.
    strategy = {"strategy": {"type": "Recreate"}} if component.name == names.MASTER else {}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(app, component.name),
        "spec": {
            "replicas": facts.replicas[component.name],
            "revisionHistoryLimit": _OLD_REPLICA_SETS,
            "selector": {"matchLabels": names.selector(app.name, component.name)},
            **strategy,
            "template": pod_template(app, component, facts),
        },
    }


def _job(app: App, component: Component, facts: Facts) -> Manifest:
    count = 1 if component.replicas is None else component.replicas
    template = pod_template(app, component, facts)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(app, component.name),
        "spec": {
            "parallelism": count,
            "completions": count,
            "backoffLimit": JOB_RETRIES,
            "suspend": app.suspend,
            "template": {**template, "spec": {**template["spec"], "restartPolicy": "Never"}},
        },
    }


def pod_template(app: App, component: Component, facts: Facts) -> dict[str, Any]:
    """Return the pods of a component: ours, then the user's overlay, then what must hold."""
    ours = {
        "metadata": {"labels": labels(app, component.name)},
        "spec": _pod_spec(app, component, facts),
    }
    merged = merge.strategic(ours, component.template)
    own_labels = {**merged["metadata"].get("labels", {}), **labels(app, component.name)}
    return {
        **merged,
        "metadata": {**merged["metadata"], "labels": own_labels},
        "spec": _patient(merged["spec"]),
    }


def _pod_spec(app: App, component: Component, facts: Facts) -> dict[str, Any]:
    spec: dict[str, Any] = {
        # A Service more is a variable more in every later pod, and the pods then differ.
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(app, component)],
        "volumes": [
            {
                "name": names.VOLUME_NAME,
                "persistentVolumeClaim": {"claimName": volume.claim_name(app, facts)},
            }
        ],
        "tolerations": _tolerations(component.placement),
    }
    optional = {
        "nodeSelector": _node_selector(component.placement),
        "hostAliases": _aliases(app.name, facts.addresses),
    }
    return spec | {key: value for key, value in optional.items() if value}


def _container(app: App, component: Component) -> dict[str, Any]:
    mount = {"name": names.VOLUME_NAME, "mountPath": names.VOLUME_PATH}
    sub_path = {"subPath": app.volume.sub_path} if app.volume.sub_path else {}
    optional = {
        "command": list(component.command),
        "args": list(component.args),
        "resources": dict(component.resources),
        "ports": [
            {"name": one.name, "containerPort": one.target_port, "protocol": one.protocol}
            for one in component.ports
        ],
    }
    return {
        "name": component.name,
        "image": component.image,
        "env": _environment(app, component),
        "volumeMounts": [mount | sub_path],
        "securityContext": {"allowPrivilegeEscalation": False},
    } | {key: value for key, value in optional.items() if value}


def _environment(app: App, component: Component) -> list[Mapping[str, Any]]:
    ours = {names.ENV_APP: app.name, names.ENV_COMPONENT: component.name}
    if app.master is not None:
        ours[names.ENV_MASTER_HOST] = names.child(app.name, names.MASTER)
    theirs = {item["name"] for item in component.env}
    given = [{"name": key, "value": value} for key, value in ours.items() if key not in theirs]
    return [*given, *component.env]


def _aliases(app: str, addresses: Mapping[str, str]) -> list[dict[str, Any]]:
    """Give each component its names. The Service's own is among them, though the cluster's DNS
    knows it: components must find each other also while the node that ran the DNS is lost."""
    return [
        {
            "ip": address,
            "hostnames": [name, names.child(app, name), f"{name}.{names.LEGACY_DNS_SUFFIX}"],
        }
        for name, address in sorted(addresses.items())
    ]


def _node_selector(placement: Placement) -> dict[str, str]:
    role = {names.LABEL_ROLE: placement.role} if placement.role else {}
    pool = {names.LABEL_POOL: placement.pool} if placement.pool else {}
    return {**role, **pool, **placement.node_selector}


def _tolerations(placement: Placement) -> list[dict[str, Any]]:
    if placement.role != names.ROLE_CONTROLLER:
        return []
    return [{"key": names.CONTROL_PLANE_TAINT, "operator": "Exists", "effect": "NoSchedule"}]


def _patient(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Add how long to wait for a lost node, where the user has not said so."""
    theirs = list(spec.get("tolerations") or ())
    said = {one.get("key") for one in theirs}
    ours = [
        {**one, "tolerationSeconds": LOST_NODE_SECONDS}
        for one in _LOST_NODE
        if one["key"] not in said and None not in said
    ]
    return {**spec, "tolerations": theirs + ours}
