"""What a spec may ask for beyond a master and its workers, on a real API server."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusterous_api import models, names
from tests.cluster import metricsapi
from tests.cluster.conftest import Lab, Operator

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

PORT = {"name": "http", "port": 8080}
MASTER = {"ports": [PORT]}
RESTARTS = names.ANNOTATION_RESTARTS


def told(**annotations: str) -> dict[str, Any]:
    """Return a template that tells kwok how the pods behave."""
    found = {
        f"clusterous.test/{key.replace('_', '-')}": value for key, value in annotations.items()
    }
    return {"template": {"metadata": {"annotations": found}}}


def deployment(lab: Lab, component: str) -> Any:
    return lab.get("deployments", f"sim-{component}")["spec"]


def live(lab: Lab, component: str) -> list[Any]:
    return [
        one
        for one in lab.all("pods")
        if one["metadata"]["labels"].get(names.LABEL_COMPONENT) == component
        and "deletionTimestamp" not in one["metadata"]
    ]


def finish(lab: Lab, component: str) -> None:
    """Let the held pods of a Job end."""
    lab.until(lambda: bool(live(lab, component)), "its pod")
    for pod in live(lab, component):
        done = {"metadata": {"annotations": {"clusterous.test/hold": None}}}
        lab.patch("pods", pod["metadata"]["name"], done)


def crash(lab: Lab, component: str, code: int) -> None:
    """Let one pod's program end with a code."""
    lab.until(lambda: bool(live(lab, component)), "its pod")
    name = live(lab, component)[0]["metadata"]["name"]
    lab.patch("pods", name, {"metadata": {"annotations": {"clusterous.test/exit-code": f"{code}"}}})


def numbers(lab: Lab, component: str) -> set[str]:
    """Return the attempts that the live pods belong to."""
    found = [one["metadata"].get("annotations", {}) for one in live(lab, component)]
    return {one.get(RESTARTS, "0") for one in found}


def test_updates_as_told_and_holds_back_when_paused(lab: Lab) -> None:
    rolling = {"maxSurge": 0, "maxUnavailable": "50%"}
    lab.create(master=MASTER, workers={"replicas": 2, "strategy": rolling})
    lab.until_condition("Ready")
    first = deployment(lab, "workers")["strategy"]

    lab.change(workers={"strategy": {**rolling, "paused": True}, "image": "example.org/sim:2"})
    lab.until(lambda: deployment(lab, "workers").get("paused") is True, "the pause")
    lab.change(workers={"replicas": 3})
    lab.until(lambda: len(live(lab, "workers")) == 3, "three workers, though paused")
    held = {one["spec"]["containers"][0]["image"] for one in live(lab, "workers")}
    recreate = {"type": "Recreate", "maxSurge": None, "maxUnavailable": None, "paused": False}
    lab.change(workers={"strategy": recreate})
    lab.until_condition("Ready")

    assert first == {"type": "RollingUpdate", "rollingUpdate": rolling}
    assert held == {"example.org/sim:1"}
    assert deployment(lab, "workers")["strategy"] == {"type": "Recreate"}
    images = {one["spec"]["containers"][0]["image"] for one in live(lab, "workers")}
    assert images == {"example.org/sim:2"}


