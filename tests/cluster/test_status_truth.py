"""The status tells the truth, to everybody and from its first write: a real API server is asked."""

import http.client
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusterous_api import names
from clusterous_operator.status import appstatus
from tests.cluster.conftest import Lab, Object, Operator
from tests.cluster.controlplane import ApiError
from tests.region.parts import parts
from tests.unit.operator import kstatus

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

PORT = {"name": "http", "port": 8080}
MASTER = {"ports": [PORT]}
WORKERS = {"replicas": 2}
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
POLICIES = f"{ADMISSION}/validatingadmissionpolicies"
BINDINGS = f"{ADMISSION}/validatingadmissionpolicybindings"
FLUX = Path(__file__).parents[2] / "contrib" / "flux" / "kustomization.yaml"


def needs(cpu: str) -> dict[str, Any]:
    return {"resources": {"requests": {"cpu": cpu}}}


def template(**annotations: str) -> dict[str, Any]:
    told = {f"clusterous.test/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return {"template": {"metadata": {"annotations": told}}}


def until_reason(lab: Lab, reason: str) -> Object:
    """Wait until Ready has a reason; return the condition."""
    lab.until(lambda: lab.condition("Ready").get("reason") == reason, reason)
    return lab.condition("Ready")


def quota(lab: Lab, **hard: str) -> None:
    body = {"metadata": {"name": "team"}, "spec": {"hard": hard}}
    lab.plane.api("POST", lab.path("resourcequotas"), body)
    lab.until(lambda: "used" in lab.get("resourcequotas", "team").get("status", {}), "the quota")


def test_a_quota_is_named_with_its_figures(lab: Lab) -> None:
    quota(lab, pods="2")
    lab.create(master=MASTER)
    lab.until_condition("Ready")  # or the workers might have used the quota up before the master
    lab.change(workers={"replicas": 3})

    told = until_reason(lab, "QuotaExceeded")

    when = r"at 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    assert re.fullmatch(
        f"workers: quota team was used up {when}: it allowed pods 2, of which 2 were used; "
        "a pod needs 1 more",
        told["message"],
    )
    assert lab.status()["components"][1]["reason"] == told["message"].removeprefix("workers: ")


def test_pod_security_is_named_with_what_it_misses(lab: Lab) -> None:
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    path = f"/api/v1/namespaces/{lab.namespace}"
    lab.plane.api("PATCH", path, {"metadata": {"labels": restricted}})
    lab.create(master=MASTER)

    told = until_reason(lab, "PodSecurity")["message"]
    lab.change(
        master={
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000},
            "template": {
                "spec": {
                    "containers": [
                        {"name": "master", "securityContext": {"capabilities": {"drop": ["ALL"]}}}
                    ]
                }
            },
        }
    )

    assert told.startswith("master: the namespace's Pod Security level restricted refuses")
    assert "runAsNonRoot" in told
    lab.until_condition("Ready")


def test_what_no_node_can_hold_is_told_apart_from_what_waits_for_room(lab: Lab) -> None:
    lab.add_node("truth-a", "truth")
    pool = {"placement": {"pool": "truth"}}
    lab.create(master={**pool, **needs("3")}, components=[{"name": "big", **pool, **needs("8")}])
    large = "1 waits: no node is large enough; needs 8 CPUs and the largest has 4 CPUs"
    lab.until(lambda: reason_of(lab, "big") == large, large)

    lab.change(components=[{"name": "big", **pool, **needs("2")}])

    full = "1 waits: no node fits; needs 2 CPUs and the largest has 1 CPU free"
    lab.until(lambda: reason_of(lab, "big") == full, full)
    assert lab.condition("Ready")["reason"] == "Unschedulable"


def reason_of(lab: Lab, component: str) -> str:
    found = {one["name"]: one for one in lab.status().get("components", ())}
    return str(found.get(component, {}).get("reason", ""))


