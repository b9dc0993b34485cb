"""How each component of an app stands: its counts, its first trouble, how far it has come. Pure.

What broke comes before what merely waits, and what keeps pods from being made comes before both:
the first cause explains the most.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from clusterous_api import names, quantity
from clusterous_api.models import Component, Dependency, Replace
from clusterous_operator import manifests
from clusterous_operator.cache import observed
from clusterous_operator.cache.look import Look
from clusterous_operator.cache.observed import Child, Node, Pod
from clusterous_operator.capacity import sizing
from clusterous_operator.decisions import counting, ending
from clusterous_operator.decisions.counting import Size
from clusterous_operator.objects import trouble
from clusterous_operator.objects.trouble import Reason, Trouble
from clusterous_operator.status import leaving, starting

State = Mapping[str, Any]

WAITING = "Waiting"
PROGRESSING = "Progressing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """How a component stands."""

    name: str
    desired: int
    ready: int
    updated: int
    failed: int
    restarts: int
    succeeded: int | None  # of a Job
    exists: int
    ending: int
    settled: bool
    trouble: Trouble | None = None
    waiting: str = ""
    progress: str = ""

    @property
    def is_ready(self) -> bool:
        """All that is wanted is there, of the newest template, and no pod of it has crashed."""
        enough = self.ready >= self.desired <= self.updated
        return self.settled and not self.waiting and not self.failed and enough

    @property
    def reason(self) -> str:
        """Say in one word how it goes with a component that is not ready."""
        if self.trouble is not None:
            return self.trouble.reason
        return WAITING if self.waiting else PROGRESSING

    @property
    def told(self) -> str:
        """Say why it is not ready, where there is more to say than numbers."""
        return self.waiting if self.trouble is None else self.trouble.words

    @property
    def is_broken(self) -> bool:
        """Tell whether something must be mended, and time alone will not help."""
        return self.trouble is not None and not self.trouble.only_waits


def of(look: Look, size: Size) -> list[Group]:
    """Return how the components stand."""
    wanted = counting.replicas(look, size)
    return [_of(look, one, size, wanted.get(one.name, 0)) for one in look.app.components]


def _of(look: Look, component: Component, size: Size, wanted: int) -> Group:
    child = look.workload(component)
    if child is None and (kept := _as_it_ended(look, component)) is not None:
        return kept
    need = counting.waits_for(look, component)
    is_held = component.name in look.held
    waits = (need is not None or is_held) and not look.is_asleep
    goal = counting.wanted(component, size) if waits else wanted
    state = {} if child is None else child.state
    is_job = look.app.is_job(component)
    is_late = component.name in look.next_run
    desired = _job_goal(goal, state, is_late=is_late) if is_job else goal
    pods = [one for one in look.pods if one.component == component.name]
    live = [one for one in pods if not one.ended]
    in_trouble = [one for one in live if one.trouble is not None and not one.deleting]
    return Group(
        name=component.name,
        desired=desired,
        ready=_ready(state, is_job),
        updated=_updated(state, is_job),
        failed=len([one for one in in_trouble if one.trouble and not one.trouble.only_waits]),
        restarts=sum(one.restarts for one in pods),
        succeeded=_succeeded(state) if is_job else None,
        exists=state.get("replicas", state.get("active", 0)),
        ending=len([one for one in live if one.deleting]),
        settled=child is not None and _settled(child, goal),
        trouble=_trouble(look, component, in_trouble, state),
        waiting=_waiting(component, need, size, held=is_held),
        progress=_of_job(look, component, state, is_late=is_late)
        if is_job
        else _of_deployment(component, child, goal),
    )


def _as_it_ended(look: Look, component: Component) -> Group | None:
    """Return how a Job stood that has ended and is gone: the status alone knows."""
    if not look.app.is_job(component) or ending.remembered(look) is None:
        return None
    entries = look.before.get("components") or ()
    found = next((one for one in entries if one["name"] == component.name), None)
    if found is None or "succeeded" not in found:
        return None
    return Group(
        name=component.name,
        desired=found.get("desired", 0),
        ready=found.get("ready", 0),
        updated=found.get("updated", 0),
        failed=found.get("failed", 0),
        restarts=found.get("restarts", 0),
        succeeded=found["succeeded"],
        exists=0,
        ending=0,
        settled=True,
        progress=found.get("progress", ""),
    )


def _waiting(component: Component, need: Dependency | None, size: Size, *, held: bool) -> str:
    """Return what keeps a component from having any pod at all."""
    if held:
        return "waits until the pods of before have ended"
    if need is not None:
        return f"waits until {need.name} is {need.until.lower()}"
    target = size.targets.get(component.name)
    if target is not None and target.count == 0:
        if target.yielding_since is not None:
            return "waits until the components beside it have their places"
        return "no node has room for one"  # to fill the cluster with nothing is not to be ready
    return ""


def _job_goal(wanted: int, state: State, *, is_late: bool) -> int:
    """Return how many pods a Job is to have: it ends with the number with which it has begun."""
    has_own = state.get("complete") or state.get("broken") or (is_late and wanted)
    return int(state.get("wanted", wanted)) if has_own else wanted


def _is_short(state: State) -> bool:
    """Tell whether there are fewer pods than there are to be; those that are ending are none."""
    if state.get("complete") or state.get("broken"):
        return False
    there = state.get("replicas", state.get("active", 0) + state.get("succeeded", 0))
    return bool(not state or there < state["wanted"])


def _succeeded(state: State) -> int:
    """Return how many pods of a Job ended well: that it is done, it says before it counts all."""
    return int(state["wanted"] if state.get("complete") else state.get("succeeded", 0))


def _ready(state: State, is_job: bool) -> int:
    if is_job and state.get("complete"):
        return _succeeded(state)
    return int(state.get("ready" if is_job else "readyReplicas", 0))


def _updated(state: State, is_job: bool) -> int:
    if is_job:
        active = 0 if state.get("complete") else int(state.get("active", 0))
        return active + _succeeded(state)
    return int(state.get("updatedReplicas", 0))


def _settled(child: Child, goal: int) -> bool:
    """Tell whether the counts in a child's status are about what is wanted now."""
    if child.deleting:
        return False
    if child.kind == observed.JOB:
        return not child.state.get("broken")
    state = child.state
    old_pods = state.get("replicas", 0) - state.get("updatedReplicas", 0)
    return bool(
        state.get("observedGeneration", 0) >= child.generation
        and state["wanted"] == goal
        and old_pods <= 0
    )


