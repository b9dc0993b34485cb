"""What is wrong with a pod, told so that its owner knows what to do."""

from typing import Any

import pytest

from clusterous_operator import trouble


def pod(container: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    statuses = [] if container is None else [{"name": "main", "image": "img:1", **container}]
    limits = {"resources": {"limits": {"memory": "512Mi"}}}
    return {
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "main", **limits}]},
        "status": {"containerStatuses": statuses, **status},
    }


def waiting(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    return pod({"state": {"waiting": {"reason": reason, "message": message}}, **more})


def ended(code: int, reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason}}


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