def test_a_pod_is_as_the_spec_says(lab: Lab) -> None:
    lab.create(
        imagePullSecrets=[{"name": "registry"}],
        logging={"format": "JSON"},
        sharedVolume={"fsGroup": 2000},
        master={
            **MASTER,
            "placement": {
                "tolerations": [{"key": "gpu", "operator": "Exists"}],
                "spread": ["Node", "Zone"],
                "priorityClassName": "system-cluster-critical",
            },
            "securityContext": {"runAsUser": 1000, "runAsNonRoot": True},
            "drain": {"httpGet": {"port": 8080, "path": "/finish"}, "deadlineSeconds": 60},
        },
    )
    lab.until_condition("Ready")

    (pod,) = live(lab, "master")
    spec = pod["spec"]
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["securityContext"]["fsGroup"] == 2000
    assert spec["securityContext"]["runAsUser"] == 1000
    assert [one["topologyKey"] for one in spec["topologySpreadConstraints"]] == [
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    ]
    assert spec["terminationGracePeriodSeconds"] > 60
    hook = spec["containers"][0]["lifecycle"]["preStop"]["httpGet"]
    assert (hook["path"], hook["port"]) == ("/finish", 8080)
    assert pod["metadata"]["labels"][names.LABEL_LOG_FORMAT] == "json"
    assert lab.condition("Ready")["status"] == "True"


def test_a_batch_is_cleared_away_and_stays_done(lab: Lab) -> None:
    batch = {"ttlSecondsAfterFinished": 3, "activeDeadlineSeconds": 600, "backoffLimit": 1}
    held = {**MASTER, **told(hold="true")}
    lab.create(run="Batch", batch=batch, master=held, workers={"replicas": 1})
    lab.until_condition("Ready")
    job = lab.get("jobs", "sim-master")["spec"]

    finish(lab, "master")
    lab.until_condition("Completed")
    lab.until(lambda: not lab.exists("jobs", "sim-master"), "no job")
    lab.until(lambda: not lab.all("pods") and not lab.all("services"), "nothing but data")
    lab.change(expose=[{"name": "page", "component": "master", "port": "http"}])
    lab.until_condition("Completed")
    again = lab.exists("jobs", "sim-master")

    lab.change(image="example.org/sim:2")
    lab.until(lambda: lab.exists("jobs", "sim-master"), "another run")

    assert (job["backoffLimit"], job["activeDeadlineSeconds"]) == (1, 600)
    assert again is False
    assert lab.exists("persistentvolumeclaims", "sim-data")
    lab.until(lambda: lab.condition("Completed").get("status") == "False", "not done")


def test_any_of_two_makes_a_batch(lab: Lab) -> None:
    held = told(hold="true")
    success = {"operator": "Any", "components": ["search", "master"]}
    lab.create(
        run="Batch",
        batch={"successPolicy": success},
        master={**MASTER, **held},
        components=[{"name": "search", **held}],
    )
    lab.until_condition("Ready")

    finish(lab, "search")

    lab.until_condition("Completed")
    lab.until(lambda: not live(lab, "master"), "the other one is ended, too")


def policy(action: str, most: int = 2, **rule: Any) -> dict[str, Any]:
    fits = rule or {"exitCodes": [3]}
    return {"maxRestarts": most, "rules": [{"action": action, **fits}]}


def test_a_failed_worker_starts_its_group_again(lab: Lab) -> None:
    lab.create(master=MASTER, workers={"replicas": 2}, failurePolicy=policy("RestartGroup"))
    lab.until_condition("Ready")
    before = {one["metadata"]["uid"] for one in lab.all("pods")}

    crash(lab, "workers", 3)
    lab.until(lambda: numbers(lab, "workers") == {"1"}, "the second attempt")
    lab.until_condition("Ready")

    after = {one["metadata"]["uid"] for one in live(lab, "workers")}
    assert not before & after
    assert numbers(lab, "master") == {"0"}
    assert lab.status()["restarts"] == 1


def test_after_too_many_restarts_the_app_has_failed_until_its_spec_changes(lab: Lab) -> None:
    lab.create(master=MASTER, workers={"replicas": 1}, failurePolicy=policy("RestartApp", 1))
    lab.until_condition("Ready")
    crash(lab, "workers", 3)
    lab.until(lambda: numbers(lab, "workers") == {"1"} == numbers(lab, "master"), "all anew")
    lab.until_condition("Ready")

    crash(lab, "workers", 3)
    lab.until_condition("Stalled")
    lab.until(lambda: not lab.all("pods"), "nothing runs")
    why = lab.condition("Stalled")
    lab.change(image="example.org/sim:2")
    lab.until_condition("Ready")

    assert (why["reason"], why["message"]) == (
        "FailurePolicy",
        "workers failed: exit code 3, after 1 restart",
    )
    assert numbers(lab, "workers") == {"0"}


