"""Strategic merge of a pod template overlay, as Kubernetes merges: lists of named things by name.

Pure. The merge keys are those of the Go types; a list that is not in the table is replaced as a
whole. `$patch: delete` and `$patch: replace` work as in a strategic merge patch. A test compares
the results with the API server's own, which are other than ours in four points, all on purpose:

- Ports and spread constraints have two keys, as in server-side apply. The patch knows but one of
  them, and so makes one port of the two that a DNS server has.
- What is added comes last, not first: the main container stays the first.
- To take away what is not there does nothing. The API server makes something new of the directive.
- A mapping that is deleted is gone, as by null. The API server leaves an empty one in its place,
  which is no probe, and no volume.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "volumes": ("name",),
    "imagePullSecrets": ("name",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "resourceClaims": ("name",),
    "schedulingGates": ("name",),
    "env": ("name",),
    "ports": ("containerPort", "protocol"),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
}
_DEFAULTS = {"protocol": "TCP"}
_DIRECTIVE = "$patch"
_PLAIN = str | int | None

# A volume or a variable has one source: naming another one must not leave the first in place, which
# the API server's merge does, only to refuse the result.
_ONE_SOURCE = frozenset({"volumes", "env"})

Node = Mapping[str, Any]


def strategic(base: Node, overlay: Node) -> dict[str, Any]:
    """Return *base* with *overlay* laid over it; neither is changed."""
    if overlay.get(_DIRECTIVE) == "replace":
        return _without_directives(overlay)
    merged = dict(base)
    for key, value in overlay.items():
        if key.startswith("$"):
            continue
        if value is None or _is_deleted(value):
            merged.pop(key, None)
        else:
            merged[key] = _value(key, base.get(key), value)
    return merged


def _is_deleted(value: object) -> bool:
    return isinstance(value, Mapping) and value.get(_DIRECTIVE) == "delete"


def _value(key: str, old: object, new: object) -> object:
    if isinstance(new, Mapping):
        return strategic(old if isinstance(old, Mapping) else {}, new)
    if isinstance(new, list | tuple) and are_named(key, new):
        return _list(key, old if isinstance(old, Sequence) else (), new)
    return new


def are_named(key: str, items: Iterable[Any]) -> bool:
    """Tell whether the items of a list *key* are told apart by what they are called.

    Lists of other things may be called the same anywhere in a pod, and hold anything.
    """
    return key in KEYS and all(
        isinstance(one, Mapping) and all(isinstance(part, _PLAIN) for part in identity(key, one))
        for one in items
    )


def _list(key: str, old: Sequence[Any], new: Sequence[Any]) -> list[Any]:
    if any(item.get(_DIRECTIVE) == "replace" for item in new):
        return [_without_directives(item) for item in new if set(item) != {_DIRECTIVE}]
    patches = {identity(key, item): item for item in new}
    kept = [
        _item(key, item, patches.pop(identity(key, item), {}))
        for item in old
        if patches.get(identity(key, item), {}).get(_DIRECTIVE) != "delete"
    ]
    added = [item for item in new if identity(key, item) in patches]
    return kept + [_item(key, {}, item) for item in added if item.get(_DIRECTIVE) != "delete"]


def _item(key: str, old: Node, new: Node) -> dict[str, Any]:
    if key in _ONE_SOURCE and len(new) > 1:
        old = {name: value for name, value in old.items() if name in KEYS[key] or name in new}
    return strategic(old, new)


def identity(key: str, item: Node) -> tuple[Any, ...]:
    """Return what tells one item of the list *key* from the others."""
    if key == "ports" and "containerPort" not in item:  # of a Service
        return (item.get("port"), item.get("protocol", "TCP"))
    return tuple(item.get(name, _DEFAULTS.get(name)) for name in KEYS[key])


def _without_directives(item: Node) -> dict[str, Any]:
    return {key: value for key, value in item.items() if not key.startswith("$")}
