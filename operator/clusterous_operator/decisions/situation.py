"""From what is observed to the facts that manifests depend on: who may run, how many. Pure."""

import dataclasses
import functools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import yaml

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_api.models import App, Component, Dependency, Quorum, Run, Until
from clusterous_operator import manifests
from clusterous_operator.cache.observed import CLAIM, DEPLOYMENT, JOB, SERVICE, Child, Observed, Pod
from clusterous_operator.capacity import sizing
from clusterous_operator.manifests import Facts
from clusterous_operator.objects import failure, idle
from clusterous_operator.objects.failure import Verdict
from clusterous_operator.objects.usage import Usage

# Why an app has failed for good, as its conditions tell it.
FAILED_BY_POLICY = "FailurePolicy"
TOO_LATE = "DeadlineExceeded"
GAVE_UP = "MasterFailed"

# For so long no group that fills grows past pods whose place is free. A scheduler needs less, even
# where a volume is made first; what it still refuses then has reasons that sizing does not know.
_FIRST_CHOICE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many pods fill the cluster, by component, and when to look again as it may shrink."""

    targets: Mapping[str, sizing.Target] = field(default_factory=dict)
    look_again: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """That an app is done, or has failed for good; *at* is empty where nobody said when."""

    succeeded: bool
    reason: str
    words: str = ""
    at: str = ""


def facts(app: App, seen: Observed, size: Size) -> Facts:
    """Return the facts of this moment."""
    return Facts(
        addresses=_addresses(app, seen),
        replicas=replicas(app, seen, size),
        on_cluster_volume=seen.on_cluster_volume,
        cluster_volume=_cluster_volume(seen.cluster),
        region=seen.cluster.get("region"),
        single_node=_single_node(app, seen),
        attempts=seen.verdict.attempts,
        life=seen.verdict.life,
        halted=is_asleep(app, seen) or ended(app, seen) is not None,
        cleared=seen.cleared,
    )


def workload(app: App, component: Component, seen: Observed) -> Child | None:
    """Return a component's Deployment or Job, if it is there."""
    kind = JOB if app.is_job(component) else DEPLOYMENT
    return seen.children.get((kind, names.child(app.name, component.name)))


def claim_is_going(app: App, seen: Observed) -> bool:
    """Tell whether the claim is an earlier app's, with which it goes: no pod may hold it back."""
    return seen.claim is not None and seen.claim.is_of_another(app.name, app.uid)


def is_asleep(app: App, seen: Observed) -> bool:
    """Tell whether it is suspended, by its user or for having nothing to do."""
    return app.suspend or (seen.idle is not None and seen.idle.suspended)


# How it ends.


def ended(app: App, seen: Observed) -> Ended | None:
    """Tell whether the app is done or has failed for good, and how."""
    if seen.verdict.failed:
        at = str(seen.before.get("completionTime", ""))
        return Ended(succeeded=False, reason=FAILED_BY_POLICY, words=seen.verdict.failed, at=at)
    if app.master is None or not app.is_job(app.master):
        return None
    found = _by_jobs(app, seen)
    before = remembered(app, seen)
    if found is None:
        is_gone = any(_job(app, one, seen) is None for one in _counted(app))
        return before if is_gone else None
    # It was told once when it ended; a condition that a Job gets later is about the same end.
    return found if before is None else dataclasses.replace(found, at=before.at)


def _by_jobs(app: App, seen: Observed) -> Ended | None:
    """Return how a batch ended by what its Jobs say, as far as they are at the newest attempt."""
    master = None if app.master is None else _job(app, app.master, seen)
    counted = [_job(app, one, seen) for one in _counted(app)]
    enough = any if app.batch.success_policy.operator is Quorum.ANY else all
    if app.run is Run.BATCH and enough(job is not None and _is_complete(job) for job in counted):
        times = [job.state["ended_at"] for job in counted if job is not None and _is_complete(job)]
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


def _job(app: App, component: Component, seen: Observed) -> Child | None:
    """Return a component's Job, unless it is to be replaced by another run."""
    child = workload(app, component, seen)
    if child is None or child.kind != JOB or child.deleting:
        return None
    again = seen.verdict.attempts.get(component.name, 0)
    return child if child.run == manifests.job_run(app, component, again) else None


