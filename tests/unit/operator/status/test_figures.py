"""What Prometheus is told about apps is what their status says."""

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from clusterous_operator.cache.record import Record
from clusterous_operator.controller.metrics import Metrics
from clusterous_operator.objects.inherit import Inherit
from clusterous_operator.status import figures

STATUS: dict[str, Any] = {
    "conditions": [
        {"type": "Ready", "status": "True"},
        {"type": "Stalled", "status": "False"},
        {"type": "VolumeBound", "status": "Unknown"},
    ],
    "components": [
        {"name": "workers", "desired": 4, "ready": 3, "updated": 2, "failed": 1, "restarts": 2}
    ],
    "timeToReadySeconds": 12,
}


def told() -> dict[str, float]:
    body = {
        "metadata": {"namespace": "lab", "name": "sim", "generation": 3},
        "spec": {"run": "Batch"},
        "status": STATUS,
    }
    text = figures.Text()
    text.add(Record.read(body, Inherit()))
    families = text_string_to_metric_families(b"".join(text.pieces()).decode())
    return {
        f"{one.name}{sorted(one.labels.values())}": one.value
        for family in families
        for one in family.samples
    }


def test_tells_what_the_status_says() -> None:
    assert told() == {
        "clusterous_app_info['3', 'Batch', 'lab', 'sim']": 1,
        "clusterous_app_condition['Ready', 'lab', 'sim']": 1,
        "clusterous_app_condition['Stalled', 'lab', 'sim']": 0,
        "clusterous_app_condition['VolumeBound', 'lab', 'sim']": -1,
        "clusterous_app_replicas['desired', 'lab', 'sim', 'workers']": 4,
        "clusterous_app_replicas['lab', 'ready', 'sim', 'workers']": 3,
        "clusterous_app_replicas['lab', 'sim', 'updated', 'workers']": 2,
        "clusterous_app_replicas['failed', 'lab', 'sim', 'workers']": 1,
        "clusterous_app_restarts['lab', 'sim', 'workers']": 2,
        "clusterous_app_ready_seconds['lab', 'sim']": 12,
    }


def test_the_operators_own_figures_have_controller_runtimes_names() -> None:
    metrics = Metrics()
    metrics.workers(16)
    metrics.of_queue("workqueue_depth", "Waiting", lambda: 7)
    metrics.of_queue("workqueue_adds_total", "Added", lambda: 9)
    metrics.taken(0.01)
    metrics.reconciled("error", 0.02)
    metrics.answered("GET", "200")

    lines = metrics.text().decode().splitlines()

    queue = '{controller="clusterousapp",name="clusterousapp"}'
    for line in (
        'controller_runtime_max_concurrent_reconciles{controller="clusterousapp"} 16.0',
        'controller_runtime_active_workers{controller="clusterousapp"} 0.0',
        'controller_runtime_reconcile_total{controller="clusterousapp",result="error"} 1.0',
        'controller_runtime_reconcile_errors_total{controller="clusterousapp"} 1.0',
        'controller_runtime_reconcile_panics_total{controller="clusterousapp"} 0.0',
        f"workqueue_depth{queue} 7.0",
        f"workqueue_adds_total{queue} 9.0",
        'rest_client_requests_total{code="200",method="GET"} 1.0',
    ):
        assert line in lines
