"""How an app ends: done, or failed for good, and what its status remembers of that. Pure."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from clusterous_api.conditions import Type
from clusterous_api.models import App, Component, Quorum, Run
from clusterous_operator import manifests
from clusterous_operator.cache.look import Look
from clusterous_operator.cache.observed import JOB, Child
from clusterous_operator.objects import idle

# Why an app has failed for good, as its conditions tell it.
FAILED_BY_POLICY = "FailurePolicy"


TOO_LATE = "DeadlineExceeded"


GAVE_UP = "MasterFailed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """That an app is done, or has failed for good; *at* is empty where nobody said when."""

    succeeded: bool
    reason: str
    words: str = ""
    at: str = ""


def ended(look: Look) -> Ended | None:
    """Tell whether the app is done or has failed for good, and how."""
    if look.verdict.failed:
        at = str(look.before.get("completionTime", ""))
        return Ended(succeeded=False, reason=FAILED_BY_POLICY, words=look.verdict.failed, at=at)
    if look.app.master is None or not look.app.is_job(look.app.master):
        return None
    found = _by_jobs(look)
    before = remembered(look)
    if found is None:
        is_gone = any(_job(look, one) is None for one in _counted(look.app))
        return before if is_gone else None
    # It was told once when it ended; a condition that a Job gets later is about the same end.
    return found if before is None else dataclasses.replace(found, at=before.at)


def _by_jobs(look: Look) -> Ended | None:
    """Return how a batch ended by what its Jobs say, as far as they are at the newest attempt."""
    master = None if look.app.master is None else _job(look, look.app.master)
    counted = [_job(look, one) for one in _counted(look.app)]
    enough = any if look.app.batch.success_policy.operator is Quorum.ANY else all
    if look.app.run is Run.BATCH and enough(job is not None and job.is_complete for job in counted):
        times = [job.state["ended_at"] for job in counted if job is not None and job.is_complete]
        at = min(times) if enough is any else max(times)
        return Ended(succeeded=True, reason="Completed", at=at)
    hopeless = all if enough is any else any
    if _is_lost(master) and (master not in counted or _is_late(master)):
        return _broken(master)
    if hopeless(map(_is_lost, counted)):
        return _broken(next(filter(_is_lost, counted)))
    return None


def _counted(app: App) -> list[Component]:
    """Return the components whose end makes a batch; of a service only the master's matters."""
    if app.run is not Run.BATCH:
        return [app.master] if app.master is not None else []
    return [one for one in app.components if one.name in app.batch.success_policy.components]


def _job(look: Look, component: Component) -> Child | None:
    """Return a component's Job, unless it is to be replaced by another run."""
    child = look.workload(component)
    if child is None or child.kind != JOB or child.deleting:
        return None
    again = look.verdict.attempts.get(component.name, 0)
    return child if child.run == manifests.job_run(look.app, component, again) else None


def _is_lost(job: Child | None) -> bool:
    return job is not None and "broken" in job.state


def _is_late(job: Child | None) -> bool:
    return job is not None and job.state.get("why") == TOO_LATE


def _broken(job: Child | None) -> Ended:
    state = {} if job is None else job.state
    reason = TOO_LATE if _is_late(job) else GAVE_UP
    return Ended(
        succeeded=False,
        reason=reason,
        words=state.get("broken", ""),
        at=state.get("ended_at", ""),
    )


def remembered(look: Look) -> Ended | None:
    """Return the end that the status tells of, if it is about what the Jobs are to run now."""
    before = look.before
    if not before.get("completionTime") or before.get("run") != manifests.run_of(look.app):
        return None
    told = completed(before)
    reason = told.get("reason", "")
    if told.get("status") != "True" and reason == FAILED_BY_POLICY:
        return None  # the verdict remembers that, as long as the spec stays
    return Ended(
        succeeded=told.get("status") == "True",
        reason=GAVE_UP if reason == "Failed" else reason,
        words=told.get("message", ""),
        at=before["completionTime"],
    )


def completed(status: Mapping[str, Any]) -> Mapping[str, Any]:
    conditions = status.get("conditions") or ()
    return next((item for item in conditions if item["type"] == Type.COMPLETED), {})


def memory(look: Look) -> dict[str, Any]:
    """Return the part of the status that is there for ourselves, to be read at the next look."""
    end = ended(look)
    again = max(look.verdict.attempts.values(), default=0)
    found: dict[str, Any] = {"restarts": again} if again else {}
    if again and (cause := look.verdict.cause or look.before.get("restartedFor")):
        found["restartedFor"] = cause
    if look.idle is not None:
        found["idle"] = idle.write(look.idle)
    if end is not None:
        found["run"] = manifests.run_of(look.app)
        found |= {"completionTime": end.at} if end.at else {}
    return found


def clears_in(look: Look, now: datetime) -> float | None:
    """Return in how many seconds all but the data goes: some time after the end, if asked for.

    Not before the status tells of the end: it is all that is left of it. And what is gone stays so,
    whatever the clock says then.
    """
    ttl = look.app.batch.ttl_seconds_after_finished
    end = None if ttl is None else ended(look)
    if ttl is None or end is None:
        return None
    if not end.at or look.before.get("completionTime") != end.at:
        return 1.0
    if all(look.workload(one) is None for one in look.app.components):
        return 0.0
    passed = (now - datetime.fromisoformat(end.at)).total_seconds()
    return max(0.0, ttl - passed)
