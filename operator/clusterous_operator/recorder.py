"""Events for a person who runs `kubectl describe`: few, on what changed for the better or worse."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from clusterous_api import names
from clusterous_api.errors import ClusterousError
from clusterous_operator.cluster import Cluster
from clusterous_operator.record import Record

logger = logging.getLogger(__name__)

_MESSAGE_LIMIT = 1000  # of the API server


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What to tell: a warning or not, a reason for programs, words for people."""

    warning: bool
    reason: str
    message: str


_BAD = frozenset({"Trouble", "Invalid", "MasterFailed"})
_GOOD = frozenset({"Ready", "Completed", "Suspended"})


def notes(before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]) -> list[Note]:
    """Return what is worth telling when the conditions *before* become those *after*."""
    old, new = _ready(before), _ready(after)
    reason = new.get("reason", "")
    if reason == old.get("reason") or reason not in _BAD | _GOOD:
        return []
    return [Note(warning=reason in _BAD, reason=reason, message=new.get("message", ""))]


def _ready(conditions: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    return next((item for item in conditions if item["type"] == "Ready"), {})


async def tell(cluster: Cluster, record: Record, note: Note, now: str) -> None:
    """Write an event; one that does not get through is not worth more than a line in the log."""
    body = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"namespace": record.namespace, "generateName": f"{record.name}-"},
        "eventTime": now,
        "type": "Warning" if note.warning else "Normal",
        "reason": note.reason,
        "note": (note.message or note.reason)[:_MESSAGE_LIMIT],
        "action": "Reconcile",
        "reportingController": f"{names.DOMAIN}/operator",
        "reportingInstance": names.FIELD_MANAGER,
        "regarding": {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "namespace": record.namespace,
            "name": record.name,
            "uid": record.uid,
        },
    }
    try:
        await cluster.create("Event", record.namespace, body)
    except ClusterousError as error:
        logger.warning("%s/%s: event lost: %s", record.namespace, record.name, error)