def _is_complete(job: Child) -> bool:
    return bool(job.state.get("complete"))


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


def remembered(app: App, seen: Observed) -> Ended | None:
    """Return the end that the status tells of, if it is about what the Jobs are to run now."""
    before = seen.before
    if not before.get("completionTime") or before.get("run") != manifests.run_of(app):
        return None
    told = _completed(before)
    reason = told.get("reason", "")
    if told.get("status") != "True" and reason == FAILED_BY_POLICY:
        return None  # the verdict remembers that, as long as the spec stays
    return Ended(
        succeeded=told.get("status") == "True",
        reason=GAVE_UP if reason == "Failed" else reason,
        words=told.get("message", ""),
        at=before["completionTime"],
    )


def _completed(status: Mapping[str, Any]) -> Mapping[str, Any]:
    conditions = status.get("conditions") or ()
    return next((item for item in conditions if item["type"] == "Completed"), {})


def memory(app: App, seen: Observed) -> dict[str, Any]:
    """Return the part of the status that is there for ourselves, to be read at the next look."""
    end = ended(app, seen)
    again = max(seen.verdict.attempts.values(), default=0)
    found: dict[str, Any] = {"restarts": again} if again else {}
    if seen.idle is not None:
        found["idle"] = idle.write(seen.idle)
    if end is not None:
        found["run"] = manifests.run_of(app)
        found |= {"completionTime": end.at} if end.at else {}
    return found


def clears_in(app: App, seen: Observed, now: datetime) -> float | None:
    """Return in how many seconds all but the data goes: some time after the end, if asked for.

    Not before the status tells of the end: it is all that is left of it. And what is gone stays so,
    whatever the clock says then.
    """
    ttl = app.batch.ttl_seconds_after_finished
    end = None if ttl is None else ended(app, seen)
    if ttl is None or end is None:
        return None
    if not end.at or seen.before.get("completionTime") != end.at:
        return 1.0
    if all(workload(app, one, seen) is None for one in app.components):
        return 0.0
    passed = (now - datetime.fromisoformat(end.at)).total_seconds()
    return max(0.0, ttl - passed)


# What the failure policy says.


def judged(app: App, seen: Observed) -> Verdict:
    """Return what the failure policy makes of what is seen."""
    policy = app.failure_policy
    told = _ended_by_policy(seen.before)
    life = _life(app, seen)
    if policy is None and told is None and not seen.before.get("restarts") and not life:
        return Verdict()
    if told is not None and _is_anew(app, seen, told):
        # Nothing is judged yet: what is to be seen has failed before.
        attempts = dict.fromkeys((one.name for one in app.components), 0)
        return Verdict(attempts=attempts, life=app.generation)
    attempts = _attempts(app, seen)
    if told is not None:
        return Verdict(attempts=attempts, failed=told.get("message", ""), life=life)
    if policy is None:
        return Verdict(attempts=attempts, life=life)
    verdict = failure.judge(policy, attempts, _fallen(app, seen, attempts))
    return dataclasses.replace(_without_the_done(app, seen, verdict), life=life)


def _life(app: App, seen: Observed) -> int:
    """Return since which generation the attempts are counted, by what runs."""
    found = (workload(app, one, seen) for one in app.components)
    return max((one.state.get("life", 0) for one in found if one is not None), default=0)


def _is_anew(app: App, seen: Observed, told: Mapping[str, Any]) -> bool:
    """Tell whether an app that the policy has ended may begin again: its spec is another.

    Of a batch that is what its Jobs are to run: nothing else runs a batch again.
    """
    if app.run is Run.BATCH:
        return bool(seen.before.get("run") != manifests.run_of(app))
    return bool(told.get("observedGeneration") != app.generation)


def _ended_by_policy(before: Mapping[str, Any]) -> Mapping[str, Any] | None:
    told = _completed(before)
    is_so = told.get("status") == "False" and told.get("reason") == FAILED_BY_POLICY
    return told if is_so else None


def _attempts(app: App, seen: Observed) -> dict[str, int]:
    """Return the attempts that components are at: by what runs, and by what the status tells."""
    told = {item["name"]: item for item in seen.before.get("components") or ()}
    found = {}
    for one in app.components:
        child = workload(app, one, seen)
        state = {} if child is None else child.state
        before = told.get(one.name, {}).get("policyRestarts", 0)
        found[one.name] = max(state.get("attempt", 0), before)
    return found


