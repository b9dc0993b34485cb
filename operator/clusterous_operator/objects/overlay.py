"""Whether a pod template overlay has the shape of one: the CRD leaves its spec open. Pure.

What is checked is what the operator itself reads, merges or counts; the rest of a pod is the API
server's to judge. An overlay may leave out what it does not change, so that what must be there is
looked for in the pod that it makes.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from clusterous_api import quantity
from clusterous_api.errors import UserError
from clusterous_operator.objects import merge

Body = Mapping[str, Any]


class Leaf(StrEnum):
    """What a single value must be, as a person would say it."""

    TEXT = "text"
    NUMBER = "a whole number"
    FLAG = "true or false"
    AMOUNT = "a quantity such as 2, 500m or 20Gi"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """A mapping: what some of its fields must be, and which must be there.

    By its *key* an item of a list is found when lists are merged: an overlay must have it, too.
    """

    known: Mapping[str, "Shape"] = field(default_factory=dict)
    key: frozenset[str] = frozenset()
    needed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Many:
    """A list of values of one shape."""

    of: "Shape"


@dataclass(frozen=True, slots=True)
class ByName:
    """A mapping with any keys, and values of one shape."""

    of: "Shape"


Shape = Leaf | Fields | Many | ByName


def _fields(*key: str, needed: Sequence[str] = (), **known: Shape) -> Fields:
    return Fields(known=known, key=frozenset(key), needed=frozenset(needed))


_TEXT, _NUMBER, _AMOUNTS, _TEXTS = Leaf.TEXT, Leaf.NUMBER, ByName(Leaf.AMOUNT), Many(Leaf.TEXT)
_LABELS = ByName(_TEXT)
_EXPRESSIONS = Many(_fields(needed=["key", "operator"], key=_TEXT, operator=_TEXT, values=_TEXTS))
_SELECTOR = _fields(matchLabels=_LABELS, matchExpressions=_EXPRESSIONS)
_RESOURCES = _fields(requests=_AMOUNTS, limits=_AMOUNTS)
_NAMED = Many(_fields("name", name=_TEXT))
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_OF_PODS = _fields(
    needed=["topologyKey"], topologyKey=_TEXT, labelSelector=_SELECTOR, matchLabelKeys=_TEXTS
)
_OF_NODES = _fields(
    nodeSelectorTerms=Many(_fields(matchExpressions=_EXPRESSIONS, matchFields=_EXPRESSIONS))
)
_PORT = _fields(
    "containerPort", containerPort=_NUMBER, hostPort=_NUMBER, protocol=_TEXT, name=_TEXT
)
_CONTAINERS = Many(
    _fields(
        "name",
        name=_TEXT,
        image=_TEXT,
        command=_TEXTS,
        args=_TEXTS,
        env=Many(_fields("name", name=_TEXT, value=_TEXT, valueFrom=_fields())),
        ports=Many(_PORT),
        resources=_RESOURCES,
        restartPolicy=_TEXT,
        volumeMounts=Many(_fields("mountPath", mountPath=_TEXT, name=_TEXT)),
        volumeDevices=Many(_fields("devicePath", devicePath=_TEXT)),
    )
)
_SPREAD = _fields(
    "topologyKey",
    "whenUnsatisfiable",
    needed=["maxSkew"],
    maxSkew=_NUMBER,
    topologyKey=_TEXT,
    whenUnsatisfiable=_TEXT,
    minDomains=_NUMBER,
    labelSelector=_SELECTOR,
    matchLabelKeys=_TEXTS,
    nodeAffinityPolicy=_TEXT,
    nodeTaintsPolicy=_TEXT,
)
_POD = _fields(
    affinity=_fields(
        nodeAffinity=Fields(known={_REQUIRED: _OF_NODES}),
        podAffinity=Fields(known={_REQUIRED: Many(_OF_PODS)}),
        podAntiAffinity=Fields(known={_REQUIRED: Many(_OF_PODS)}),
    ),
    containers=_CONTAINERS,
    initContainers=_CONTAINERS,
    ephemeralContainers=_CONTAINERS,
    hostAliases=Many(_fields("ip", ip=_TEXT, hostnames=_TEXTS)),
    hostNetwork=Leaf.FLAG,
    imagePullSecrets=_NAMED,
    nodeSelector=_LABELS,
    overhead=_AMOUNTS,
    resources=_RESOURCES,
    resourceClaims=_NAMED,
    schedulingGates=_NAMED,
    securityContext=_fields(),
    tolerations=Many(_fields(key=_TEXT, operator=_TEXT, value=_TEXT, effect=_TEXT)),
    topologySpreadConstraints=Many(_SPREAD),
    volumes=_NAMED,
)


_DEEPEST = 100


def check_depth(where: str, value: object) -> None:
    """Raise UserError if a value is nested deeper than anything in a pod; to be called first."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [inner for one in level for inner in _inner(one)]
        if not level:
            return
    raise UserError(f"{where} is nested more than {_DEEPEST} deep, which no field of a pod is.")


def _inner(value: object) -> Iterable[object]:
    match value:
        case Mapping():
            return value.values()
        case list() | tuple():
            return value
    return ()


