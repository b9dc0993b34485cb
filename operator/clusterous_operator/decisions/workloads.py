"""The Deployment or Job of a component, and the pods of one that is gone. Pure."""

from clusterous_api import names
from clusterous_api.models import App, Component
from clusterous_operator.cache.observed import DEPLOYMENT, JOB, Child, Observed, Pod


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


def is_complete(job: Child) -> bool:
    return bool(job.state.get("complete"))


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


def has_begun(seen: Observed, component: str | None) -> bool:
    """Tell whether a pod of a component has begun to run, whatever became of it."""
    return any(one.begun and one.component == component for one in seen.pods)
