"""What is wrong with a pod, or keeps it from being made, in words a user understands. Pure.

The last line of a crashed program comes from the kubelet's termination message: our containers ask
for the end of their log there (`terminationMessagePolicy: FallbackToLogsOnError`), so that nobody's
log needs to be read, nor the right to read it be held.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from clusterous_api import names
from clusterous_operator.objects import wording

Body = Mapping[str, Any]

_PULL = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_CONFIG = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_CANNOT_START = frozenset({"StartError", "ContainerCannotRun"})
_WORDS_LIMIT = 400
_LINE_LIMIT = 160


class Reason(StrEnum):
    """What is wrong, for programs; a pod that failed as a whole has Kubernetes' own reason."""

    UNSCHEDULABLE = "Unschedulable"
    SCHEDULING_GATED = "SchedulingGated"
    IMAGE_PULL = "ImagePull"
    CANNOT_START = "CannotStart"
    CRASH = "Crash"
    OOM_KILLED = "OOMKilled"
    QUOTA_EXCEEDED = "QuotaExceeded"
    POD_SECURITY = "PodSecurity"
    REFUSED = "Refused"
    VOLUME_PENDING = "VolumePending"
    NODE_LOST = "NodeLost"
    FINALIZER = "Finalizer"
    RUNS_ON = "RunsOn"
    STARTING = "Starting"
    GAVE_UP = "GaveUp"


