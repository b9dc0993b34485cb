"""Turns an environment file of the predecessor into a ClusterousApp. Pure: values in, dicts out."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from clusterous_api import names
from clusterous_api.errors import UserError
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
IDLE_NOTICE_MILLIS: Final = 50


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


def placement(machine: str) -> Manifest:
    if machine in ROLES:
        return {"role": ROLES[machine]}
    return {"pool": dns_label(machine)}


def fingerprint(environment: Environment, images: Mapping[str, str]) -> str:
    """The same for the same file and the same image contents, whatever the cluster's size."""
    text = repr((environment, sorted(images.items())))
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
    notes = [note for c in environment.components for note in _notes(c, titles, machines)]
    annotations = {
        ANNOTATION_SOURCE: source,
        ANNOTATION_NAME: environment.name,
    }
    manifest = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": dns_label(environment.name), "annotations": annotations},
        "spec": _spec(environment, titles, machines, images),
    }
    return Conversion(manifest=manifest, notes=tuple(notes))


def placed(environment: Environment, machines: Mapping[str, Machine]) -> Environment:
    """Put on workers what is for a machine for masters that the cluster has not."""
    return replace(
        environment,
        components=tuple(
            one
            if one.machine in machines
            else replace(one, machine=WITHOUT.get(one.machine, one.machine))
            for one in environment.components
        ),
    )


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
            **_replicas(component, title, share, machines),
            **_block(component, environment, titles, share, images),
        }
        if title in (names.MASTER, names.WORKERS):
            spec[title] = block
        else:
            others.append({"name": title, **block})
    if others:
        spec["components"] = others
    if environment.tunnels:
        spec["expose"] = [_expose(tunnel, titles) for tunnel in environment.tunnels]
    return spec


def component_titles(components: Sequence[Component]) -> dict[str, str]:
    """Component → its name in the app: master, workers, or a legal name of its own.

    The workers are the first component that fills its machines, else the one called worker.
    """
    filling = next((c.name for c in components if c.count == "auto"), None)
    called = next((c.name for c in components if c.name in ("worker", names.WORKERS)), None)
    workers = filling or called
    titles: dict[str, str] = {}
    for component in components:
        if component.name == workers:
            titles[component.name] = names.WORKERS
        elif component.name == names.MASTER and component.count == 1:
            titles[component.name] = names.MASTER
        else:
            taken = {names.MASTER, names.WORKERS, *titles.values()}
            titles[component.name] = _free(dns_label(component.name, 18), taken)
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


def _replicas(
    component: Component, title: str, share: _Share, machines: Mapping[str, Machine]
) -> Manifest:
    """Workers without a number fill the cluster; nothing else can."""
    if title == names.MASTER or (title == names.WORKERS and component.count == "auto"):
        return {}
    if component.count == "auto":
        return {"replicas": machines[component.machine].nodes * share.per_node}
    return {"replicas": component.count}


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
        block["command"] = ["/bin/sh", "-c", component.cmd]
    if ports := _ports(component, environment.tunnels):
        block["ports"] = ports
    if component.depends:
        block["dependsOn"] = [
            {"name": titles[other], "until": "Ready"} for other in component.depends
        ]
    if component.host_network:
        pod = {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}
        block["template"] = {"spec": pod}
    return block


def _ports(component: Component, tunnels: Sequence[Tunnel]) -> list[Manifest]:
    """The host port is what callers use, so it is the service's; the container's is the target.

    A component on the host's network names no ports: those that tunnels lead to are taken.
    """
    if component.host_network:
        opened = {t.remote for t in tunnels if t.component == component.name}
        return [{"name": _port_name(port), "port": port} for port in sorted(opened)]
    return [
        {"name": _port_name(port.host), "port": port.host, "targetPort": port.container}
        for port in component.ports
    ]


def _port_name(port: int) -> str:
    return f"p{port}"


def _expose(tunnel: Tunnel, titles: Mapping[str, str]) -> Manifest:
    exposed: Manifest = {
        "name": f"{titles[tunnel.component]}-{tunnel.local}",
        "component": titles[tunnel.component],
        "port": _port_name(tunnel.remote),
        "localPort": tunnel.local,
    }
    return exposed if tunnel.message is None else {**exposed, "message": tunnel.message}


def _notes(
    component: Component, titles: Mapping[str, str], machines: Mapping[str, Machine]
) -> list[str]:
    """What the person should know about how this component was taken."""
    notes = []
    title, machine = titles[component.name], machines[component.machine]
    if title == names.WORKERS and component.ports and component.name != names.WORKERS:
        notes.append(f"{component.name} is reached as {title} inside the app")
    elif title not in (component.name, names.WORKERS):
        notes.append(f"{component.name} is called {title} on the cluster")
    if component.count == "auto" and title != names.WORKERS:
        notes.append(f"{title} fills the nodes there are now, but does not follow later changes")
    if component.cpu != "auto" and component.count == "auto":
        idle = machine.cpu_millis % max(round(component.cpu * 1000), 1)
        if idle > IDLE_NOTICE_MILLIS:
            notes.append(f"{component.name} leaves {idle / 1000:g} CPUs of each node idle")
    return notes
