"""When ReplicaSets that were refused pods are to ask again. Pure.

By themselves they do so later and later, up to 16 minutes, and nobody tells them when a quota is
raised, a limit is changed, or a policy is mended. A change of their Deployment lets them ask.
"""

from collections.abc import Mapping

from clusterous_operator.cache.look import Look
from clusterous_operator.cache.observed import DEPLOYMENT, Child

AGAIN_SECONDS = 30.0

Since = Mapping[str, float]  # by Deployment, since when it waits for pods, or when it asked last


def due(look: Look, since: Since, now: float) -> tuple[list[Child], dict[str, float]]:
    """Return the Deployments that are to ask again now, and from when all that wait are counted."""
    waiting = [
        one
        for one in look.children.values()
        if one.kind == DEPLOYMENT and "refused" in one.state and not one.deleting
    ]
    known = {one.name: since.get(one.name, now) for one in waiting}
    ask = [one for one in waiting if now - known[one.name] >= AGAIN_SECONDS]
    return ask, known | {one.name: now for one in ask}


def look_again(since: Since, now: float) -> float | None:
    """Return in how many seconds the next of them is to ask."""
    first = min(since.values(), default=None)
    return None if first is None else max(0.0, first + AGAIN_SECONDS - now)