def _fallen(
    app: App, seen: Observed, attempts: Mapping[str, int]
) -> dict[str, list[failure.Fallen]]:
    """Return the failed pods that are of what runs now, by component."""
    found: dict[str, list[failure.Fallen]] = {}
    for pod in seen.pods:
        if pod.fallen is None or pod.component is None:
            continue
        component = app.component(pod.component)
        if component is not None and _is_of(app, component, seen, pod.fallen, attempts):
            found.setdefault(pod.component, []).append(pod.fallen)
    return found


def _is_of(
    app: App,
    component: Component,
    seen: Observed,
    fallen: failure.Fallen,
    attempts: Mapping[str, int],
) -> bool:
    """Tell whether a pod belongs to a Deployment that has pods, or to a Job that is to stay."""
    child = workload(app, component, seen)
    if child is None or child.kind != JOB:
        is_counted = child is not None and fallen.life == child.state.get("life", 0)
        return is_counted and child is not None and bool(child.state["wanted"])
    again = attempts[component.name]
    is_current = child.run == manifests.job_run(app, component, again)
    return is_current and fallen.owner == child.uid and not _is_complete(child)


def _without_the_done(app: App, seen: Observed, verdict: Verdict) -> Verdict:
    """Leave a Job that is complete as it is: there is nothing to start again."""
    attempts = dict(verdict.attempts)
    for one in app.components:
        child = workload(app, one, seen)
        if child is not None and child.kind == JOB and _is_complete(child):
            attempts[one.name] = child.state.get("attempt", 0)
    return dataclasses.replace(verdict, attempts=attempts)


def is_news(app: App, seen: Observed) -> bool:
    """Tell whether something is decided that must be in the status before anything is done.

    The deed takes away what speaks for it: failed pods go when their component starts again, and
    an app that is suspended uses nothing.
    """
    verdict, before = seen.verdict, seen.before
    if seen.idle is not None and seen.idle.suspended and not idle.read(before).suspended:
        return True
    if not verdict.attempts:
        return False
    told = {item["name"]: item.get("policyRestarts", 0) for item in before.get("components") or ()}
    if any(number > told.get(name, 0) for name, number in verdict.attempts.items()):
        return True
    known = _ended_by_policy(before) or {}
    return bool(verdict.failed) and known.get("observedGeneration") != app.generation


# How many run.


def replicas(app: App, seen: Observed, size: Size) -> dict[str, int]:
    """Return how many pods each component is to have; those that may not start yet are left out."""
    end = ended(app, seen)
    is_known = end is not None and seen.before.get("completionTime") == end.at
    asleep = is_asleep(app, seen)
    found: dict[str, int] = {}
    for one in app.components:
        child = workload(app, one, seen)
        if one.name in seen.held:
            continue
        may_start = _may_start(app, one, seen)
        if asleep or end is not None:
            # What has ended is not made again, should it be gone.
            found |= {one.name: 0} if child is not None or (may_start and not is_known) else {}
        elif may_start:
            found[one.name] = wanted(one, size)
        elif child is not None:
            found[one.name] = 0
    return found


def predecessors(app: App, component: Component, seen: Observed) -> tuple[Pod, ...]:
    """Return the pods of a workload that is gone, while the component has no other.

    The cluster removes a workload at once and its pods a moment later: another workload, made in
    between, would let old and new pods run side by side. Two masters could both write the results,
    so that of a master, and of what is to end, also those count that are ending already.
    """
    if workload(app, component, seen) is not None:
        return ()
    to_the_end = component.name == names.MASTER or app.is_job(component)
    return tuple(
        one
        for one in seen.pods
        if one.component == component.name and not one.ended and (to_the_end or not one.deleting)
    )


def wanted(component: Component, size: Size) -> int:
    """Return how many pods a component is to have when it runs."""
    if component.replicas is not None:
        return component.replicas
    target = size.targets.get(component.name)
    return component.min if target is None else target.count


