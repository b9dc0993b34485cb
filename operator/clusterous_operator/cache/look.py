"""One look at one app: what is wanted of it, and all that is seen and known of it then. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from clusterous_api import names
from clusterous_api.models import App, Component
from clusterous_operator.cache.observed import DEPLOYMENT, JOB, Child, Node, Pod
from clusterous_operator.objects.failure import Verdict
from clusterous_operator.objects.idle import State
from clusterous_operator.objects.usage import Usage

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Everything that is decided on at one look at one app; a snapshot."""

    app: App
    children: Mapping[tuple[str, str], Child]  # by kind and name
    pods: tuple[Pod, ...] = ()
    on_cluster_volume: bool = False
    now: datetime | None = None
    claim_name: str = ""
    claim: Child | None = None
    nodes: tuple[Node, ...] = ()
    usage: Usage = field(default_factory=Usage)  # by all pods of the cluster, where it matters
    capacity_known: bool = True
    cluster: Body = field(default_factory=dict)  # data of the ConfigMap clusterous-cluster
    before: Body = field(default_factory=dict)  # the app's status: what is known of what is gone
    verdict: Verdict = field(default_factory=Verdict)  # of the failure policy
    idle: State | None = None  # where the app is to be suspended when it has nothing to do
    cleared: bool = False  # done for so long that only the data is to stay
    contested: str = ""  # what others change again and again, and is left as it is for now
    next_run: frozenset[str] = frozenset()  # components whose Jobs are not what is wanted by now
    held: frozenset[str] = frozenset()  # components that wait for pods of before to go
    refused: Mapping[str, str] = field(default_factory=dict)  # why Jobs cannot make pods
    can_grow: bool = False  # the storage class of its claim lets volumes grow
    reach: Body | None = None  # which nodes its volume can be used on; None: not asked

    @property
    def is_asleep(self) -> bool:
        """Tell whether the app is suspended, by its user or for having nothing to do."""
        return self.app.suspend or (self.idle is not None and self.idle.suspended)

    @property
    def claim_is_going(self) -> bool:
        """Tell whether the claim is an earlier app's and goes with it: no pod may hold it back."""
        return self.claim is not None and self.claim.is_of_another(self.app.name, self.app.uid)

    def workload(self, component: Component) -> Child | None:
        """Return a component's Deployment or Job, if it is there."""
        kind = JOB if self.app.is_job(component) else DEPLOYMENT
        return self.children.get((kind, names.child(self.app.name, component.name)))

    def pods_of(self, component: str) -> tuple[Pod, ...]:
        """Return the live pods of a component."""
        return tuple(
            one
            for one in self.pods
            if one.component == component and not one.deleting and not one.ended
        )

    def predecessors(self, component: Component) -> tuple[Pod, ...]:
        """Return the pods of a workload that is gone, while the component has no other.

        The cluster removes a workload at once and its pods a moment later: another one, made in
        between, would let old and new pods run side by side. Two masters could both write the
        results, so that of a master, and of what is to end, also those count that are ending
        already.
        """
        if self.workload(component) is not None:
            return ()
        to_the_end = component.name == names.MASTER or self.app.is_job(component)
        return tuple(
            one
            for one in self.pods
            if one.component == component.name
            and not one.ended
            and (to_the_end or not one.deleting)
        )

    def has_begun(self, component: str | None) -> bool:
        """Tell whether a pod of a component has begun to run, whatever became of it."""
        return any(one.begun and one.component == component for one in self.pods)
