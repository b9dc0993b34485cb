"""What really happened: every version of every object, in the order in which the store took them.

The store counts all writes in one sequence, so resource versions order changes of all kinds. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from clusterous_api import names

Body = Mapping[str, Any]
Key = tuple[str, str]  # kind and name

APP = names.KIND
CLAIM = "PersistentVolumeClaim"
VOLUME = "PersistentVolume"
FIGURES = "PodMetrics"
CHILDREN = ("Deployment", "ReplicaSet", "Job", "Pod", "Service")  # its data apart
DELETED = "DELETED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One change of one object; *at* is when it was seen, by a clock that never jumps."""

    version: int
    type: str  # ADDED, MODIFIED or DELETED
    kind: str
    body: Body
    at: float = 0.0

    @property
    def key(self) -> Key:
        """Return which object it is about."""
        return self.kind, self.body["metadata"]["name"]

    @property
    def namespace(self) -> str:
        """Return to which namespace it belongs; a volume belongs to its claim's."""
        if self.kind == VOLUME:
            claim = self.body["spec"].get("claimRef") or {}
            return str(claim.get("namespace", ""))
        return str(self.body["metadata"].get("namespace", ""))


def moment(type: str, kind: str, body: Body, at: float = 0.0) -> Moment:
    """Return a change as a watch told it."""
    version = int(body["metadata"]["resourceVersion"])
    return Moment(version=version, type=type, kind=kind, body=body, at=at)


@dataclass(slots=True, kw_only=True)
class World:
    """The objects of one namespace at one moment."""

    objects: dict[Key, Body] = field(default_factory=dict)

    def take(self, moment: Moment) -> None:
        """Go on by one change."""
        if moment.type == DELETED:
            self.objects.pop(moment.key, None)
        else:
            self.objects[moment.key] = moment.body

    def all(self, kind: str) -> Iterator[Body]:
        """Return all objects of a kind."""
        return (body for (one, _), body in self.objects.items() if one == kind)

    def find(self, kind: str, name: str) -> Body | None:
        """Return one object."""
        return self.objects.get((kind, name))

    def pods(self, app: str, component: str) -> list[Body]:
        """Return the pods of a component that have not ended."""
        wanted = names.selector(app, component).items()
        return [
            body
            for body in self.all("Pod")
            if wanted <= (body["metadata"].get("labels") or {}).items()
            and body.get("status", {}).get("phase") not in ("Succeeded", "Failed")
        ]


def at_the_end(moments: Iterable[Moment]) -> World:
    """Return the world after all changes."""
    world = World()
    for one in sorted(moments, key=lambda one: one.version):
        world.take(one)
    return world


def is_ready(pod: Body) -> bool:
    """Tell whether a pod serves."""
    found = pod.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in found)


def is_leaving(body: Body) -> bool:
    """Tell whether an object is being deleted."""
    return "deletionTimestamp" in body["metadata"]


def owner(body: Body) -> str:
    """Return the uid of what controls an object."""
    for reference in body["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            return str(reference["uid"])
    return ""


def condition(app: Body, kind: str) -> Body:
    """Return one condition of an app."""
    found = app.get("status", {}).get("conditions") or ()
    return next((one for one in found if one["type"] == kind), {})
