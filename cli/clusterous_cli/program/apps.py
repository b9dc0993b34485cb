"""Programs on the cluster: started from a manifest, watched until they are ready, told about."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote

from clusterous_api import names, quantity
from clusterous_api.conditions import Type
from clusterous_api.errors import FailedError, UserError
from clusterous_cli.program import load
from clusterous_cli.program.convert import Machine, dns_label
from clusterous_cli.reach.kube import Api, Object, apps_path, readiness

POLL_SECONDS: Final = 1.0
# Pods in trouble may recover: a container dies while what it needs starts, a pull is tried again.
# Trouble that lasts so long will stay; it has ended when none was seen for CALM_SECONDS.
PATIENCE_SECONDS: Final = 60.0
CALM_SECONDS: Final = 15.0
# Of what a controller has free, a tenth stays for its own services, whose use goes up and down.
MEMORY_FOR_APPS: Final = 0.9
# Of a controller's CPU so much stays for a new pod of the operator beside the old one.
CONTROLLER_MILLIS: Final = 200


Steady = Callable[[Callable[[], "AppState"]], "AppState"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentState:
    name: str
    desired: int
    ready: int
    failed: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An exposed port, as `connect` opens it."""

    name: str
    component: str
    service: str
    port: int
    local_port: int
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppState:
    """What the operator says about an app; *state* is the one word for people."""

    namespace: str
    name: str
    run: str
    is_current: bool
    conditions: Mapping[str, tuple[str, str, str]]
    components: tuple[ComponentState, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    message: str = ""
    since: str = ""
    is_idle: bool = False
    is_suspended: bool = False  # by its spec

    def holds(self, condition: str) -> bool:
        return self.conditions.get(condition, ("", "", ""))[0] == "True"

    @property
    def state(self) -> str:
        for kind in (Type.COMPLETED, Type.SUSPENDED, Type.STALLED, Type.READY):
            if self.holds(kind):
                return kind.value
        return "Starting"

    def component(self, name: str) -> ComponentState | None:
        return next((c for c in self.components if c.name == name), None)


# -- reading what the operator wrote --------------------------------------------------------


def app_state(body: Object) -> AppState:
    """The state in an app's body; not current while the operator has not seen its last change."""
    metadata, status = body["metadata"], body.get("status") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    told = {
        name: (c["status"], c.get("reason", ""), c.get("message", ""))
        for name, c in conditions.items()
    }
    state = AppState(
        namespace=metadata.get("namespace", "default"),
        name=metadata["name"],
        run=body.get("spec", {}).get("run", "Service"),
        is_current=status.get("observedGeneration") == metadata.get("generation"),
        conditions=told,
        components=tuple(_component(c) for c in status.get("components") or ()),
        endpoints=tuple(_endpoint(e) for e in status.get("endpoints") or ()),
        message=status.get("message", ""),
        is_idle=(status.get("idle") or {}).get("suspended", False),
        is_suspended=bool(body.get("spec", {}).get("suspend", False)),
    )
    since = conditions.get(state.state if state.state in conditions else Type.READY, {})
    return replace(state, since=since.get("lastTransitionTime", ""))


def _component(item: Object) -> ComponentState:
    return ComponentState(
        name=item["name"],
        desired=item.get("desired", 0),
        ready=item.get("ready", 0),
        failed=item.get("failed", 0),
        reason=item.get("reason", ""),
    )


def _endpoint(item: Object) -> Endpoint:
    return Endpoint(
        name=item["name"],
        component=item.get("component", ""),
        service=item.get("service", ""),
        port=item.get("port", 0),
        local_port=item.get("localPort") or item.get("port", 0),
        message=item.get("message", ""),
    )


def progress_text(state: AppState) -> str:
    """One line for a person: master 1/1   workers 6/8  (2 wait: …)."""
    parts = [f"{c.name} {c.ready}/{c.desired}" for c in state.components]
    reasons = dict.fromkeys(c.reason for c in state.components if c.reason)
    if not parts:
        return state.message or "waiting for the operator"
    note = f"  ({'; '.join(reasons)})" if reasons else ""
    return "   ".join(parts) + note


class Outcome(StrEnum):
    """What a look at an app says about waiting for it."""

    GOING = "going"
    DONE = "done"
    TROUBLE = "trouble"
    FAILED = "failed"


def outcome(state: AppState, until: str) -> Outcome:
    """Whether to go on waiting until the app is Ready (or Completed)."""
    if not state.is_current:
        return Outcome.GOING
    if state.holds(Type.COMPLETED) or (until == Type.READY and state.holds(Type.READY)):
        return Outcome.DONE
    if state.holds(Type.STALLED):
        return Outcome.FAILED
    is_down = any(c.failed and not c.ready for c in state.components)
    return Outcome.TROUBLE if is_down else Outcome.GOING


@dataclass(frozen=True, slots=True)
class Trouble:
    """When trouble was seen first and last; a container that dies again and again runs between."""

    first: float
    last: float

    @property
    def is_lasting(self) -> bool:
        return self.last - self.first >= PATIENCE_SECONDS


def trouble(before: Trouble | None, found: Outcome, now: float) -> Trouble | None:
    """*before*, having seen what was *found* now."""
    if found is Outcome.TROUBLE:
        return Trouble(before.first if before else now, now)
    is_over = before is None or now - before.last > CALM_SECONDS
    return None if is_over else before


def failure(state: AppState) -> str:
    """Why an app failed, in the operator's words."""
    words = [state.conditions.get(Type.STALLED, ("", "", ""))[2]]
    words += [f"{c.name}: {c.reason}" for c in state.components if c.reason]
    return "\n    ".join(dict.fromkeys(word for word in words if word)) or state.message


def message_text(endpoint: Endpoint, port: int) -> str:
    """What the app's author wants to be said; {url} and {port} filled in, other braces left."""
    url = f"http://localhost:{port}"
    if not endpoint.message:
        return f"{endpoint.component} port {endpoint.port} is at {url}"
    return endpoint.message.replace("{url}", url).replace("{port}", str(port)).rstrip()


# -- what the nodes have --------------------------------------------------------------------


def machines(nodes: Iterable[Object], pods: Iterable[Object]) -> dict[str, Machine]:
    """Node group of an environment file → what it has for apps, by its smallest node."""
    used = _used_by_others(pods)
    groups: dict[str, list[tuple[int, int, int]]] = {}
    for node in nodes:
        if not _is_usable(node):
            continue
        size = _size(node, used.get(node["metadata"]["name"], (0, 0)))
        for group in _groups(node):
            groups.setdefault(group, []).append(size)
    return {
        group: Machine(
            nodes=len(sizes),
            cpu_millis=min(size[0] for size in sizes),
            free_millis=max(min(size[1] for size in sizes), 0),
            free_bytes=max(min(size[2] for size in sizes), 0),
        )
        for group, sizes in groups.items()
    }


def _groups(node: Object) -> list[str]:
    labels = node["metadata"].get("labels", {})
    is_controller = names.LABEL_CONTROL_PLANE in labels
    if is_controller:
        return [names.ROLE_CONTROLLER]
    pool = labels.get(names.LABEL_POOL)
    # A node has its taints from the beginning, and the label of its pool some seconds later.
    taints = [one["key"] for one in node.get("spec", {}).get("taints") or ()]
    if pool == names.POOL_MASTER or names.MASTER_TAINT in taints:
        return [names.POOL_MASTER]
    return list(dict.fromkeys([names.ROLE_WORKER, *([pool] if pool else [])]))


def _is_usable(node: Object) -> bool:
    return readiness(node) == "True" and not node.get("spec", {}).get("unschedulable")


def _size(node: Object, used: tuple[int, int]) -> tuple[int, int, int]:
    status = node["status"]
    allocatable = status["allocatable"]
    is_controller = names.LABEL_CONTROL_PLANE in node["metadata"].get("labels", {})
    kept = CONTROLLER_MILLIS if is_controller else 0
    return (
        int(quantity.parse(status["capacity"]["cpu"]) * 1000),
        int(quantity.parse(allocatable["cpu"]) * 1000) - used[0] - kept,
        int((int(quantity.parse(allocatable["memory"])) - used[1]) * MEMORY_FOR_APPS),
    )


def _used_by_others(pods: Iterable[Object]) -> dict[str, tuple[int, int]]:
    """Node → CPU and memory that pods request which belong to no app of ours."""
    used: dict[str, tuple[int, int]] = {}
    for pod in pods:
        labels = pod["metadata"].get("labels") or {}
        node = pod.get("spec", {}).get("nodeName")
        is_over = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
        if node and not is_over and names.LABEL_APP not in labels:
            cpu, memory = _requests(pod)
            before = used.get(node, (0, 0))
            used[node] = (before[0] + cpu, before[1] + memory)
    return used


def _requests(pod: Object) -> tuple[int, int]:
    asked = load.requests(pod)
    return round(asked.cpu * 1000), asked.memory


# -- acting ---------------------------------------------------------------------------------


def all_states(api: Api) -> list[AppState]:
    """Every app of the cluster, by namespace and name."""
    states = [app_state(body) for body in api.items(apps_path())]
    return sorted(states, key=lambda s: (s.namespace, s.name))


def find(api: Api, name: str | None) -> AppState:
    """The app called *name* (as on the cluster, or as its file has it), or the only one."""
    there = all_states(api)
    states = [s for s in there if name in (None, s.name, f"{s.namespace}/{s.name}")]
    states = states or [s for s in there if name is not None and s.name == dns_label(name)]
    if len(states) == 1:
        return states[0]
    if not states:
        which = f"app {name}" if name else "app"
        raise UserError(f"There is no {which} on the cluster; `clusterous run FILE` starts one.")
    shown = ", ".join(f"{s.namespace}/{s.name}" for s in states)
    raise UserError(f"There are several apps: {shown}. Name one of them.")


def cluster_machines(api: Api) -> dict[str, Machine]:
    return machines(api.items("/api/v1/nodes"), api.items("/api/v1/pods"))


def wait(
    api: Api,
    app: AppState,
    tell: Callable[[AppState], None],
    *,
    until: str,
    timeout: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    steady: Steady = lambda ask: ask(),
) -> AppState:
    """Look at *app* until it is *until* (Ready or Completed); a failing app is an error.

    *steady* asks again what got no answer.
    """
    end, lasting = clock() + timeout, None
    while True:
        state = steady(lambda: look(api, app))
        tell(state)
        found = outcome(state, until)
        if found is Outcome.DONE:
            return state
        lasting = trouble(lasting, found, clock())
        if found is Outcome.FAILED or (lasting and lasting.is_lasting):
            raise FailedError(f"{state.name} failed:\n    {failure(state)}")
        if clock() >= end:
            raise FailedError(_late(state, until, timeout))
        sleep(POLL_SECONDS)


def resume(api: Api, app: AppState) -> AppState:
    """Wake an app that was suspended: by somebody, or for being idle.

    For the latter a value that was not there before does it.
    """
    path = apps_path(app.namespace, app.name)
    if app.is_suspended:
        return app_state(api.merge(path, {"spec": {"suspend": False}}))
    body = api.annotate(path, names.ANNOTATION_RESUME, app.since)
    return replace(app_state(body), is_current=False)


def _late(state: AppState, until: str, timeout: float) -> str:
    return (
        f"{state.name} is not {until} after {timeout / 60:.0f} min: {progress_text(state)}.\n"
        "  It goes on; `clusterous status` shows how far it is."
    )


def look(api: Api, app: AppState) -> AppState:
    """*app* as it is now."""
    body = api.find(apps_path(app.namespace, app.name))
    if body is None:
        raise FailedError(f"{app.name} was deleted while we waited for it.")
    return app_state(body)


def has_ended(api: Api, app: AppState) -> bool:
    """Whether *app* is a batch that has completed, or is not there any more."""
    body = api.find(apps_path(app.namespace, app.name))
    return body is None or app_state(body).holds(Type.COMPLETED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Far:
    """Where a tunnel ends: an address inside the cluster, and a port of it."""

    address: str
    port: int


def far_end(api: Api, app: AppState, endpoint: Endpoint) -> Far:
    """Where the endpoint's pods are, whichever node they run on; of a headless one, one of them."""
    namespace, service = quote(app.namespace, safe=""), quote(endpoint.service, safe="")
    found = api.find(f"/api/v1/namespaces/{namespace}/services/{service}") or {}
    spec = found.get("spec") or {}
    address = spec.get("clusterIP")
    if address == "None":
        which = f"labelSelector=kubernetes.io%2Fservice-name%3D{service}"
        path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?{which}"
        if there := _behind(api.items(path), spec.get("ports") or (), endpoint.port):
            return there
    elif address:
        return Far(address=str(address), port=endpoint.port)
    raise FailedError(
        f"{endpoint.name} has no address yet; `clusterous status` shows how {app.name} is."
    )


def _behind(slices: Sequence[Object], ports: Sequence[Object], port: int) -> Far | None:
    """The first ready pod behind a Service, with its own number of that *port*."""
    name = next((one.get("name", "") for one in ports if one["port"] == port), None)
    for one in slices:
        numbers = [p["port"] for p in one.get("ports") or () if p.get("name", "") == name]
        for end in one.get("endpoints") or ():
            is_ready = (end.get("conditions") or {}).get("ready", True) is not False
            if is_ready and numbers and end.get("addresses"):
                return Far(address=str(end["addresses"][0]), port=int(numbers[0]))
    return None


def chosen(endpoints: Sequence[Endpoint], name: str | None, app: str) -> list[Endpoint]:
    """The endpoints that are called *name*, or all of them."""
    found = [e for e in endpoints if name in (None, e.name, e.component)]
    if found:
        return found
    there = ", ".join(e.name for e in endpoints) or "nothing"
    what = f"no {name}; it exposes {there}" if name else "nothing (spec.expose is empty)"
    raise UserError(f"{app} exposes {what}.")


def as_data(state: AppState) -> dict[str, Any]:
    """For -o json."""
    return {
        "namespace": state.namespace,
        "name": state.name,
        "state": state.state,
        "since": state.since,
        "message": state.message,
        "components": [
            {"name": c.name, "ready": c.ready, "desired": c.desired, "reason": c.reason}
            for c in state.components
        ],
    }
