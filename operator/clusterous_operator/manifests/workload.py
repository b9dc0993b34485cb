"""The Deployment or Job of a component, and the pods in it."""

from collections.abc import Mapping
from typing import Any, Final

from clusterous_api import names
from clusterous_api.models import (
    Action,
    App,
    Component,
    Drain,
    FailurePolicy,
    LogFormat,
    Placement,
    Replace,
    Spread,
)
from clusterous_operator.manifests import volume
from clusterous_operator.manifests._common import Facts, Manifest, inherited, labels, metadata
from clusterous_operator.objects import merge

_OLD_REPLICA_SETS = 2
# What a pod gets on top of its deadline: the hook may use that up, and the program must still end.
_AFTER_DRAIN_SECONDS = 10
_TOPOLOGY = {Spread.NODE: "kubernetes.io/hostname", Spread.ZONE: "topology.kubernetes.io/zone"}


def workload(app: App, component: Component, facts: Facts) -> Manifest:
    """Return a component's Deployment, or its Job where it is to end."""
    build = _job if app.is_job(component) else _deployment
    return build(app, component, facts)


def _deployment(app: App, component: Component, facts: Facts) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(app, component.name),
        "spec": {
            "replicas": facts.replicas[component.name],
            "revisionHistoryLimit": _OLD_REPLICA_SETS,
            "selector": {"matchLabels": names.selector(app.name, component.name)},
            **_strategy(component),
            "template": pod_template(app, component, facts),
        },
    }


def _strategy(component: Component) -> dict[str, Any]:
    """Return how pods are replaced, as far as it is not what Deployments do anyway.

    Whether that is paused is always said: by `kubectl rollout pause` it would be so without a word.
    """
    strategy = component.strategy
    paused = {"paused": strategy.paused}
    # Two masters at once could both write the results: the old one ends before the new one starts.
    if component.name == names.MASTER:
        return {"strategy": {"type": "Recreate"}, **paused}
    if strategy.type is Replace.RECREATE:
        # Without the null the default of a Deployment that rolled before would stay, and forbid it.
        return {"strategy": {"type": "Recreate", "rollingUpdate": None}, **paused}
    shares = {"maxSurge": strategy.max_surge, "maxUnavailable": strategy.max_unavailable}
    given = {key: value for key, value in shares.items() if value is not None}
    if not given and component.replicas is None:
        given = _WITHOUT_ROOM
    if not given:
        return paused
    return {"strategy": {"type": "RollingUpdate", "rollingUpdate": given}, **paused}


# What fills the cluster has left no room for a pod more, so that one must end before another
# starts. Kubernetes takes a share that is less than one pod for one.
_WITHOUT_ROOM: Final[dict[str, int | str]] = {"maxSurge": 0, "maxUnavailable": "25%"}


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
            "backoffLimit": app.batch.backoff_limit,
            "suspend": facts.halted,
            **_deadline(app, component),
            **_pod_failure_policy(component.name, app.failure_policy),
            "template": {**template, "spec": {**template["spec"], "restartPolicy": "Never"}},
        },
    }


def _deadline(app: App, component: Component) -> dict[str, int]:
    """Return when a batch has failed; a suspended Job's time does not run."""
    seconds = app.batch.active_deadline_seconds
    if seconds is None or component.name != names.MASTER:
        return {}
    return {"activeDeadlineSeconds": seconds}


_NATIVE = {Action.IGNORE: "Ignore", Action.FAIL: "FailJob"}


# What the cluster does to a pod is no try of its program: an eviction, a preemption, a lost node.
_NO_TRY = {
    "action": "Ignore",
    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
}


