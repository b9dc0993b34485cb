"""How nodes leave: cordoned, drained within the budgets of programs, and then forgotten.

What is done is seen in Kubernetes itself: who is stopped half-way goes on from there.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from clusterous_api.errors import TransientError, UserError
from clusterous_cli.cluster.record import Node
from clusterous_cli.reach import kube
from clusterous_cli.system import wait
from clusterous_cli.terminal import spell

SECONDS: Final = 600.0  # so long may programs take to end, and budgets hold them
FORCED: Final = 60.0  # and so long where the person forces it
PAUSE: Final = 2.0
MIRROR: Final = "kubernetes.io/config.mirror"
SHOWN: Final = 5


class Held(TransientError):
    """Programs did not leave the nodes in time; the next call goes on."""


Pod = Mapping[str, Any]


def drained(
    api: kube.Api,
    nodes: Sequence[Node],
    *,
    tell: Callable[[str], None],
    pauses: wait.Pauses,
    steady: wait.Patience,
    force: bool = False,
) -> Iterator[Node]:
    """Let the *nodes* leave; yield each as soon as nothing runs there and Kubernetes forgot it.

    Where the kubelet is silent no pod's end is waited for: nobody would ever tell of it.

    UserError: pods that nothing would start elsewhere; nothing was done then. Held: after SECONDS
    something still runs; the nodes stay cordoned. With *force* there is neither: what still runs
    after FORCED ends with its machine.
    """
    left = {node.node_name: node for node in nodes if node.node_name}
    yield from (node for node in nodes if not node.node_name)
    if not force:
        _refuse_lonely(left, steady.ask(lambda: api.items("/api/v1/pods")))
    for name in list(left):
        if not steady.ask(partial(api.cordon, name)):
            yield left.pop(name)  # it never joined, or is forgotten already
    deadline = pauses.clock() + (FORCED if force else SECONDS)
    while left:
        pods = steady.ask(lambda: api.items("/api/v1/pods"))
        silent = _silent(steady.ask(lambda: api.items("/api/v1/nodes")))
        is_over = pauses.clock() >= deadline
        refused: dict[str, str] = {}
        staying = {name: _staying(pods, name) for name in left}
        for name, there in staying.items():
            refused |= {_title(pod): why for pod in there if (why := _evict(api, pod, steady))}
            if there and name not in silent and not (force and is_over):
                continue
            if there:
                tell(f"{_counted(there)} on {left[name].name} not waited for any more")
            steady.ask(partial(api.delete, f"/api/v1/nodes/{name}"))
            yield left.pop(name)
        if not left:
            return
        words = _words([left[name].name for name in left], staying, refused)
        if is_over:
            raise Held(
                f"After {spell.duration(SECONDS)}, {words}\n  The machines stay, and take nothing"
                " new. The same command goes on from there; `clusterous rm-nodes --force` ends them"
                f" {FORCED:.0f} s later with what still runs there."
            )
        tell(words)
        pauses.sleep(PAUSE)


def _silent(nodes: Sequence[Pod]) -> set[str]:
    """Name the nodes whose kubelet Kubernetes has not heard of for too long."""
    return {str(node["metadata"]["name"]) for node in nodes if kube.readiness(node) == "Unknown"}


def _evict(api: kube.Api, pod: Pod, steady: wait.Patience) -> str:
    """Ask a pod to leave; return what keeps it."""
    if not _is_ending(pod):
        return steady.ask(partial(api.evict, pod))
    held = pod["metadata"].get("finalizers")
    return f"its finalizer {', '.join(held)} keeps it" if held else ""


def _is_ending(pod: Pod) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def _staying(pods: Sequence[Pod], node: str) -> list[Pod]:
    """Return what must end before the *node* may go: nothing of its own, nor what is over."""
    return [
        pod
        for pod in pods
        if pod.get("spec", {}).get("nodeName") == node
        and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
        and MIRROR not in (pod["metadata"].get("annotations") or {})
        and "DaemonSet" not in _owners(pod)
    ]


def _owners(pod: Pod) -> list[str]:
    owners = pod["metadata"].get("ownerReferences") or ()
    return [str(one["kind"]) for one in owners if one.get("controller")]


def _refuse_lonely(left: Mapping[str, Node], pods: Sequence[Pod]) -> None:
    lonely = [
        f"{_title(pod)} on {left[name].name}"
        for name in left
        for pod in _staying(pods, name)
        if not _owners(pod) and not _is_ending(pod)
    ]
    if lonely:
        raise UserError(
            f"No controller would start these pods elsewhere: {', '.join(lonely)}. Nothing was"
            " drained. Delete them (clusterous kubectl delete pod), then try again."
        )


def _title(pod: Pod) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _words(
    nodes: Sequence[str], staying: Mapping[str, Sequence[Pod]], refused: Mapping[str, str]
) -> str:
    pods = [_title(pod) for there in staying.values() for pod in there]
    shown = ", ".join(pods[:SHOWN]) + (", …" if len(pods) > SHOWN else "")
    where = " and ".join(nodes) if len(nodes) < 3 else spell.plural(len(nodes), "machine")
    held = next((f"; {pod}: {why}" for pod, why in sorted(refused.items())), "")
    verb = "runs" if len(pods) == 1 else "run"
    return f"{_counted(pods)} still {verb} on {where}: {shown}{held}"


def _counted(pods: Sequence[Any]) -> str:
    return spell.plural(len(pods), "pod")
