"""What the CLI applies and reads, against a real API server and the running operator."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from clusterous_api import names
from clusterous_cli.program import apps, convert, envfile, program
from clusterous_cli.program.running import ending, parts, restarting, scaling
from clusterous_cli.reach import kube
from tests.cluster.controlplane import ControlPlane

pytestmark = pytest.mark.cluster

EXAMPLE = Path(__file__).parents[2] / "examples/montecarlo"


@pytest.fixture
def api(shared_plane: ControlPlane) -> kube.Api:
    transport = kube.Https(
        port=shared_plane.port, context=shared_plane.tls, server_name="127.0.0.1"
    )
    return kube.Api(transport)


@pytest.fixture
def namespace(shared_plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[str]:
    words = "".join(c if c.isalnum() else "-" for c in request.node.name)
    name = "cli-" + words[-40:].strip("-")
    shared_plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    shared_plane.api("DELETE", f"/api/v1/namespaces/{name}")


def inside(namespace: str, app: dict[str, Any]) -> dict[str, Any]:
    return {**app, "metadata": {**app["metadata"], "namespace": namespace}}


def simple(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "clusterous.io/v1",
        "kind": "ClusterousApp",
        "metadata": {"name": "reef"},
        "spec": {
            "image": "example.org/x",
            "master": {"ports": [{"name": "http", "port": 80}]},
            **spec,
        },
    }


def test_every_character_of_a_file_reaches_the_pods(api: kube.Api, namespace: str) -> None:
    app = inside(
        namespace, simple(workers={"replicas": 1, "env": [{"name": "G", "value": "🚀 𠮷"}]})
    )

    made, _ = api.apply(app)

    assert made["spec"]["workers"]["env"][0]["value"] == "🚀 𠮷"


def without_master(app: dict[str, Any]) -> dict[str, Any]:
    return {**app, "spec": {k: v for k, v in app["spec"].items() if k != "master"}}


MACHINES = {
    name: convert.Machine(nodes=1, cpu_millis=4000, free_millis=3000, free_bytes=4 << 30)
    for name in ("master", "worker", "hub", "farm")
}


@pytest.mark.parametrize("name", ["app.yaml", "environment.yml"])
def test_the_cluster_takes_both_forms_of_the_example(
    api: kube.Api, namespace: str, name: str
) -> None:
    what = program.read(EXAMPLE / name)
    known = program.references(what, "registry.example/clusterous/reef/", {})
    (app,), _ = program.manifests(what, MACHINES, known)

    _, first = api.apply(inside(namespace, app))
    _, second = api.apply(inside(namespace, app))

    assert (first, second) == (True, False)


def test_the_cluster_takes_everything_that_an_environment_can_say(
    api: kube.Api, namespace: str
) -> None:
    text = """
name: Tile_Render_2016
environment:
  components:
    message_broker_of_the_farm: {machine: hub, cpu: auto, image: rabbitmq, ports: "5672,180:156"}
    view: {machine: hub, cpu: auto, count: 2, image: x, cmd: run, docker_network: host,
           depends: message_broker_of_the_farm}
    tile: {machine: farm, cpu: 0.25, count: auto, image: y, depends: "view"}
  expose_tunnel: [{service: "7000:view:7000", message: "Open {url}"}]