def first_number(app: App, component: Component, child: Child | None) -> int:
    """Return the number that an autoscaler begins with: what runs, within what the user allows.

    To begin with the least would end what is at work, when it takes over from a fixed number.
    """
    least = component.replicas or 1  # what the models make of an absent number: at least one
    is_ours = child is not None and child.owner_uid in (app.uid, None)
    running = child.state["wanted"] if child is not None and is_ours else 0
    return sizing.bounded(running, least, component.max)


def begun(seen: Observed) -> frozenset[str]:
    """Return the components of which a pod has begun to run, whatever became of it."""
    return frozenset(one.component for one in seen.pods if one.begun and one.component is not None)


def waits_for(app: App, component: Component, seen: Observed) -> Dependency | None:
    """Return the first dependency that keeps a component from starting."""
    if _started(workload(app, component, seen)):
        return None
    return next((need for need in component.depends_on if not _met(app, need, seen)), None)


def _may_start(app: App, component: Component, seen: Observed) -> bool:
    is_started = _started(workload(app, component, seen))
    return is_started or all(_met(app, need, seen) for need in component.depends_on)


def _started(child: Child | None) -> bool:
    """Tell whether a component was started; it then stays, whatever else becomes unready."""
    return child is not None and (child.kind == JOB or child.state["wanted"] > 0)


def _met(app: App, need: Dependency, seen: Observed) -> bool:
    component = app.component(need.name)
    if component is None:
        return False
    if need.until is Until.COMPLETE:
        return _complete(app, component, seen)
    return is_ready(app, component, seen)


def _complete(app: App, component: Component, seen: Observed) -> bool:
    child = workload(app, component, seen)
    return child is not None and child.kind == JOB and _is_complete(child)


def is_ready(app: App, component: Component, seen: Observed) -> bool:
    """Tell whether all pods that a component is to have are ready."""
    child = workload(app, component, seen)
    if child is None or child.deleting:
        return False
    if child.kind == JOB:
        enough = bool(child.state.get("ready", 0) >= child.state["wanted"])
        return bool(child.state.get("complete")) or enough
    state = child.state
    settled = state.get("observedGeneration", 0) >= child.generation
    return bool(settled and state.get("readyReplicas", 0) >= state["wanted"])


# How many fill the cluster.

Filler = tuple[str, str, str]  # namespace, app, component


def fillers(app: App) -> list[Component]:
    """Return the components of which there are to be as many as the cluster holds."""
    return [one for one in app.components if one.replicas is None and not app.is_job(one)]


def fills(app: App, seen: Observed) -> bool:
    """Tell whether it depends on the room in the cluster how many pods it is to have now."""
    return bool(fillers(app)) and not is_asleep(app, seen) and ended(app, seen) is None


def size(
    app: App,
    seen: Observed,
    current: Mapping[str, sizing.Target],
    now: float,
    patience: float,
    others: Collection[Filler] = (),
) -> Size:
    """Return how many pods fill the cluster; *others* are the groups of other apps that do so."""
    if not fills(app, seen):
        return Size()
    filling = fillers(app)
    before = {one.name: current.get(one.name) or _running(app, one, seen) for one in filling}
    known = {name: target for name, target in before.items() if target is not None}
    if not seen.capacity_known:
        least = {one.name: sizing.Target(count=one.min) for one in filling}
        return Size(targets=least | known)
    groups = [_group(app, one) for one in filling]
    held = _held(seen, filling)
    usage = _beside(app, seen, others)
    siblings = _waiting(app, seen, _of_fixed_size(app, seen))
    targets = sizing.targets(
        lambda asked: sizing.beside_held(
            held, asked, lambda free: sizing.fill_beside(seen.nodes, usage, siblings, free)
        ),
        groups,
        known,
        now,
        patience,
    )
    if _is_first_choice_due(app, seen):
        targets = sizing.yielding(targets, known, now, _FIRST_CHOICE_SECONDS)
    return Size(targets=targets, look_again=_next_look(targets.values(), now, patience))


def _held(seen: Observed, filling: Iterable[Component]) -> dict[str, int]:
    """Return how many pods of each group are on nodes that take no more: those places are held.

    To cordon a node, or to wait for one that is silent, must not end what runs there. Once it is
    told to end, by a drain or because the node is lost, its place is.
    """
    closed = {one.name for one in seen.nodes if not one.schedulable}
    if not closed:
        return {}
    return {one.name: sum(pod.node in closed for pod in seen.pods_of(one.name)) for one in filling}


