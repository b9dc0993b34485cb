"""Figures for Prometheus, under controller-runtime's names where it has one.

What is about single apps is in figures.py: it is read from the cache when somebody asks.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_CONTROLLER = "clusterousapp"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_LABELS = ("controller", "name")  # as controller-runtime labels its queues


Values = Mapping[tuple[str, ...], float]  # by the values of the labels


class _Asked(Collector):
    """A figure that is asked for when it is wanted; one that ends in _total only ever grows."""

    def __init__(
        self, name: str, what: str, labels: Sequence[str], values: Callable[[], Values]
    ) -> None:
        self._name, self._what, self._labels, self._values = name, what, labels, values

    def collect(self) -> Iterator[Metric]:
        """Return the values as they are now."""
        kind = CounterMetricFamily if self._name.endswith("_total") else GaugeMetricFamily
        family = kind(self._name, self._what, labels=self._labels)
        for key, value in self._values().items():
            family.add_metric(list(key), value)
        yield family


class Metrics:
    """All figures of one operator, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._reconciles = self._counter(
            "controller_runtime_reconcile_total", "Reconciles by result", "controller", "result"
        )
        self._errors = self._counter(
            "controller_runtime_reconcile_errors_total", "Reconciles that failed", "controller"
        )
        self._panics = self._counter(
            "controller_runtime_reconcile_panics_total", "Reconciles with a bug", "controller"
        )
        self._seconds = self._histogram(
            "controller_runtime_reconcile_time_seconds", "A reconcile", "controller"
        )
        self._active = self._gauge(
            "controller_runtime_active_workers", "Workers that are at work", "controller"
        )
        self._most = self._gauge(
            "controller_runtime_max_concurrent_reconciles", "Workers that there are", "controller"
        )
        self._queued = self._histogram(
            "workqueue_queue_duration_seconds", "Time in the queue", *_LABELS
        )
        self._worked = self._histogram("workqueue_work_duration_seconds", "Time at work", *_LABELS)
        self._requests = self._counter(
            "rest_client_requests_total", "Answers of the API server", "code", "method"
        )
        self._writes = self._counter("clusterous_writes_total", "Writes to the API", "kind")
        self._errors.labels(_CONTROLLER)
        self._panics.labels(_CONTROLLER)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(name, what, labels, registry=self.registry)

    def _gauge(self, name: str, what: str, *labels: str) -> Gauge:
        return Gauge(name, what, labels, registry=self.registry)

    def _histogram(self, name: str, what: str, *labels: str) -> Histogram:
        return Histogram(name, what, labels, buckets=_SECONDS, registry=self.registry)

    def of_queue(self, name: str, what: str, value: Callable[[], float]) -> None:
        """Show a figure of the queue that is asked for when it is wanted."""
        self.asked(name, what, _LABELS, lambda: {(_CONTROLLER, _CONTROLLER): value()})

    def asked(
        self, name: str, what: str, labels: Sequence[str], values: Callable[[], Values]
    ) -> None:
        """Show figures by their labels that are asked for when they are wanted."""
        self.registry.register(_Asked(name, what, labels, values))

    def workers(self, count: int) -> None:
        """Say how many workers there are."""
        self._most.labels(_CONTROLLER).set(count)

    def taken(self, waited: float) -> None:
        """A worker has begun, after the app waited for so long."""
        self._queued.labels(_CONTROLLER, _CONTROLLER).observe(waited)
        self._active.labels(_CONTROLLER).inc()

    def reconciled(self, result: str, seconds: float) -> None:
        """A worker has ended: success, error, requeue or requeue_after."""
        self._active.labels(_CONTROLLER).dec()
        self._reconciles.labels(_CONTROLLER, result).inc()
        self._seconds.labels(_CONTROLLER).observe(seconds)
        self._worked.labels(_CONTROLLER, _CONTROLLER).observe(seconds)
        if result == "error":
            self._errors.labels(_CONTROLLER).inc()

    def panicked(self) -> None:
        """A worker has met a bug."""
        self._panics.labels(_CONTROLLER).inc()

    def answered(self, method: str, code: str) -> None:
        """The API server has answered."""
        self._requests.labels(code, method).inc()

    def wrote(self, kind: str) -> None:
        """Something was written."""
        self._writes.labels(kind).inc()

    def text(self) -> bytes:
        """Return all figures as Prometheus reads them."""
        return generate_latest(self.registry)