def _pod_failure_policy(name: str, policy: FailurePolicy | None) -> dict[str, Any]:
    """Return what the Job itself can do about failures; failure.py does the rest.

    A code belongs to the first rule that names it. After a rule by reason a code may not fail the
    Job any more: the failure may be that rule's.
    """
    rules: list[dict[str, Any]] = [_NO_TRY]
    taken: set[int] = set()
    by_reason = False
    for rule in policy.rules if policy is not None else ():
        if rule.components and name not in rule.components:
            continue
        codes = sorted(set(rule.exit_codes) - taken)
        if codes and rule.action in _NATIVE and not (by_reason and rule.action is Action.FAIL):
            on = {"operator": "In", "values": codes}
            rules.append({"action": _NATIVE[rule.action], "onExitCodes": on})
        taken |= set(codes)
        by_reason = by_reason or bool(rule.reasons)
    return {"podFailurePolicy": {"rules": rules}}


def pod_template(app: App, component: Component, facts: Facts) -> dict[str, Any]:
    """Return the pods of a component: ours, then the user's overlay, then what must hold."""
    given, noted = inherited(app)
    ours = {
        "metadata": {
            "labels": {**given, **_log_labels(app), **labels(app, component.name)},
            **({"annotations": noted} if noted else {}),
        },
        "spec": _pod_spec(app, component, facts),
    }
    merged = merge.strategic(ours, component.template)
    own_labels = {**merged["metadata"].get("labels", {}), **labels(app, component.name)}
    return {
        **merged,
        "metadata": {
            **merged["metadata"],
            "labels": own_labels,
            **_attempt(merged["metadata"], facts.attempts.get(component.name, 0), facts.life),
        },
    }


def _attempt(merged: Mapping[str, Any], number: int, life: int) -> dict[str, Any]:
    """Number the pods that a failure policy has started again: a new number replaces them."""
    told = {names.ANNOTATION_RESTARTS: number, names.ANNOTATION_LIFE: life}
    ours = {key: f"{value}" for key, value in told.items() if value}
    return {"annotations": {**merged.get("annotations", {}), **ours}} if ours else {}


def _log_labels(app: App) -> dict[str, str]:
    if app.logging is None:
        return {}
    shape = "json" if app.logging.format is LogFormat.JSON else "text"
    return {
        names.LABEL_LOGGING: str(app.logging.enabled).lower(),
        names.LABEL_LOG_FORMAT: shape,
    }


