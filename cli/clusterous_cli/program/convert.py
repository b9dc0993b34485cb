"""Turns an environment file of the predecessor into a ClusterousApp. Pure: values in, dicts out."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_cli.program import envfile
from clusterous_cli.program.envfile import Component, Environment, Tunnel

Manifest = dict[str, Any]

# What is no pool: any worker, and the controller, on which nothing runs that does not name it.
ROLES: Final = {"worker": names.ROLE_WORKER, "controller": names.ROLE_CONTROLLER}
# Of a cluster without a machine for masters, these are on workers.
WITHOUT: Final = {names.POOL_MASTER: "worker"}
# `run` finds by it that the same file was run before, without computing shares again.
ANNOTATION_SOURCE: Final = f"{names.DOMAIN}/source"
# The name as the file has it: several become one label.
ANNOTATION_NAME: Final = f"{names.DOMAIN}/environment"
# Of the conversion: what an older one made of a file is made anew by the next `run`.
FORM: Final = 2
IDLE_NOTICE_MILLIS: Final = 50
# How long the name of a pool may be (cluster.config.NAME), and that of a component.
POOL_LIMIT: Final = 30
TITLE_LIMIT: Final = 18
_HOST_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
# What Kubernetes takes for its own $(NAME): several $, and $( itself. A $ before what is not ASCII
# breaks that letter there.
_EXPANDED: Final = re.compile(r"\$(?:\$+|(?=[(\u0080-\U0010ffff]))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a node group has: sizes are those of its smallest node, free is what apps may use."""

    nodes: int
    cpu_millis: int
    free_millis: int
    free_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    manifest: Manifest
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Share:
    """What one instance asks for."""

    millis: int
    bytes: int
    per_node: int


def dns_label(text: str, limit: int = 40) -> str:
    """The nearest legal DNS label; a hash keeps cut names apart."""
    label = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"
    label = label if label[0].isalpha() else f"x{label}"
    if len(label) <= limit:
        return label
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    return f"{label[: limit - 7].rstrip('-')}-{digest}"


def called(name: str) -> str:
    """The name under which a component is asked for: its own, as far as a host can have it."""
    plain = name.lower()
    is_legal = len(plain) <= names.LONGEST_LABEL and _HOST_NAME.fullmatch(plain)
    return plain if is_legal else dns_label(name, names.LONGEST_LABEL)


def verbatim(cmd: str) -> str:
    """*cmd* so that Kubernetes, which expands $(NAME) and $$ in it, gives it word for word."""
    return _EXPANDED.sub(lambda found: found[0] * 2, cmd)


def placement(machine: str) -> Manifest:
    if machine in ROLES:
        return {"role": ROLES[machine]}
    return {"pool": dns_label(machine, POOL_LIMIT)}


def fingerprint(environment: Environment, images: Mapping[str, str]) -> str:
    """The same for the same file and the same image contents, whatever the cluster's size."""
    text = repr((FORM, replace(environment, warnings=()), sorted(images.items())))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def convert(
    environment: Environment, machines: Mapping[str, Machine], images: Mapping[str, str]
) -> Conversion:
    """The app that does what *environment* says.

    *machines* tells what each node group has; *images* gives for the image names of the file
    the references that the cluster can pull, others stand for themselves.
    """
    source = fingerprint(environment, images)
    environment = placed(environment, machines)
    _check_machines(environment, machines)
    titles = component_titles(environment.components)
    app = dns_label(environment.name)
    notes = [note for c in environment.components for note in _notes(app, c, titles, machines)]
    annotations = {
        ANNOTATION_SOURCE: source,
        ANNOTATION_NAME: environment.name,
    }
    manifest = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": app, "annotations": annotations},
        "spec": _spec(environment, titles, machines, images),
    }
    return Conversion(manifest=manifest, notes=tuple(notes))