def test_a_failed_job_is_run_again_by_the_policy(lab: Lab) -> None:
    lab.create(
        run="Batch",
        batch={"backoffLimit": 0},
        master={**MASTER, **told(hold="true")},
        failurePolicy=policy("RestartGroup"),
    )
    lab.until_condition("Ready")
    first = lab.get("jobs", "sim-master")["metadata"]["uid"]

    crash(lab, "master", 3)
    lab.until(lambda: numbers(lab, "master") == {"1"}, "the second attempt")
    lab.until_condition("Ready")
    second = lab.get("jobs", "sim-master")["metadata"]["uid"]
    finish(lab, "master")
    lab.until_condition("Completed")

    assert first != second
    assert lab.status()["restarts"] == 1


def test_what_the_policy_ignores_does_not_use_up_the_tries(lab: Lab) -> None:
    lab.create(
        run="Batch",
        batch={"backoffLimit": 0},
        master={**MASTER, **told(hold="true")},
        failurePolicy=policy("Ignore"),
    )
    lab.until_condition("Ready")
    before = uids(lab)

    crash(lab, "master", 3)
    lab.until(lambda: bool(uids(lab) - before), "another pod")
    finish(lab, "master")

    lab.until_condition("Completed")


def uids(lab: Lab) -> set[str]:
    return {one["metadata"]["uid"] for one in live(lab, "master")}


def test_a_claim_goes_with_its_app_where_asked_for(lab: Lab) -> None:
    lab.create(master=MASTER, sharedVolume={"retentionPolicy": "Delete"})
    lab.until_condition("Ready")

    lab.delete("clusterousapps", "sim")

    lab.until(lambda: not lab.exists("persistentvolumeclaims", "sim-data"), "no claim")


def test_a_claim_stays_when_the_app_thinks_better_of_it(lab: Lab) -> None:
    lab.create(master=MASTER, sharedVolume={"size": "1Gi", "retentionPolicy": "Delete"})
    lab.until_condition("Ready")

    lab.change(sharedVolume={"retentionPolicy": "Retain"})
    lab.until(lambda: not owners(lab), "no owner")
    lab.delete("clusterousapps", "sim")
    lab.until(lambda: not lab.all("deployments"), "no deployment")

    assert lab.exists("persistentvolumeclaims", "sim-data")


def owners(lab: Lab) -> list[Any]:
    found = lab.get("persistentvolumeclaims", "sim-data")["metadata"]
    return list(found.get("ownerReferences", []))


def test_a_deleted_claim_stops_the_app_until_somebody_says_how_to_go_on(lab: Lab) -> None:
    lab.create(master=MASTER)
    lab.until_condition("Ready")
    volume = lab.get("persistentvolumeclaims", "sim-data")["spec"]["volumeName"]

    lab.delete("persistentvolumeclaims", "sim-data")
    lab.until(lambda: lab.status()["volume"] == "Deleting", "a word at once")
    lab.change(suspend=True)
    lab.until(lambda: not lab.exists("persistentvolumeclaims", "sim-data"), "no claim")
    lab.change(suspend=False)

    lab.until(lambda: lab.condition("Stalled").get("reason") == "VolumeDeleted", "a word")
    assert volume in lab.status()["message"]
    assert not lab.exists("persistentvolumeclaims", "sim-data")

    word = {"metadata": {"annotations": {names.ANNOTATION_BEGIN_EMPTY: volume}}}
    lab.patch("clusterousapps", "sim", word)
    lab.until_condition("Ready")
    lab.until(lambda: lab.status()["claim"]["volume"] != volume, "the new volume")