UNSCHEDULABLE = Reason.UNSCHEDULABLE
# These may pass without anybody's doing anything: others end, nodes come.
_PATIENT = frozenset(
    {
        Reason.UNSCHEDULABLE,
        Reason.SCHEDULING_GATED,
        Reason.VOLUME_PENDING,
        Reason.NODE_LOST,
        Reason.STARTING,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A reason in CamelCase for programs, and a sentence for people."""

    reason: str
    words: str

    @property
    def only_waits(self) -> bool:
        """Tell whether nothing broke: the pod has no place yet."""
        return self.reason in _PATIENT


def of_pod(body: Body) -> Trouble | None:
    """Return the first thing wrong with a pod, or None."""
    status = body.get("status") or {}
    if "deletionTimestamp" in body["metadata"] or status.get("phase") == "Succeeded":
        return None
    if waiting := _without_place(status):
        return waiting
    limits = _memory_limits(body.get("spec") or {})
    since = _unready_since(status)
    main = (body["metadata"].get("labels") or {}).get(names.LABEL_COMPONENT)
    found = [_named(_container(item, limits, since), item, main) for item in _statuses(status)]
    first = next((one for one in found if one is not None), None)
    return _run_on(body, main, first) or first or _failed(status)


def unstarted_since(body: Body) -> str:
    """Return since when a pod has its place without that any of its containers has begun.

    It may pull an image, wait for a volume to be mounted, for a ConfigMap: only events tell.
    """
    status = body.get("status") or {}
    if "deletionTimestamp" in body["metadata"] or status.get("phase", "Pending") != "Pending":
        return ""
    states = [item.get("state") or {} for item in _statuses(status)]
    if any("running" in one or "terminated" in one for one in states):
        return ""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "True":
            return str(condition.get("lastTransitionTime", ""))
    return ""


def restarts(body: Body) -> int:
    """Return how often containers of a pod were started again."""
    return sum(item.get("restartCount", 0) for item in _statuses(body.get("status") or {}))


def _statuses(status: Body) -> tuple[Body, ...]:
    return (
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    )


def _without_place(status: Body) -> Trouble | None:
    for condition in status.get("conditions") or ():
        if condition.get("type") != "PodScheduled" or condition.get("status") == "True":
            continue
        if condition.get("reason") == Reason.SCHEDULING_GATED:
            words = "a scheduling gate holds it"
            return Trouble(reason=Reason.SCHEDULING_GATED, words=words)
        if condition.get("reason") == Reason.UNSCHEDULABLE:
            words = _first_sentence(condition.get("message", ""))
            return Trouble(reason=Reason.UNSCHEDULABLE, words=words)
    return None


def _named(found: Trouble | None, status: Body, main: str | None) -> Trouble | None:
    """Say which container it is, where it is not the program itself."""
    name = status.get("name")
    if found is None or main is None or name == main:
        return found
    return Trouble(reason=found.reason, words=f"container {name}: {found.words}")


def _container(status: Body, limits: Mapping[str, str], unready_since: str) -> Trouble | None:
    state = status.get("state") or {}
    waiting = state.get("waiting") or {}
    reason = waiting.get("reason", "")
    if reason in _PULL:
        return _pull(status.get("image", ""), waiting.get("message", ""), reason)
    if reason in _CONFIG:
        return _cannot_start(waiting.get("message") or reason)
    last = (status.get("lastState") or {}).get("terminated") or {}
    if reason == "CrashLoopBackOff":
        return _crash(status, last, limits)
    ended = state.get("terminated") or {}
    if ended.get("exitCode", 0) != 0:
        return _crash(status, ended, limits)
    # Between two crashes it runs for a while: it has not recovered before it was ready once.
    running = state.get("running")
    if running and last.get("exitCode") and not status.get("ready"):
        recovered = unready_since > (running.get("startedAt") or "")
        return None if recovered else _crash(status, last, limits)
    return None


def _run_on(body: Body, main: str | None, crash: Trouble | None) -> Trouble | None:
    """Return that containers run on beside a program that has ended, so that its pod does not.

    A pod that is not restarted is one of a Job, which waits for the end of all of its containers.
    """
    if (body.get("spec") or {}).get("restartPolicy") != "Never":
        return None
    states = {
        one.get("name"): one.get("state") or {}
        for one in body["status"].get("containerStatuses") or ()
    }
    ended = states.get(main, {}).get("terminated")
    beside = sorted(f"{name}" for name, state in states.items() if "running" in state)
    if ended is None or not beside:
        return None
    runs = f"container {' and '.join(beside)} {'runs' if len(beside) == 1 else 'run'} on"
    if crash is not None:
        words = f"{crash.words}; {runs} beside it, so that it is not tried again"
        return Trouble(reason=crash.reason, words=words)
    words = (
        f"the program has ended with exit code 0, but {runs}, so that its pod does not end: make "
        "that a sidecar (in initContainers, with restartPolicy: Always), or keep it out of the pod"
    )
    return Trouble(reason=Reason.RUNS_ON, words=words)


def _unready_since(status: Body) -> str:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Ready" and condition.get("status") != "True":
            return str(condition.get("lastTransitionTime", ""))
    return ""


def _pull(image: str, message: str, reason: str) -> Trouble:
    why = _PULL_REASONS.get(reason) or _why(message)
    words = f"image {image} cannot be pulled" + (f": {why}" if why else "")
    return Trouble(reason=Reason.IMAGE_PULL, words=_short(words))


_PULL_REASONS = {
    "InvalidImageName": "the name is not a valid one",
    "ErrImageNeverPull": "it is not on the node, and its pull policy is Never",
}
# Which containerd no longer reads; what it says of that names other formats, too.
_SCHEMA_1 = (
    "it is in a format of before 2017 (schema 1), which no node reads any more:"
    " `skopeo copy --format v2s2 docker://OLD docker://NEW` makes another of it"
)
_PULL_SIGNS = (
    ("v1+prettyjws", _SCHEMA_1),
    ("toomanyrequests", "the registry allows no more pulls for now"),
    ("no match for platform", "there is none for the node's kind of processor"),
    ("no space left", "the node's disk is full"),
    ("x509:", "the registry's certificate is not trusted"),
    ("may require", "not found, or access denied"),
    ("not found", "not found"),
    ("unauthorized", "access denied"),
    ("denied", "access denied"),
    ("no such host", "the registry's name is not known"),
    ("i/o timeout", "the registry does not answer"),
    ("connection refused", "the registry does not answer"),
    ("deadline exceeded", "the registry does not answer"),
)


def _why(message: str) -> str:
    """Cut the layers of wrapping off the runtime's message; the last cause tells most."""
    lowered = message.lower()
    for sign, words in _PULL_SIGNS:
        if sign in lowered:
            return words
    return "" if message.startswith("Back-off") else message


_NO_PROGRAM = re.compile(r'exec: "([^"]+)": (executable file not found|stat [^:]+: no such file)')


def _cannot_start(message: str) -> Trouble:
    missing = _NO_PROGRAM.search(message)
    why = f"the image has no program {missing[1]}" if missing else message
    return Trouble(reason=Reason.CANNOT_START, words=_short(f"cannot start: {why}"))


def _crash(status: Body, ended: Body, limits: Mapping[str, str]) -> Trouble:
    if ended.get("reason") in _CANNOT_START:
        return _cannot_start(ended.get("message") or str(ended["reason"]))
    restarts = status.get("restartCount", 0)
    again = f", restarted {restarts} times" if restarts > 1 else ""
    said = _last_line(ended.get("message", ""))
    end = f"{again}; its last line: {said}" if said else again
    if ended.get("reason") == "OOMKilled":
        limit = limits.get(status.get("name", ""))
        bound = f" (limit {limit})" if limit else ""
        return Trouble(reason=Reason.OOM_KILLED, words=f"ran out of memory{bound}{end}")
    return Trouble(reason=Reason.CRASH, words=f"{_exit(ended.get('exitCode'))}{end}")


_SIGNALS = {134: "aborted", 137: "killed", 139: "segmentation fault", 143: "told to end"}


def _exit(code: int | None) -> str:
    if code == 0:
        return "ended with exit code 0, although it is to run on"
    if code is None:
        return "crashed with exit code unknown"
    told = f" ({_SIGNALS[code]})" if code in _SIGNALS else ""
    return f"crashed with exit code {code}{told}"


def _last_line(message: str) -> str:
    lines = [line.strip() for line in message.splitlines()]
    said = next((line for line in reversed(lines) if line), "")
    return wording.plain(said, _LINE_LIMIT)


def _failed(status: Body) -> Trouble | None:
    if status.get("phase") != "Failed":
        return None
    reason = status.get("reason") or "Failed"
    return Trouble(reason=reason, words=_short(status.get("message") or f"failed: {reason}"))


def _memory_limits(spec: Body) -> dict[str, str]:
    containers: Iterable[Body] = (
        *(spec.get("containers") or ()),
        *(spec.get("initContainers") or ()),
    )
    found = {
        item["name"]: ((item.get("resources") or {}).get("limits") or {}).get("memory")
        for item in containers
    }
    return {name: str(limit) for name, limit in found.items() if limit}


# Why pods cannot even be made: what the API server answered to the ReplicaSet.

_QUOTA = re.compile(
    r"exceeded quota: (?P<name>\S+), requested: (?P<asked>\S+), used: (?P<used>\S+), "
    r"limited: (?P<limit>\S+)"
)
_UNNAMED = re.compile(r"failed quota: (?P<name>[^:]+): must specify (?P<what>[^;]+)")
_SECURITY = re.compile(r'violates PodSecurity "(?P<level>[^":]+)(?::[^"]*)?": (?P<why>.+)', re.S)


def of_refusal(message: str, at: str = "", who: str = "a pod") -> Trouble:
    """Return why the API server does not make *who*, from its answer of that time."""
    if found := of_quota(message, at, who):
        return found
    if security := _SECURITY.search(message):
        words = (
            f"the namespace's Pod Security level {security['level']} refuses its pods: "
            f"{security['why'].strip()}"
        )
        return Trouble(reason=Reason.POD_SECURITY, words=_short(words))
    why = message.split(" is forbidden: ", 1)[-1]
    return Trouble(reason=Reason.REFUSED, words=_short(f"pods are refused: {why}"))


def of_quota(message: str, at: str, who: str) -> Trouble | None:
    """Return that a quota does not let *who* be made, if that is what the API server answered."""
    if quota := _QUOTA.search(message):
        return Trouble(reason=Reason.QUOTA_EXCEEDED, words=_quota(quota, at, who))
    if quota := _UNNAMED.search(message):
        what = quota["what"].strip().rstrip(".")
        words = f"quota {quota['name']} makes no pods without {what}; give it in resources"
        return Trouble(reason=Reason.QUOTA_EXCEEDED, words=_short(words))
    return None


def _quota(found: re.Match[str], at: str, who: str) -> str:
    """Say what a quota allowed when it was asked: nobody tells when it is changed."""
    asked, used, limit = (_pairs(found[key]) for key in ("asked", "used", "limit"))
    told = [
        f"{name} {limit.get(name, '?')}, of which {used.get(name, '0')} were used; "
        f"{who} needs {amount} more"
        for name, amount in asked.items()
    ]
    when = f" at {at}" if at else ""
    return _short(f"quota {found['name']} was used up{when}: it allowed {', and '.join(told)}")


def _pairs(text: str) -> dict[str, str]:
    return dict(item.split("=", 1) for item in text.split(",") if "=" in item)


def _first_sentence(message: str) -> str:
    return message.split(". ", 1)[0].rstrip(".")


def _short(words: str) -> str:
    return wording.plain(" ".join(words.split()), _WORDS_LIMIT)