def check(where: str, spec: object) -> None:
    """Raise UserError, with the place after *where*, if an overlay's spec is not of a pod's shape.

    Call it before merging: what is merged must have the shape that is merged.
    """
    _check(where, spec, _POD, is_whole=False)
    values = sum(_values(_mapping(where, spec).get(key, ())) for key in _PLACING)
    if values > _MOST_VALUES:
        raise UserError(
            f"{where} says in {values} values where its pods may run ({', '.join(_PLACING)}); at "
            f"most {_MOST_VALUES} are served, since each node is asked all of them. Give nodes "
            "that are alike one label, and select them by it."
        )


_PLACING = ("nodeSelector", "affinity", "tolerations", "topologySpreadConstraints")
_MOST_VALUES = 500


def _values(value: object) -> int:
    if isinstance(value, Mapping | list | tuple):
        return sum(map(_values, _inner(value)))
    return 1


def check_whole(where: str, spec: object) -> None:
    """Do as *check* does for the pod that was made with it, in which nothing may be missing."""
    _check(where, spec, _POD, is_whole=True)


def check_amounts(where: str, resources: object) -> None:
    """Raise UserError if requests or limits are no quantities."""
    _check(where, resources, _RESOURCES, is_whole=True)


def check_amount(where: str, value: object) -> None:
    """Raise UserError if a value is no quantity."""
    _check_leaf(where, value, Leaf.AMOUNT)


def _check(where: str, value: object, shape: Shape, *, is_whole: bool) -> None:
    match shape:
        case Fields():
            item = _mapping(where, value)
            for name, one in shape.known.items():
                if item.get(name) is not None:  # null takes a field away
                    _check(f"{where}.{name}", item[name], one, is_whole=is_whole)
            needed = shape.key | shape.needed if is_whole else shape.key
            missing = [name for name in needed if item.get(name) is None]
            if missing and "$patch" not in item:
                raise UserError(f"{where}.{min(missing)} is missing.")
        case ByName(of=one):
            for name, entry in _mapping(where, value).items():
                if entry is not None:
                    _check(f"{where}.{name}", entry, one, is_whole=is_whole)
        case Many(of=one):
            for place, entry in _places(where, value):
                _check(place, entry, one, is_whole=is_whole)
        case Leaf():
            _check_leaf(where, value, shape)


def _mapping(where: str, value: object) -> Body:
    if isinstance(value, Mapping):
        return value
    raise UserError(f"{where} must be a mapping, not {_kind(value)}.")


def _places(where: str, value: object) -> Iterable[tuple[str, object]]:
    """Return the items of a list, each with its place: by its name where it has one."""
    if not isinstance(value, list | tuple):
        raise UserError(f"{where} must be a list, not {_kind(value)}.")
    for index, entry in enumerate(value):
        name = entry.get("name") if isinstance(entry, Mapping) else None
        yield f"{where}[{name if isinstance(name, str) else index}]", entry


def _check_leaf(where: str, value: object, leaf: Leaf) -> None:
    if not _fits(value, leaf):
        quoted = " Write it in quotes." if leaf is Leaf.TEXT and _is_plain(value) else ""
        raise UserError(f"{where} must be {leaf}, not {_kind(value)}.{quoted}")


def _fits(value: object, leaf: Leaf) -> bool:
    match leaf:
        case Leaf.TEXT:
            return isinstance(value, str)
        case Leaf.FLAG:
            return isinstance(value, bool)
        case Leaf.NUMBER:
            return isinstance(value, int) and not isinstance(value, bool)
        case Leaf.AMOUNT:
            return quantity.is_one(value)


def _is_plain(value: object) -> bool:
    return isinstance(value, bool | int | float)


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return "a list"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


_SHOWN = 60


_MAIN = "spec.template.spec.containers[0]"
_VARIABLE = re.compile(r"\.env\[(\d{1,9})\]")
_ITEM = re.compile(r"spec\.template\.spec\.(\w+)\[(\d{1,9})\]")


def in_users_words(where: str, overlay: Body, merged: Body, message: str) -> str:
    """Say the places in an answer of the API server as the user wrote them.

    The API server counts in the lists that were merged: the first container of an overlay is the
    second of the pod. *where* is the component's place in the spec.
    """
    known: dict[str, dict[tuple[Any, ...], int]] = {}

    def users(found: re.Match[str]) -> str:
        key, index = found[1], int(found[2])
        items = merged.get(key) or ()
        if key not in merge.KEYS or index >= len(items) or (key, index) == ("containers", 0):
            return found[0]
        if key not in known:
            known[key] = _positions(key, overlay.get(key) or ())
        mine = known[key].get(merge.identity(key, items[index]))
        return found[0] if mine is None else f"{where}.template.spec.{key}[{mine}]"

    # Once through what may be long, of a pod that may have thousands of items.
    message = _ITEM.sub(users, message)
    main = (merged.get("containers") or [{}])[0]
    if f"{_MAIN}." in message:
        message = _VARIABLE.sub(lambda found: _variable(main, int(found[1])), message)
    message = message.replace(_MAIN, where)
    return message.replace("spec.template.spec.", f"{where}.template.spec.")


def _positions(key: str, items: Sequence[Body]) -> dict[tuple[Any, ...], int]:
    found: dict[tuple[Any, ...], int] = {}
    for index, item in enumerate(items):
        found.setdefault(merge.identity(key, item), index)
    return found


def _variable(container: Body, index: int) -> str:
    """Return the place of a variable by its name: ours stand before the user's."""
    variables = container.get("env") or ()
    return f".env[{variables[index]['name'] if index < len(variables) else index}]"
