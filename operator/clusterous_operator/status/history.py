"""What a status remembers of an app: when it was taken up, ready, and done. Pure.

The times stand in the status alone, so that a new operator goes on where the last one ended.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from clusterous_api.conditions import Type
from clusterous_operator.status.conditions import Condition

_RUNNING = "Running"  # the reason of Suspended and Completed while an app is neither


def times(before: Mapping[str, Any], found: Iterable[Condition], now: str) -> dict[str, Any]:
    """Return startTime, readyTime, timeToReadySeconds and completionTime as they are now."""
    told = {one.type: one for one in found}
    completed = told[Type.COMPLETED]
    is_over = completed.reason != _RUNNING
    halted = told[Type.SUSPENDED].reason != _RUNNING
    anew = _begins(before, is_over=is_over, halted=halted)
    start = now if anew else before.get("startTime")
    ready = None if anew else before.get("readyTime")
    if start is not None and ready is None and told[Type.READY].status:
        ready = now
    ended = before.get("completionTime") or now
    return {
        **({} if start is None else {"startTime": start}),
        **({} if ready is None else {"readyTime": ready}),
        **({} if start is None or ready is None else {"timeToReadySeconds": _span(start, ready)}),
        **({"completionTime": ended} if is_over else {}),
    }


def _begins(before: Mapping[str, Any], *, is_over: bool, halted: bool) -> bool:
    """Tell whether it is taken up now: for the first time, after a suspension, or for a new run."""
    if halted:
        return False
    if "startTime" not in before:
        return True
    was_over = "completionTime" in before
    return _was_halted(before) or (was_over and not is_over)


def _was_halted(before: Mapping[str, Any]) -> bool:
    for item in before.get("conditions") or ():
        if item["type"] == Type.SUSPENDED:
            return bool(item["reason"] != _RUNNING)
    return False


def _span(start: str, end: str) -> int:
    seconds = (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    return max(round(seconds), 0)  # a clock may have been set back
