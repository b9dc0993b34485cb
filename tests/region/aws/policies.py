"""IAM policy documents: does this caller's policy allow this action on these resources?"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One thing that a request needs: *action* on *resource* (an ARN or `*`) in *context*."""

    action: str
    resource: str = "*"
    context: Mapping[str, Any] = field(default_factory=dict)


def allows(documents: Iterable[Mapping[str, Any]], access: Access) -> bool:
    """Deny wins, then any Allow; nothing said means no."""
    statements = [s for document in documents for s in _many(document.get("Statement", []))]
    applying = [s for s in statements if _applies(s, access)]
    if any(s.get("Effect") == "Deny" for s in applying):
        return False
    return any(s.get("Effect") == "Allow" for s in applying)


def decision(documents: Iterable[Mapping[str, Any]], access: Access) -> str:
    """Return IAM's word for what its simulator finds."""
    statements = [s for document in documents for s in _many(document.get("Statement", []))]
    effects = {s.get("Effect") for s in statements if _applies(s, access)}
    if "Deny" in effects:
        return "explicitDeny"
    return "allowed" if "Allow" in effects else "implicitDeny"


def missing(documents: Iterable[Mapping[str, Any]], access: Access) -> list[str]:
    """Name the condition keys that statements about the action ask for, and nobody has given."""
    statements = [s for document in documents for s in _many(document.get("Statement", []))]
    asked = {
        key
        for statement in statements
        if _acts(statement, access.action)
        for pairs in statement.get("Condition", {}).values()
        for key in pairs
    }
    return sorted(key for key in asked if key.lower() not in access.context)


def is_everything(document: Mapping[str, Any]) -> bool:
    """Whether *document* is just AdministratorAccess, so that looking closer is a waste."""
    statements = _many(document.get("Statement", []))
    return len(statements) == 1 and all(
        statements[0].get(key) in (value, [value])
        for key, value in (("Effect", "Allow"), ("Action", "*"), ("Resource", "*"))
    )


def _applies(statement: Mapping[str, Any], access: Access) -> bool:
    return (
        _acts(statement, access.action)
        and _covers(statement, access.resource, access.context)
        and _holds(statement.get("Condition", {}), access.context)
    )


def _acts(statement: Mapping[str, Any], action: str) -> bool:
    if "NotAction" in statement:
        return not any(_like(p, action, True) for p in _many(statement["NotAction"]))
    return any(_like(p, action, True) for p in _many(statement.get("Action", [])))


def _covers(statement: Mapping[str, Any], resource: str, context: Mapping[str, Any]) -> bool:
    if "NotResource" in statement:
        patterns = [_filled(p, context) for p in _many(statement["NotResource"])]
        return not any(_like(p, resource) for p in patterns)
    patterns = [_filled(p, context) for p in _many(statement.get("Resource", []))]
    return any(_like(p, resource) for p in patterns)


def _filled(pattern: str, context: Mapping[str, Any]) -> str:
    """Fill in policy variables, such as ${aws:username}; an unknown one matches nothing."""
    return re.sub(r"\$\{([^}]+)\}", lambda m: str(context.get(m[1].lower(), m[0])), pattern)


def _holds(conditions: Mapping[str, Any], context: Mapping[str, Any]) -> bool:
    return all(
        _condition(operator, key, [_filled(str(v), context) for v in _texts(wanted)], context)
        for operator, pairs in conditions.items()
        for key, wanted in pairs.items()
    )


_Test = Callable[[str, str], bool]


def _number(compare: Callable[[float, float], bool]) -> _Test:
    return lambda wanted, value: compare(float(value), float(wanted))


_OPERATORS: Final[Mapping[str, _Test]] = {
    "StringEquals": lambda wanted, value: wanted == value,
    "StringEqualsIgnoreCase": lambda wanted, value: wanted.lower() == value.lower(),
    "StringLike": lambda wanted, value: _like(wanted, value),
    "ArnEquals": lambda wanted, value: _like(wanted, value),
    "ArnLike": lambda wanted, value: _like(wanted, value),
    "Bool": lambda wanted, value: wanted.lower() == value.lower(),
    "IpAddress": lambda wanted, value: (
        ipaddress.ip_address(value) in ipaddress.ip_network(wanted, strict=False)
    ),
    "NumericEquals": _number(lambda a, b: a == b),
    "NumericLessThan": _number(lambda a, b: a < b),
    "NumericLessThanEquals": _number(lambda a, b: a <= b),
    "NumericGreaterThan": _number(lambda a, b: a > b),
    "NumericGreaterThanEquals": _number(lambda a, b: a >= b),
}
_NEGATED: Final[Mapping[str, str]] = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NotIpAddress": "IpAddress",
    "NumericNotEquals": "NumericEquals",
}


def _condition(operator: str, key: str, wanted: list[str], context: Mapping[str, Any]) -> bool:
    quantifier, _, plain = operator.rpartition(":")
    present = context.get(key.lower())
    if plain == "Null":
        return (present is None) == (wanted[0].lower() == "true")
    if_exists = plain.endswith("IfExists")
    name = plain.removesuffix("IfExists")
    if present is None:
        # A missing key fails a positive test and passes a negated one, and ForAllValues.
        return if_exists or name in _NEGATED or quantifier == "ForAllValues"
    tests = [_matches(name, wanted, value) for value in _texts(present)]
    return any(tests) if quantifier == "ForAnyValue" else all(tests)


def _matches(name: str, wanted: Sequence[str], value: str) -> bool:
    if name in _NEGATED:
        return not any(_OPERATORS[_NEGATED[name]](w, value) for w in wanted)
    if name not in _OPERATORS:
        raise ValueError(f"the simulated region knows no condition operator {name}")
    return any(_OPERATORS[name](w, value) for w in wanted)


def _many(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _texts(value: Any) -> list[str]:
    return [str(v).lower() if isinstance(v, bool) else str(v) for v in _many(value)]


@lru_cache(maxsize=4096)
def _pattern(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    text = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.compile(text, re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _like(pattern: str, value: str, ignore_case: bool = False) -> bool:
    return _pattern(pattern, ignore_case).fullmatch(value) is not None
