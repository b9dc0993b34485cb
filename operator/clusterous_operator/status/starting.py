"""What is to be said of pods that have their places and do not start. Pure."""

from datetime import datetime

from clusterous_api.models import Component
from clusterous_operator.cache.look import Look
from clusterous_operator.cache.observed import Pod
from clusterous_operator.objects.trouble import Reason, Trouble

# Most have begun by then, or their containers say what is wrong; a large image takes longer.
_SECONDS = 60.0


def slow(look: Look, component: Component) -> Trouble | None:
    """Return which pod has not started for long; for what it waits, only its events tell."""
    for pod in sorted(look.pods_of(component.name), key=lambda one: one.name):
        left = _left(look, pod)
        if left is not None and left <= 0:
            words = (
                f"pod {pod.name} has its place on node {pod.node} since {pod.unstarted_since} and "
                f"has not started; `kubectl describe pod {pod.name}` says what it waits for"
            )
            return Trouble(reason=Reason.STARTING, words=words)
    return None


def told_in(look: Look) -> float | None:
    """Return in how many seconds there is something to say of a pod that has not started."""
    found = (_left(look, one) for one in look.pods if not one.deleting)
    return min((left for left in found if left is not None and left > 0), default=None)


def _left(look: Look, pod: Pod) -> float | None:
    if not pod.unstarted_since or look.now is None:
        return None
    passed = look.now - datetime.fromisoformat(pod.unstarted_since)
    return _SECONDS - passed.total_seconds()