CLASSES = "/apis/storage.k8s.io/v1/storageclasses"


def test_a_volume_grows_where_its_class_allows_that(lab: Lab) -> None:
    lab.create(master=MASTER, sharedVolume={"size": "1Gi"})
    lab.until_condition("Ready")

    lab.change(sharedVolume={"size": "2Gi"})
    lab.until(lambda: "does not let volumes grow" in condition(lab, "VolumeBound"), "words")
    size = requested(lab)
    lab.plane.api("PATCH", f"{CLASSES}/standard", {"allowVolumeExpansion": True})
    try:
        lab.change(sharedVolume={"size": "3Gi"})
        lab.until(lambda: requested(lab) == "3Gi", "the new size")
    finally:
        lab.plane.api("PATCH", f"{CLASSES}/standard", {"allowVolumeExpansion": False})

    assert size == "1Gi"


def requested(lab: Lab) -> str:
    claim = lab.get("persistentvolumeclaims", "sim-data")
    return str(claim["spec"]["resources"]["requests"]["storage"])


def condition(lab: Lab, kind: str) -> str:
    return str(lab.condition(kind).get("message", ""))


def test_a_volume_of_one_node_is_refused_to_pods_of_several(lab: Lab) -> None:
    lab.create(
        master=MASTER,
        workers={"replicas": 0},
        sharedVolume={"accessMode": "ReadWriteOnce"},
    )
    lab.until_condition("Ready")

    lab.change(workers={"replicas": 2})
    lab.until_condition("Stalled")
    why = condition(lab, "Stalled")
    there = len(live(lab, "workers"))
    lab.change(workers={"replicas": 0})

    lab.until_condition("Ready")
    assert "one node at a time" in why
    assert there == 0


def test_an_autoscaler_is_given_a_number_to_begin_with(lab: Lab) -> None:
    lab.create(master=MASTER, workers={"scaledBy": "Autoscaler", "min": 2})
    lab.until_condition("Ready")
    first = lab.get("clusterousapps", "sim")["spec"]["workers"]["replicas"]

    lab.patch("clusterousapps", "sim/scale", {"spec": {"replicas": 4}})
    lab.until(lambda: lab.status()["workers"] == "4/4", "four workers")

    assert first == 2


def test_an_autoscaler_takes_over_what_runs(lab: Lab) -> None:
    lab.create(master=MASTER, workers={"replicas": 3})
    lab.until_condition("Ready")

    lab.change(workers={"scaledBy": "Autoscaler", "min": 2, "max": 6, "replicas": None})
    lab.until(lambda: lab.get("clusterousapps", "sim")["spec"]["workers"].get("replicas"), "one")

    assert lab.get("clusterousapps", "sim")["spec"]["workers"]["replicas"] == 3
    lab.until_condition("Ready")
    assert lab.status()["workers"] == "3/3"


def test_several_groups_share_the_room(lab: Lab) -> None:
    pool = {"placement": {"pool": "shared"}, "resources": {"requests": {"cpu": "1"}}}
    lab.add_node("shared-a", "shared")

    lab.create(workers=pool, components=[{"name": "more", "fill": True, **pool}])

    lab.until(lambda: counts(lab) == {"workers": 2, "more": 2}, "two of each")
    lab.until_condition("Ready")


def counts(lab: Lab) -> dict[str, int]:
    return {one["name"]: one["ready"] for one in lab.status().get("components", [])}


def test_labels_are_handed_down_by_a_list(lab: Lab, operator: Operator) -> None:
    operator.end()
    flags, operator.flags = operator.flags, (*operator.flags, "--inherit-labels=team")
    try:
        operator.start()
        lab.create(master=MASTER)
        mine = {"metadata": {"labels": {"team": "blue", "app.kubernetes.io/instance": "git"}}}
        lab.patch("clusterousapps", "sim", mine)
        lab.until(lambda: bool(live(lab, "master")) and labelled(lab, "master"), "its label")
    finally:
        operator.end()
        operator.flags = flags
        operator.start()

    for one in (*lab.all("services"), *lab.all("deployments")):
        assert "app.kubernetes.io/instance" not in one["metadata"]["labels"]


