"""What is wrong with a pod, told so that its owner knows what to do."""

from typing import Any

import pytest

from clusterous_api import names
from clusterous_operator.objects import trouble


def pod(container: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    statuses = [] if container is None else [{"name": "main", "image": "img:1", **container}]
    limits = {"resources": {"limits": {"memory": "512Mi"}}}
    return {
        "metadata": {"name": "p", "labels": {names.LABEL_COMPONENT: "main"}},
        "spec": {"containers": [{"name": "main", **limits}]},
        "status": {"containerStatuses": statuses, **status},
    }


def waiting(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    return pod({"state": {"waiting": {"reason": reason, "message": message}}, **more})


def ended(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def running_again(ready_lost: str) -> dict[str, Any]:
    """Return a pod that crashed at 10:00, runs since 10:01 and is not ready since *ready_lost*."""
    told = {"type": "Ready", "status": "False", "lastTransitionTime": ready_lost}
    state = {"running": {"startedAt": "2026-11-22T10:01:00Z"}}
    container = {"state": state, "lastState": ended(3), "ready": False, "restartCount": 1}
    return pod(container, conditions=[told])


def scheduled(reason: str, message: str = "") -> dict[str, Any]:
    told = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
    return pod(conditions=[told])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(pod({"state": {"running": {}}}), None, id="runs"),
        pytest.param(waiting("ContainerCreating"), None, id="starts"),
        pytest.param(
            waiting("ErrImagePull", "rpc error: code = NotFound desc = img:1: not found"),
            "image img:1 cannot be pulled: not found",
            id="not there",
        ),
        pytest.param(
            waiting("ImagePullBackOff", 'Back-off pulling image "img:1"'),
            "image img:1 cannot be pulled",
            id="still not there",
        ),
        pytest.param(
            waiting(
                "ErrImagePull",
                'rpc error: code = Unimplemented desc = media type "application/vnd.docker'
                '.distribution.manifest.v1+prettyjws" is no longer supported since containerd v2.1,'
                ' please rebuild the image as "application/vnd.docker.distribution.manifest.v2+json'
                '" or "application/vnd.oci.image.manifest.v1+json": not implemented',
            ),
            "image img:1 cannot be pulled: it is in a format of before 2017 (schema 1), which no"
            " node reads any more: `skopeo copy --format v2s2 docker://OLD docker://NEW` makes"
            " another of it",
            id="of 2016",
        ),
        pytest.param(
            waiting("ErrImagePull", "401 Unauthorized"),
            "image img:1 cannot be pulled: access denied",
            id="no rights",
        ),
        pytest.param(
            waiting("InvalidImageName", "could not parse"),
            "image img:1 cannot be pulled: the name is not a valid one",
            id="no name",
        ),
        pytest.param(
            waiting("CrashLoopBackOff", "back-off", lastState=ended(3), restartCount=4),
            "crashed with exit code 3, restarted 4 times",
            id="crashes",
        ),
        pytest.param(
            waiting("CrashLoopBackOff", "back-off", lastState=ended(137, "OOMKilled")),
            "ran out of memory (limit 512Mi)",
            id="memory",
        ),
        pytest.param(pod({"state": ended(0)}, phase="Succeeded"), None, id="done"),
        pytest.param(
            pod({"state": ended(2)}, phase="Failed"), "crashed with exit code 2", id="failed"
        ),
        pytest.param(
            waiting("CreateContainerConfigError", 'secret "x" not found'),
            'cannot start: secret "x" not found',
            id="config",
        ),
        pytest.param(
            waiting("ErrImagePull", "failed: docker.io/x: not found: no match for platform in x"),
            "image img:1 cannot be pulled: there is none for the node's kind of processor",
            id="other processor",
        ),
        pytest.param(
            waiting("ErrImagePull", "pull access denied, repository may require authorization"),
            "image img:1 cannot be pulled: not found, or access denied",
            id="hidden",
        ),
        pytest.param(
            waiting("ErrImageNeverPull", "Container image is not present with pull policy"),
            "image img:1 cannot be pulled: it is not on the node, and its pull policy is Never",
            id="never pulled",
        ),
        pytest.param(
            waiting("CrashLoopBackOff", lastState=ended(1, message="Traceback\n\nKeyError: 'a'\n")),
            "crashed with exit code 1; its last line: KeyError: 'a'",
            id="last line",
        ),
        pytest.param(
            waiting("CrashLoopBackOff", lastState=ended(139), restartCount=2),
            "crashed with exit code 139 (segmentation fault), restarted 2 times",
            id="signal",
        ),
        pytest.param(
            waiting("CrashLoopBackOff", lastState=ended(1, message="x" * 500)),
            "crashed with exit code 1; its last line: " + "x" * 159 + "…",
            id="long line",
        ),
        pytest.param(
            waiting("CrashLoopBackOff", lastState=ended(0, "Completed"), restartCount=2),
            "ended with exit code 0, although it is to run on, restarted 2 times",
            id="ends in peace",
        ),
        pytest.param(
            waiting("RunContainerError", 'exec: "simm": executable file not found in $PATH'),
            "cannot start: the image has no program simm",
            id="no program",
        ),
        pytest.param(
            waiting("CrashLoopBackOff", lastState=ended(128, "StartError", 'exec: "simm": stat')),
            'cannot start: exec: "simm": stat',
            id="start error",
        ),
        pytest.param(
            running_again("2026-11-22T10:00:00Z"),
            "crashed with exit code 3",
            id="not recovered yet",
        ),
        pytest.param(running_again("2026-11-22T12:00:00Z"), None, id="was ready since"),
        pytest.param(
            scheduled("Unschedulable", "0/1 nodes are available: 1 Insufficient cpu. preemption"),
            "0/1 nodes are available: 1 Insufficient cpu",
            id="no place",
        ),
        pytest.param(scheduled("SchedulingGated"), "a scheduling gate holds it", id="gated"),
        pytest.param(
            pod(phase="Failed", reason="Evicted", message="The node was low on disk."),
            "The node was low on disk.",
            id="evicted",
        ),
    ],
)
def test_tells(body: dict[str, Any], words: str | None) -> None:
    found = trouble.of_pod(body)

    assert (None if found is None else found.words) == words


def test_a_pod_that_is_being_deleted_is_in_no_trouble() -> None:
    body = waiting("ErrImagePull")
    body["metadata"]["deletionTimestamp"] = "now"

    assert trouble.of_pod(body) is None


def test_names_the_container_that_is_not_the_program() -> None:
    body = pod()
    side = {"name": "side", "restartCount": 3, "lastState": ended(2)}
    body["status"]["initContainerStatuses"] = [
        {**side, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    ]

    found = trouble.of_pod(body)

    assert found is not None
    assert found.words == "container side: crashed with exit code 2, restarted 3 times"
    assert trouble.restarts(body) == 3


QUOTA = (
    'pods "sim-workers-5d" is forbidden: exceeded quota: team, requested: pods=1,requests.cpu=2, '
    "used: pods=3,requests.cpu=4, limited: pods=3,requests.cpu=5"
)
SECURITY = (
    'pods "sim-master-7" is forbidden: violates PodSecurity "restricted:latest": '
    'runAsNonRoot != true (pod or container "master" must set securityContext.runAsNonRoot=true)'
)


@pytest.mark.parametrize(
    ("message", "reason", "words"),
    [
        pytest.param(
            QUOTA,
            "QuotaExceeded",
            "quota team was used up at 12:00: it allowed pods 3, of which 3 were used; "
            "a pod needs 1 more, and requests.cpu 5, of which 4 were used; a pod needs 2 more",
            id="quota",
        ),
        pytest.param(
            'pods "x" is forbidden: failed quota: team: must specify limits.memory for: master',
            "QuotaExceeded",
            "quota team makes no pods without limits.memory for: master; give it in resources",
            id="quota without a number",
        ),
        pytest.param(
            SECURITY,
            "PodSecurity",
            "the namespace's Pod Security level restricted refuses its pods: runAsNonRoot != true "
            '(pod or container "master" must set securityContext.runAsNonRoot=true)',
            id="pod security",
        ),
        pytest.param(
            'pods "x" is forbidden: maximum cpu usage per Container is 1, but limit is 2',
            "Refused",
            "pods are refused: maximum cpu usage per Container is 1, but limit is 2",
            id="limit range",
        ),
        pytest.param("no such luck", "Refused", "pods are refused: no such luck", id="anything"),
    ],
)
def test_says_why_no_pod_is_made(message: str, reason: str, words: str) -> None:
    found = trouble.of_refusal(message, "12:00")

    assert (found.reason, found.words) == (reason, words)


def beside(*, code: int, restarts: str = "Never") -> dict[str, Any]:
    """Return a pod whose program has ended, and which a container that was added keeps running."""
    body = pod({"state": ended(code)}, phase="Running")
    body["status"]["containerStatuses"].append({"name": "proxy", "state": {"running": {}}})
    return {**body, "spec": {**body["spec"], "restartPolicy": restarts}}


def test_a_container_that_outlasts_the_program_of_a_job_is_named() -> None:
    found = trouble.of_pod(beside(code=0))

    assert found is not None
    assert (found.reason, found.only_waits) == ("RunsOn", False)
    assert found.words == (
        "the program has ended with exit code 0, but container proxy runs on, so that its pod does "
        "not end: make that a sidecar (in initContainers, with restartPolicy: Always), or keep it "
        "out of the pod"
    )


def test_a_container_that_keeps_a_failed_program_from_another_try_is_named() -> None:
    found = trouble.of_pod(beside(code=3))

    assert found is not None
    assert found.reason == "Crash"
    assert found.words == (
        "crashed with exit code 3; container proxy runs on beside it, so that it is not tried again"
    )


def test_what_is_restarted_waits_for_no_container_beside_it() -> None:
    assert trouble.of_pod(beside(code=0, restarts="Always")) is None
