"""What the failure policy makes of what is seen: who starts again, or the end. Pure."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from clusterous_api.models import Component, Run
from clusterous_operator import manifests
from clusterous_operator.cache.look import Look
from clusterous_operator.cache.observed import JOB
from clusterous_operator.decisions import ending
from clusterous_operator.objects import failure, idle
from clusterous_operator.objects.failure import Verdict


def judged(look: Look) -> Verdict:
    """Return what the failure policy makes of what is seen."""
    policy = look.app.failure_policy
    told = _ended_by_policy(look.before)
    life = _life(look)
    if policy is None and told is None and not look.before.get("restarts") and not life:
        return Verdict()
    if told is not None and _is_anew(look, told):
        # Nothing is judged yet: what is to be seen has failed before.
        attempts = dict.fromkeys((one.name for one in look.app.components), 0)
        return Verdict(attempts=attempts, life=look.app.generation)
    attempts = _attempts(look)
    if told is not None:
        return Verdict(attempts=attempts, failed=told.get("message", ""), life=life)
    if policy is None:
        return Verdict(attempts=attempts, life=life)
    verdict = failure.judge(policy, attempts, _fallen(look, attempts))
    return dataclasses.replace(_without_the_done(look, verdict), life=life)


def _life(look: Look) -> int:
    """Return since which generation the attempts are counted, by what runs."""
    found = (look.workload(one) for one in look.app.components)
    return max((one.state.get("life", 0) for one in found if one is not None), default=0)


def _is_anew(look: Look, told: Mapping[str, Any]) -> bool:
    """Tell whether an app that the policy has ended may begin again: its spec is another.

    Of a batch that is what its Jobs are to run: nothing else runs a batch again.
    """
    if look.app.run is Run.BATCH:
        return bool(look.before.get("run") != manifests.run_of(look.app))
    return bool(told.get("observedGeneration") != look.app.generation)


def _ended_by_policy(before: Mapping[str, Any]) -> Mapping[str, Any] | None:
    told = ending.completed(before)
    is_so = told.get("status") == "False" and told.get("reason") == ending.FAILED_BY_POLICY
    return told if is_so else None


def _attempts(look: Look) -> dict[str, int]:
    """Return the attempts that components are at: by what runs, and by what the status tells."""
    told = {item["name"]: item for item in look.before.get("components") or ()}
    found = {}
    for one in look.app.components:
        child = look.workload(one)
        state = {} if child is None else child.state
        before = told.get(one.name, {}).get("policyRestarts", 0)
        found[one.name] = max(state.get("attempt", 0), before)
    return found


def _fallen(look: Look, attempts: Mapping[str, int]) -> dict[str, list[failure.Fallen]]:
    """Return the failed pods that are of what runs now, by component.

    What failed before the app was made is an earlier app's of this name, or was given up with it.
    """
    found: dict[str, list[failure.Fallen]] = {}
    for pod in look.pods:
        if pod.fallen is None or pod.component is None:
            continue
        component = look.app.component(pod.component)
        fallen = failure.since(pod.fallen, look.app.created)
        if component is not None and fallen and _is_of(look, component, fallen, attempts):
            found.setdefault(pod.component, []).append(fallen)
    return found


def _is_of(
    look: Look,
    component: Component,
    fallen: failure.Fallen,
    attempts: Mapping[str, int],
) -> bool:
    """Tell whether a pod belongs to a Deployment that has pods, or to a Job that is to stay."""
    child = look.workload(component)
    if child is None or child.deleting:
        return False
    if child.kind != JOB:
        return fallen.life == child.state.get("life", 0) and bool(child.state["wanted"])
    again = attempts[component.name]
    is_current = child.run == manifests.job_run(look.app, component, again)
    return is_current and fallen.owner == child.uid and not child.is_complete


def _without_the_done(look: Look, verdict: Verdict) -> Verdict:
    """Leave a Job that is complete as it is: there is nothing to start again."""
    attempts = dict(verdict.attempts)
    for one in look.app.components:
        child = look.workload(one)
        if child is not None and child.kind == JOB and child.is_complete:
            attempts[one.name] = child.state.get("attempt", 0)
    return dataclasses.replace(verdict, attempts=attempts)


def is_news(look: Look) -> bool:
    """Tell whether something is decided that must be in the status before anything is done.

    The deed takes away what speaks for it: failed pods go when their component starts again, and
    an app that is suspended uses nothing.
    """
    verdict, before = look.verdict, look.before
    if look.idle is not None and look.idle.suspended and not idle.read(before).suspended:
        return True
    if not verdict.attempts:
        return False
    told = {item["name"]: item.get("policyRestarts", 0) for item in before.get("components") or ()}
    if any(number > told.get(name, 0) for name, number in verdict.attempts.items()):
        return True
    known = _ended_by_policy(before) or {}
    return bool(verdict.failed) and known.get("observedGeneration") != look.app.generation
