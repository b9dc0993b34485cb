"""The figures about single apps, as Prometheus reads them: written from the cache when asked. Pure.

A gauge object for each would cost more memory than the app itself; these cost nothing between two
visits of Prometheus.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from clusterous_operator.cache.record import Record

_FAMILIES: Mapping[str, str] = {
    "clusterous_app_info": "An app: how it runs, and its generation",
    "clusterous_app_condition": "A condition: 1 true, 0 false, -1 unknown",
    "clusterous_app_replicas": "Pods of a component: desired, ready, updated, failed",
    "clusterous_app_restarts": "Restarts of a component's containers, or of the app as a whole",
    "clusterous_app_ready_seconds": "From the first look at an app to its first Ready",
}
_VALUES = {"True": 1, "False": 0}
_COUNTS = ("desired", "ready", "updated", "failed")


class Text:
    """The figures of the apps that were added, family by family."""

    def __init__(self) -> None:
        self._found = {name: bytearray() for name in _FAMILIES}

    def add(self, record: Record) -> None:
        """Write the figures of an app."""
        app = f'namespace="{record.namespace}",name="{record.name}"'  # neither may hold a quote
        for name, labels, value in _of_app(record, record.status):
            self._found[name] += f"{name}{{{app}{labels}}} {value}\n".encode()

    def pieces(self) -> Iterator[bytes]:
        """Return what was written, and forget it."""
        for name, what in _FAMILIES.items():
            yield f"# HELP {name} {what}\n# TYPE {name} gauge\n".encode()
            yield bytes(self._found.pop(name))


Figure = tuple[str, str, float]  # the family, further labels, the value


def _of_app(record: Record, status: Mapping[str, Any]) -> Iterator[Figure]:
    run = record.spec.get("run", "Service")
    yield "clusterous_app_info", f',run="{run}",generation="{record.generation}"', 1
    for item in status.get("conditions") or ():
        value = _VALUES.get(item["status"], -1)
        yield "clusterous_app_condition", f',type="{item["type"]}"', value
    for item in status.get("components") or ():
        yield from _of_component(f',component="{item["name"]}"', item)
    if "restarts" in status:
        yield "clusterous_app_restarts", ',component=""', status["restarts"]
    if "timeToReadySeconds" in status:
        yield "clusterous_app_ready_seconds", "", status["timeToReadySeconds"]


def _of_component(label: str, item: Mapping[str, Any]) -> Iterator[Figure]:
    for state in _COUNTS:
        if state in item:
            yield "clusterous_app_replicas", f'{label},state="{state}"', item[state]
    if "restarts" in item:
        yield "clusterous_app_restarts", label, item["restarts"]
