"""What the operator remembers of the cluster: API objects cut down to what decisions need. Pure.

A thousand apps have seven thousand children and pods. Kept whole they would not fit into the memory
that an operator may ask for, so specifications are packed and read again only to look for drift.
"""

import dataclasses
import json
import sys
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Generic, TypeVar

from clusterous_api import names, quantity
from clusterous_api.quantity import Amounts
from clusterous_operator.manifests import JOB_LIMITS
from clusterous_operator.objects import annotation, failure, packing, trouble
from clusterous_operator.objects.failure import Fallen
from clusterous_operator.objects.trouble import Trouble
from clusterous_operator.objects.usage import HostPort

Body = Mapping[str, Any]
T = TypeVar("T")

DEPLOYMENT = "Deployment"
JOB = "Job"
SERVICE = "Service"
CLAIM = "PersistentVolumeClaim"
VOLUME = "PersistentVolume"

_STATE_FIELDS: Mapping[str, tuple[str, ...]] = {
    DEPLOYMENT: (
        "observedGeneration",
        "replicas",
        "readyReplicas",
        "updatedReplicas",
        "availableReplicas",
    ),
    JOB: ("active", "ready", "succeeded", "failed"),
    CLAIM: ("phase",),
    VOLUME: ("phase",),
    SERVICE: (),
}
_OUR_PREFIX = f"{names.DOMAIN}/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A Deployment, Job, Service, claim or volume."""

    kind: str
    namespace: str
    name: str
    uid: str
    version: int = field(compare=False)
    app: str | None  # the name of the app that it belongs to
    component: str | None
    managed_by: str | None
    owner_uid: str | None
    generation: int
    deleting: bool
    applied: str | None
    run: str | None
    state: Body
    packed: bytes

    @property
    def labels(self) -> dict[str, str]:
        """Those of its labels by which it is ours."""
        found = {
            names.LABEL_APP: self.app,
            names.LABEL_COMPONENT: self.component,
            names.LABEL_MANAGED_BY: self.managed_by,
        }
        return {key: value for key, value in found.items() if value is not None}

    @property
    def made_by_us(self) -> bool:
        """Tell whether the operator made it: it bears our label and our note of what was applied.

        kubectl copies labels from one object to another, but no annotations.
        """
        is_noted = self.applied is not None or self.kind in (CLAIM, VOLUME)
        return self.managed_by == names.MANAGED_BY and is_noted

    def is_of_another(self, app: str, uid: str) -> bool:
        """Tell whether we made it for an earlier app of this name, with which it will go."""
        is_owned = self.owner_uid is not None and self.owner_uid != uid
        return is_owned and self.made_by_us and self.app == app

    @property
    def is_complete(self) -> bool:
        """Tell of a Job whether it is done."""
        return bool(self.state.get("complete"))

    def content(self) -> dict[str, Any]:
        """Return labels, our annotations and the specification as they stand in the cluster."""
        content: dict[str, Any] = packing.unpack(self.packed)
        return content


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod, ours or another's: where it is, what it reserves, what is wrong with it."""

    namespace: str
    name: str
    uid: str
    version: int = field(compare=False)
    app: str | None
    component: str | None
    node: str | None
    ready: bool
    ended: bool
    deleting: bool
    requests: Amounts
    trouble: Trouble | None
    ports: frozenset[HostPort] = frozenset()  # of its node
    placing: Body | None = None  # what says where it may run, while it wants a place
    restarts: int = 0
    fallen: Fallen | None = None  # what failed in it, for the failure policy
    cost: int = 0  # of its deletion: those with less go first
    unstarted_since: str = ""  # when it got its place, while no container has begun
    begun: bool = True  # a container of the program runs, or has run
    held_by: str = ""  # whose finalizers keep it, when it is being ended

    @property
    def waits(self) -> bool:
        """Tell whether it wants a place on a node and has none."""
        return self.placing is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Taint:
    """What keeps pods away from a node."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node: what it is called, what it holds, whether the scheduler uses it."""

    name: str
    version: int = field(compare=False)
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    allocatable: Amounts
    schedulable: bool
    answers: bool = True  # its kubelet does; it may be cordoned all the same


