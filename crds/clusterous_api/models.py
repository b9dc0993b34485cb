"""A ClusterousApp as frozen values: what the operator and the CLI read instead of a bare body.

Parsing trusts the CRD's schema for types and checks what a schema cannot say; what it does not know
it leaves alone, so that a newer CRD does not break an older reader.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from clusterous_api import names
from clusterous_api.errors import UserError

Body = Mapping[str, Any]


class Run(StrEnum):
    """How long an app runs."""

    SERVICE = "Service"
    BATCH = "Batch"


class Until(StrEnum):
    """What a component waits for in another."""

    READY = "Ready"
    COMPLETE = "Complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """One port of a component's Service."""

    name: str
    port: int
    target_port: int
    protocol: str = "TCP"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """Another component that must be ready or complete before this one starts."""

    name: str
    until: Until = Until.READY


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """On which nodes a component may run."""

    role: str | None = None
    pool: str | None = None
    node_selector: Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A named group of equal pods. *replicas* None means: fill the cluster."""

    name: str
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[Body, ...] = ()
    resources: Body
    ports: tuple[Port, ...] = ()
    placement: Placement
    depends_on: tuple[Dependency, ...] = ()
    template: Body
    replicas: int | None = 1
    min: int = 0
    max: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterVolume:
    """The cluster's own volume; where it has none, a claim of the default storage class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingClaim:
    """A claim that the user made."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewClaim:
    """A claim that we make and never delete."""

    size: str = names.DEFAULT_VOLUME_SIZE
    storage_class: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NfsExport:
    """An NFS 4.1 export that is there already."""

    server: str
    path: str = "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class EfsFileSystem:
    """An EFS file system; without *server* it is found by its name in the cluster's region."""

    file_system_id: str
    server: str | None = None
    path: str = "/"


VolumeSource = ClusterVolume | ExistingClaim | NewClaim | NfsExport | EfsFileSystem


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedVolume:
    """What is mounted at /home/data, and which folder of it."""

    source: VolumeSource
    sub_path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """A port that `clusterous connect` opens."""

    name: str
    component: str
    port: int
    local_port: int | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """One ClusterousApp. *components* starts with the master and the workers, if there are any."""

    namespace: str
    name: str
    uid: str
    generation: int
    run: Run
    suspend: bool
    components: tuple[Component, ...]
    volume: SharedVolume
    expose: tuple[Exposure, ...]

    def component(self, name: str) -> Component | None:
        """Return the component of that name."""
        return next((one for one in self.components if one.name == name), None)

    @property
    def master(self) -> Component | None:
        """The component called master."""
        return self.component(names.MASTER)

    @property
    def workers(self) -> Component | None:
        """The component called workers."""
        return self.component(names.WORKERS)

    def is_job(self, component: Component) -> bool:
        """Tell whether it is to end: a batch's master, or one waited for until Complete."""
        if self.run is Run.BATCH and component.name == names.MASTER:
            return True
        return any(
            need.name == component.name and need.until is Until.COMPLETE
            for other in self.components
            for need in other.depends_on
        )


def parse(body: Body) -> App:
    """Read an app from an object of the API server; raise UserError where it is wrong."""
    metadata = body.get("metadata", {})
    spec = body.get("spec") or {}
    components = _components(spec)
    _check_dependencies(components)
    return App(
        namespace=metadata.get("namespace", "default"),
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        generation=metadata.get("generation", 0),
        run=Run(spec.get("run", Run.SERVICE)),
        suspend=bool(spec.get("suspend", False)),
        components=components,
        volume=_volume(spec.get("sharedVolume") or {}),
        expose=tuple(_exposure(item, components) for item in spec.get("expose") or ()),
    )