def placed(environment: Environment, machines: Mapping[str, Machine]) -> Environment:
    """Call machines as the cluster does, where a pool has to be called otherwise than its group.

    What is for a machine for masters that the cluster has not is put on workers.
    """
    components = tuple(
        replace(one, machine=_group(one.machine, machines)) for one in environment.components
    )
    return replace(environment, components=components)


def _group(machine: str, machines: Mapping[str, Machine]) -> str:
    legal = dns_label(machine, POOL_LIMIT)
    if machine in machines or legal not in machines:
        return machine if machine in machines else WITHOUT.get(machine, machine)
    return legal


def _spec(
    environment: Environment,
    titles: Mapping[str, str],
    machines: Mapping[str, Machine],
    images: Mapping[str, str],
) -> Manifest:
    spec: Manifest = {"run": "Service"}
    others = []
    for component in environment.components:
        title = titles[component.name]
        share = _share(component, environment.components, machines)
        block = {
            **_replicas(component, title),
            **_block(component, environment, titles, share, images),
        }
        if title in (names.MASTER, names.WORKERS):
            spec[title] = block
        else:
            others.append({"name": title, **block})
    if others:
        spec["components"] = others
    if ends := _ends(environment):
        spec["expose"] = [_expose(tunnel, end, titles) for tunnel, end in ends]
    return spec


def component_titles(components: Sequence[Component]) -> dict[str, str]:
    """Component → its name in the app: master, workers, or a legal name of its own.

    The workers are who is called so, else the first component that fills its machines, else the
    one called worker.
    """
    filling = next((c.name for c in components if c.count == "auto"), None)
    own = {c.name for c in components}
    workers = names.WORKERS if names.WORKERS in own else filling or names.ROLE_WORKER
    titles: dict[str, str] = {}
    for component in components:
        if component.name == workers:
            titles[component.name] = names.WORKERS
        elif component.name == names.MASTER and component.count == 1:
            titles[component.name] = names.MASTER
        else:
            # No name that is another's own: others ask for that.
            taken = {names.MASTER, names.WORKERS, *titles.values(), *(own - {component.name})}
            titles[component.name] = _free(dns_label(component.name, TITLE_LIMIT), taken)
    return titles


def _free(label: str, taken: set[str]) -> str:
    numbered = (label if n == 1 else f"{label}-{n}" for n in range(1, len(taken) + 3))
    return next(name for name in numbered if name not in taken)


def _check_machines(environment: Environment, machines: Mapping[str, Machine]) -> None:
    for component in environment.components:
        machine = machines.get(component.machine)
        if machine is None or machine.nodes == 0:
            there = ", ".join(name for name, m in machines.items() if m.nodes) or "none"
            raise UserError(
                f"{component.name} wants the machine {component.machine}, but the cluster has no "
                f"such node (it has: {there}). Nothing was started."
            )