# How far it has come.


def _of_deployment(component: Component, child: Child | None, desired: int) -> str:
    progress = _deployed(component, {} if child is None else child.state, desired)
    if child is None or _settled(child, desired) or not _seems_ready(child.state, desired):
        return progress
    # Its counts are about what was wanted before: to say no more would be to say that it is ready.
    why = "it is being removed" if child.deleting else "the cluster has not taken a change up yet"
    return f"{progress}; {why}"


def _seems_ready(state: State, desired: int) -> bool:
    return bool(state.get("readyReplicas", 0) >= desired <= state.get("updatedReplicas", 0))


def _deployed(component: Component, state: State, desired: int) -> str:
    updated, exists = int(state.get("updatedReplicas", 0)), int(state.get("replicas", 0))
    if updated < exists or (exists and updated < desired):
        held = "paused; " if component.strategy.paused else ""
        return f"{held}{updated} of {desired} updated"
    return f"{min(int(state.get('readyReplicas', 0)), desired)} of {desired} ready"


NEXT_RUN = "what has changed since it began counts from its next run"


def _of_job(look: Look, component: Component, state: State, *, is_late: bool) -> str:
    progress = _job_progress(look, component, state)
    return f"{progress}; {NEXT_RUN}" if is_late else progress


def _job_progress(look: Look, component: Component, state: State) -> str:
    done = f"{_succeeded(state)} of {state.get('wanted', 1)} done"
    failed = int(state.get("failed", 0))
    if not any(state.get(key) for key in ("active", "succeeded", "failed", "complete")):
        if left := leaving.count(look, component):
            return f"{done}; {left} {'pod is' if left == 1 else 'pods are'} still ending"
        # Why the Job controller cannot make one, it tells by events only.
        return done if look.is_asleep else f"{done}; no pod has been made yet"
    tries = look.app.batch.backoff_limit + 1
    return f"{done}, {failed} of {tries} tries failed" if failed else done


# What is wrong.


def _trouble(
    look: Look, component: Component, in_trouble: Sequence[Pod], state: State
) -> Trouble | None:
    """Return the first trouble of a component: what broke before what merely waits."""
    last = _last_failure(look, component) if state.get("failed") else None
    if state.get("broken"):
        told = state["broken"] if last is None else last.words
        return Trouble(reason=Reason.GAVE_UP, words=f"gave up: {told}")
    first = min(in_trouble, key=_severity, default=None)
    if first is not None and first.trouble is not None and not first.trouble.only_waits:
        return first.trouble
    if refused := state.get("refused") or look.refused.get(component.name):
        return trouble.of_refusal(refused, state.get("refused_at", ""))
    if first is None or first.trouble is None:
        silent = leaving.of_silent_nodes(look, component)
        held = silent or leaving.of_ending(look, component, short=_is_short(state))
        return held or last or starting.slow(look, component)
    return _wait(look, component, in_trouble, state)