def test_a_crash_is_told_with_its_code_and_last_words(lab: Lab) -> None:
    lab.create(master={**MASTER, **template(exit_code="3", said="Traceback\nKeyError: 'a'\n")})

    told = until_reason(lab, "Crash")

    assert told["message"] == "master: crashed with exit code 3; its last line: KeyError: 'a'"
    component = lab.status()["components"][0]
    assert (component["failed"], component["restarts"]) == (1, 1)


def test_our_containers_ask_for_their_last_words(lab: Lab) -> None:
    lab.create(master=MASTER)
    lab.until_condition("Ready")

    (pod,) = lab.all("pods")

    container = pod["spec"]["containers"][0]
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_a_lack_of_memory_is_told_with_the_limit(lab: Lab) -> None:
    limits = {"resources": {"limits": {"memory": "256Mi"}}}
    lab.create(master={**MASTER, **limits, **template(exit_code="137", exit_reason="OOMKilled")})

    assert until_reason(lab, "OOMKilled")["message"] == "master: ran out of memory (limit 256Mi)"


def test_a_volume_that_nobody_makes_is_named(lab: Lab) -> None:
    lab.create(master=MASTER, sharedVolume={"storageClassName": "nowhere"})

    told = until_reason(lab, "VolumePending")

    volume = lab.condition("VolumeBound")
    assert (volume["status"], volume["reason"]) == ("False", "Pending")
    assert "storage class nowhere has made no volume yet" in volume["message"]
    assert told["message"] == f"master: 1 waits for the volume to be bound. {volume['message']}"


# From the first write to the last.


def history(lab: Lab, created: Object) -> list[Object]:
    """Return all that became of an object since it was created, as a watch tells it."""
    plane = lab.plane
    version = created["metadata"]["resourceVersion"]
    path = f"{lab.path('clusterousapps')}?watch=1&resourceVersion={version}&timeoutSeconds=1"
    connection = http.client.HTTPSConnection("127.0.0.1", plane.port, context=plane.tls)
    try:
        connection.request("GET", path)
        lines = connection.getresponse().read().decode().splitlines()
    finally:
        connection.close()
    return [json.loads(line)["object"] for line in lines]


def told_of(body: Object) -> dict[str, str]:
    return {item["type"]: item["status"] for item in body["status"]["conditions"]}


def test_every_status_is_complete_and_they_are_few(lab: Lab) -> None:
    created = lab.create(master=MASTER, workers={"replicas": 4})
    lab.until_condition("Ready")

    found = history(lab, created)

    assert kstatus.compute(found[0]) == "InProgress"
    assert {"Ready", "Reconciling", "Stalled"} <= told_of(found[0]).keys()
    assert [kstatus.compute(one) for one in found].count("Current") == 1
    assert all(one["status"]["observedGeneration"] == 1 for one in found)
    # The first look, the end, and once a second what happened between.
    seconds = found[-1]["status"]["timeToReadySeconds"]
    assert len(found) <= 2 + (seconds + 1) / appstatus.COUNTS_SECONDS


def test_what_cannot_be_is_stalled_from_its_first_write(lab: Lab) -> None:
    circle = [
        {"name": "a", "dependsOn": [{"name": "b"}]},
        {"name": "b", "dependsOn": [{"name": "a"}]},
    ]
    created = lab.create(master=MASTER, components=circle)
    lab.until_condition("Stalled")

    found = history(lab, created)

    assert kstatus.compute(found[0]) == "Failed"
    assert lab.condition("Stalled")["reason"] == "Invalid"
    assert "circle" in lab.status()["message"]


def test_a_batch_tells_when_it_began_and_ended(lab: Lab) -> None:
    lab.create(run="Batch", master={**MASTER, **template(hold="true")})
    lab.until_condition("Ready")
    assert lab.status()["components"][0]["progress"] == "0 of 1 done"
    (pod,) = lab.all("pods")

    done = {"metadata": {"annotations": {"clusterous.test/hold": None}}}
    lab.patch("pods", pod["metadata"]["name"], done)
    lab.until_condition("Completed")

    found = lab.status()
    assert found["startTime"] <= found["readyTime"] <= found["completionTime"]
    assert found["components"][0]["succeeded"] == 1
    assert found["components"][0]["progress"] == "1 of 1 done"


