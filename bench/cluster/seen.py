"""What was seen of a cluster while parts of it were lost, and the figures that follow. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clusterous_api import names

Thing = Mapping[str, Any]
# The containers of a pod, by its name: which each is, and how often it was started again.
Lives = Mapping[str, Sequence[tuple[str, int]]]


def lives(pods: Iterable[Thing], nodes: Iterable[str]) -> dict[str, list[tuple[str, int]]]:
    """Return the containers of the pods on some nodes; what has ended lives no more."""
    wanted = set(nodes)
    return {
        f"{one['metadata']['namespace']}/{one['metadata']['name']}": [
            (str(state.get("containerID", "")), int(state["restartCount"]))
            for state in one.get("status", {}).get("containerStatuses", ())
            if "terminated" not in state.get("state", {})
        ]
        for one in pods
        if one["spec"].get("nodeName") in wanted
    }


def restarts(before: Lives, after: Lives) -> int:
    """Count the containers of *before* that are not the same any more, or were started again."""
    return sum(
        1
        for pod, containers in before.items()
        for one in containers
        if one not in after.get(pod, ())
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What Kubernetes still has of a machine that is lost, and of the programs that ran there."""

    node: bool
    pods: bool
    elsewhere: bool  # as many of the app's pods as are wanted are ready on other nodes


def loss(things: Iterable[Thing], node: str, app: str, wanted: int) -> Loss:
    """Read it from the list of all nodes and pods; *app* is the label of the app's pods."""
    every = list(things)
    pods = [one for one in every if one["kind"] == "Pod"]
    ready = [
        one
        for one in pods
        if one["metadata"].get("labels", {}).get(names.LABEL_APP) == app
        and one["spec"].get("nodeName") != node
        and "deletionTimestamp" not in one["metadata"]
        and _is_ready(one)
    ]
    return Loss(
        node=any(one["kind"] == "Node" and one["metadata"]["name"] == node for one in every),
        pods=any(one["spec"].get("nodeName") == node for one in pods),
        elsewhere=len(ready) >= wanted,
    )


def _is_ready(pod: Thing) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def acknowledged(log: str) -> set[int]:
    """Return the numbers that the writer's log says were acknowledged; see tests/vm/worker.py."""
    words = [line.split() for line in log.splitlines()]
    return {int(one[1]) for one in words if len(one) == 3 and one[0] == "ack"}


def lost(told: Iterable[int], kept: Iterable[int]) -> int:
    """Count what was acknowledged and is not kept."""
    return len(set(told) - set(kept))


def busy(before: str, after: str, ticks: int) -> float:
    """Return the seconds that all processors were busy between two readings of /proc/stat."""
    return round((_busy(after) - _busy(before)) / ticks, 1)


def _busy(stat: str) -> int:
    # cpu  user nice system idle iowait irq softirq steal …; what others took (steal) is not ours.
    user, nice, system, _, _, irq, softirq = map(int, stat.split("\n", 1)[0].split()[1:8])
    return user + nice + system + irq + softirq
