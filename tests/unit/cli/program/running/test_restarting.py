"""How the pods of a component begin anew."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from clusterous_api.errors import FailedError
from clusterous_cli.program.running import restarting
from clusterous_cli.program.running.parts import Part
from clusterous_cli.reach.kube import Api

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
MASTER = Part(namespace="lab", app="sim", title="master", called=("master", "head"))
WORKERS = Part(namespace="lab", app="sim", title="workers", called=("workers",))
DEPLOYMENT = "/apis/apps/v1/namespaces/lab/deployments/sim-workers"


def pod(name: str, phase: str = "Running", **metadata: Any) -> dict[str, Any]:
    whole = {"name": name, "namespace": "lab", "uid": f"u-{name}", **metadata}
    return {"metadata": whole, "status": {"phase": phase}}


class Server:
    """Workers that a Deployment keeps, a master that a Job runs; and what was asked."""

    def __init__(self, **pods: list[dict[str, Any]]) -> None:
        self.pods = pods
        self.held = ""
        self.changes: list[tuple[str, str, Any]] = []

    def __call__(self, method: str, path: str, body: str | None, kind: str) -> tuple[int, str]:
        if method != "GET":
            self.changes.append((method, path, json.loads(body or "{}")))
            refused = {"message": self.held}
            return (429, json.dumps(refused)) if self.held else (200, "{}")
        if "/pods?" in path:
            title = "workers" if "workers" in path else "master"
            return 200, json.dumps({"items": self.pods.get(title, [])})
        return (200, "{}") if path == DEPLOYMENT else (404, "{}")


def test_a_deployment_is_marked_as_kubectl_does_and_a_job_asked_to_leave() -> None:
    ended = [pod("m2", "Succeeded"), pod("m3", deletionTimestamp="now")]
    server = Server(workers=[pod("w1"), pod("w2", "Pending")], master=[pod("m1"), *ended])

    done = restarting.restart(Api(server), [MASTER, WORKERS], NOW)

    assert [(one.component, one.pods) for one in done] == [("head", 1), ("workers", 2)]
    evicted, marked = server.changes
    assert evicted[:2] == ("POST", "/api/v1/namespaces/lab/pods/m1/eviction")
    assert marked[:2] == ("PATCH", DEPLOYMENT)
    template = {"metadata": {"annotations": {restarting.RESTARTED: "2026-11-30T09:00:00+00:00"}}}
    assert marked[2] == {"spec": {"template": template}}


def test_who_does_not_run_is_told() -> None:
    with pytest.raises(FailedError, match="Nothing of head runs"):
        restarting.restart(Api(Server()), [MASTER], NOW)


def test_what_may_not_end_now_is_told_with_the_reason() -> None:
    server = Server(master=[pod("m1")])
    server.held = "The disruption budget needs 1 healthy pod"

    with pytest.raises(FailedError, match="m1 may not end now: The disruption budget"):
        restarting.restart(Api(server), [MASTER], NOW)
