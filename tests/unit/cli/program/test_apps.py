"""What the operator's status means for a person who waits, and what nodes have to share."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from clusterous_api import names
from clusterous_api.errors import FailedError, TransientError, UserError
from clusterous_cli.program import apps
from clusterous_cli.program.apps import Endpoint
from clusterous_cli.program.convert import Machine
from clusterous_cli.reach import kube

APP_PATH = "/apis/clusterous.io/v1/namespaces/default/clusterousapps/reef"


def body(
    *conditions: str, observed: int = 3, generation: int = 3, reason: str = "", down: int = 0
) -> dict[str, Any]:
    """An app whose *conditions* hold, with a master that runs and workers that wait."""
    return {
        "metadata": {"name": "reef", "namespace": "default", "generation": generation},
        "spec": {},
        "status": {
            "observedGeneration": observed,
            "conditions": [
                {
                    "type": name,
                    "status": "True",
                    "reason": name,
                    "message": f"it is {name}",
                    "lastTransitionTime": "2026-11-22T12:00:00Z",
                }
                for name in conditions
            ],
            "components": [
                {"name": "master", "desired": 1, "ready": 1},
                {"name": "workers", "desired": 8, "ready": 6, "reason": reason},
                {"name": "db", "desired": 1, "ready": 1 - down, "failed": down, "reason": reason},
            ],
            "endpoints": [
                {"name": "page", "component": "master", "service": "reef-master", "port": 80}
            ],
        },
    }


def test_shows_how_far_an_app_is() -> None:
    state = apps.app_state(body(reason="2 wait: no node has 2 free CPUs"))

    assert apps.progress_text(state) == (
        "master 1/1   workers 6/8   db 1/1  (2 wait: no node has 2 free CPUs)"
    )


def test_shows_an_app_that_nobody_looked_at() -> None:
    state = apps.app_state({"metadata": {"name": "reef", "generation": 1}, "spec": {}})

    assert apps.progress_text(state) == "waiting for the operator"
    assert state.state == "Starting"


@pytest.mark.parametrize(
    ("app", "until", "expected"),
    [
        pytest.param(body(), "Ready", "going", id="neither"),
        pytest.param(body("Ready"), "Ready", "done", id="ready"),
        pytest.param(body("Ready", observed=2), "Ready", "going", id="not-seen-yet"),
        pytest.param(body("Ready"), "Completed", "going", id="ready-but-not-complete"),
        pytest.param(body("Completed"), "Ready", "done", id="complete"),
        pytest.param(body("Stalled"), "Ready", "failed", id="stalled"),
        pytest.param(body(down=1), "Ready", "trouble", id="down"),
        pytest.param(body("Stalled", observed=2), "Ready", "going", id="stalled-before"),
    ],
)
def test_knows_when_to_stop_waiting(app: dict[str, Any], until: str, expected: str) -> None:
    assert apps.outcome(apps.app_state(app), until) == expected


class Scripted:
    """A transport that answers with one body after another, and a clock that each look moves."""

    def __init__(self, *bodies: dict[str, Any] | None) -> None:
        self.bodies: Iterator[dict[str, Any] | None] = iter(bodies)
        self.last: dict[str, Any] | None = None
        self.now = 0.0

    def __call__(self, method: str, path: str, body: str | None, kind: str) -> tuple[int, str]:
        import json

        assert (method, path) == ("GET", APP_PATH)
        self.last = next(self.bodies, self.last)
        return (404, "{}") if self.last is None else (200, json.dumps(self.last))

    def wait(self, until: str = "Ready", timeout: float = 60) -> tuple[apps.AppState, list[str]]:
        told: list[str] = []
        state = apps.wait(
            kube.Api(self),
            apps.app_state(body()),
            lambda state: told.append(state.state),
            until=until,
            timeout=timeout,
            clock=lambda: self.now,
            sleep=self.sleep,
        )
        return state, told

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_waits_until_ready() -> None:
    state, told = Scripted(body(), body(), body("Ready")).wait()

    assert state.holds("Ready")
    assert told == ["Starting", "Starting", "Ready"]


def test_a_failed_app_ends_the_wait_with_its_reason() -> None:
    scripted = Scripted(body("Stalled", reason="gave up: exit code 1"))

    with pytest.raises(FailedError, match=r"it is Stalled\n    workers: gave up: exit code 1"):
        scripted.wait()
    assert scripted.now == 0


def test_lasting_trouble_ends_the_wait() -> None:
    scripted = Scripted(body(down=1, reason="image x cannot be pulled: not found"))

    with pytest.raises(FailedError, match="db: image x cannot be pulled: not found"):
        scripted.wait(timeout=600)
    assert scripted.now == apps.PATIENCE_SECONDS


def test_a_container_that_dies_again_and_again_is_trouble_that_lasts() -> None:
    dying = [*[body(down=1)] * 9, body()] * 20

    with pytest.raises(FailedError, match="failed"):
        Scripted(*dying).wait(timeout=600)


def test_trouble_may_pass() -> None:
    bodies = [*[body(down=1)] * 50, *[body()] * 20, *[body(down=1)] * 50, body("Ready")]

    assert Scripted(*bodies).wait(timeout=600)[0].holds("Ready")


def test_tells_what_is_missing_when_time_is_over() -> None:
    with pytest.raises(FailedError, match=r"not Ready after 1 min: master 1/1   workers 6/8   db"):
        Scripted(body()).wait()


def test_notices_that_the_app_was_deleted() -> None:
    with pytest.raises(FailedError, match="was deleted while we waited"):
        Scripted(body(), None).wait()


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param("The job page: {url}", "The job page: http://localhost:8081", id="url"),
        pytest.param("{port} {port} {x}", "8081 8081 {x}", id="port-and-other-braces"),
        pytest.param("", "master port 80 is at http://localhost:8081", id="none"),
    ],
)
def test_says_the_message(message: str, expected: str) -> None:
    endpoint = apps.Endpoint(
        name="page", component="master", service="s", port=80, local_port=80, message=message
    )

    assert apps.message_text(endpoint, 8081) == expected


def test_the_local_port_is_the_ports_own_if_none_is_given() -> None:
    assert apps.app_state(body()).endpoints[0].local_port == 80


def test_chooses_endpoints() -> None:
    endpoints = apps.app_state(body()).endpoints

    assert apps.chosen(endpoints, None, "reef") == list(endpoints)
    assert apps.chosen(endpoints, "page", "reef") == list(endpoints)
    with pytest.raises(UserError, match="reef exposes no pgae; it exposes page"):
        apps.chosen(endpoints, "pgae", "reef")
    with pytest.raises(UserError, match="reef exposes nothing"):
        apps.chosen([], None, "reef")


# -- nodes ----------------------------------------------------------------------------------


def node(
    name: str, role: str, cpu: str = "2", free: str = "1900m", ready: str = "True"
) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "labels": {
                names.LABEL_POOL: role,
                **({names.LABEL_CONTROL_PLANE: "true"} if role == "controller" else {}),
            },
        },
        "spec": {},
        "status": {
            "capacity": {"cpu": cpu},
            "allocatable": {"cpu": free, "memory": "1000Ki"},
            "conditions": [{"type": "Ready", "status": ready}],
        },
    }


def pod(on: str, cpu: str, phase: str = "Running", **labels: str) -> dict[str, Any]:
    requests = {"cpu": cpu, "memory": "100Ki"}
    return {
        "metadata": {"labels": {key.replace("_", "/"): value for key, value in labels.items()}},
        "spec": {"nodeName": on, "containers": [{"resources": {"requests": requests}}]},
        "status": {"phase": phase},
    }


def test_measures_what_nodes_have_for_apps() -> None:
    nodes = [
        node("c", "controller"),
        node("m", "master"),
        node("w1", "worker", cpu="4", free="4"),
        node("w2", "worker", cpu="4", free="3500m"),
        node("w3", "worker", ready="False"),
    ]
    pods = [
        pod("c", "100m"),
        pod("c", "200m"),
        pod("c", "1", phase="Succeeded"),
        pod("w1", "1", **{"clusterous.io/app": "reef"}),
    ]

    found = apps.machines(nodes, pods)

    assert found["controller"] == Machine(
        nodes=1, cpu_millis=2000, free_millis=1400, free_bytes=int(800 * 1024 * 0.9)
    )
    assert found["master"] == Machine(
        nodes=1, cpu_millis=2000, free_millis=1900, free_bytes=int(1000 * 1024 * 0.9)
    )
    assert found["worker"] == Machine(
        nodes=2, cpu_millis=4000, free_millis=3500, free_bytes=int(1000 * 1024 * 0.9)
    )


def test_a_controller_keeps_room_for_a_new_operator() -> None:
    found = apps.machines([node("c", "controller", free="2"), node("w", "worker", free="2")], [])

    assert found["controller"].free_millis == 2000 - apps.CONTROLLER_MILLIS
    assert found["worker"].free_millis == 2000


# -- where tunnels end ----------------------------------------------------------------------

SERVICE = "/api/v1/namespaces/default/services/reef-hub"
SLICES = (
    "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    "?labelSelector=kubernetes.io%2Fservice-name%3Dreef-hub"
)
HUB = Endpoint(name="hub", component="hub", service="reef-hub", port=80, local_port=8080)


def far_end(service: dict[str, Any], *ends: dict[str, Any]) -> apps.Far:
    numbers = [{"name": "p80", "port": 8888}]
    found = {
        SERVICE: {"spec": {"ports": [{"name": "p80", "port": 80}], **service}},
        SLICES: {"items": [{"ports": numbers, "endpoints": list(ends)}]},
    }

    def server(method: str, path: str, body: str | None, kind: str) -> tuple[int, str]:
        return (200, json.dumps(found[path])) if path in found else (404, "{}")

    return apps.far_end(kube.Api(server), apps.app_state(body()), HUB)


def test_a_tunnel_ends_at_the_services_address() -> None:
    assert far_end({"clusterIP": "10.43.0.9"}) == apps.Far(address="10.43.0.9", port=80)


def test_without_an_address_it_ends_at_a_pod_that_is_ready() -> None:
    away = {"addresses": ["10.40.1.1"], "conditions": {"ready": False}}
    there = {"addresses": ["10.40.1.2"], "conditions": {"ready": True}}

    assert far_end({"clusterIP": "None"}, away, there) == apps.Far(address="10.40.1.2", port=8888)
    with pytest.raises(FailedError, match="hub has no address yet"):
        far_end({"clusterIP": "None"}, away)


def test_a_node_that_just_joined_is_the_masters_by_its_taint() -> None:
    fresh = node("m", "master")
    del fresh["metadata"]["labels"][names.LABEL_POOL]
    fresh["spec"]["taints"] = [{"key": names.MASTER_TAINT, "effect": "NoSchedule"}]
    unknown = node("w", "worker")
    del unknown["metadata"]["labels"][names.LABEL_POOL]

    assert set(apps.machines([fresh], [])) == {"master"}
    assert set(apps.machines([unknown], [])) == {"worker"}
    assert set(apps.machines([node("g", "gpu")], [])) == {"worker", "gpu"}


# -- the client -----------------------------------------------------------------------------


class Server:
    """A transport in front of a dict, with resource versions that count up."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.refuse: tuple[int, str] | None = None

    def __call__(self, method: str, path: str, body: str | None, kind: str) -> tuple[int, str]:
        import json

        self.calls.append(f"{method} {path}")
        if path == "/apis/clusterous.io/v1":
            resources = [
                {"name": "clusterousapps", "kind": "ClusterousApp", "namespaced": True},
                {"name": "clusterousapps/status", "kind": "ClusterousApp", "namespaced": True},
            ]
            return 200, json.dumps({"resources": resources})
        place, _, _ = path.partition("?")
        if method == "PATCH":
            return self._patched(place, json.loads(body or "{}"))
        found = self.objects.get(place)
        return (200, json.dumps(found)) if found else (404, "{}")

    def _patched(self, place: str, wanted: dict[str, Any]) -> tuple[int, str]:
        import json

        if self.refuse:
            return self.refuse[0], json.dumps({"message": self.refuse[1]})
        before = self.objects.get(place, {"metadata": {"resourceVersion": "0"}})
        version = int(before["metadata"]["resourceVersion"])
        if before.get("spec") != wanted["spec"]:
            version += 1
        metadata = {**wanted["metadata"], "resourceVersion": str(version)}
        self.objects[place] = {**wanted, "metadata": metadata}
        return 200, json.dumps(self.objects[place])


