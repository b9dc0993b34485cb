"""What a failure policy makes of the failures that are to be seen: who starts again, or the end.

Pure, and without a memory of its own: each pod carries the number of the attempt that it belongs to
(`clusterous.io/restarts`), and a failure counts only if it is of the attempt that its component is
at. So the same failure, seen again, changes nothing. Where the numbers begin anew, after the end,
pods carry also since which generation: a pod that was evicted stays, and would count once more.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clusterous_api import names
from clusterous_api.models import Action, FailurePolicy, Rule
from clusterous_operator.objects import annotation, wording

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How a container, or a pod as a whole, failed."""

    code: int | None = None
    reason: str = ""
    at: str = field(default="", compare=False)  # when; empty where nobody said so

    @property
    def words(self) -> str:
        """Say it to people."""
        if self.code is None:
            return self.reason
        told = f"exit code {self.code}"
        return told if self.reason in ("", "Error") else f"{told} ({self.reason})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallen:
    """A pod of which something failed: of which attempt, and whose it is (a ReplicaSet or Job)."""

    attempt: int
    owner: str
    failures: tuple[Failure, ...]
    life: int = 0
    made: str = ""  # when the pod was; empty where nobody said so


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The attempt that each component is to be at, and why the app has failed, if it has.

    *life* is the generation with which the attempts began anew after such an end; 0 before. *cause*
    says why pods start again now.
    """

    attempts: Mapping[str, int] = field(default_factory=dict)
    failed: str = ""
    life: int = 0
    cause: str = field(default="", compare=False)  # words for people: nothing hangs on them


def judge(
    policy: FailurePolicy, attempts: Mapping[str, int], fallen: Mapping[str, Sequence[Fallen]]
) -> Verdict:
    """Return what *policy* wants, when components are at *attempts* and these pods have failed."""
    found = list(_found(policy, attempts, fallen))
    ends = [told for _, told, rule in found if rule.action is Action.FAIL]
    if ends:
        return Verdict(attempts=attempts, failed=ends[0])
    wanted = _raised(attempts, found)
    most = max(wanted.values(), default=0)
    if most > policy.max_restarts:
        first = next(told for name, told, _ in found if name in wanted)
        return Verdict(attempts=attempts, failed=f"{first}, after {_times(most - 1)}")
    return Verdict(attempts={**attempts, **wanted}, cause=_cause(policy, found))


def _cause(policy: FailurePolicy, found: Sequence["_Found"]) -> str:
    """Say what failed, and which rule wants what for it; who starts most counts before others."""
    first = next((one for one in found if one[2].action is Action.RESTART_APP), None)
    first = first or next(iter(found), None)
    if first is None:
        return ""
    _, told, rule = first
    which = policy.rules.index(rule) + 1
    return wording.plain(f"{told}; rule {which} of failurePolicy says {rule.action}")


_Found = tuple[str, str, Rule]  # the component, what happened in words, what is to be done


def _found(
    policy: FailurePolicy, attempts: Mapping[str, int], fallen: Mapping[str, Sequence[Fallen]]
) -> Iterable[_Found]:
    for name in sorted(fallen.keys() & attempts.keys()):
        for one in fallen[name]:
            if one.attempt != attempts[name]:
                continue
            for failure in one.failures:
                rule = _rule(policy, name, failure)
                if rule is not None and rule.action is not Action.IGNORE:
                    yield name, f"{name} failed: {failure.words}", rule


def _rule(policy: FailurePolicy, component: str, failure: Failure) -> Rule | None:
    """Return the first rule that fits."""
    for rule in policy.rules:
        theirs = not rule.components or component in rule.components
        if theirs and (failure.code in rule.exit_codes or failure.reason in rule.reasons):
            return rule
    return None


def _raised(attempts: Mapping[str, int], found: Iterable[_Found]) -> dict[str, int]:
    """Return the components that start again, with the numbers of their next attempts."""
    wanted: dict[str, int] = {}
    for name, _, rule in found:
        if rule.action is Action.RESTART_APP:
            return dict.fromkeys(attempts, max(attempts.values()) + 1)
        wanted[name] = attempts[name] + 1
    return wanted


def _times(count: int) -> str:
    return {0: "no restart", 1: "1 restart"}.get(count, f"{count} restarts")


def attempt(metadata: Body) -> int:
    """Return the number of the attempt that a pod or a pod template belongs to."""
    return _number(metadata, names.ANNOTATION_RESTARTS)


def life(metadata: Body) -> int:
    """Return since which generation the attempts of a pod or a pod template are counted."""
    return _number(metadata, names.ANNOTATION_LIFE)


def _number(metadata: Body, key: str) -> int:
    return annotation.number((metadata.get("annotations") or {}).get(key))


def of_pod(body: Body) -> Fallen | None:
    """Return the failures of a pod; of one that is being ended, only that the cluster ends it."""
    metadata, status = body["metadata"], body.get("status") or {}
    is_ending, made = "deletionTimestamp" in metadata, metadata.get("creationTimestamp", "")
    failures = tuple(dict.fromkeys(_failures(status, made, is_ending=is_ending)))
    if not failures:
        return None
    owners = metadata.get("ownerReferences") or ()
    owner = next((one.get("uid", "") for one in owners if one.get("controller")), "")
    return Fallen(
        attempt=attempt(metadata), owner=owner, failures=failures, life=life(metadata), made=made
    )


def since(fallen: Fallen, time: str) -> Fallen | None:
    """Return a pod with its failures since *time*, as Kubernetes writes it, if it has any.

    Those of a pod that was made later all are: its node's clock may be behind the API server's.
    """
    if fallen.made >= time:
        return fallen
    found = tuple(one for one in fallen.failures if not one.at or one.at >= time)
    return dataclasses.replace(fallen, failures=found) if found else None


def _failures(status: Body, made: str, *, is_ending: bool) -> Iterable[Failure]:
    has_failed = status.get("phase") == "Failed"
    taken = tuple(_disruptions(status)) if is_ending or has_failed else ()
    # How a program ends that is told to end says nothing of the program.
    states = () if is_ending else ("lastState",) if taken else ("state", "lastState")
    for key in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(key) or ():
            for state in states:
                ended = (container.get(state) or {}).get("terminated")
                if ended and ended.get("exitCode"):
                    told, at = ended.get("reason", ""), ended.get("finishedAt") or ""
                    yield Failure(code=ended["exitCode"], reason=told, at=at)
    if has_failed and status.get("reason"):
        yield Failure(reason=status["reason"], at=_last_change(status) or made)
    yield from taken


def _last_change(status: Body) -> str:
    """Return when a pod last became another; one that a node would not have never did."""
    times = (one.get("lastTransitionTime") or "" for one in status.get("conditions") or ())
    return max(times, default="")


def _disruptions(status: Body) -> Iterable[Failure]:
    """Return why the cluster takes a pod away: evicted, preempted, its node lost or shut down."""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            at = condition.get("lastTransitionTime") or ""
            yield Failure(reason=condition.get("reason", ""), at=at)
