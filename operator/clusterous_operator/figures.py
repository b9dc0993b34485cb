"""The figures about single apps, as Prometheus reads them: written from the cache when asked. Pure.

A gauge object for each would cost more memory than the app itself; these cost nothing between two
visits of Prometheus.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from clusterous_operator.record import Record

_FAMILIES: Mapping[str, str] = {
    "clusterous_app_info": "An app: how it runs, and its generation",
    "clusterous_app_condition": "A condition: 1 true, 0 false, -1 unknown",
    "clusterous_app_replicas": "Pods of a component: desired, ready, updated, failed",
    "clusterous_app_restarts": "Restarts of a component's containers, or of the app as a whole",
    "clusterous_app_ready_seconds": "From the first look at an app to its first Ready",
}
_VALUES = {"True": 1, "False": 0}
_COUNTS = ("desired", "ready", "updated", "failed")


def text(records: Iterable[Record]) -> Iterator[bytes]:
    """Return the figures family by family, for all apps in one pass over them."""
    found = {name: bytearray() for name in _FAMILIES}
    for one in records:
        for name, labels, value in _of_app(one):
            found[name] += _line(name, labels, value)
    for name, what in _FAMILIES.items():
        yield f"# HELP {name} {what}\n# TYPE {name} gauge\n".encode()
        yield bytes(found.pop(name))


Figure = tuple[str, Mapping[str, str], float]


def _of_app(record: Record) -> Iterator[Figure]:
    app = {"namespace": record.namespace, "name": record.name}
    spec, status = record.spec, record.status
    run = {"run": str(spec.get("run", "Service")), "generation": str(record.generation)}
    yield "clusterous_app_info", {**app, **run}, 1
    for item in status.get("conditions") or ():
        value = _VALUES.get(item["status"], -1)
        yield "clusterous_app_condition", {**app, "type": item["type"]}, value
    for item in status.get("components") or ():
        yield from _of_component({**app, "component": item["name"]}, item)
    if "restarts" in status:
        yield "clusterous_app_restarts", {**app, "component": ""}, status["restarts"]
    if "timeToReadySeconds" in status:
        yield "clusterous_app_ready_seconds", app, status["timeToReadySeconds"]


def _of_component(labels: Mapping[str, str], item: Mapping[str, Any]) -> Iterator[Figure]:
    for state in _COUNTS:
        if state in item:
            yield "clusterous_app_replicas", {**labels, "state": state}, item[state]
    if "restarts" in item:
        yield "clusterous_app_restarts", labels, item["restarts"]


def _line(name: str, labels: Mapping[str, str], value: float) -> bytes:
    inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{inside}}} {value}\n".encode()


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