def _share(
    component: Component, components: Sequence[Component], machines: Mapping[str, Machine]
) -> _Share:
    """CPU and memory of one instance, as the predecessor computed them."""
    machine = machines[component.machine]
    if component.cpu == "auto":
        here = sum(c.machine == component.machine for c in components)
        return _Share(
            millis=_floor(machine.free_millis // here, 10),
            bytes=_floor(machine.free_bytes // here, 1 << 20),
            per_node=1,
        )
    wanted = round(component.cpu * 1000)
    per_node = machine.cpu_millis // max(wanted, 1)
    if per_node < 1:
        raise UserError(
            f"{component.name} wants {component.cpu:g} CPUs, but a node of {component.machine} "
            f"has only {machine.cpu_millis / 1000:g}. Nothing was started."
        )
    # A node's own services take a little: the instances become a little smaller, not fewer.
    millis = min(wanted, _floor(machine.free_millis // per_node, 10))
    memory = machine.free_bytes * wanted // machine.cpu_millis
    return _Share(millis=max(millis, 1), bytes=_floor(memory, 1 << 20), per_node=per_node)


def _floor(number: int, step: int) -> int:
    return max(number // step * step, step)


def _replicas(component: Component, title: str) -> Manifest:
    """Workers without a number fill their machines, others that are told to."""
    if title == names.MASTER or (title == names.WORKERS and component.count == "auto"):
        return {}
    return {"fill": True} if component.count == "auto" else {"replicas": component.count}


def _block(
    component: Component,
    environment: Environment,
    titles: Mapping[str, str],
    share: _Share,
    images: Mapping[str, str],
) -> Manifest:
    memory = f"{share.bytes >> 20}Mi"
    block: Manifest = {
        "image": images.get(component.image, component.image),
        "placement": placement(component.machine),
        "resources": {
            "requests": {"cpu": f"{share.millis}m", "memory": memory},
            "limits": {"memory": memory},
        },
    }
    if component.cmd is not None:
        block["command"] = ["/bin/sh", "-c", verbatim(component.cmd)]
    if ports := _ports(component, environment):
        block["ports"] = ports
    if not component.ports:
        # Whoever asks for it asks for its machine: nobody knows at which ports.
        block["headless"] = True
    if alias := _alias(component, environment.components, titles):
        block["aliases"] = [alias]
    if component.depends:
        block["dependsOn"] = [
            {"name": titles[other], "until": "Ready"} for other in component.depends
        ]
    if component.host_network:
        pod = {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}
        block["template"] = {"spec": pod}
    return block


def _alias(component: Component, components: Sequence[Component], titles: Mapping[str, str]) -> str:
    """The name of its own that *component* has beside its title; none that is another's."""
    name = called(component.name)
    if name == titles[component.name]:
        return ""
    nearest = sorted(
        (c for c in components if called(c.name) == name), key=lambda c: c.name != name
    )
    return name if nearest[0] is component else ""


def _ports(component: Component, environment: Environment) -> list[Manifest]:
    """The host port is what callers use, so it is the service's; the container's is the target.

    A component on the host's network names no ports: those that tunnels lead to are taken.
    """
    if component.host_network:
        ends = [tunnel.remote for tunnel, end in _ends(environment) if end == component]
        return [{"name": _port_name(port), "port": port} for port in sorted(set(ends))]
    return [
        {"name": _port_name(port.host), "port": port.host, "targetPort": port.container}
        for port in component.ports
    ]


def _ends(environment: Environment) -> list[tuple[Tunnel, Component]]:
    """The tunnels, each with the component that is at its far end; those without one left out."""
    components = {one.name: one for one in environment.components}
    found = [(one, envfile.behind(one, components)) for one in environment.tunnels]
    return [(tunnel, end) for tunnel, end in found if end is not None]


def _port_name(port: int) -> str:
    return f"p{port}"


def _expose(tunnel: Tunnel, end: Component, titles: Mapping[str, str]) -> Manifest:
    exposed: Manifest = {
        "name": f"{titles[tunnel.component]}-{tunnel.local}",
        "component": titles[end.name],
        "port": _port_name(tunnel.remote),
        "localPort": tunnel.local,
    }
    return exposed if tunnel.message is None else {**exposed, "message": tunnel.message}


def _notes(
    app: str, component: Component, titles: Mapping[str, str], machines: Mapping[str, Machine]
) -> list[str]:
    """What the person should know about how this component was taken."""
    notes = []
    machine, name = machines[component.machine], called(component.name)
    child = names.child(app, name)
    if not component.ports and name != titles[component.name] and not names.is_label(child):
        notes.append(
            f"{component.name} is reached as {titles[component.name]} inside the app: {child} is"
            " too long, or has a dot in it"
        )
    elif name != component.name.lower():
        notes.append(f"{component.name} is reached as {name} inside the app")
    if component.cpu != "auto" and component.count == "auto":
        idle = machine.cpu_millis % max(round(component.cpu * 1000), 1)
        if idle > IDLE_NOTICE_MILLIS:
            notes.append(f"{component.name} leaves {idle / 1000:g} CPUs of each node idle")
    return notes
