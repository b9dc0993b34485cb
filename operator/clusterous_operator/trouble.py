"""What is wrong with a pod, in words a user understands. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Body = Mapping[str, Any]

_PULL = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_CONFIG = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A reason in CamelCase for programs, and a sentence for people."""

    reason: str
    words: str


UNSCHEDULABLE = "Unschedulable"


def of_pod(body: Body) -> Trouble | None:
    """Return the first thing wrong with a pod, or None."""
    status = body.get("status") or {}
    if "deletionTimestamp" in body["metadata"] or status.get("phase") == "Succeeded":
        return None
    if waiting := _unschedulable(status):
        return waiting
    limits = _memory_limits(body.get("spec") or {})
    statuses = [
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ]
    found = [_container(item, limits) for item in statuses]
    first = next((one for one in found if one is not None), None)
    return first or _failed(status)


def _unschedulable(status: Body) -> Trouble | None:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == UNSCHEDULABLE:
            return Trouble(
                reason=UNSCHEDULABLE, words=_first_sentence(condition.get("message", ""))
            )
    return None


def _container(status: Body, limits: Mapping[str, str]) -> Trouble | None:
    state = status.get("state") or {}
    waiting = state.get("waiting") or {}
    reason = waiting.get("reason", "")
    if reason in _PULL:
        return _pull(status.get("image", ""), waiting.get("message", ""), reason)
    if reason in _CONFIG:
        return Trouble(reason=reason, words=f"cannot start: {waiting.get('message', reason)}")
    if reason == "CrashLoopBackOff":
        return _crash(status, (status.get("lastState") or {}).get("terminated") or {}, limits)
    ended = state.get("terminated") or {}
    if ended and ended.get("exitCode", 0) != 0:
        return _crash(status, ended, limits)
    return None


def _pull(image: str, message: str, reason: str) -> Trouble:
    why = "the name is not a valid one" if reason == "InvalidImageName" else _why(message)
    return Trouble(
        reason="ImagePull", words=f"image {image} cannot be pulled" + (f": {why}" if why else "")
    )


def _why(message: str) -> str:
    """Cut the layers of wrapping off the runtime's message; the last cause tells most."""
    lowered = message.lower()
    for sign, words in (
        ("not found", "not found"),
        ("unauthorized", "access denied"),
        ("denied", "access denied"),
        ("no such host", "the registry's name is not known"),
        ("i/o timeout", "the registry does not answer"),
        ("connection refused", "the registry does not answer"),
    ):
        if sign in lowered:
            return words
    return "" if message.startswith("Back-off") else message


def _crash(status: Body, ended: Body, limits: Mapping[str, str]) -> Trouble:
    restarts = status.get("restartCount", 0)
    again = f", restarted {restarts} times" if restarts > 1 else ""
    if ended.get("reason") == "OOMKilled":
        limit = limits.get(status.get("name", ""))
        bound = f" (limit {limit})" if limit else ""
        return Trouble(reason="OOMKilled", words=f"ran out of memory{bound}{again}")
    code = ended.get("exitCode", "unknown")
    return Trouble(reason="Crash", words=f"crashed with exit code {code}{again}")


def _failed(status: Body) -> Trouble | None:
    if status.get("phase") != "Failed":
        return None
    reason = status.get("reason") or "Failed"
    return Trouble(reason=reason, words=status.get("message") or f"failed: {reason}")


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


def _first_sentence(message: str) -> str:
    return message.split(". ", 1)[0].rstrip(".")
