"""Whether the cluster's controller is away: since when, and what is known of why. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

# A controller tells how it is every five minutes at least.
SILENT: Final = timedelta(minutes=15)
# EC2's own words on the last change of a machine's state end so.
CHANGED: Final = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """A controller that does not do its work.

    *state* is EC2's word for its machine, or `gone` where EC2 tells of none any more, or `silent`
    of one that runs and is not heard of; *since* is when that began, *heard* when it last told of
    itself, each None where nobody knows.
    """

    state: str
    id: str = ""
    why: str = ""
    since: datetime | None = None
    heard: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A controller's machine as EC2 tells of it, with *changed*, its words on the last change."""

    id: str
    state: str
    why: str = ""
    changed: str = ""


def away(
    living: Iterable[Seen], ended: Iterable[Seen], heard: Mapping[str, str], now: datetime
) -> Away | None:
    """Judge; *heard* are the times of the last reports of all controllers there were, by id."""
    last = max((time for said in heard.values() if (time := _time(said))), default=None)
    for one in living:
        if one.state in ("pending", "running"):
            said = _time(heard.get(one.id, ""))
            if said is None or now - said < SILENT:
                return None  # it is there, or comes up
            return Away(state="silent", id=one.id, heard=said)
        return Away(
            state=one.state, id=one.id, why=one.why, since=_changed(one.changed), heard=last
        )
    gone = sorted(ended, key=lambda one: heard.get(one.id, ""))
    if not gone:
        return Away(state="gone", heard=last)
    one = gone[-1]
    return Away(state=one.state, id=one.id, why=one.why, since=_changed(one.changed), heard=last)


def _time(said: str) -> datetime | None:
    return datetime.fromisoformat(said) if said else None


def _changed(said: str) -> datetime | None:
    found = CHANGED.search(said)
    return datetime.fromisoformat(found[1]).replace(tzinfo=UTC) if found else None


def data(one: Away | None) -> dict[str, Any] | None:
    """Return it for programs."""
    if one is None:
        return None
    times = {"since": one.since, "heard": one.heard}
    spelled = {name: time.isoformat() if time else None for name, time in times.items()}
    return {"state": one.state, "id": one.id or None, "why": one.why or None, **spelled}