# What people see.


@pytest.fixture(scope="module")
def kubectl() -> Path:
    """The real one."""
    return parts.ensure(["kubectl"], print).kubectl


Kubectl = Callable[..., str]


@pytest.fixture
def run(lab: Lab, kubectl: Path, tmp_path: Path) -> Kubectl:
    """Runs kubectl in the lab's namespace; returns what it prints."""

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [str(kubectl), "--namespace", lab.namespace, *arguments],
            env={"KUBECONFIG": str(lab.plane.kubeconfig), "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_kubectl_waits_gets_and_describes(lab: Lab, run: Kubectl) -> None:
    lab.create(master=MASTER, workers=WORKERS)

    run("wait", "capp/sim", "--for=condition=Ready", "--timeout=90s")

    head, line = run("get", "capp").splitlines()
    assert head.split() == ["NAME", "READY", "MASTER", "WORKERS", "VOLUME", "AGE", "STATUS"]
    name, *columns, _, told = line.split()
    assert [name, *columns, told] == ["sim", "True", "1/1", "2/2", "Bound", "Ready"]
    lab.until(lambda: "Ready after" in run("describe", "capp", "sim"), "the event")


def test_kubectl_shows_the_trouble(lab: Lab, run: Kubectl) -> None:
    lab.create(master={**MASTER, **template(exit_code="3", said="no input")})
    until_reason(lab, "Crash")

    words = "master: crashed with exit code 3; its last line: no input"
    assert words in run("get", "capp", "sim")
    lab.until(lambda: "Warning  Crash  " in run("describe", "capp", "sim"), "the event")
    assert words in run("get", "events", "--field-selector=type=Warning,reason=Crash")


def test_a_restart_of_the_operator_tells_nothing_twice(lab: Lab, operator: Operator) -> None:
    lab.create(master={**MASTER, **template(exit_code="3")})
    until_reason(lab, "Crash")
    lab.until(lambda: "Crash" in events(lab), "the event")
    lab.until(operator.is_quiet, "the last event")
    told = events(lab)  # that it was ready for a moment, too, if that was seen

    operator.end()
    operator.start()
    lab.create("other", master=MASTER)
    lab.until_condition("Ready", name="other")
    lab.until(operator.is_quiet, "the last event")

    assert sorted(events(lab)) == sorted([*told, "Ready"])


def test_what_comes_again_is_counted(lab: Lab) -> None:
    lab.create(master=MASTER)
    for _ in range(2):
        lab.until_condition("Ready")
        lab.change(master=template(exit_code="3"))
        until_reason(lab, "Crash")
        lab.change(master={"template": None})

    def count() -> int:
        (found,) = [one for one in lab.all("events") if one["reason"] == "Crash"]
        return int((found.get("series") or {}).get("count", 1))

    lab.until(lambda: count() == 2, "a count")


def events(lab: Lab) -> list[str]:
    found = [one for one in lab.all("events") if one["regarding"]["kind"] == names.KIND]
    return [one["reason"] for one in found]


def test_events_tell_a_persons_day(lab: Lab) -> None:
    lab.create(master=MASTER, workers=WORKERS)
    lab.until_condition("Ready")
    lab.change(workers={"replicas": 3})
    lab.until_condition("Ready")
    lab.change(image="example.org/sim:2")
    lab.until_condition("Ready")
    lab.change(suspend=True)
    lab.until_condition("Suspended")
    lab.change(suspend=False)
    lab.until_condition("Ready")

    wanted = {"Ready", "Scaled", "Suspended", "Resumed"}
    lab.until(lambda: wanted <= set(events(lab)), str(wanted))


# What Flux makes of it.


@pytest.fixture
def flux(lab: Lab) -> Iterator[Callable[[Object], str]]:
    """Evaluates the shipped expressions by the API server's CEL, in Flux's order, on a status."""
    (given,) = yaml.safe_load(FLUX.read_text())["spec"]["healthCheckExprs"]
    ours = {
        key: text.replace("status.conditions", "object.status.conditions")
        for key, text in given.items()
    }
    words = (
        f"({ours['inProgress']}) ? 'InProgress' : ({ours['failed']}) ? 'Failed' : "
        f"({ours['current']}) ? 'Current' : 'InProgress'"
    )
    rule = {
        "apiGroups": [names.GROUP],
        "apiVersions": [names.VERSION],
        "operations": ["UPDATE"],
        "resources": [f"{names.PLURAL}/status"],
    }
    only_here = {"matchLabels": {"kubernetes.io/metadata.name": lab.namespace}}
    spec = {
        "matchConstraints": {"resourceRules": [rule], "namespaceSelector": only_here},
        "matchConditions": [{"name": "asked", "expression": "request.dryRun"}],
        "validations": [{"expression": "false", "messageExpression": f"'VERDICT ' + ({words})"}],
    }
    binding = {"policyName": "flux-says", "validationActions": ["Deny"]}
    made = ((POLICIES, spec), (BINDINGS, binding))
    for path, body in made:
        lab.plane.api("POST", path, {"metadata": {"name": "flux-says"}, "spec": body})

    def say(wanted: Object) -> str:
        body = lab.get("clusterousapps", "sim")
        path = lab.path("clusterousapps", "sim/status") + "?dryRun=All"
        try:
            lab.plane.api("PUT", path, {**body, "status": wanted})
        except ApiError as error:
            return str(error).partition("VERDICT ")[2].split('"')[0].split("\\")[0]
        return ""

    yield say
    for path in (BINDINGS, POLICIES):
        lab.plane.api("DELETE", f"{path}/flux-says")


def test_flux_says_the_same(lab: Lab, flux: Callable[[Object], str]) -> None:
    lab.create(master=MASTER)
    lab.until_condition("Ready")
    lab.until(lambda: flux(lab.status()) != "", "the policy")

    ready = lab.status()
    seen = {"Current": ready}
    seen["InProgress"] = appstatus.taken_up(1, ready, "2026-11-22T12:00:00Z")
    seen["Failed"] = appstatus.stalled(1, "It cannot be.", ready, "2026-11-22T12:00:00Z")
    lab.change(suspend=True)
    lab.until_condition("Suspended")

    assert {flux(told): told for told in seen.values()} == seen
    assert flux(lab.status()) == "Current"


def test_a_crash_with_an_emoji_in_its_last_words_is_told(lab: Lab) -> None:
    words = "💥 𠮷野家 KeyError: 'a'"
    lab.create(master={**MASTER, **template(exit_code="3", said=words)})

    assert words in until_reason(lab, "Crash")["message"]


def test_every_character_reaches_the_pods(lab: Lab) -> None:
    values = {"ROCKET": "🚀", "KANJI": "𠮷野家", "LINES": "a\u2028b\u0085c", "DEL": "\x7f"}
    env = [{"name": key, "value": value} for key, value in values.items()]
    lab.create(master={**MASTER, "env": env})
    lab.until_condition("Ready")

    (pod,) = lab.all("pods")

    found = {one["name"]: one.get("value") for one in pod["spec"]["containers"][0]["env"]}
    assert {key: found[key] for key in values} == values


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"nodeselector": {"disk": "ssd"}}, "nodeselector"),
        ({"containers": [{"name": "master", "env": [{"name": "PORT", "value": 8080}]}]}, "value"),
    ],
)
def test_a_wrong_field_is_told_of_an_app_that_runs(
    lab: Lab, spec: dict[str, Any], field: str
) -> None:
    lab.create(master=MASTER)
    lab.until_condition("Ready")

    lab.change(master={"template": {"spec": spec}})

    lab.until_condition("Stalled")
    assert field in lab.condition("Stalled")["message"]
    lab.change(master={"template": None})
    lab.until_condition("Ready")
