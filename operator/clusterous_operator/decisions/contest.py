"""Who puts right what another changes back must know when to stop, and say so. Pure.

A field of ours that was changed is put back. Where it is changed again and again, by an autoscaler
that points at a Deployment, by another operator, by a tool that renews images, two write in turns
for ever and pods are made and ended all the time. After a few times the object is left as it is
for a while; the status names the field and who sets it. A change of what is wanted counts anew.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clusterous_api import names
from clusterous_api.models import App
from clusterous_operator.cache import observed
from clusterous_operator.cache.observed import CLAIM, JOB
from clusterous_operator.decisions import plan
from clusterous_operator.decisions.plan import Apply, Children, Patch, Step

_APPLIED = names.ANNOTATION_APPLIED
_TIMES = 5
PAUSE_SECONDS = 300.0
_FORGET_SECONDS = 2 * PAUSE_SECONDS

Key = tuple[str, str]  # kind and name of an object


@dataclass(frozen=True, slots=True, kw_only=True)
class Mend:
    """How often an object was put right, when last, in which field, and who had set that."""

    field: str
    wanted: str  # what was written: something else counts anew
    times: int
    last: float
    held: bool = False  # it is left as it is now
    by: str = ""


Mends = Mapping[Key, Mend]


def mend(step: Step, found: Children, now: float) -> tuple[Key, Mend] | None:
    """Return what a step puts right, if it brings nothing that was not there before."""
    match step:
        case Apply(manifest=manifest, exists=True):
            key = (manifest["kind"], manifest["metadata"]["name"])
            child, wanted = found.get(key), manifest["metadata"]["annotations"][_APPLIED]
            if child is None or child.applied != wanted:
                return None
            field = plan.difference(manifest, child)
        case Patch(child=child, body=body) if child.kind in (JOB, CLAIM):
            key, wanted = (child.kind, child.name), repr(body)
            named = (f"{part}.{name}" for part, inner in body.items() for name in inner)
            field = next(named, "")
        case _:
            return None
    return (key, Mend(field=field, wanted=wanted, times=1, last=now)) if field else None


def counted(mends: Mends, steps: Iterable[Step], found: Children, now: float) -> dict[Key, Mend]:
    """Return the mends with *steps*, which have been carried out, counted."""
    after = dict(mends)
    for step in steps:
        if (told := mend(step, found, now)) is not None:
            key, one = told
            known = after.get(key)
            again = known is not None and _is_same(known, one, now)
            times = known.times + 1 if known is not None and again else 1
            by = known.by if known is not None and again and known.field == one.field else ""
            after[key] = dataclasses.replace(one, times=times, by=by)
    return after


def sift(
    steps: Sequence[Step], mends: Mends, found: Children, now: float
) -> tuple[list[Step], dict[Key, Mend]]:
    """Return the steps to carry out, and the mends with those marked that are left for now."""
    after = {key: one for key, one in mends.items() if now - one.last < _FORGET_SECONDS}
    if not after:
        return list(steps), after
    go, wrong = [], set()
    for step in steps:
        told = mend(step, found, now)
        known = None if told is None else after.get(told[0])
        if told is None or known is None:
            go.append(step)
            continue
        wrong.add(told[0])
        is_held = _is_held(known, told[1], now)
        after[told[0]] = dataclasses.replace(known, held=is_held)
        if not is_held:
            go.append(step)
    # What was left alone and is right by now has been settled between people.
    return go, {key: one for key, one in after.items() if key in wrong or not one.held}


def _is_same(known: Mend, one: Mend, now: float) -> bool:
    """Tell whether a mend is one more of the same object; others may fight for several fields."""
    return now - known.last < _FORGET_SECONDS and known.wanted == one.wanted


def _is_held(known: Mend, one: Mend, now: float) -> bool:
    is_often = known.times >= _TIMES and _is_same(known, one, now)
    return is_often and now - known.last < PAUSE_SECONDS


def look_again(mends: Mends, now: float) -> float | None:
    """Return in how many seconds what is left alone is put right once more."""
    ends = [one.last + PAUSE_SECONDS - now for one in mends.values() if one.held]
    return max(0.0, min(ends)) if ends else None


# What to say.


def managers(body: Mapping[str, Any], field: str) -> str:
    """Return who has set a field of an object last, as its managed fields tell."""
    found = []
    for entry in body.get("metadata", {}).get("managedFields") or ():
        sub = entry.get("subresource", "")
        manager = entry.get("manager", "")
        if manager != names.FIELD_MANAGER and _holds(entry.get("fieldsV1") or {}, field):
            found.append(f"{manager} (through {sub})" if sub else manager)
    return " and ".join(dict.fromkeys(found))


def _holds(fields: Mapping[str, Any], field: str) -> bool:
    """Tell whether managed fields name a field, or something in it."""
    for part in field.split("."):
        name = part.partition("[")[0]
        if f"f:{name}" not in fields:
            return False
        fields = fields[f"f:{name}"]
        if "[" in part:
            item = part.partition("[")[2].rstrip("]")
            fields = next(
                (one for key, one in fields.items() if f'"{item}"' in key or f":{item}" in key), {}
            )
    return True


def words(app: App, mends: Mends) -> str:
    """Say what is changed again and again, by whom, and what to do."""
    told = [_words(app, key, one) for key, one in sorted(mends.items()) if one.held]
    return " ".join(told)


def _words(app: App, key: Key, one: Mend) -> str:
    kind, name = key
    who = f"{one.by} changes" if one.by else "Something changes"
    minutes = f"{PAUSE_SECONDS / 60:.0f} minutes"
    return (
        f"{who} {one.field} of {kind} {name} whenever it is put right ({one.times} times by now), "
        f"so that it is left as it is for {minutes}. {_advice(app, key, one)}"
    )


def _advice(app: App, key: Key, one: Mend) -> str:
    if key[0] == observed.DEPLOYMENT and one.field == "spec.replicas":
        if key[1] == names.child(app.name, names.WORKERS):
            return (
                f"Let an autoscaler point at ClusterousApp {app.name}, not at the Deployment, and "
                "give workers.scaledBy: Autoscaler."
            )
        return "Only workers can be scaled by others: take the autoscaler away."
    return "Ask for it in the app's spec, or keep that tool away from the app's objects."
