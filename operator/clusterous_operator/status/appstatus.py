"""What an app's status says, as a function of what is observed. Pure.

Ready is never claimed before every wanted pod is ready, of the newest template, and reported so for
the newest generation. Whatever is wrong is said in words, once, by its first cause. What the words
mean is in docs/status.md; a test compares the reasons here with it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clusterous_api import names
from clusterous_api.conditions import Type
from clusterous_api.models import App, ExistingClaim, Exposure, Quorum
from clusterous_operator.cache.look import Look
from clusterous_operator.cache.observed import Child
from clusterous_operator.decisions import ending, storage
from clusterous_operator.decisions.counting import Size
from clusterous_operator.decisions.ending import Ended
from clusterous_operator.objects import wording
from clusterous_operator.objects.trouble import Reason
from clusterous_operator.status import conditions, history, standing
from clusterous_operator.status.conditions import Condition
from clusterous_operator.status.standing import Group

Status = dict[str, Any]

# Counts that go up and down while an app converges are written at most so often.
COUNTS_SECONDS = 1.0


def summarize(look: Look, size: Size, before: Mapping[str, Any], now: str) -> Status:
    """Return the whole status; *before* is the present one, *now* the time of what changes."""
    groups = standing.of(look, size)
    end = ending.ended(look)
    volume = _volume(look)
    found = [
        *_outcome(look, groups, end, volume),
        *_parts(look, groups, end),
        volume,
        _suspended(look, groups),
        _completed(end),
    ]
    endpoints = wording.plainly([_endpoint(look.app, one) for one in look.app.expose])
    entries = [_entry(one, look.verdict.attempts.get(one.name, 0)) for one in groups]
    return {
        "observedGeneration": look.app.generation,
        "conditions": conditions.write(
            found, before.get("conditions") or (), look.app.generation, now
        ),
        "components": wording.plainly(entries),
        **({"endpoints": endpoints} if endpoints else {}),
        **history.times(before, found, now),
        **ending.memory(look),
        **({"claim": dict(claim)} if (claim := storage.remembered(look)) else {}),
        **_for_people(look, groups, found),
        **_for_scale(look.app, groups),
    }


def stalled(
    generation: int, why: str, before: Mapping[str, Any], now: str, reason: str = "Invalid"
) -> Status:
    """Return the status of an app that cannot be done as asked: what is known, and why."""
    found = _three(ready=False, busy=False, stuck=True, reason=reason, message=why)
    return _with(found, generation, before, now)


NOT_ANSWERED = "The API server has not answered all that was asked; it is asked again."


def taken_up(
    generation: int, before: Mapping[str, Any], now: str, why: str = NOT_ANSWERED
) -> Status:
    """Return the status of an app that could not be looked at to the end yet.

    Without any status, tools that know only kstatus would take it for done.
    """
    found = _three(ready=False, busy=True, stuck=False, reason=standing.PROGRESSING, message=why)
    return _with(found, generation, before, now)


def _with(
    found: Sequence[Condition], generation: int, before: Mapping[str, Any], now: str
) -> Status:
    """Return a status of which only Ready, Reconciling and Stalled are told anew."""
    written = conditions.write(found, before.get("conditions") or (), generation, now)
    told = {item["type"] for item in written}
    rest = [item for item in before.get("conditions") or () if item["type"] not in told]
    return {
        **before,
        "observedGeneration": generation,
        "conditions": [*written, *rest],
        "message": wording.plain(found[0].message),
    }


def in_plain_words(wanted: Status) -> Status:
    """Return a status that says the same without any word from outside, where those are refused."""
    told = [{**one, "message": _UNSPEAKABLE} for one in wanted["conditions"]]
    entries = [
        {key: value for key, value in one.items() if key not in ("reason", "progress")}
        for one in wanted.get("components", ())
    ]
    kept = {key: value for key, value in wanted.items() if key not in ("endpoints", "components")}
    return {
        **kept,
        "conditions": told,
        "message": _UNSPEAKABLE,
        **({"components": entries} if entries else {}),
    }


_UNSPEAKABLE = (
    "The API server refused the words that belong here; the operator's log has them, and "
    "`kubectl describe pod` has the cause."
)


# When to write it.


def worth_writing(before: Mapping[str, Any], wanted: Mapping[str, Any], elapsed: float) -> bool:
    """Tell whether a status is to be written at once, *elapsed* seconds after the one *before*.

    What persons and programs wait for is; counts and their words are once a second. Who gets False
    for a status that differs must look again before the second is over.
    """
    if wanted == before:
        return False
    return elapsed >= COUNTS_SECONDS or _awaited(before) != _awaited(wanted)


_AWAITED = frozenset({Type.READY, Type.RECONCILING, Type.STALLED, Type.SUSPENDED, Type.COMPLETED})


def _awaited(status: Mapping[str, Any]) -> list[object]:
    """Return the part of a status that somebody may wait for."""
    found = status.get("conditions") or ()
    told = [(one["type"], one["status"]) for one in found if one["type"] in _AWAITED]
    is_idle = (status.get("idle") or {}).get("suspended", False)
    return [status.get("observedGeneration"), is_idle, status.get("restarts"), *told]


# What it says.


def _outcome(
    look: Look, groups: Sequence[Group], end: Ended | None, volume: Condition
) -> tuple[Condition, Condition, Condition]:
    """Return Ready, Reconciling and Stalled, which always tell one story."""
    reason, message = _first_trouble(groups)
    if reason == Reason.VOLUME_PENDING and not volume.status:
        message = f"{message}. {volume.message}"
    if end is not None and not end.succeeded:
        by_job = end.reason == ending.GAVE_UP and any(one.trouble for one in groups)
        told = message if by_job else end.words
        return _three(ready=False, busy=False, stuck=True, reason=end.reason, message=told)
    if end is not None:
        return _three(
            ready=True, busy=False, stuck=False, reason="Completed", message=_done_words(look.app)
        )
    if look.is_asleep:
        left = sum(_left(one) for one in groups)
        is_one = left == 1
        words = f"{left} {'pod is' if is_one else 'pods are'} still ending{_why_still(groups)}."
        words = words if left else _asleep_words(look.app)
        why = "Suspending" if left else _asleep_reason(look.app)
        return _three(ready=False, busy=left > 0, stuck=False, reason=why, message=words)
    if storage.is_lost(look):
        return _three(
            ready=False, busy=False, stuck=True, reason=volume.reason, message=volume.message
        )
    if look.contested:
        return _three(
            ready=False, busy=False, stuck=True, reason="Contested", message=look.contested
        )
    if all(one.is_ready for one in groups):
        return _three(ready=True, busy=False, stuck=False, reason="Ready", message="All is ready.")
    return _three(ready=False, busy=True, stuck=False, reason=reason, message=message)


def _done_words(app: App) -> str:
    policy = app.batch.success_policy
    if policy.components == (names.MASTER,):
        return "The master has ended with code 0."
    enough = "One of" if policy.operator is Quorum.ANY else "All of"
    return f"{enough} {', '.join(policy.components)} ended with code 0."


def _asleep_reason(app: App) -> str:
    return "Suspended" if app.suspend else "Idle"


def _asleep_words(app: App) -> str:
    if app.suspend:
        return "Nothing runs until suspend is false."
    return (
        "It had nothing to do. A change of its spec resumes it, or `kubectl annotate capp "
        f"{app.name} {names.ANNOTATION_RESUME}=$(date +%s) --overwrite`."
    )


def _why_still(groups: Iterable[Group]) -> str:
    stays = (Reason.NODE_LOST, Reason.FINALIZER)
    told = [one.trouble.words for one in groups if one.trouble and one.trouble.reason in stays]
    return f": {told[0]}" if told else ""


def _left(group: Group) -> int:
    """Return how many pods there still are: a Deployment does not count those that are ending."""
    return group.exists + group.ending


def _three(
    *, ready: bool, busy: bool, stuck: bool, reason: str, message: str
) -> tuple[Condition, Condition, Condition]:
    return (
        Condition(type=Type.READY, status=ready, reason=reason, message=message),
        Condition(type=Type.RECONCILING, status=busy, reason=reason, message=message),
        Condition(type=Type.STALLED, status=stuck, reason=reason, message=message if stuck else ""),
    )


def _first_trouble(groups: Iterable[Group]) -> tuple[str, str]:
    """Return reason and words of what keeps an app from being ready."""
    late = sorted((one for one in groups if not one.is_ready), key=_urgency)
    if not late:
        return standing.PROGRESSING, ""
    return late[0].reason, f"{late[0].name}: {late[0].told or late[0].progress}"


def _urgency(group: Group) -> tuple[bool, bool, bool]:
    return (not group.is_broken, group.trouble is None, not group.waiting)


def _parts(look: Look, groups: Sequence[Group], end: Ended | None) -> Iterable[Condition]:
    types = {names.MASTER: Type.MASTER_READY, names.WORKERS: Type.WORKERS_READY}
    for one in groups:
        if one.name in types:
            if end is not None and end.succeeded:
                yield Condition(type=types[one.name], status=True, reason="Completed")
            elif end is None and look.is_asleep:
                yield Condition(type=types[one.name], status=False, reason=_asleep_reason(look.app))
            else:
                yield _part(types[one.name], one)


def _part(kind: Type, group: Group) -> Condition:
    counts = f"{group.ready} of {group.desired} ready"
    if group.is_ready:
        return Condition(type=kind, status=True, reason="Ready", message=counts)
    told = group.told or group.progress
    return Condition(type=kind, status=False, reason=group.reason, message=told)


def _volume(look: Look) -> Condition:
    name, claim = look.claim_name, look.claim
    if storage.is_lost(look):
        why = storage.lost_words(look)
        return Condition(type=Type.VOLUME_BOUND, status=False, reason="VolumeDeleted", message=why)
    if claim is None:
        missing = isinstance(look.app.volume.source, ExistingClaim)
        why = "make it, or name another" if missing else "it is being made"
        message = f"The claim {name} does not exist; {why}."
        return Condition(type=Type.VOLUME_BOUND, status=False, reason="Missing", message=message)
    phase = str(claim.state.get("phase", "Pending"))
    bound = phase == "Bound" and not claim.deleting
    if claim.deleting:
        why, phase = (
            f"The claim {name} is being deleted{_why_deleted(look.app, claim)}.",
            "Deleting",
        )
    elif bound and claim.state.get("resizing"):
        why, phase = f"The claim {name} is Bound; {claim.state['resizing']}.", "VolumeResizing"
    elif bound and (told := storage.words(look)):
        why, phase = f"The claim {name} is Bound; {told}.", "NotResizable"
    else:
        why = f"The claim {name} is {phase}{_why_not_bound(claim, phase)}."
    return Condition(type=Type.VOLUME_BOUND, status=bound, reason=phase, message=why)


def _why_deleted(app: App, claim: Child) -> str:
    if claim.is_of_another(app.name, app.uid):
        return ", with the earlier app of this name; another one is made then"
    left = ": its data may go with it when the last pod that uses it ends"
    is_ours = not isinstance(app.volume.source, ExistingClaim)
    return f"{left}, and nothing is put in its place unasked" if is_ours else left


def _why_not_bound(claim: Child, phase: str) -> str:
    if phase == "Lost":
        return ": its volume is gone"
    if phase == "Bound":
        return ""
    spec = claim.content()["spec"]
    if claim.state.get("binding"):
        return f": it is being bound to volume {spec.get('volumeName')}"
    if spec.get("volumeName"):
        return f": volume {spec['volumeName']} is not there, or is another's"
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage", "any size")
    asked = f"{size}, {'/'.join(spec.get('accessModes') or ())}"
    if spec.get("storageClassName") is None:
        return f" ({asked}): the cluster has no default storage class; name one"
    if spec["storageClassName"] == "":
        return f" ({asked}): no free volume fits"
    return (
        f": storage class {spec['storageClassName']} has made no volume yet ({asked}); "
        f"`kubectl describe pvc {claim.name}` shows what it says"
    )


def _suspended(look: Look, groups: Iterable[Group]) -> Condition:
    if not look.is_asleep:
        return Condition(type=Type.SUSPENDED, status=False, reason="Running")
    left = any(_left(one) for one in groups)
    reason = "Suspending" if left else _asleep_reason(look.app)
    return Condition(type=Type.SUSPENDED, status=not left, reason=reason)


def _completed(end: Ended | None) -> Condition:
    if end is None:
        return Condition(type=Type.COMPLETED, status=False, reason="Running")
    if end.succeeded:
        return Condition(type=Type.COMPLETED, status=True, reason="Completed")
    reason = "Failed" if end.reason == ending.GAVE_UP else end.reason
    return Condition(type=Type.COMPLETED, status=False, reason=reason, message=end.words)


def _entry(group: Group, again: int) -> dict[str, Any]:
    is_under_way = group.succeeded is not None or not group.is_ready
    return {
        "name": group.name,
        "desired": group.desired,
        "ready": group.ready,
        "updated": group.updated,
        "failed": group.failed,
        "restarts": group.restarts,
        **({"policyRestarts": again} if again else {}),
        **({} if group.succeeded is None else {"succeeded": group.succeeded}),
        **({"reason": group.told} if group.told else {}),
        **({"progress": group.progress} if is_under_way else {}),
    }


def _endpoint(app: App, one: Exposure) -> dict[str, Any]:
    return {
        "name": one.name,
        "component": one.component,
        "service": names.child(app.name, one.component),
        "port": one.port,
        **({"localPort": one.local_port} if one.local_port else {}),
        **({"message": one.message} if one.message else {}),
    }


def _for_people(look: Look, groups: Sequence[Group], found: Sequence[Condition]) -> dict[str, str]:
    counts = {one.name: f"{one.ready}/{one.desired}" for one in groups}
    ready = found[0]
    phase = "Missing" if look.claim is None else str(look.claim.state.get("phase", "Pending"))
    if look.claim is not None and look.claim.deleting:
        phase = "Deleting"
    return {
        **({"master": counts[names.MASTER]} if names.MASTER in counts else {}),
        **({"workers": counts[names.WORKERS]} if names.WORKERS in counts else {}),
        "volume": phase,
        "message": ready.reason if ready.status else wording.plain(ready.message),
    }


def _for_scale(app: App, groups: Sequence[Group]) -> dict[str, Any]:
    """Return what the scale subresource reads."""
    workers = next((one for one in groups if one.name == names.WORKERS), None)
    if workers is None:
        return {}
    labels = names.selector(app.name, names.WORKERS)
    text = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return {"replicas": workers.exists, "selector": text}


__all__ = ["COUNTS_SECONDS", "Status", "stalled", "summarize", "taken_up", "worth_writing"]
