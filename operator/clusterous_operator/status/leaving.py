"""What is to be said of pods that should end, or be replaced, and are not. Pure."""

from collections.abc import Iterable

from clusterous_api.models import Component
from clusterous_operator.cache.look import Look
from clusterous_operator.cache.observed import Pod
from clusterous_operator.objects.trouble import Reason, Trouble


def of_silent_nodes(look: Look, component: Component) -> Trouble | None:
    """Return what is wrong with a pod that does not run because its node does not."""
    for pod, node in _on_silent_nodes(look, component):
        if not pod.deleting and not pod.ready:
            if look.app.is_job(component):
                return _lost(pod, node)
            words = f"node {node} does not answer; its pods are being replaced"
            return Trouble(reason=Reason.NODE_LOST, words=words)
    return None


def of_ending(look: Look, component: Component, *, short: bool) -> Trouble | None:
    """Return what keeps a pod from ending that others wait for: a Job's next one, an update's.

    *short*: the component has fewer pods than it is to have, and nothing else is known to be wrong.
    """
    if not short and not look.is_asleep:
        return None
    for pod, node in _on_silent_nodes(look, component):
        if pod.deleting:
            return _lost(pod, node)
    held = next((one for one in _ending(look, component) if one.held_by), None)
    if held is None:
        return None
    words = (
        f"pod {held.name} is to end, but its finalizer {held.held_by} holds it; it goes on when "
        "whoever set that takes it away"
    )
    return Trouble(reason=Reason.FINALIZER, words=words)


def count(look: Look, component: Component) -> int:
    """Return how many pods of a component are still ending."""
    return len(_ending(look, component))


def _lost(pod: Pod, node: str) -> Trouble:
    words = (
        f"node {node}, with pod {pod.name}, does not answer; it goes on when the node is back, or "
        f"its Node object is removed (`kubectl delete node {node}`)"
    )
    return Trouble(reason=Reason.NODE_LOST, words=words)


def _on_silent_nodes(look: Look, component: Component) -> Iterable[tuple[Pod, str]]:
    silent = {one.name for one in look.nodes if not one.answers}
    for pod in _of(look, component) if silent else ():
        if pod.node is not None and pod.node in silent:
            yield pod, pod.node


def _ending(look: Look, component: Component) -> list[Pod]:
    return [one for one in _of(look, component) if one.deleting]


def _of(look: Look, component: Component) -> list[Pod]:
    """Return the pods of a component that have not ended, in a lasting order."""
    found = [one for one in look.pods if one.component == component.name and not one.ended]
    return sorted(found, key=lambda one: one.name)
