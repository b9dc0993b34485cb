"""Whether a service has nothing to do, and what follows. Pure: what it remembers is in the status.

In doubt it works on: without figures about all its running pods nothing is suspended.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from clusterous_api import quantity
from clusterous_api.models import Idle

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Since when it has used too little, whether it was suspended for that, what resumed it."""

    since: datetime | None = None
    suspended: bool = False
    resumed: str = ""


def read(status: Body) -> State:
    """Return what the status remembers."""
    item = status.get("idle") or {}
    since = item.get("since")
    return State(
        since=None if since is None else datetime.fromisoformat(since),
        suspended=item.get("suspended", False),
        resumed=item.get("resumed", ""),
    )


def write(state: State) -> dict[str, Any]:
    """Return the state as the status remembers it."""
    since = {} if state.since is None else {"since": state.since.strftime("%Y-%m-%dT%H:%M:%SZ")}
    resumed = {"resumed": state.resumed} if state.resumed else {}
    return {**since, "suspended": state.suspended, **resumed}


def decide(
    wanted: Idle,
    before: State,
    *,
    used: Decimal | None,
    now: datetime,
    resume: str,
    changed: bool,
) -> State:
    """Return the state now. *used* is None where that is not known; *changed* is about the spec."""
    word = _known_as(resume) or before.resumed  # to take the word back is not a new one
    if changed or word != before.resumed:
        return State(resumed=word)
    if before.suspended:
        return before
    if used is None or used >= quantity.parse(wanted.cpu):
        return State(resumed=word)
    since = before.since or now
    late = (now - since).total_seconds() >= wanted.after_seconds
    return State(since=since, suspended=late, resumed=word)


_LONGEST = 256  # that the CRD takes


def _known_as(word: str) -> str:
    """Return what the status remembers of a word, which may be anything and of any length."""
    is_short = len(word) <= _LONGEST
    return word if is_short else hashlib.sha256(word.encode(errors="replace")).hexdigest()


def used(
    ready: Collection[str], others: Collection[str], cpu: Mapping[str, Decimal] | None
) -> Decimal | None:
    """Return what the pods use together, if that is known of all that are *ready*.

    *others* start, end, or have too much to do to say that they are ready: what they use counts as
    far as it is known.
    """
    if cpu is None or not ready or any(name not in cpu for name in ready):
        return None
    return sum((cpu.get(name, Decimal(0)) for name in {*ready, *others}), Decimal(0))