"""
    environment = envfile.parse(text, "f")

    app = convert.convert(environment, MACHINES, {}).manifest

    assert api.apply(inside(namespace, app))[1]


def test_the_clusters_refusal_is_told(api: kube.Api, namespace: str) -> None:
    with pytest.raises(kube.Refused, match=r"\.spec\.master\.prots: field not declared in schema"):
        api.check(inside(namespace, simple(master={"prots": []})))
    with pytest.raises(kube.Refused, match="run Batch needs a master"):
        api.check(inside(namespace, without_master(simple(workers={}, run="Batch"))))


def test_a_check_changes_nothing(api: kube.Api, namespace: str) -> None:
    api.check(inside(namespace, simple()))

    assert api.find(kube.apps_path(namespace, "reef")) is None
    api.check(inside("nowhere", simple()))


def test_waits_for_the_operator_and_finds_the_address(
    api: kube.Api, namespace: str, operator: object
) -> None:
    expose = [{"name": "page", "component": "master", "port": "http", "message": "{url}"}]
    body, _ = api.apply(inside(namespace, simple(expose=expose)))

    told: list[str] = []
    state = apps.wait(
        api,
        apps.app_state(body),
        lambda state: told.append(apps.progress_text(state)),
        until="Ready",
        timeout=60,
    )

    assert state.state == "Ready"
    assert told[-1] == "master 1/1"
    assert apps.far_end(api, state, state.endpoints[0]).address.startswith("10.43.")
    assert f"{namespace}/reef" in [f"{s.namespace}/{s.name}" for s in apps.all_states(api)]


def test_measures_the_nodes(api: kube.Api) -> None:
    nodes = api.items("/api/v1/nodes")

    worker = apps.machines(nodes, api.items("/api/v1/pods"))["worker"]

    assert worker.nodes == len(nodes)
    assert worker.cpu_millis >= worker.free_millis > 0


def settled(api: kube.Api, namespace: str, name: str = "reef") -> apps.AppState:
    app = apps.find(api, f"{namespace}/{name}")
    return apps.wait(api, app, lambda state: None, until="Ready", timeout=90)


def pods_of(api: kube.Api, namespace: str, title: str) -> list[dict[str, Any]]:
    found = api.items(kube.pods_path(namespace, names.selector("reef", title)))
    return [one for one in found if "deletionTimestamp" not in one["metadata"]]


def until(check: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 90
    while not check():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.1)


def test_what_is_scaled_restarted_suspended_and_resumed_becomes_so(
    api: kube.Api, namespace: str, operator: object
) -> None:
    api.apply(inside(namespace, simple(
        workers={"replicas": 1, "aliases": ["engine"]},
        components=[{"name": "db"}, {"name": "view"}],
    )))  # fmt: skip
    settled(api, namespace)

    def scale(component: str, count: int | None) -> scaling.Scaled:
        bodies = api.items(kube.apps_path(namespace))
        found = parts.chosen(bodies, [f"{namespace}/reef", component], "scale")
        return scaling.scale(api, found.parts[0], found.body, count)

    more, other = scale("engine", 3), scale("view", 2)
    until(lambda: len(pods_of(api, namespace, "workers")) == 3, "there are three workers")
    until(lambda: len(pods_of(api, namespace, "view")) == 2, "there are two of a component")
    settled(api, namespace)

    before = {one["metadata"]["uid"] for one in pods_of(api, namespace, "workers")}
    there = parts.chosen(api.items(kube.apps_path(namespace)), ["engine"], "restart").parts
    done = restarting.restart(api, there, datetime.now(UTC))
    until(
        lambda: not before & {one["metadata"]["uid"] for one in pods_of(api, namespace, "workers")},
        "other pods are there",
    )
    until(lambda: len(pods_of(api, namespace, "workers")) == 3, "as many as before")

    app = settled(api, namespace)
    ending.end(api, app, keep=True)
    left = ending.await_end(api, [app])
    resumed = apps.resume(api, apps.find(api, f"{namespace}/reef"))
    state = apps.wait(api, resumed, lambda state: None, until="Ready", timeout=90)

    assert [(one.before, one.after) for one in (more, other)] == [("1", "3"), ("1", "2")]
    assert [(one.component, one.pods) for one in done] == [("engine", 3)]
    assert left == 0
    assert state.component("workers") == apps.ComponentState(name="workers", desired=3, ready=3)


def test_workers_fill_the_cluster_again(api: kube.Api, namespace: str, operator: object) -> None:
    api.apply(inside(namespace, simple(workers={"replicas": 2})))

    for count, said in ((None, "fill"), (1, "1")):
        bodies = api.items(kube.apps_path(namespace))
        found = parts.chosen(bodies, ["workers"], "scale")
        assert scaling.scale(api, found.parts[0], found.body, count).after == said
        (body,) = api.items(kube.apps_path(namespace))
        assert body["spec"]["workers"].get("replicas") == count


def test_who_comes_before_a_component_meanwhile_is_not_changed_in_its_stead(
    api: kube.Api, namespace: str
) -> None:
    body, _ = api.apply(inside(namespace, simple(components=[{"name": "db"}])))
    (part,) = [one for one in parts.parts([body]) if one.title == "db"]
    api.apply(inside(namespace, simple(components=[{"name": "a"}, {"name": "db"}])))

    with pytest.raises(kube.Refused):
        scaling.scale(api, part, body, 3)

    (now,) = api.items(kube.apps_path(namespace))
    assert [one.get("replicas") for one in now["spec"]["components"]] == [None, None]