APP = {
    "apiVersion": "clusterous.io/v1",
    "kind": "ClusterousApp",
    "metadata": {"name": "reef"},
    "spec": {"image": "x"},
}


def test_applies_and_notices_when_nothing_changes() -> None:
    server = Server()
    api = kube.Api(server)

    changes = [api.apply(APP)[1], api.apply(APP)[1], api.apply({**APP, "spec": {}})[1]]

    assert changes == [True, False, True]
    assert f"PATCH {APP_PATH}?fieldManager=clusterous-cli&force=true" in server.calls[2]
    assert server.calls.count("GET /apis/clusterous.io/v1") == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (422, kube.Refused),
        (400, kube.Refused),
        (403, kube.ApiError),
        (503, TransientError),
        (429, TransientError),
    ],
)
def test_translates_what_the_server_refuses(status: int, error: type[Exception]) -> None:
    server = Server()
    server.refuse = (status, "spec.master: too good")

    with pytest.raises(error, match=r"ClusterousApp reef|busy") as caught:
        kube.Api(server).apply(APP)

    assert "spec.master: too good" in str(caught.value)


def test_does_not_know_every_kind() -> None:
    with pytest.raises(kube.Refused, match="knows no ClusterousAp of"):
        kube.Api(Server()).apply({**APP, "kind": "ClusterousAp"})
