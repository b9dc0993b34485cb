"""Pods begin anew, as their component's strategy has it, and nothing else of a program changes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import quote

from clusterous_api import names
from clusterous_api.errors import FailedError
from clusterous_cli.program.running.parts import Part
from clusterous_cli.reach.kube import Api, Object, pods_path

# Kubernetes' own mark of `kubectl rollout restart`: another value makes other pods.
RESTARTED: Final = "kubectl.kubernetes.io/restartedAt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarted:
    """What begins anew: so many pods of a component."""

    component: str
    pods: int


def restart(api: Api, there: Sequence[Part], now: datetime) -> list[Restarted]:
    """Let all pods of the components *there* (of one app) be replaced.

    A Deployment's go as its strategy says; those of a Job that runs are asked to leave, which is no
    try of their program. FailedError: nothing of them runs.
    """
    done = [one for part in there if (one := _restart(api, part, now)).pods]
    if not done:
        shown = ", ".join(part.name for part in there)
        raise FailedError(f"Nothing of {shown} runs; `clusterous status` says why.")
    return done


def _restart(api: Api, part: Part, now: datetime) -> Restarted:
    running = [
        pod
        for pod in api.items(pods_path(part.namespace, names.selector(part.app, part.title)))
        if pod.get("status", {}).get("phase") in ("Running", "Pending")
        and "deletionTimestamp" not in pod["metadata"]
    ]
    deployment = _path(part)
    if api.find(deployment) is not None:
        mark = {"metadata": {"annotations": {RESTARTED: now.isoformat(timespec="seconds")}}}
        api.merge(deployment, {"spec": {"template": mark}})
    else:
        _leave(api, running)
    return Restarted(component=part.name, pods=len(running))


def _leave(api: Api, pods: Iterable[Object]) -> None:
    for pod in pods:
        if why := api.evict(pod):
            raise FailedError(f"{pod['metadata']['name']} may not end now: {why}")


def _path(part: Part) -> str:
    name = quote(names.child(part.app, part.title), safe="")
    return f"/apis/apps/v1/namespaces/{quote(part.namespace, safe='')}/deployments/{name}"
