"""Figures for Prometheus, under controller-runtime's names where it has one."""

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

_CONTROLLER = "clusterousapp"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """All figures of one operator, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._reconciles = Counter(
            "controller_runtime_reconcile_total",
            "Reconciles by result",
            ("controller", "result"),
            registry=self.registry,
        )
        self._errors = Counter(
            "controller_runtime_reconcile_errors_total",
            "Reconciles that failed",
            ("controller",),
            registry=self.registry,
        )
        self._seconds = self._histogram("controller_runtime_reconcile_time_seconds", "A reconcile")
        self._queued = self._histogram("workqueue_queue_duration_seconds", "Time in the queue")
        self._writes = Counter(
            "clusterous_writes_total",
            "Writes to the API by kind",
            ("kind",),
            registry=self.registry,
        )
        self._active = Gauge(
            "controller_runtime_active_workers",
            "Workers that are at work",
            ("controller",),
            registry=self.registry,
        )

    def _histogram(self, name: str, what: str) -> Histogram:
        return Histogram(name, what, ("controller",), buckets=_SECONDS, registry=self.registry)

    def watch_gauge(self, name: str, what: str, value: Callable[[], float]) -> None:
        """Show a figure that is asked for when it is wanted."""
        gauge = Gauge(name, what, ("controller",), registry=self.registry)
        gauge.labels(_CONTROLLER).set_function(value)

    def taken(self, waited: float) -> None:
        """A worker has begun, after the app waited for so long."""
        self._queued.labels(_CONTROLLER).observe(waited)
        self._active.labels(_CONTROLLER).inc()

    def reconciled(self, result: str, seconds: float) -> None:
        """A worker has ended: success, error, or requeue_after."""
        self._active.labels(_CONTROLLER).dec()
        self._reconciles.labels(_CONTROLLER, result).inc()
        self._seconds.labels(_CONTROLLER).observe(seconds)
        if result == "error":
            self._errors.labels(_CONTROLLER).inc()

    def wrote(self, kind: str) -> None:
        """Something was written."""
        self._writes.labels(kind).inc()

    def text(self) -> bytes:
        """Return all figures as Prometheus reads them."""
        return generate_latest(self.registry)