def _components(spec: Body) -> tuple[Component, ...]:
    image = spec.get("image", "")
    found = []
    if spec.get("master") is not None:
        found.append(_component(names.MASTER, spec["master"], image, replicas=1))
    if spec.get("workers") is not None:
        workers = spec["workers"]
        found.append(_component(names.WORKERS, workers, image, replicas=workers.get("replicas")))
    for item in spec.get("components") or ():
        found.append(_component(item["name"], item, image, replicas=item.get("replicas", 1)))
    if not found:
        raise UserError("The app has no component; give it a master, workers or components.")
    return tuple(found)


def _component(name: str, item: Body, image: str, replicas: int | None) -> Component:
    own_image = item.get("image") or image
    if not own_image:
        raise UserError(f"{name} has no image; give spec.image or one of its own.")
    return Component(
        name=name,
        image=own_image,
        command=tuple(item.get("command") or ()),
        args=tuple(item.get("args") or ()),
        env=tuple(item.get("env") or ()),
        resources=item.get("resources") or {},
        ports=tuple(_port(port) for port in item.get("ports") or ()),
        placement=_placement(item.get("placement") or {}),
        depends_on=tuple(_dependency(need) for need in item.get("dependsOn") or ()),
        template=item.get("template") or {},
        replicas=replicas,
        min=item.get("min", 0),
        max=item.get("max"),
    )


def _port(item: Body) -> Port:
    return Port(
        name=item["name"],
        port=item["port"],
        target_port=item.get("targetPort", item["port"]),
        protocol=item.get("protocol", "TCP"),
    )


def _placement(item: Body) -> Placement:
    return Placement(
        role=item.get("role"), pool=item.get("pool"), node_selector=item.get("nodeSelector") or {}
    )


def _dependency(item: Body) -> Dependency:
    return Dependency(name=item["name"], until=Until(item.get("until", Until.READY)))


def _volume(item: Body) -> SharedVolume:
    return SharedVolume(source=_volume_source(item), sub_path=item.get("subPath", ""))


def _volume_source(item: Body) -> VolumeSource:
    if item.get("claimName"):
        return ExistingClaim(name=item["claimName"])
    if item.get("size") or item.get("storageClassName"):
        return NewClaim(
            size=item.get("size", names.DEFAULT_VOLUME_SIZE),
            storage_class=item.get("storageClassName"),
        )
    existing = item.get("existing") or {}
    if existing.get("nfs"):
        nfs = existing["nfs"]
        return NfsExport(server=nfs["server"], path=nfs.get("path", "/"))
    if existing.get("efs"):
        efs = existing["efs"]
        return EfsFileSystem(
            file_system_id=efs["fileSystemId"],
            server=efs.get("server"),
            path=efs.get("path", "/"),
        )
    return ClusterVolume()


def _exposure(item: Body, components: Sequence[Component]) -> Exposure:
    component = next((one for one in components if one.name == item["component"]), None)
    if component is None:
        raise UserError(f"expose {item['name']} names {item['component']}, which is not there.")
    port = next((one for one in component.ports if item["port"] in (one.name, one.port)), None)
    if port is None:
        raise UserError(
            f"expose {item['name']} names port {item['port']}, which {component.name} has not; "
            "give the name or the number of one of its ports."
        )
    return Exposure(
        name=item["name"],
        component=component.name,
        port=port.port,
        local_port=item.get("localPort"),
        message=item.get("message", ""),
    )


def _check_dependencies(components: Sequence[Component]) -> None:
    known = {one.name for one in components}
    for one in components:
        for need in one.depends_on:
            if need.name not in known:
                raise UserError(f"{one.name} depends on {need.name}, which is not there.")
    if circle := _circle(components):
        raise UserError(f"The dependencies go in a circle: {' → '.join(circle)}.")


def _circle(components: Sequence[Component]) -> list[str]:
    waiting = {one.name: {need.name for need in one.depends_on} for one in components}
    while free := [name for name, needs in waiting.items() if not needs & waiting.keys()]:
        for name in free:
            del waiting[name]
    return sorted(waiting)