def _next_look(targets: Iterable[sizing.Target], now: float, patience: float) -> float | None:
    """Return in how many seconds time alone may change how many pods fill the cluster."""
    ends = []
    for one in targets:
        if one.shrinking_since is not None:
            ends.append(one.shrinking_since + patience)
        if one.yielding_since is not None:
            ends.append(one.yielding_since + _FIRST_CHOICE_SECONDS)
    return min((end - now for end in ends if end > now), default=None)


def _is_first_choice_due(app: App, seen: Observed) -> bool:
    """Tell whether other components, which may start, lack pods that there is a free place for."""
    coming = [one for one in _of_fixed_size(app, seen) if _may_start(app, one, seen)]
    waiting = _waiting(app, seen, coming)
    if not any(one.count for one in waiting):
        return False
    placed = seen.usage.without([one for one in seen.pods if one.waits])
    return sizing.have_room(seen.nodes, placed, waiting)


def _group(app: App, one: Component) -> sizing.Group:
    return sizing.Group(name=one.name, demand=_demand(app, one), min=one.min, max=one.max)


def _running(app: App, component: Component, seen: Observed) -> sizing.Target | None:
    """After a restart of the operator, what runs is what was meant."""
    child = workload(app, component, seen)
    return None if child is None else sizing.Target(count=child.state["wanted"])


def _beside(app: App, seen: Observed, others: Collection[Filler]) -> Usage:
    """Return what is taken by the pods that take room from those that fill.

    What waits for a place is among them, but not where it is to fill a cluster itself: two that
    make way for each other would both end with nothing, and begin anew.
    """
    ours = {one.name for one in fillers(app)}
    gone = [one for one in seen.pods if one.component in ours or one.waits]
    fill_too = [
        one for one in seen.usage.waiting if (one.namespace, one.app, one.component) in others
    ]
    return seen.usage.without([*gone, *fill_too])


def _of_fixed_size(app: App, seen: Observed) -> list[Component]:
    """Return the components whose number of pods does not depend on the room for them."""
    return [
        one for one in app.components if one.replicas is not None and not _complete(app, one, seen)
    ]


def _waiting(app: App, seen: Observed, components: Iterable[Component]) -> list[sizing.Demand]:
    """Return the pods of *components* that have no place yet."""
    found = []
    for one in components:
        on = [pod.node for pod in seen.pods_of(one.name) if pod.node is not None]
        missing = max(0, (one.replicas or 0) - len(on))
        found.append(_demand(app, one, missing, on))
    return found


def _demand(
    app: App, component: Component, count: int = 1, on: Collection[str] = ()
) -> sizing.Demand:
    template = manifests.pod_template(app, component, Facts())
    return sizing.demand(template["spec"], count, labels=template["metadata"]["labels"], on=on)


# Volumes and addresses.


def _addresses(app: App, seen: Observed) -> dict[str, str]:
    found = {}
    for one in app.components:
        child = seen.children.get((SERVICE, names.child(app.name, one.name)))
        address = "" if child is None else child.state["address"]
        if address and address != "None":
            found[one.name] = address
    return found


def _cluster_volume(cluster: Mapping[str, str]) -> Mapping[str, Any] | None:
    text = cluster.get(names.CLUSTER_VOLUME_KEY)
    return None if text is None else _volume(text)


@functools.lru_cache(maxsize=2)  # every look at an app asks, and YAML is slow to read
def _volume(text: str) -> Mapping[str, Any]:
    where = f"{names.CLUSTER_VOLUME_KEY} in ConfigMap {names.CLUSTER_CONFIG}"
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{where} is not YAML: {error}") from error
    if not isinstance(value, Mapping):
        raise UserError(f"{where} must hold a mapping with the key nfs.")
    return value


def _single_node(app: App, seen: Observed) -> bool:
    """Tell whether storage of one node serves all; a claim that is there keeps its mode."""
    claim = seen.children.get((CLAIM, names.claim(app.name)))
    if claim is not None:
        return "ReadWriteOnce" in claim.state["modes"]
    return len(seen.nodes) <= 1
