"""Reads the predecessor's environment files: text in, frozen values or all mistakes at once out.

The format is the one of Clusterous 1.0.0 (2016). Where its manual and its code differed, both
are accepted. Pure: nothing here touches the disk; whether a path exists is found out by whoever
uses it.
"""

import math
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import yaml

from clusterous_cli.images.assembly import references
from clusterous_cli.images.context import bases
from clusterous_cli.program.former.variables import VARIABLE, Values, VariableReader
from clusterous_cli.system import yamltree
from clusterous_cli.system.yamltree import Entries, FileMistakes, Mistake, Reader

Auto = Literal["auto"]

COMPONENT_KEYS = (
    "machine",
    "cpu",
    "count",
    "depends",
    "image",
    "cmd",
    "ports",
    "docker_network",
    "attach_volume",
)
NAME = re.compile(r"[A-Za-z0-9_-]+")
# What the built-in layout asks for, which a file without `cluster` has.
LAYOUT = (
    "master_instance_type",
    "worker_instance_type",
    "worker_count",
)
# Of 0.3 and 0.4: how many machines of it there are, with the master's.
WITH_MASTER = "instance_count"


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """HOST:CONTAINER; callers use the host port."""

    host: int
    container: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    name: str
    machine: str
    image: str
    cpu: float | Auto
    count: int | Auto = 1
    depends: tuple[str, ...] = ()
    cmd: str | None = None
    ports: tuple[Port, ...] = ()
    host_network: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildImage:
    """An image to build: *name* is NAME or NAME:TAG, *folder* is relative to the file."""

    name: str
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunnel:
    local: int
    component: str
    remote: int
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A node group of the `cluster` section; variables without a value stay as written."""

    name: str
    type: str | None = None
    count: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    name: str
    components: tuple[Component, ...] = ()
    copy: tuple[str, ...] = ()
    images: tuple[BuildImage, ...] = ()
    tunnels: tuple[Tunnel, ...] = ()
    groups: tuple[Group, ...] = ()
    warnings: tuple[str, ...] = ()


def parse(
    text: str, source: str, values: Values | None = None, *, whole: bool = False
) -> Environment:
    """The environment that *text* describes; *source* is its name in messages.

    *values* are for its variables. Those of the machines are needed only with *whole*, for
    `create`: then a file may also have nothing to run.
    """
    root = yamltree.compose(text, source)
    reader = VariableReader(last_counts=True, values=values or {}, whole=whole)
    if root is None:
        reader.mistakes.append(Mistake(line=1, column=1, text="the file is empty"))
        raise FileMistakes(source, reader.mistakes)
    try:
        environment = _document(reader, root)
    except RecursionError as error:
        reader.mistakes.append(Mistake(line=1, column=1, text="it is nested too deep"))
        raise FileMistakes(source, reader.mistakes) from error
    if reader.mistakes or environment is None:
        raise FileMistakes(source, reader.mistakes)
    return replace(environment, warnings=tuple(dict.fromkeys(reader.warnings)))


def _document(reader: VariableReader, root: yaml.Node) -> Environment | None:
    top = reader.known(root, ("name", "environment", "cluster"), "")
    name = _name(reader, top.get("name"), root)
    groups = _groups(reader, top["cluster"]) if "cluster" in top else ()
    body = Environment(name=name) if reader.whole else None
    if "environment" in top:
        body = _environment(reader, top["environment"])
    elif body is None and isinstance(root, yaml.MappingNode):
        reader.wrong(root, "there is no environment section, so nothing to run")
    reader.spare(root, () if "cluster" in top else (*LAYOUT, WITH_MASTER))
    return None if body is None else replace(body, name=name, groups=groups)


def _environment(reader: VariableReader, node: yaml.Node) -> Environment:
    keys = ("copy", "image", "components", "expose_tunnel")
    body = reader.known(node, keys, "environment")
    if "components" not in body and isinstance(node, yaml.MappingNode):
        reader.wrong(node, "environment.components is missing")
    listed = (
        reader.entries(body["components"], "environment.components") if "components" in body else {}
    )
    components = _components(reader, listed)
    images = _images(reader, body["image"]) if "image" in body else ()
    tunnels = _tunnels(reader, body["expose_tunnel"]) if "expose_tunnel" in body else {}
    if "components" in body:
        _check_names(reader, body["components"], listed, components)
        _check_kinds(reader, listed, components)
    _check_tunnels(reader, tunnels, components)
    return Environment(
        name="",
        components=tuple(components.values()),
        copy=_copy(reader, body["copy"]) if "copy" in body else (),
        images=images,
        tunnels=tuple(tunnels.values()),
    )


def _name(reader: Reader, node: yaml.Node | None, root: yaml.Node) -> str:
    if node is None:
        if isinstance(root, yaml.MappingNode):
            reader.wrong(root, "name is missing")
        return ""
    text = reader.text(node, "name")
    if text is not None and not NAME.fullmatch(text):
        reader.wrong(node, f"name {text!r}: only letters, digits, _ and - are allowed")
    return text or ""


def _copy(reader: Reader, node: yaml.Node) -> tuple[str, ...]:
    folders = reader.texts(node, "environment.copy")
    for folder in folders:
        if not folder.strip() or posixpath.normpath(folder).strip("/") == "":
            reader.wrong(node, f"environment.copy: {folder!r} has no name of its own to copy to")
    return folders


# -- images -------------------------------------------------------------------------------


def _images(reader: Reader, node: yaml.Node) -> tuple[BuildImage, ...]:
    items = reader.items(node, "environment.image")
    found = [_image(reader, item, f"environment.image[{i}]") for i, item in enumerate(items)]
    # Of two items of one name the predecessor found the second in its registry already.
    images: dict[str, BuildImage] = {}
    for item, image in zip(items, found, strict=True):
        if image is not None and images.setdefault(tagged(image.name), image) is not image:
            reader.warn(item, f"environment.image builds {image.name} twice; the first counts")
    return tuple(images.values())


def _image(reader: Reader, node: yaml.Node, where: str) -> BuildImage | None:
    entries = reader.entries(node, where)
    for name, (key, _) in entries.items():
        if name not in ("dockerfile", "image_name"):
            reader.warn(key, f"{where}.{name} is not used")
    for name in ("dockerfile", "image_name"):
        if name not in entries and isinstance(node, yaml.MappingNode):
            reader.wrong(node, f"{where}.{name} is missing")
    if not {"dockerfile", "image_name"} <= entries.keys():
        return None
    folder = reader.text(entries["dockerfile"][1], f"{where}.dockerfile")
    name_node = entries["image_name"][1]
    image_name = reader.text(name_node, f"{where}.image_name")
    if image_name is not None and references.own(image_name) is None:
        reader.wrong(name_node, f"{where}.image_name {image_name!r} is not NAME or NAME:TAG")
        return None
    return BuildImage(name=image_name, folder=folder) if image_name and folder else None


def tagged(name: str) -> str:
    """*name* with its tag, which is latest where none is written."""
    return name if ":" in name else f"{name}:latest"


def built_by(image: str, images: Sequence[BuildImage]) -> BuildImage | None:
    """The item of the `image` section that builds the component image *image*, if one does."""
    if not image.startswith(bases.REGISTRY):
        return None  # of a public registry, whatever the file builds
    wanted = tagged(image.removeprefix(bases.REGISTRY))
    return next((item for item in images if tagged(item.name) == wanted), None)


# -- components ---------------------------------------------------------------------------


def _components(reader: Reader, listed: Entries) -> dict[str, Component]:
    found = {}
    for name, (key, value) in listed.items():
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", name):
            reader.wrong(key, f"component {name!r}: only letters, digits, . _ and - are allowed")
            continue
        component = _component(reader, name, value)
        if component is not None:
            found[name] = component
    return found


def _component(reader: Reader, name: str, node: yaml.Node) -> Component | None:
    before = len(reader.mistakes)
    values = {}
    for key, (key_node, value) in reader.entries(node, name).items():
        if key not in COMPONENT_KEYS:
            hint = yamltree.meant(key, COMPONENT_KEYS)
            reader.warn(key_node, f"{name}.{key} is not a key of a component and is ignored{hint}")
        elif yamltree.is_null(value) and key != "cmd":
            reader.wrong(value, f"{name}.{key} has no value; give one or leave it out")
        elif not yamltree.is_null(value):
            values[key] = value
    for key in ("machine", "cpu", "image"):
        if key not in values and before == len(reader.mistakes):
            reader.wrong(node, f"{name}.{key} is missing")
    if len(reader.mistakes) > before:
        return None
    component = _component_values(reader, name, values)
    _check_component(reader, node, component)
    return component


def _component_values(reader: Reader, name: str, values: Mapping[str, yaml.Node]) -> Component:
    def optional(key: str) -> str | None:
        return reader.text(values[key], f"{name}.{key}") if key in values else None

    if "attach_volume" in values:
        _attach_volume(reader, values["attach_volume"], name)
    return Component(
        name=name,
        machine=optional("machine") or "",
        image=_component_image(reader, values["image"], f"{name}.image"),
        cpu=_cpu(reader, values["cpu"], f"{name}.cpu"),
        count=_count(reader, values["count"], f"{name}.count") if "count" in values else 1,
        depends=_depends(reader, values["depends"], name) if "depends" in values else (),
        cmd=optional("cmd"),
        ports=_ports(reader, values["ports"], f"{name}.ports") if "ports" in values else (),
        host_network=_is_host_network(reader, values.get("docker_network"), name),
    )


def _component_image(reader: Reader, node: yaml.Node, where: str) -> str:
    text = reader.text(node, where)
    if text is not None and (not text or re.search(r"\s", text)):
        reader.wrong(node, f"{where} {text!r} is not the name of an image")
    return text or ""


def _cpu(reader: Reader, node: yaml.Node, where: str) -> float | Auto:
    if isinstance(node, yaml.ScalarNode) and node.value == "auto":
        return "auto"
    if node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
        number = _number(node.value)
        if number is not None and 0 < number <= 1024:
            return number
    reader.wrong(node, f"{where} must be auto or a number above 0 (at most 1024)")
    return "auto"


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:  # YAML's other spellings: 0x10, 1:30, .inf
        return None
    return number if math.isfinite(number) else None


def _count(reader: Reader, node: yaml.Node, where: str) -> int | Auto:
    text = node.value if isinstance(node, yaml.ScalarNode) else ""
    if text == "auto":
        return "auto"
    is_int = node.tag == "tag:yaml.org,2002:int" and re.fullmatch("[0-9]{1,5}", text)
    if is_int and 1 <= int(text) <= 10_000:
        return int(text)
    reader.wrong(node, f"{where} must be auto or a whole number from 1 to 10000")
    return 1


def _depends(reader: Reader, node: yaml.Node, name: str) -> tuple[str, ...]:
    words = [word for _, word in reader.words(node, f"{name}.depends")]
    return tuple(dict.fromkeys(words))


def _ports(reader: Reader, node: yaml.Node, where: str) -> tuple[Port, ...]:
    found: dict[int, Port] = {}
    for item, word in reader.words(node, where):
        host, _, container = word.partition(":")
        outer = reader.port(item, host, where)
        inner = reader.port(item, container, where) if ":" in word else outer
        if outer is None or inner is None:
            continue
        if outer in found:
            reader.wrong(item, f"{where} has the host port {outer} twice")
        found[outer] = Port(host=outer, container=inner)
    return tuple(found.values())


def _is_host_network(reader: Reader, node: yaml.Node | None, name: str) -> bool:
    if node is None:
        return False
    text = reader.text(node, f"{name}.docker_network")
    if text is not None and text.lower() not in ("bridge", "host"):
        reader.wrong(node, f"{name}.docker_network must be bridge or host, not {text!r}")
    return (text or "").lower() == "host"


def _attach_volume(reader: Reader, node: yaml.Node, name: str) -> None:
    if node.tag != "tag:yaml.org,2002:bool":
        reader.wrong(node, f"{name}.attach_volume must be yes or no, not {yamltree.kind(node)}")
    elif str(node.value).lower() in ("no", "false", "off"):
        reader.warn(node, f"{name}.attach_volume: the shared volume is mounted all the same")


def _check_component(reader: Reader, node: yaml.Node, component: Component) -> None:
    name = component.name
    if component.host_network and component.ports:
        reader.wrong(node, f"{name}: docker_network host and ports exclude each other")
    if component.cpu == "auto" and component.count == "auto":
        reader.wrong(node, f"{name}: cpu and count are both auto; give one of them a number")


# -- what must agree ----------------------------------------------------------------------


def _check_names(
    reader: Reader, node: yaml.Node, listed: Entries, components: Mapping[str, Component]
) -> None:
    for component in components.values():
        for other in component.depends:
            if other not in listed:  # one that is there, and itself wrong, is told already
                hint = yamltree.meant(other, list(listed))
                place = listed[component.name][0]
                reader.wrong(place, f"{component.name}.depends: there is no {other}{hint}")
    for cycle in _cycles(components):
        reader.wrong(node, f"{' → '.join(cycle)}: these depend on each other; none can start")


def _cycles(components: Mapping[str, Component]) -> list[list[str]]:
    """One cycle of `depends`, if there is any."""
    finished: set[str] = set()

    def visit(name: str, trail: list[str]) -> list[str] | None:
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name in finished or name not in components:
            return None
        for other in components[name].depends:
            if cycle := visit(other, [*trail, name]):
                return cycle
        finished.add(name)
        return None

    return [cycle for name in components if (cycle := visit(name, []))][:1]


def _check_kinds(reader: Reader, listed: Entries, components: Mapping[str, Component]) -> None:
    """Components of one machine must all share it (`cpu: auto`) or all say what they need."""
    for machine in dict.fromkeys(c.machine for c in components.values()):
        here = [c for c in components.values() if c.machine == machine]
        shared = [c.name for c in here if c.cpu == "auto"]
        sized = [c.name for c in here if c.cpu != "auto"]
        if shared and sized:
            reader.wrong(
                listed[sized[0]][0],
                f"on machine {machine}, {', '.join(shared)} have cpu auto and "
                f"{', '.join(sized)} a number; the two do not mix on one machine",
            )


# -- tunnels ------------------------------------------------------------------------------


def _tunnels(reader: Reader, node: yaml.Node) -> dict[yaml.Node, Tunnel]:
    is_list = isinstance(node, yaml.SequenceNode)
    items = reader.items(node, "expose_tunnel") if is_list else [node]
    found = {}
    for index, item in enumerate(items):
        where = "expose_tunnel" if len(items) == 1 else f"expose_tunnel[{index}]"
        tunnel = _tunnel(reader, item, where)
        if tunnel is not None:
            found[item] = tunnel
    return found


def _tunnel(reader: Reader, node: yaml.Node, where: str) -> Tunnel | None:
    entries = reader.entries(node, where)
    for name, (key, _) in entries.items():
        if name not in ("service", "message"):
            reader.warn(key, f"{where}.{name} is not used")
    if "service" not in entries:
        if isinstance(node, yaml.MappingNode):
            reader.wrong(node, f"{where}.service is missing")
        return None
    message = entries.get("message")
    text = reader.text(message[1], f"{where}.message") if message else None
    return _service(reader, entries["service"][1], f"{where}.service", text)


def _service(reader: Reader, node: yaml.Node, where: str, message: str | None) -> Tunnel | None:
    raw = node.value if isinstance(node, yaml.ScalarNode) else ""
    parts = [part.strip() for part in raw.split(":")]
    if len(parts) != 3:
        reader.wrong(node, f"{where} must be LOCAL:COMPONENT:REMOTE, such as 8080:master:8080")
        return None
    local = reader.port(node, parts[0], where)
    remote = reader.port(node, parts[2], where)
    if local is None or remote is None:
        return None
    return Tunnel(local=local, component=parts[1], remote=remote, message=message)


def _check_tunnels(
    reader: Reader, tunnels: Mapping[yaml.Node, Tunnel], components: Mapping[str, Component]
) -> None:
    taken: set[int] = set()
    for node, tunnel in tunnels.items():
        if tunnel.local in taken:
            reader.wrong(node, f"expose_tunnel uses the local port {tunnel.local} twice")
        taken.add(tunnel.local)
        component = components.get(tunnel.component)
        if component is None:
            hint = yamltree.meant(tunnel.component, list(components))
            reader.wrong(node, f"expose_tunnel: there is no component {tunnel.component}{hint}")
        elif behind(tunnel, components) is None:
            text = f"expose_tunnel: nothing on the machine of {component.name} listens on host port"
            reader.warn(node, f"{text} {tunnel.remote}; this tunnel is left out")


def behind(tunnel: Tunnel, components: Mapping[str, Component]) -> Component | None:
    """Who listens at the far end: tunnels led to a port of a machine, whosever it was.

    On the machine's own network anybody may have opened it: first the one that is named.
    """
    named = components[tunnel.component]
    others = [c for c in components.values() if c.machine == named.machine and c is not named]
    here = [named, *others]
    declared = [c for c in here if tunnel.remote in [port.host for port in c.ports]]
    return next(iter([*declared, *(c for c in here if c.host_network)]), None)


# -- the cluster section ------------------------------------------------------------------


def _groups(reader: VariableReader, node: yaml.Node) -> tuple[Group, ...]:
    entries = reader.entries(node, "cluster")
    return tuple(_group(reader, name, value) for name, (_, value) in entries.items())


def _group(reader: VariableReader, name: str, node: yaml.Node) -> Group:
    values = reader.known(node, ("type", "count"), f"cluster.{name}")
    for key in ("type", "count"):
        if key not in values and isinstance(node, yaml.MappingNode):
            reader.wrong(node, f"cluster.{name}.{key} is missing")
    kind = reader.text(values["type"], f"cluster.{name}.type") if "type" in values else None
    count = values.get("count")
    raw = count.value if isinstance(count, yaml.ScalarNode) else ""
    is_open = VARIABLE.fullmatch(raw) and not reader.whole
    if count is not None and not (re.fullmatch("[0-9]{1,5}", raw) or is_open):
        reader.wrong(count, f"cluster.{name}.count must be a number, $variable or $variable-N")
    return Group(name=name, type=kind, count=raw or None)