def child(kind: str, body: Body) -> Child:
    """Cut an API object of *kind* down."""
    metadata = body["metadata"]
    annotations = {
        key: value
        for key, value in (metadata.get("annotations") or {}).items()
        if key.startswith(_OUR_PREFIX)
    }
    labels = metadata.get("labels") or {}
    content = {
        "metadata": {"labels": labels, "annotations": annotations},
        "spec": body.get("spec") or {},
    }
    return Child(
        kind=kind,
        namespace=_same(metadata.get("namespace", "")),
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        version=version(body),
        app=_same(labels.get(names.LABEL_APP)),
        component=_same(labels.get(names.LABEL_COMPONENT)),
        managed_by=_same(labels.get(names.LABEL_MANAGED_BY)),
        owner_uid=_owner(metadata),
        generation=metadata.get("generation", 0),
        deleting="deletionTimestamp" in metadata,
        applied=annotations.get(names.ANNOTATION_APPLIED),
        run=annotations.get(names.ANNOTATION_RUN),
        state=_shared_state(_state(kind, body))
        if kind in (DEPLOYMENT, JOB)
        else _state(kind, body),
        packed=packing.pack(content),
    )


def belonging(app: str, uid: str, children: Iterable[Child]) -> dict[tuple[str, str], Child]:
    """Return those of *children* that belong to the *app* with this *uid*, by kind and name.

    A label alone makes nothing ours: kubectl and Helm copy labels. What an earlier app of the same
    name owned goes with that one, so that here it is being deleted, and says nothing of this app.
    """
    found = {}
    for one in children:
        is_data = one.kind in (CLAIM, VOLUME)  # outlives its app, and may be somebody else's
        if one.owner_uid == uid or (one.owner_uid is None and (is_data or one.made_by_us)):
            found[one.kind, one.name] = one
        elif one.is_of_another(app, uid):
            found[one.kind, one.name] = _going(one)
        elif is_data:
            found[one.kind, one.name] = one
    return found


_OF_ATTEMPTS = ("attempt", "life")


def _going(child: Child) -> Child:
    state = {key: value for key, value in child.state.items() if key not in _OF_ATTEMPTS}
    return dataclasses.replace(child, deleting=True, state=state)


def _same(text: Any) -> Any:
    """Return the one string for all that say the same: namespaces, apps, components, nodes."""
    return sys.intern(text) if isinstance(text, str) else text


class _Alike(Generic[T]):
    """One value for all that say the same, of those seen of late: most of them do.

    When too many were seen all are forgotten: what is in use stays where it is used.
    """

    def __init__(self, most: int = 1000) -> None:
        self._most = most
        self._seen: dict[Hashable, T] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def one(self, key: Hashable, value: T) -> T:
        """Return the value that was seen first with this key."""
        if len(self._seen) >= self._most:
            self._seen.clear()
        return self._seen.setdefault(key, value)


_states: _Alike[Body] = _Alike()


def _shared_state(state: Body) -> Body:
    return _states.one(tuple(state.items()), state)


def _owner(metadata: Body) -> str | None:
    for reference in metadata.get("ownerReferences") or ():
        if reference.get("controller"):
            return str(reference.get("uid"))
    return None


