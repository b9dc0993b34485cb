"""A ClusterousApp as frozen values: what the operator and the CLI read instead of a bare body.

Parsing trusts the CRD's schema for types and checks what a schema cannot say; what it does not know
it leaves alone, so that a newer CRD does not break an older reader.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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


class Spread(StrEnum):
    """Over what the pods of a component are spread evenly."""

    NODE = "Node"
    ZONE = "Zone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """On which nodes a component may run."""

    role: str | None = None
    pool: str | None = None
    node_selector: Body
    tolerations: tuple[Body, ...] = ()
    spread: tuple[Spread, ...] = ()
    priority_class_name: str | None = None


class Replace(StrEnum):
    """How a change of the pod reaches the pods that run."""

    ROLLING = "RollingUpdate"
    RECREATE = "Recreate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """How a component is updated; a share is a number of pods or a percentage such as 25%."""

    type: Replace = Replace.ROLLING
    max_surge: int | str | None = None
    max_unavailable: int | str | None = None
    paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """How a pod is asked to finish, by HTTP or by a command, and how long it may take."""

    http_get: Body | None = None  # path and port
    exec: tuple[str, ...] = ()
    deadline_seconds: int = 300


class ScaledBy(StrEnum):
    """Who decides on the number of workers."""

    OPERATOR = "Operator"
    AUTOSCALER = "Autoscaler"


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A named group of equal pods. *replicas* None means: fill the cluster.

    Where an autoscaler has not spoken yet, *replicas* is what it starts from.
    """

    name: str
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[Body, ...] = ()
    resources: Body
    ports: tuple[Port, ...] = ()
    aliases: tuple[str, ...] = ()
    headless: bool = False  # its names lead to its pods themselves
    placement: Placement
    depends_on: tuple[Dependency, ...] = ()
    template: Body
    security_context: Body
    drain: Drain | None = None
    strategy: Strategy
    scaled_by: ScaledBy = ScaledBy.OPERATOR
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
    access_mode: str | None = None


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
    """What is mounted at /home/data, which folder of it, and what becomes of it in the end."""

    source: VolumeSource
    sub_path: str = ""
    fs_group: int | None = None
    is_kept: bool = True  # when the app is deleted


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """A port that `clusterous connect` opens."""

    name: str
    component: str
    port: int
    local_port: int | None = None
    message: str = ""


class Quorum(StrEnum):
    """How many of the named components make a batch a success."""

    ALL = "All"
    ANY = "Any"


@dataclass(frozen=True, slots=True, kw_only=True)
class SuccessPolicy:
    """Whose end with code 0 is the success of a batch."""

    operator: Quorum = Quorum.ALL
    components: tuple[str, ...] = (names.MASTER,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """How a batch is tried, when it is done, and when it is cleared away. Times in seconds."""

    backoff_limit: int = 6
    active_deadline_seconds: int | None = None
    ttl_seconds_after_finished: int | None = None
    success_policy: SuccessPolicy = SuccessPolicy()


class Action(StrEnum):
    """What a rule does about a failure."""

    RESTART_GROUP = "RestartGroup"
    RESTART_APP = "RestartApp"
    IGNORE = "Ignore"
    FAIL = "Fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of a failure policy; an empty tuple fits everything, but not both codes and reasons.

    A failure fits when its exit code is among the codes, or its reason among the reasons.
    """

    action: Action
    components: tuple[str, ...] = ()
    exit_codes: tuple[int, ...] = ()
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FailurePolicy:
    """What to do when a container fails; the first rule that fits counts."""

    rules: tuple[Rule, ...]
    max_restarts: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """When a service has nothing to do: less than *cpu* (a quantity) in all, for so long."""

    after_seconds: int
    cpu: float | str = "50m"


class LogFormat(StrEnum):
    """How the lines of the output are to be read."""

    TEXT = "Text"
    JSON = "JSON"


@dataclass(frozen=True, slots=True, kw_only=True)
class Logging:
    """What the log pipeline is told."""

    enabled: bool = True
    format: LogFormat = LogFormat.TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """One ClusterousApp. *components* starts with the master and the workers, if there are any.

    *labels* and *annotations* are the object's own, as far as the reader kept them.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    run: Run
    suspend: bool
    components: tuple[Component, ...]
    volume: SharedVolume
    expose: tuple[Exposure, ...]
    batch: Batch = Batch()
    idle: Idle | None = None
    failure_policy: FailurePolicy | None = None
    image_pull_secrets: tuple[str, ...] = ()
    logging: Logging | None = None
    labels: Body = field(default_factory=dict)
    annotations: Body = field(default_factory=dict)
    created: str = ""  # when, as Kubernetes writes times

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
        """Tell whether it is to end: one that makes a batch, or is waited for until Complete."""
        if self.run is Run.BATCH:
            counted = (names.MASTER, *self.batch.success_policy.components)
            if component.name in counted:
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
    _check_aliases(components)
    policy = spec.get("failurePolicy")
    idle = spec.get("idle")
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
        batch=_batch(spec.get("batch") or {}),
        idle=None if idle is None else _idle(idle),
        failure_policy=None if policy is None else _failure_policy(policy),
        image_pull_secrets=tuple(item["name"] for item in spec.get("imagePullSecrets") or ()),
        logging=None if spec.get("logging") is None else _logging(spec["logging"]),
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
        created=metadata.get("creationTimestamp") or "",
    )