def _pod_spec(app: App, component: Component, facts: Facts) -> dict[str, Any]:
    spec: dict[str, Any] = {
        # A Service more is a variable more in every later pod, and the pods then differ.
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "securityContext": _security_context(app, component),
        "containers": [_container(app, component)],
        "volumes": [
            {
                "name": names.VOLUME_NAME,
                "persistentVolumeClaim": {"claimName": volume.claim_name(app, facts)},
            }
        ],
        "tolerations": _tolerations(component, facts),
    }
    optional = {
        "nodeSelector": _node_selector(component.placement),
        "affinity": _affinity(component, facts),
        "hostAliases": _aliases(app, facts.addresses),
        "dnsConfig": _dns(app),
        "imagePullSecrets": [{"name": one} for one in app.image_pull_secrets],
        "priorityClassName": component.placement.priority_class_name,
        "topologySpreadConstraints": _spread(app, component),
        "terminationGracePeriodSeconds": _grace(component.drain),
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
        "lifecycle": _lifecycle(component.drain),
    }
    return {
        "name": component.name,
        "image": component.image,
        "env": _environment(app, component),
        "volumeMounts": [mount | sub_path],
        "securityContext": {"allowPrivilegeEscalation": False},
        # The last words of a program that crashed come with its pod's status: trouble.py.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    } | {key: value for key, value in optional.items() if value}


def _security_context(app: App, component: Component) -> dict[str, Any]:
    shared = {} if app.volume.fs_group is None else {"fsGroup": app.volume.fs_group}
    given = {**shared, **component.security_context}
    # To change the owner of each file at each start takes hours where there are millions.
    policy = {"fsGroupChangePolicy": "OnRootMismatch"} if "fsGroup" in given else {}
    return {"seccompProfile": {"type": "RuntimeDefault"}, **policy, **given}


def _spread(app: App, component: Component) -> list[dict[str, Any]]:
    """Spread evenly as far as there is room; never let a pod wait for evenness."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": _TOPOLOGY[one],
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": names.selector(app.name, component.name)},
        }
        for one in component.placement.spread
    ]


def _grace(drain: Drain | None) -> int | None:
    return None if drain is None else drain.deadline_seconds + _AFTER_DRAIN_SECONDS


def _lifecycle(drain: Drain | None) -> dict[str, Any]:
    """Return the hook that lets a program finish: the kubelet waits for its end."""
    if drain is None:
        return {}
    if drain.exec:
        return {"preStop": {"exec": {"command": list(drain.exec)}}}
    asked = drain.http_get or {}
    return {"preStop": {"httpGet": {"path": asked.get("path", "/"), "port": asked["port"]}}}


def _environment(app: App, component: Component) -> list[Mapping[str, Any]]:
    ours = {names.ENV_APP: app.name, names.ENV_COMPONENT: component.name}
    if app.master is not None:
        ours[names.ENV_MASTER_HOST] = names.child(app.name, names.MASTER)
    theirs = {item["name"] for item in component.env}
    given = [{"name": key, "value": value} for key, value in ours.items() if key not in theirs]
    return [*given, *component.env]


def _aliases(app: App, addresses: Mapping[str, str]) -> list[dict[str, Any]]:
    """Give each component its names. The Service's own is among them, though the cluster's DNS
    knows it: components must find each other also while the node that ran the DNS is lost."""
    return [
        {
            "ip": address,
            "hostnames": [
                *(name, names.child(app.name, name), f"{name}.{names.LEGACY_DNS_SUFFIX}"),
                *_further(app.component(name)),
            ],
        }
        for name, address in sorted(addresses.items())
    ]


def _further(component: Component | None) -> list[str]:
    aliases = component.aliases if component is not None else ()
    return [name for alias in aliases for name in (alias, f"{alias}.{names.LEGACY_DNS_SUFFIX}")]


def _dns(app: App) -> dict[str, Any]:
    """Let pods look for those that have no address under their short names, too."""
    if not any(one.headless for one in app.components):
        return {}
    return {"searches": [names.search_domain(app.name, app.namespace)]}


def _node_selector(placement: Placement) -> dict[str, str]:
    pool = {names.LABEL_POOL: placement.pool} if placement.pool else {}
    return {**pool, **placement.node_selector}


def _affinity(component: Component, facts: Facts) -> dict[str, Any]:
    """Return where a role is. A worker's is everywhere that is not tainted as a control plane.

    A master that is placed nowhere in particular is on the machine for masters, where there is one
    with room; it says so on any cluster, so that a machine that comes later moves no program.
    """
    if component.placement.role == names.ROLE_CONTROLLER:
        term = {"matchExpressions": [{"key": names.LABEL_CONTROL_PLANE, "operator": "Exists"}]}
        terms = {"nodeSelectorTerms": [term]}
        return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    if _is_free_master(component, facts):
        pool = {"key": names.LABEL_POOL, "operator": "In", "values": [names.POOL_MASTER]}
        wish = {"weight": 100, "preference": {"matchExpressions": [pool]}}
        return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [wish]}}
    return {}


def _is_free_master(component: Component, facts: Facts) -> bool:
    where = component.placement
    is_placed = where.role or where.pool or where.node_selector or facts.masters_anywhere
    return component.name == names.MASTER and not is_placed


def _tolerations(component: Component, facts: Facts) -> list[dict[str, Any]]:
    given = [dict(one) for one in component.placement.tolerations]
    if component.placement.role == names.ROLE_CONTROLLER:
        return [_tolerated(names.CONTROL_PLANE_TAINT), *given]
    if component.placement.pool == names.POOL_MASTER or _is_free_master(component, facts):
        return [_tolerated(names.MASTER_TAINT), *given]
    return given


def _tolerated(key: str) -> dict[str, Any]:
    return {"key": key, "operator": "Exists", "effect": "NoSchedule"}