def _state(kind: str, body: Body) -> dict[str, Any]:
    status = body.get("status") or {}
    spec = body.get("spec") or {}
    state = {key: status[key] for key in _STATE_FIELDS[kind] if key in status}
    if kind in (DEPLOYMENT, JOB):
        state |= _failures(status.get("conditions") or ())
        template = spec.get("template") or {}
        if again := failure.attempt(template.get("metadata") or {}):
            state["attempt"] = again
        if life := failure.life(template.get("metadata") or {}):
            state["life"] = life
    if kind == DEPLOYMENT:
        state["wanted"] = spec.get("replicas", 1)
    if kind == JOB:
        state["suspended"] = bool(spec.get("suspend"))
        state["wanted"] = spec.get("parallelism", 1)
        state |= {key: spec[key] for key in JOB_LIMITS if key in spec}
        if not any(state.get(key) for key in ("active", "succeeded", "failed", "ended_at")):
            state["barren_since"] = body["metadata"].get("creationTimestamp", "")
    if kind == SERVICE:
        state["address"] = spec.get("clusterIP", "")
    if kind == CLAIM:
        state["modes"] = tuple(spec.get("accessModes") or ())
        state |= _storage(spec)
        noted = body["metadata"].get("annotations") or {}
        if state.get("phase") != "Bound" and _BINDS in noted:
            state["binding"] = True
        if told := _resizing(status.get("conditions") or ()):
            state["resizing"] = told
    return state


_BINDS = "pv.kubernetes.io/bind-completed"  # claim and volume are each other's; so much is certain


def _storage(spec: Body) -> dict[str, Any]:
    """Return of a claim what it asks for, of which class, and the volume that it got."""
    found = {
        "size": ((spec.get("resources") or {}).get("requests") or {}).get("storage"),
        "class": spec.get("storageClassName"),
        "volume": spec.get("volumeName"),
    }
    return {key: value for key, value in found.items() if value}


def _failures(conditions: Iterable[Body]) -> dict[str, Any]:
    """Keep the conditions that say how a job ended, or why pods cannot be made.

    A job is only `Complete` or `Failed` when all its pods are gone, and a pod on a lost node does
    not go; what is decided is said before (https://github.com/kubernetes/enhancements/issues/3998).
    """
    state: dict[str, Any] = {}
    for condition in conditions:
        match (condition.get("type"), condition.get("status")):
            case ("Complete" | "SuccessCriteriaMet", "True"):
                state["complete"] = True
                state.setdefault("ended_at", condition.get("lastTransitionTime", ""))
            case ("Failed" | "FailureTarget", "True"):
                state["broken"] = condition.get("message", "the job failed")
                state["why"] = condition.get("reason", "")
                state.setdefault("ended_at", condition.get("lastTransitionTime", ""))
            case ("ReplicaFailure", "True"):
                state["refused"] = condition.get("message", "")
                state["refused_at"] = condition.get("lastTransitionTime", "")
    return state


_RESIZES = {
    "Resizing": "it is being resized",
    "FileSystemResizePending": "it grows when its pods are started again",
    "ControllerResizeError": "it cannot be resized",
    "NodeResizeError": "its file system cannot be resized",
}


def _resizing(conditions: Iterable[Body]) -> str:
    """Return how far a change of a claim's size has come; the last condition tells most."""
    said = ""
    for condition in conditions:
        words = _RESIZES.get(condition.get("type", ""))
        if words and condition.get("status") == "True":
            why = condition.get("message", "") if "cannot" in words else ""
            said = f"{words}: {why}" if why else words
    return said


def version(body: Body) -> int:
    """Return the resource version as a number, by which newer is told from older."""
    return number(body.get("metadata", {}).get("resourceVersion", "0"))


def number(version: str) -> int:
    """Return a resource version as a number."""
    return int(version) if version.isdigit() else 0


def pod(body: Body) -> Pod:
    """Cut a pod down."""
    metadata = body["metadata"]
    spec = body.get("spec") or {}
    status = body.get("status") or {}
    labels = metadata.get("labels") or {}
    return Pod(
        namespace=_same(metadata.get("namespace", "")),
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        version=version(body),
        app=_same(labels.get(names.LABEL_APP)),
        component=_same(labels.get(names.LABEL_COMPONENT)),
        node=_same(spec.get("nodeName")),
        ready=_condition(status, "Ready") == "True",
        ended=status.get("phase") in ("Succeeded", "Failed"),
        begun=status.get("phase", "Pending") != "Pending",
        unstarted_since=trouble.unstarted_since(body),
        deleting="deletionTimestamp" in metadata,
        requests=_shared(quantity.of_pod(spec)),
        trouble=trouble.of_pod(body),
        ports=_shared_ports(host_ports(spec)),
        placing=_placing(body),
        restarts=trouble.restarts(body),
        fallen=failure.of_pod(body),
        cost=_cost(metadata.get("annotations") or {}),
        held_by=_holders(metadata),
    )