def _severity(pod: Pod) -> tuple[bool, str]:
    return (pod.trouble is None or pod.trouble.only_waits, pod.name)


def _last_failure(look: Look, component: Component) -> Trouble | None:
    """Return how the newest failed pod of a Job ended: it stays, while others are tried."""
    failed = [one for one in look.pods if one.component == component.name and one.ended]
    newest = max(failed, key=lambda one: one.version, default=None)
    return None if newest is None else newest.trouble


def _wait(
    look: Look, component: Component, in_trouble: Iterable[Pod], state: State
) -> Trouble | None:
    """Return for what pods wait, and how many."""
    spec = manifests.pod_template(look.app, component, manifests.Facts())["spec"]
    waiting = [one for one in in_trouble if one.trouble is not None and one.trouble.only_waits]
    # While an update waits for room, so may pods of before it, which ask for something else.
    asked = quantity.of_pod(spec)
    waiting = [one for one in waiting if one.requests == asked] or waiting
    first = min(waiting, key=_severity)
    if first.trouble is None:
        return None
    who = f"{len(waiting)} {'waits' if len(waiting) == 1 else 'wait'}"
    if _waits_for_volume(first.trouble) or _knows_no_claim(look, first.trouble):
        return Trouble(reason=Reason.VOLUME_PENDING, words=f"{who} for the volume to be bound")
    is_plain = first.trouble.reason != Reason.UNSCHEDULABLE
    why = f": {first.trouble.words}" if is_plain else _no_place(look, first, first.trouble, spec)
    has_places = any(one.node for one in look.pods_of(component.name))
    room = "" if is_plain or not has_places else _for_update(component, state)
    return Trouble(reason=first.trouble.reason, words=f"{who}{why}{room}")


def _for_update(component: Component, state: State) -> str:
    """Say what else would let an update go on that makes no place for itself."""
    is_under_way = state.get("replicas", 0) > state.get("updatedReplicas", 0)
    rolls = component.name != names.MASTER and component.strategy.type is not Replace.RECREATE
    if not is_under_way or not rolls or _may_lack(component, state.get("wanted", 0)):
        return ""
    return "; the update needs room for one pod more, or strategy.maxUnavailable: 1"


def _may_lack(component: Component, pods: int) -> int:
    """Return how many of its *pods* an update may end before others are ready.

    Where nobody says anything, what fills the cluster may lack one at least: workload.py.
    """
    surge, share = component.strategy.max_surge, component.strategy.max_unavailable
    if component.replicas is None and surge is None and share is None:
        return 1
    share = "25%" if share is None else share
    if isinstance(share, int) or not share.endswith("%"):
        return int(share)
    return pods * int(share.removesuffix("%")) // 100


def _waits_for_volume(told: Trouble) -> bool:
    return "unbound" in told.words and "PersistentVolumeClaim" in told.words


def _knows_no_claim(look: Look, told: Trouble) -> bool:
    """Tell whether the scheduler has not seen a claim yet that is there."""
    is_unknown = f'persistentvolumeclaim "{look.claim_name}" not found' in told.words
    return is_unknown and look.claim is not None


def _no_place(look: Look, pod: Pod, told: Trouble, spec: Mapping[str, Any]) -> str:
    """Say why a pod has no place, as precisely as the nodes that we know allow."""
    ready = [one for one in look.nodes if one.schedulable]
    if not ready:
        return ": no node is ready"
    usable = [one for one in ready if sizing.admits(one, spec)]
    if not usable:
        return ": no node is of the kind that its placement asks for"
    return f": {_too_small(pod, usable) or _too_full(look, pod, usable) or told.words}"


def _too_small(pod: Pod, usable: Sequence[Node]) -> str:
    """Say what no node has, even when it is empty."""
    whole = sizing.greatest(one.allocatable for one in usable)
    for name, needs, has in _beyond(pod, whole):
        if not whole.get(name):
            return f"no node has {name}; needs {needs}"
        return f"no node is large enough; needs {needs} and the largest has {has}"
    return ""


def _too_full(look: Look, pod: Pod, usable: Sequence[Node]) -> str:
    """Say of what no node has enough left: it may be free again when others end."""
    left = sizing.greatest(sizing.room(usable, look.usage).values())
    for _, needs, has in _beyond(pod, left):
        return f"no node fits; needs {needs} and the largest has {has} free"
    return ""


def _beyond(pod: Pod, most: Mapping[str, Decimal]) -> Iterable[tuple[str, str, str]]:
    """Return name, need and bound, in words, of what a pod requests more of than there is."""
    for name, amount in sorted(pod.requests.items()):
        bound = max(most.get(name, Decimal(0)), Decimal(0))
        if amount > bound:
            yield name, quantity.words(name, amount), quantity.words(name, bound)
