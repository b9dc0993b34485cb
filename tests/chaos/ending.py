"""Where a story ends, without what differs from run to run: the children that an app has, and what
its status says. Two runs of one story must end the same, whatever went wrong on the way. Pure.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from clusterous_api import names
from tests.chaos.history import APP, CLAIM, World

_KINDS = (APP, "Deployment", "Job", "Service", CLAIM)
_TIME = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+Z$")
# The API server's and the controllers' own: they count changes, or name objects by chance.
_DROPPED = frozenset(
    {
        "clusterIPs",
        "clusterous.io/applied",  # a hash over the addresses of Services
        "controller-uid",
        "batch.kubernetes.io/controller-uid",
        "lastTransitionTime",
        "uid",
        "volumeName",
    }
)
_DURATION = re.compile(r"(Seconds|Duration|Time)$")


def ending(world: World) -> dict[str, Any]:
    """Return the end of a story, by kind and name."""
    places = {
        body["spec"]["clusterIP"]: f"<{body['metadata']['name']}>"
        for body in world.all("Service")
        if body["spec"].get("clusterIP") not in (None, "", "None")
    }
    for claim in world.all(CLAIM):  # a volume is named by chance, its claim is not
        if volume := claim["spec"].get("volumeName"):
            places[volume] = f"<{claim['metadata']['name']}>"
    found = {
        f"{kind} {body['metadata']['name']}": _plain(_kept(kind, body), places)
        for kind in _KINDS
        for body in world.all(kind)
        if kind != CLAIM or names.LABEL_MANAGED_BY in (body["metadata"].get("labels") or {})
    }
    for (kind, name), count in sorted(_pods(world).items()):
        found[f"pods {kind} {name}"] = count
    return found


def _kept(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    metadata = body["metadata"]
    annotations = (metadata.get("annotations") or {}).items()
    kept: dict[str, Any] = {
        "labels": metadata.get("labels") or {},
        # Controllers note things on children, some of them not always; on an app nobody may.
        "annotations": {
            key: value for key, value in annotations if kind == APP or names.DOMAIN in key
        },
        "owners": [(one["kind"], one["name"]) for one in metadata.get("ownerReferences") or ()],
        "finalizers": [
            one for one in metadata.get("finalizers") or () if not one.startswith("kubernetes.io/")
        ],
        "leaving": "deletionTimestamp" in metadata,
        "spec": body["spec"],
    }
    if kind == APP:
        kept["status"] = {
            key: value
            for key, value in (body.get("status") or {}).items()
            if not _DURATION.search(key)
        }
    return kept


def _plain(value: Any, places: Mapping[str, str]) -> Any:
    """Return a value without times, and with the names of Services for their addresses, and of
    claims for their volumes."""
    if isinstance(value, Mapping):
        return {key: _plain(one, places) for key, one in value.items() if not _is_dropped(key, one)}
    if isinstance(value, list | tuple):
        return [_plain(one, places) for one in value]
    if isinstance(value, str):
        return places.get(value, value)
    return value


def _is_dropped(key: str, value: Any) -> bool:
    return key in _DROPPED or (isinstance(value, str) and bool(_TIME.match(value)))


def _pods(world: World) -> dict[tuple[str, str], int]:
    """Count the pods by component and image; their names are chance."""
    found: dict[tuple[str, str], int] = {}
    for pod in world.all("Pod"):
        component = (pod["metadata"].get("labels") or {}).get(names.LABEL_COMPONENT, "")
        ended = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
        key = (component, pod["spec"]["containers"][0]["image"] + (" ended" if ended else ""))
        found[key] = found.get(key, 0) + 1
    return found


def difference(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Return in words where two endings differ."""
    words = []
    for key in sorted({*wanted, *found}):
        if key not in found:
            words.append(f"{key} is missing")
        elif key not in wanted:
            words.append(f"{key} is too much")
        elif wanted[key] != found[key]:
            words += _inner(key, wanted[key], found[key])
    return words


def _inner(where: str, wanted: Any, found: Any) -> list[str]:
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return [
            word
            for key in sorted({*wanted, *found})
            if wanted.get(key) != found.get(key)
            for word in _inner(f"{where}.{key}", wanted.get(key), found.get(key))
        ]
    return [f"{where}: {_short(found)} instead of {_short(wanted)}"]


def _short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return text if len(text) <= 400 else text[:400] + "…"
