"""Which nodes are whose, and how they leave, as a real API server and scheduler have it."""

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from clusterous_api import names
from clusterous_cli.boot import bootstrap
from clusterous_cli.cluster import config
from clusterous_cli.cluster.record import Node
from clusterous_cli.plan import converge
from clusterous_cli.reach import drain, kube
from clusterous_cli.system import wait
from clusterous_cli.terminal.lines import TimedLines
from clusterous_cli.terminal.options import Settings
from clusterous_cli.terminal.screen import Ui
from tests.cluster import controlplane
from tests.cluster.conftest import Lab

pytestmark = pytest.mark.cluster

REEF = config.parse("name: reef\nmaster: none\n")
WORKER = bootstrap.agent_config(REEF, REEF.workers[0])
ONLY = "clusterous.test/only"  # leads a test's pods to its own nodes


def joined(lab: Lab, node: str, k3s: str, **labels: str) -> None:
    """Let a node join as its kubelet registers it: with the taints of k3s' configuration."""
    lab.plane.add_nodes([node], labels={ONLY: lab.namespace, **labels})
    said = yaml.safe_load(k3s).get("node-taint", [])
    parts = [taint.replace("=", ":").split(":") for taint in said]
    taints = [{"key": key, "value": value, "effect": effect} for key, value, effect in parts]
    lab.plane.api("PATCH", f"/api/v1/nodes/{node}", {"spec": {"taints": taints}})


def plain(lab: Lab, name: str, **spec: Any) -> dict[str, Any]:
    """Return a pod of somebody's, who knows nothing of a controller."""
    container = {"name": "main", "image": "example.org/x"}
    return {
        "metadata": {"name": name, "labels": {"app": "reef"}},
        "spec": {"containers": [container], "nodeSelector": {ONLY: lab.namespace}, **spec},
    }


def condition(pod: dict[str, Any]) -> dict[str, Any]:
    found = pod.get("status", {}).get("conditions", [])
    return next((one for one in found if one["type"] == "PodScheduled"), {})


def refused(lab: Lab) -> list[str]:
    """Return why the scheduler leaves pods where they are."""
    return [
        str(condition(pod).get("message"))
        for pod in lab.all("pods")
        if condition(pod).get("reason") == "Unschedulable"
    ]


@pytest.fixture
def controller(lab: Lab) -> Iterator[str]:
    """The node of a cluster that has no other, with what `create` lets k3s register it with."""
    written = bootstrap.server_config(config.parse("name: reef\nmaster: none\nworkers: 1\n"))
    labels = {names.LABEL_CONTROL_PLANE: "true", names.LABEL_POOL: names.ROLE_CONTROLLER}
    joined(lab, "ctl", written, **labels)
    yield "ctl"
    lab.plane.delete_node("ctl")


def test_no_pod_gets_to_the_controller_that_does_not_ask_for_it(lab: Lab, controller: str) -> None:
    lab.plane.api("POST", lab.path("pods"), plain(lab, "anybodys"))
    lab.until(lambda: bool(refused(lab)), "the scheduler's refusal")
    asking = {"key": names.CONTROL_PLANE_TAINT, "operator": "Exists"}
    lab.plane.api("POST", lab.path("pods"), plain(lab, "asks", tolerations=[asking]))
    lab.until(lambda: condition(lab.get("pods", "asks")).get("status") == "True", "who asks")

    assert "nodeName" not in lab.get("pods", "anybodys")["spec"]
    assert "untolerated taint" in refused(lab)[0]
    assert lab.get("pods", "asks")["spec"]["nodeName"] == controller


@pytest.mark.usefixtures("operator")
def test_an_app_gets_to_the_controller_only_by_its_name(lab: Lab, controller: str) -> None:
    here = {"nodeSelector": {ONLY: lab.namespace}}
    master = {"ports": [{"name": "http", "port": 80}], "placement": here}
    lab.create("anywhere", master=master, workers={"replicas": 1, "placement": here})
    lab.until(lambda: len(refused(lab)) == 2, "both refused")
    by_name = {**here, "role": names.ROLE_CONTROLLER}
    lab.create("named", master={**master, "placement": by_name})
    lab.until_condition("Ready", name="named")

    at = {
        (pod["metadata"]["labels"][names.LABEL_APP], pod["spec"].get("nodeName"))
        for pod in lab.all("pods")
    }
    assert at == {("anywhere", None), ("named", controller)}


