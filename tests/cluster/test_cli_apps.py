"""What the CLI applies and reads, against a real API server and the running operator."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clusterous_cli.program import apps, convert, envfile, program
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
    known = program.references(what, "registry.example", "reef", {})
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