def labelled(lab: Lab, component: str) -> bool:
    return all(one["metadata"]["labels"].get("team") == "blue" for one in live(lab, component))


@pytest.fixture
def usage(lab: Lab) -> Iterator[Callable[[str, str], object]]:
    """A metrics API that tells what a test says: of a pod, how much CPU it uses."""
    metricsapi.serve(lab.plane)
    try:
        yield lambda pod, cpu: metricsapi.tell(lab.plane, lab.namespace, pod, cpu)
    finally:
        metricsapi.end(lab.plane)


def test_of_workers_those_go_first_that_do_least(
    lab: Lab, usage: Callable[[str, str], object]
) -> None:
    drain = {"exec": {"command": ["finish"]}}
    lab.create(workers={"replicas": 4, "drain": drain})
    lab.until_condition("Ready")
    # Those whom the ReplicaSet would end first: all equal, two on a node.
    pods = sorted(live(lab, "workers"), key=lambda one: str(one["metadata"]["name"]))
    busy = {one["metadata"]["name"] for one in pods[:2]}
    for one in pods:
        name = one["metadata"]["name"]
        usage(name, "900m" if name in busy else "1m")

    lab.change(workers={"replicas": 2})
    lab.until(lambda: len(live(lab, "workers")) == 2, "two workers")

    assert {one["metadata"]["name"] for one in live(lab, "workers")} == busy


def test_an_idle_app_is_suspended_and_resumed_by_a_word(
    lab: Lab, usage: Callable[[str, str], object]
) -> None:
    lab.create(master=MASTER, workers={"replicas": 1}, idle={"afterSeconds": 30, "cpu": "100m"})
    lab.until_condition("Ready")
    for one in lab.all("pods"):
        usage(one["metadata"]["name"], "2m")

    lab.until_condition("Suspended")
    lab.until(lambda: not lab.all("pods"), "no pod")
    idle = lab.status()["idle"]
    spec = lab.get("clusterousapps", "sim")["spec"]
    reason = lab.condition("Suspended")["reason"]
    word = {"metadata": {"annotations": {names.ANNOTATION_RESUME: "1"}}}
    lab.patch("clusterousapps", "sim", word)
    lab.until_condition("Ready")

    assert (idle["suspended"], reason) == (True, "Idle")
    assert (spec["suspend"], spec["workers"]["replicas"]) == (False, 1)
    assert lab.status()["idle"] == {"suspended": False, "resumed": "1"}


GUIDE = Path(__file__).parents[2] / "docs" / "clusterousapp.md"
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", GUIDE.read_text(), re.M | re.S)


@pytest.mark.parametrize(
    "text", EXAMPLES, ids=lambda text: yaml.safe_load(text)["metadata"]["name"]
)
def test_the_examples_of_the_guide_are_accepted(lab: Lab, text: str) -> None:
    path = lab.path("clusterousapps") + "?dryRun=All&fieldValidation=Strict"

    made = lab.plane.api("POST", path, yaml.safe_load(text))

    assert models.parse(made).components


def test_a_job_that_cannot_make_pods_says_why(lab: Lab) -> None:
    most = {"limits": [{"type": "Container", "max": {"cpu": "1"}}]}
    lab.plane.api("POST", lab.path("limitranges"), {"metadata": {"name": "l"}, "spec": most})

    lab.create(run="Batch", master={"resources": {"limits": {"cpu": "2"}}})

    told = "maximum cpu usage per Container is 1"
    lab.until(lambda: told in lab.status().get("message", ""), "why")
    assert lab.condition("Ready")["reason"] == "Refused"