# -- how they leave -----------------------------------------------------------------------


def budget(lab: Lab, needs: int) -> None:
    """Let programs be disturbed only as long as so many of them are healthy."""
    path = f"/apis/policy/v1/namespaces/{lab.namespace}/poddisruptionbudgets"
    chosen = {"matchLabels": {"app": "reef"}}
    body = {"metadata": {"name": "reef"}, "spec": {"minAvailable": needs, "selector": chosen}}
    lab.plane.api("POST", path, body)
    lab.until(
        lambda: (
            "currentHealthy" in lab.plane.api("GET", f"{path}/reef").get("status", {})
            and lab.plane.api("GET", f"{path}/reef")["status"]["currentHealthy"] == 1
        ),
        "the budget's own count",
    )


def deployed(lab: Lab) -> None:
    pod = plain(lab, "x")
    template = {"metadata": {"labels": {"app": "reef"}}, "spec": pod["spec"]}
    body = {
        "metadata": {"name": "reef"},
        "spec": {"selector": {"matchLabels": {"app": "reef"}}, "template": template},
    }
    lab.plane.api("POST", lab.path("deployments"), body)


def homes(lab: Lab) -> list[str]:
    """Return the nodes on which programs run that are not about to end."""
    return [
        pod["spec"].get("nodeName", "")
        for pod in lab.all("pods")
        if "deletionTimestamp" not in pod["metadata"]
    ]


def emptied(lab: Lab, node: str, said: list[str], tell: Callable[[str], None]) -> list[str]:
    """Drain a node with what every command that lets one leave uses, Ctrl-C and all."""
    plane = lab.plane
    transport = kube.Https(port=plane.port, context=plane.tls, server_name="127.0.0.1")
    machine = Node(
        name="worker-1", instance_id="i-1", role="worker", pool="worker", type="t3.large",
        state="running", launched="", node_name=node,
    )  # fmt: skip
    pauses = wait.Pauses()
    steady = wait.Patience(mend=lambda: None, tell=said.append)
    screen = Ui(Settings(quiet=True))
    with converge.resumable(pauses, screen, TimedLines(screen), "clusterous rm-nodes worker-1"):
        going = drain.drained(
            kube.Api(transport), [machine], tell=tell, pauses=pauses, steady=steady
        )
        return [one.node_name for one in going]


def test_a_budget_holds_a_node_and_after_ctrl_c_the_next_call_goes_on(lab: Lab) -> None:
    joined(lab, "old", WORKER)
    deployed(lab)
    lab.until(lambda: homes(lab) == ["old"], "the program")
    budget(lab, 1)
    joined(lab, "new", WORKER)
    said: list[str] = []

    def pressed(words: str) -> None:
        said.append(words)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(wait.Stopped, match="`clusterous rm-nodes worker-1` goes on from here"):
        emptied(lab, "old", said, pressed)
    held = homes(lab)
    cordoned = lab.plane.api("GET", "/api/v1/nodes/old")["spec"]["unschedulable"]
    path = f"/apis/policy/v1/namespaces/{lab.namespace}/poddisruptionbudgets/reef"
    lab.plane.api("PATCH", path, {"spec": {"minAvailable": 0}})
    gone = emptied(lab, "old", said, said.append)

    assert (held, cordoned) == (["old"], True)
    assert "1 pod still runs on worker-1" in said[0]
    assert "The disruption budget reef needs 1 healthy pods and has 1 currently" in said[0]
    assert gone == ["old"]
    with pytest.raises(controlplane.ApiError, match="not found"):
        lab.plane.api("GET", "/api/v1/nodes/old")
    lab.until(lambda: homes(lab) == ["new"], "the program elsewhere")
    lab.plane.delete_node("new")