def _batch(item: Body) -> Batch:
    success = item.get("successPolicy")
    return Batch(
        backoff_limit=item.get("backoffLimit", 6),
        active_deadline_seconds=item.get("activeDeadlineSeconds"),
        ttl_seconds_after_finished=item.get("ttlSecondsAfterFinished"),
        success_policy=SuccessPolicy() if success is None else _success_policy(success),
    )


def _success_policy(item: Body) -> SuccessPolicy:
    operator = Quorum(item.get("operator", Quorum.ALL))
    return SuccessPolicy(operator=operator, components=tuple(item["components"]))


def _idle(item: Body) -> Idle:
    return Idle(after_seconds=item["afterSeconds"], cpu=item.get("cpu", "50m"))


def _failure_policy(item: Body) -> FailurePolicy:
    rules = tuple(_rule(one) for one in item["rules"])
    return FailurePolicy(rules=rules, max_restarts=item.get("maxRestarts", 3))


def _rule(item: Body) -> Rule:
    return Rule(
        action=Action(item["action"]),
        components=tuple(item.get("components") or ()),
        exit_codes=tuple(item.get("exitCodes") or ()),
        reasons=tuple(item.get("reasons") or ()),
    )


def _logging(item: Body) -> Logging:
    chosen = LogFormat(item.get("format", LogFormat.TEXT))
    return Logging(enabled=item.get("enabled", True), format=chosen)


def _components(spec: Body) -> tuple[Component, ...]:
    image = spec.get("image", "")
    found = []
    if spec.get("master") is not None:
        found.append(_component(names.MASTER, spec["master"], image, replicas=1))
    if spec.get("workers") is not None:
        workers = spec["workers"]
        found.append(_component(names.WORKERS, workers, image, replicas=_workers(workers)))
    for item in spec.get("components") or ():
        replicas = None if item.get("fill") else item.get("replicas", 1)
        found.append(_component(item["name"], item, image, replicas=replicas))
    if not found:
        raise UserError("The app has no component; give it a master, workers or components.")
    return tuple(found)


def _workers(item: Body) -> int | None:
    """Return how many workers are asked for; an autoscaler starts from one at least."""
    replicas: int | None = item.get("replicas")
    if replicas is None and item.get("scaledBy") == ScaledBy.AUTOSCALER:
        return max(1, int(item.get("min", 1)))
    return replicas


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
        aliases=tuple(item.get("aliases") or ()),
        headless=bool(item.get("headless", False)),
        placement=_placement(item.get("placement") or {}),
        depends_on=tuple(_dependency(need) for need in item.get("dependsOn") or ()),
        template=item.get("template") or {},
        security_context=item.get("securityContext") or {},
        drain=_drain(item["drain"]) if item.get("drain") else None,
        strategy=_strategy(name, item.get("strategy") or {}),
        scaled_by=ScaledBy(item.get("scaledBy", ScaledBy.OPERATOR)),
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
        role=item.get("role"),
        pool=item.get("pool"),
        node_selector=item.get("nodeSelector") or {},
        tolerations=tuple(item.get("tolerations") or ()),
        spread=tuple(Spread(one) for one in item.get("spread") or ()),
        priority_class_name=item.get("priorityClassName"),
    )


def _drain(item: Body) -> Drain:
    return Drain(
        http_get=item.get("httpGet"),
        exec=tuple((item.get("exec") or {}).get("command") or ()),
        deadline_seconds=item.get("deadlineSeconds", 300),
    )


def _strategy(name: str, item: Body) -> Strategy:
    """Read how to update; two masters at once could both write the results."""
    ours = Replace.RECREATE if name == names.MASTER else Replace.ROLLING
    return Strategy(
        type=Replace(item.get("type", ours)),
        max_surge=item.get("maxSurge"),
        max_unavailable=item.get("maxUnavailable"),
        paused=item.get("paused", False),
    )


def _dependency(item: Body) -> Dependency:
    return Dependency(name=item["name"], until=Until(item.get("until", Until.READY)))


def _volume(item: Body) -> SharedVolume:
    return SharedVolume(
        source=_volume_source(item),
        sub_path=item.get("subPath", ""),
        fs_group=item.get("fsGroup"),
        is_kept=item.get("retentionPolicy", "Retain") == "Retain",
    )


def _volume_source(item: Body) -> VolumeSource:
    if item.get("claimName"):
        return ExistingClaim(name=item["claimName"])
    own = ("size", "storageClassName", "accessMode")
    if any(item.get(key) for key in own) or item.get("retentionPolicy") == "Delete":
        return NewClaim(
            size=item.get("size", names.DEFAULT_VOLUME_SIZE),
            storage_class=item.get("storageClassName"),
            access_mode=item.get("accessMode"),
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


def _check_aliases(components: Sequence[Component]) -> None:
    taken: dict[str, str] = {}
    for one in components:
        for alias in one.aliases:
            other = taken.setdefault(alias, one.name)
            if other != one.name:
                raise UserError(f"{one.name} and {other} are both to be called {alias}.")
            if alias != one.name and any(alias == another.name for another in components):
                raise UserError(f"{one.name} is to be called {alias}, as another component is.")


def _circle(components: Sequence[Component]) -> list[str]:
    waiting = {one.name: {need.name for need in one.depends_on} for one in components}
    while free := [name for name, needs in waiting.items() if not needs & waiting.keys()]:
        for name in free:
            del waiting[name]
    return sorted(waiting)