_OF_JOBS = "batch.kubernetes.io/job-tracking"  # which the Job takes away when it has counted it


def _holders(metadata: Body) -> str:
    """Return the finalizers of a pod that is being ended; whoever set them must take them away."""
    if "deletionTimestamp" not in metadata:
        return ""
    return ", ".join(one for one in metadata.get("finalizers") or () if one != _OF_JOBS)


def _cost(annotations: Body) -> int:
    return annotation.number(annotations.get(names.ANNOTATION_DELETION_COST))


_requests: _Alike[Amounts] = _Alike()


def _shared(requests: Amounts) -> Amounts:
    return _requests.one(tuple(sorted(requests.items())), requests)


def host_ports(spec: Body) -> frozenset[HostPort]:
    """Return the ports of the node that a pod takes; on which of its addresses does not matter."""
    whole = spec.get("hostNetwork")
    containers = (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
    found = set()
    for item in containers:
        for port in item.get("ports") or ():
            number = port.get("hostPort") or (port["containerPort"] if whole else 0)
            if number:
                found.add((port.get("protocol", "TCP"), number))
    return frozenset(found)


_ports: _Alike[frozenset[HostPort]] = _Alike()


def _shared_ports(ports: frozenset[HostPort]) -> frozenset[HostPort]:
    return _ports.one(ports, ports)


_PLACING = ("nodeSelector", "affinity", "tolerations")
_PLACING_LONGEST = 10_000  # each node is asked all of it; what says more is not counted
_NO_CLAIM = ("persistentvolumeclaim", "resourceclaim")


def _placing(body: Body) -> Body | None:
    """Keep of a pod without a node where it may run, one mapping for all that are alike.

    What waits for something else than room, or is about to go, wants no place.
    """
    spec, status = body.get("spec") or {}, body.get("status") or {}
    gone = "deletionTimestamp" in body["metadata"] or status.get("phase") in ("Succeeded", "Failed")
    if spec.get("nodeName") or gone or spec.get("schedulingGates"):
        return None
    if any(sign in _unscheduled(status).lower() for sign in _NO_CLAIM):
        return None
    placing = {key: spec[key] for key in _PLACING if spec.get(key)}
    text = json.dumps(placing, sort_keys=True)
    return _shared_placing(text) if len(text) <= _PLACING_LONGEST else None


@lru_cache(maxsize=1024)
def _shared_placing(text: str) -> Body:
    found: Body = json.loads(text)
    return found


def _unscheduled(status: Body) -> str:
    """Return why the scheduler has found no node so far."""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled":
            return str(condition.get("message", ""))
    return ""


def node(body: Body) -> Node:
    """Cut a node down."""
    metadata = body["metadata"]
    spec = body.get("spec") or {}
    status = body.get("status") or {}
    return Node(
        name=metadata["name"],
        version=version(body),
        labels=metadata.get("labels") or {},
        taints=tuple(
            Taint(key=item["key"], value=item.get("value", ""), effect=item.get("effect", ""))
            for item in spec.get("taints") or ()
        ),
        allocatable=quantity.amounts(status.get("allocatable")),
        schedulable=_condition(status, "Ready") == "True"
        and not spec.get("unschedulable", False)
        and "deletionTimestamp" not in metadata,
        answers=_condition(status, "Ready") == "True",
    )


def _condition(status: Body, kind: str) -> str:
    for condition in status.get("conditions") or ():
        if condition.get("type") == kind:
            return str(condition.get("status"))
    return "Unknown"
