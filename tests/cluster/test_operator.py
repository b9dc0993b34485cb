"""The operator at work: a real API server, real controllers, the chart's rights."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import kubernetes.client
import kubernetes.config
import pytest

from clusterous_api import names
from tests import ports
from tests.cluster.conftest import SYSTEM, Lab, Operator, install
from tests.contract import charting

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

PORT = {"name": "http", "port": 8080}
MASTER = {"ports": [PORT]}
WORKERS = {"replicas": 2, "dependsOn": [{"name": "master"}]}
SHRINK_SECONDS = 1.0  # as the operator of these tests is told
CPU = {"resources": {"requests": {"cpu": "1"}}}


def template(**annotations: str) -> dict[str, Any]:
    told = {f"clusterous.test/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return {"template": {"metadata": {"annotations": told}}}


def image_of(lab: Lab, deployment: str) -> str:
    pod = lab.get("deployments", deployment)["spec"]["template"]["spec"]
    return str(pod["containers"][0]["image"])


def replicas_of(lab: Lab, deployment: str) -> int:
    return int(lab.get("deployments", deployment)["spec"]["replicas"])


def test_brings_an_app_up(lab: Lab) -> None:
    expose = [{"name": "page", "component": "master", "port": "http"}]
    lab.create(master=MASTER, workers=WORKERS, expose=expose)

    lab.until_condition("Ready")

    status = lab.status()
    assert (status["master"], status["workers"], status["volume"]) == ("1/1", "2/2", "Bound")
    assert status["endpoints"][0]["service"] == "sim-master"
    address = lab.get("services", "sim-master")["spec"]["clusterIP"]
    (pod, *_) = [one for one in lab.all("pods") if "workers" in one["metadata"]["name"]]
    assert pod["spec"]["hostAliases"] == [
        {"ip": address, "hostnames": ["master", "sim-master", "master.marathon.mesos"]}
    ]


def test_leaves_no_mark_on_the_users_object(lab: Lab) -> None:
    lab.create(master=MASTER)
    lab.until_condition("Ready")

    metadata = lab.get("clusterousapps", "sim")["metadata"]

    assert "annotations" not in metadata
    assert "finalizers" not in metadata


def test_the_first_status_is_complete(lab: Lab) -> None:
    lab.create(master={**MASTER, **template(waiting="ContainerCreating")})

    lab.until(lambda: bool(lab.status()), "a status")

    assert lab.condition("Ready")["status"] == "False"
    assert lab.condition("Reconciling")["status"] == "True"


def test_a_change_reaches_the_pods(lab: Lab) -> None:
    lab.create(master=MASTER, workers=WORKERS)
    lab.until_condition("Ready")

    lab.change(image="example.org/sim:2")
    lab.until(lambda: image_of(lab, "sim-workers").endswith(":2"), "the new image")
    lab.until_condition("Ready")

    images = {one["spec"]["containers"][0]["image"] for one in lab.all("pods")}
    assert images == {"example.org/sim:2"}


def test_scales_through_the_subresource(lab: Lab) -> None:
    lab.create(master=MASTER, workers=WORKERS)
    lab.until_condition("Ready")

    lab.patch("clusterousapps", "sim/scale", {"spec": {"replicas": 4}})

    lab.until(lambda: lab.status()["workers"] == "4/4", "four workers")
    scale = lab.get("clusterousapps", "sim/scale")
    assert scale["status"]["replicas"] == 4
    found = lab.plane.api("GET", lab.path("pods") + "?labelSelector=" + scale["status"]["selector"])
    assert len(found["items"]) == 4


def test_mends_what_was_deleted_or_edited(lab: Lab) -> None:
    lab.create(master=MASTER, workers=WORKERS)
    lab.until_condition("Ready")

    edit = {"containers": [{"name": "workers", "image": "evil:1"}]}
    lab.patch("deployments", "sim-workers", {"spec": {"replicas": 9, "template": {"spec": edit}}})
    lab.delete("deployments", "sim-master")

    lab.until(lambda: image_of(lab, "sim-workers") == "example.org/sim:1", "our image")
    lab.until(lambda: lab.exists("deployments", "sim-master"), "the master")
    assert replicas_of(lab, "sim-workers") == 2
    lab.until_condition("Ready")


def test_a_service_that_was_deleted_comes_back_and_the_pods_know(lab: Lab) -> None:
    lab.create(master=MASTER)
    lab.until_condition("Ready")

    lab.delete("services", "sim-master")
    lab.until(lambda: lab.exists("services", "sim-master"), "the service")

    address = lab.get("services", "sim-master")["spec"]["clusterIP"]

    def told() -> str:
        spec = lab.get("deployments", "sim-master")["spec"]["template"]["spec"]
        return str(spec["hostAliases"][0]["ip"])

    lab.until(lambda: told() == address, "the new address")


def test_a_deleted_app_leaves_nothing_but_its_data(lab: Lab) -> None:
    lab.create(master=MASTER, workers=WORKERS)
    lab.until_condition("Ready")

    lab.delete("clusterousapps", "sim")

    kinds = ("deployments", "services", "pods")
    lab.until(lambda: not any(lab.all(kind) for kind in kinds), "nothing")
    assert [one["metadata"]["name"] for one in lab.all("persistentvolumeclaims")] == ["sim-data"]


def test_a_component_that_is_no_longer_wanted_goes(lab: Lab) -> None:
    lab.create(master=MASTER, components=[{"name": "db", "ports": [PORT]}])
    lab.until_condition("Ready")

    lab.change(components=None)

    lab.until(lambda: not lab.exists("deployments", "sim-db"), "no deployment")
    lab.until(lambda: not lab.exists("services", "sim-db"), "no service")
    lab.until_condition("Ready")


def test_workers_start_only_when_the_master_is_ready(lab: Lab) -> None:
    lab.create(master={**MASTER, **template(waiting="ImagePullBackOff")}, workers=WORKERS)
    lab.until(lambda: "image" in lab.status().get("message", ""), "the trouble")
    before = lab.exists("deployments", "sim-workers")
    told = lab.status()["message"]

    lab.change(master={"template": None})

    lab.until_condition("Ready")
    assert before is False
    assert told.startswith("master: image example.org/sim:1 cannot be pulled")


def test_complete_is_waited_for(lab: Lab) -> None:
    waits = [{"name": "prepare", "until": "Complete"}]
    prepare = {"name": "prepare", **template(hold="true")}
    lab.create(master={**MASTER, "dependsOn": waits}, components=[prepare])
    lab.until(lambda: lab.exists("jobs", "sim-prepare"), "the job")
    lab.until(lambda: bool(lab.all("pods")), "its pod")
    before = lab.exists("deployments", "sim-master")

    (pod,) = lab.all("pods")
    done = {"metadata": {"annotations": {"clusterous.test/hold": None}}}
    lab.patch("pods", pod["metadata"]["name"], done)

    lab.until_condition("Ready")
    assert before is False


def test_a_batch_ends_with_its_master(lab: Lab) -> None:
    lab.create(run="Batch", master={**MASTER, **template(hold="true")}, workers=WORKERS)
    lab.until_condition("Ready")

    (pod,) = [one for one in lab.all("pods") if "master" in one["metadata"]["name"]]
    done = {"metadata": {"annotations": {"clusterous.test/hold": None}}}
    lab.patch("pods", pod["metadata"]["name"], done)

    lab.until_condition("Completed")
    lab.until(lambda: replicas_of(lab, "sim-workers") == 0, "no worker")
    assert lab.condition("Stalled")["status"] == "False"


def test_suspends_and_resumes(lab: Lab) -> None:
    lab.create(master=MASTER, workers=WORKERS)
    lab.until_condition("Ready")

    lab.change(suspend=True)
    lab.until_condition("Suspended")
    lab.until(lambda: not lab.all("pods"), "no pod")
    lab.change(suspend=False)

    lab.until_condition("Ready")


def test_fills_a_pool_and_follows_its_nodes(lab: Lab) -> None:
    lab.add_node("fill-a", "fill")
    lab.create(workers={**CPU, "placement": {"pool": "fill"}})
    lab.until(lambda: lab.status().get("workers") == "4/4", "four workers on four CPUs")

    lab.add_node("fill-b", "fill")
    lab.until(lambda: lab.status()["workers"] == "8/8", "eight workers on two nodes")

    lab.plane.api("PATCH", "/api/v1/nodes/fill-b", {"spec": {"unschedulable": True}})
    time.sleep(4 * SHRINK_SECONDS)
    assert lab.status()["workers"] == "8/8"  # a cordon ends nothing
    for pod in lab.all("pods"):
        if pod["spec"].get("nodeName") == "fill-b":  # but a drain does
            lab.delete("pods", pod["metadata"]["name"])

    lab.until(lambda: lab.status()["workers"] == "4/4", "four workers on what is left")
    lab.until_condition("Ready")


def test_filling_leaves_room_for_the_master_and_for_others(lab: Lab) -> None:
    lab.add_node("room-a", "room")
    pool = {"placement": {"pool": "room"}}
    lab.create("first", master={**CPU, **pool}, workers={**CPU, **pool})
    lab.until(lambda: lab.status("first").get("workers") == "3/3", "three workers")

    # What fills the cluster takes what others leave, also when they come later.
    lab.create("second", master={**CPU, **pool})

    lab.until_condition("Ready", name="second")
    lab.until(lambda: lab.status("first").get("workers") == "2/2", "two workers")
    lab.until_condition("Ready", name="first")


def test_says_what_a_pod_waits_for(lab: Lab) -> None:
    lab.add_node("full-a", "full")
    pool = {"placement": {"pool": "full"}}
    lab.create("first", master={"resources": {"requests": {"cpu": "4"}}, **pool})
    lab.until_condition("Ready", name="first")

    lab.create("second", master={**CPU, **pool})
    lab.until(lambda: "no node fits" in lab.status("second").get("message", ""), "its trouble")

    told = lab.status("second")["message"]
    assert told == "master: 1 waits: no node fits; needs 1 CPU and the largest has 0 CPUs free"


def test_the_clusters_own_volume_is_mounted_from_its_claim(lab: Lab) -> None:
    volume = "nfs: {server: 10.0.0.5, path: /, mountOptions: [nfsvers=4.1, noresvport]}"
    config = {"metadata": {"name": names.CLUSTER_CONFIG}, "data": {"volume.yaml": volume}}
    lab.plane.api("POST", SYSTEM + "/configmaps", config)
    try:
        lab.create(master=MASTER)
        lab.until_condition("Ready")
    finally:
        lab.plane.api("DELETE", f"{SYSTEM}/configmaps/{names.CLUSTER_CONFIG}")

    claim = lab.get("persistentvolumeclaims", names.CLUSTER_CLAIM)
    volume_name = claim["spec"]["volumeName"]
    found = lab.plane.api("GET", f"/api/v1/persistentvolumes/{volume_name}")
    assert found["spec"]["nfs"] == {"server": "10.0.0.5", "path": "/"}
    assert lab.status()["volume"] == "Bound"


def test_does_not_take_what_belongs_to_another(lab: Lab) -> None:
    labels = {"theirs": "yes"}
    spec = {
        "replicas": 0,
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "x", "image": "theirs:1"}]},
        },
    }
    lab.plane.api(
        "POST", lab.path("deployments"), {"metadata": {"name": "sim-master"}, "spec": spec}
    )

    lab.create(master=MASTER)

    lab.until_condition("Stalled")
    assert "does not belong to this app" in lab.condition("Stalled")["message"]
    assert image_of(lab, "sim-master") == "theirs:1"


def test_says_what_the_api_server_refuses(lab: Lab) -> None:
    bad = {"template": {"spec": {"restartPolicy": "Sometimes"}}}
    lab.create(master={**MASTER, **bad})
    lab.until_condition("Stalled")
    told = lab.condition("Stalled")["message"]

    lab.change(master={"template": None})

    lab.until_condition("Ready")
    assert "restartPolicy" in told
    assert lab.condition("Stalled")["status"] == "False"


def test_other_peoples_clients_see_the_same(lab: Lab) -> None:
    path = str(lab.plane.kubeconfig)
    kubernetes.config.load_kube_config(path)  # type: ignore[no-untyped-call]  # it has no types
    apps = kubernetes.client.CustomObjectsApi()
    where = (names.GROUP, names.VERSION, lab.namespace, names.PLURAL)
    spec = {"image": "example.org/sim:1", "master": MASTER}
    body = {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": "sim"}}

    apps.create_namespaced_custom_object(*where, {**body, "spec": spec})
    lab.until_condition("Ready")

    found: Any = apps.get_namespaced_custom_object(*where, "sim")
    assert found["status"]["message"] == "Ready"


def test_serves_one_namespace_with_the_rights_of_that_alone(
    lab: Lab, operator: Operator, tmp_path: Path
) -> None:
    # Names of the chart's objects are fixed; this second set of them gets others.
    values = (f"watchNamespaces={{{lab.namespace}}}", "serviceAccount.name=narrow")
    kinds = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
    for one in charting.render(*values):
        if one["kind"] in kinds:
            text = json.dumps(one).replace('"name": "clusterous-operator', '"name": "narrow')
            install(lab.plane, json.loads(text))
    narrow = Operator(
        plane=lab.plane,
        port=ports.free(),
        log=tmp_path / "log",
        account="narrow",
        flags=(f"--namespaces={lab.namespace}",),
    )

    operator.end()
    try:
        narrow.start()
        lab.create(master=MASTER, workers=WORKERS)
        lab.until_condition("Ready")
        lab.delete("clusterousapps", "sim")
        lab.until(lambda: not lab.all("deployments"), "nothing")
        code = narrow.end()
    finally:
        operator.start()

    assert code == 0
    assert "forbidden" not in narrow.log.read_text()


def test_tells_people_by_events(lab: Lab) -> None:
    lab.create(master=MASTER)
    lab.until_condition("Ready")

    def reasons() -> list[str]:
        found = [one for one in lab.all("events") if one["regarding"]["kind"] == names.KIND]
        return [one["reason"] for one in found]

    lab.until(lambda: reasons() == ["Ready"], "one event")


def test_writes_nothing_when_there_is_nothing_to_do(lab: Lab, operator: Operator) -> None:
    lab.create(master=MASTER, workers=WORKERS)
    lab.until_condition("Ready")
    lab.until(operator.is_quiet, "quiet")
    before = operator.writes()

    lab.patch("clusterousapps", "sim", {"metadata": {"labels": {"touched": "yes"}}})
    time.sleep(3)

    assert operator.writes() == before


def test_a_restart_writes_nothing(lab: Lab, operator: Operator) -> None:
    lab.create(master=MASTER, workers=WORKERS)
    lab.until_condition("Ready")
    lab.until(operator.is_quiet, "quiet")
    before = {one["metadata"]["resourceVersion"] for one in lab.all("deployments")}

    code = operator.end(signal.SIGTERM)
    operator.start()
    lab.until(operator.is_quiet, "quiet")

    assert code == 0
    assert operator.writes() == 0
    assert {one["metadata"]["resourceVersion"] for one in lab.all("deployments")} == before


def test_goes_on_after_being_killed(lab: Lab, operator: Operator) -> None:
    lab.create("first", master=MASTER, workers=WORKERS)
    lab.until(lambda: lab.exists("services", "first-master"), "its first write")

    operator.end(signal.SIGKILL)
    lab.create("second", master=MASTER)
    lab.delete("clusterousapps", "first")
    lab.create("third", master=MASTER)
    lab.delete("clusterousapps", "third")
    operator.start()

    lab.until_condition("Ready", name="second")
    lab.until(lambda: not lab.exists("deployments", "first-master"), "nothing of the first")
    assert not lab.exists("services", "third-master")


def test_deletion_does_not_need_the_operator(lab: Lab, operator: Operator) -> None:
    lab.create(master=MASTER)
    lab.until_condition("Ready")

    operator.end(signal.SIGKILL)
    try:
        lab.delete("clusterousapps", "sim")

        lab.until(lambda: not lab.all("deployments") and not lab.all("pods"), "nothing")
    finally:
        operator.start()


def test_survives_a_crash_of_the_api_server(lab: Lab, operator: Operator) -> None:
    lab.create("first", master=MASTER)
    lab.until_condition("Ready", name="first")

    lab.plane.restart_apiserver()
    lab.create("second", master=MASTER)

    lab.until_condition("Ready", name="second", seconds=60)
    assert operator.is_ready()


def test_a_silent_node_keeps_its_pods_until_its_machine_is_known_to_be_gone(lab: Lab) -> None:
    pool = {"placement": {"pool": "lost"}}
    lab.add_node("lost-a", "lost")
    lab.create(
        run="Batch", master={**MASTER, **pool, **template(hold="true")}, workers={**WORKERS, **pool}
    )
    lab.until_condition("Ready")
    lab.add_node("lost-b", "lost")

    def homes() -> set[str]:
        alive = [one for one in lab.all("pods") if "deletionTimestamp" not in one["metadata"]]
        return {one["spec"].get("nodeName", "") for one in alive}

    def patience() -> set[int]:
        taint = "node.kubernetes.io/unreachable"
        tolerated = [
            toleration for one in lab.all("pods") for toleration in one["spec"]["tolerations"]
        ]
        return {one["tolerationSeconds"] for one in tolerated if one["key"] == taint}

    def is_tainted() -> bool:
        taints = lab.plane.api("GET", "/api/v1/nodes/lost-a")["spec"].get("taints", [])
        return "node.kubernetes.io/unreachable" in {one["key"] for one in taints}

    lab.plane.lose_node("lost-a")
    lab.until(is_tainted, "the node is known to be silent", 60)
    kept, seconds = homes(), patience()
    # As AWS's cloud controller does; the pods' garbage collector waits for 40 s to be sure.
    lab.plane.delete_node("lost-a")
    lab.nodes.remove("lost-a")
    lab.until(lambda: homes() == {"lost-b"}, "pods on the other node", 120)
    lab.until_condition("Ready")

    assert kept == {"lost-a"}
    assert seconds == {300}


def test_what_bears_our_labels_by_chance_stays(lab: Lab) -> None:
    lab.create(master=MASTER)
    lab.until_condition("Ready")
    labels = lab.get("services", "sim-master")["metadata"]["labels"]
    exposed = {  # as `kubectl expose deployment sim-master --name=sim-lb` makes it
        "metadata": {"name": "sim-lb", "labels": labels},
        "spec": {"ports": [{"port": 8080}], "selector": labels},
    }
    lab.plane.api("POST", lab.path("services"), exposed)

    lab.change(workers={"replicas": 1})
    lab.until_condition("WorkersReady")
    lab.change(workers=None)
    lab.until(lambda: not lab.exists("deployments", "sim-workers"), "no workers")

    assert lab.exists("services", "sim-lb")
