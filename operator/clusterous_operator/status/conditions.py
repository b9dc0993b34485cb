"""Conditions as kstatus reads them: what they are called, and how a new set follows an old one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from clusterous_api.conditions import Type
from clusterous_operator.objects import wording


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition; *status* None means unknown."""

    type: Type
    status: bool | None
    reason: str
    message: str = ""


_WORDS = {True: "True", False: "False", None: "Unknown"}


def write(
    wanted: Iterable[Condition], before: Iterable[Mapping[str, Any]], generation: int, now: str
) -> list[dict[str, Any]]:
    """Return the conditions as the status holds them; an unchanged status keeps its time."""
    known = {item["type"]: item for item in before}
    return [_one(one, known.get(one.type, {}), generation, now) for one in wanted]


def _one(one: Condition, before: Mapping[str, Any], generation: int, now: str) -> dict[str, Any]:
    status = _WORDS[one.status]
    same = before.get("status") == status
    return {
        "type": str(one.type),
        "status": status,
        "reason": one.reason,
        "message": wording.plain(one.message),
        "lastTransitionTime": before["lastTransitionTime"] if same else now,
        "observedGeneration": generation,
    }
