"""A metrics API that says what a test tells it: in its place is a kind that is merely stored."""

from typing import Any, Final

from tests.cluster.controlplane import ApiError, ControlPlane

KIND: Final = "PodMetrics"
PATH: Final = "/apis/metrics.k8s.io/v1beta1"
_DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_NAME: Final = "pods.metrics.k8s.io"


def serve(plane: ControlPlane) -> None:
    """Begin to answer; nothing is told yet."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1beta1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
    }
    body = {
        "metadata": {
            "name": _NAME,
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {
            "group": "metrics.k8s.io",
            "scope": "Namespaced",
            "names": {"plural": "pods", "kind": KIND},
            "versions": [version],
        },
    }
    plane.api("POST", _DEFINITIONS, body)
    plane.wait_until(lambda: _answers(plane), "the metrics API")


def end(plane: ControlPlane) -> None:
    """Answer no more."""
    plane.api("DELETE", f"{_DEFINITIONS}/{_NAME}")
    plane.wait_until(lambda: not _answers(plane), "the end of the metrics API")


def tell(plane: ControlPlane, namespace: str, pod: str, cpu: str) -> dict[str, Any]:
    """Say how much CPU a pod uses."""
    used = {"containers": [{"name": "main", "usage": {"cpu": cpu, "memory": "1Mi"}}]}
    named = {"apiVersion": "metrics.k8s.io/v1beta1", "kind": KIND, "metadata": {"name": pod}}
    where = f"{PATH}/namespaces/{namespace}/pods"
    try:
        return plane.api("POST", where, {**named, **used})
    except ApiError as error:
        if error.status != 409:
            raise
        return plane.api("PATCH", f"{where}/{pod}", used)


def _answers(plane: ControlPlane) -> bool:
    try:
        plane.api("GET", f"{PATH}/pods")
    except ApiError:
        return False
    return True
