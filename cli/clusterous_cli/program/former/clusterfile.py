"""Reads the predecessor's cluster parameters files, and says as what cluster of today.

Such a file has `cluster_name` and `parameters`: values for the variables of the machines that the
environment's `cluster` section names, or the built-in layout has.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_cli.cluster import config
from clusterous_cli.cluster.config import ClusterConfig
from clusterous_cli.cluster.file.centrallogging import Store
from clusterous_cli.program import envfile
from clusterous_cli.program.convert import POOL_LIMIT, dns_label
from clusterous_cli.program.envfile import LAYOUT, WITH_MASTER, Environment, Group
from clusterous_cli.program.former.variables import Values
from clusterous_cli.system import yamltree
from clusterous_cli.system.yamltree import Mistake, Reader

KEYS: Final = (
    *("cluster_name", "parameters", "environment_file", "controller_instance_type"),
    *("shared_volume_size", "shared_volume_id", "central_logging_level"),
)
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
LIGHT: Final = (
    "central_logging_level: kept on the cluster by VictoriaLogs, which needs no machine of its own;"
    " `clusterous logging` opens its page, and a cluster file of today can say `logging: {store:"
    " efk}`"
)
_OLD_LIST: Final = (
    "the file is a list, as before 0.3: write cluster_name and parameters (master_instance_type,"
    " worker_instance_type, worker_count) as keys of one mapping"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What such a file says; *environment* is the file that it names."""

    name: str
    values: Values
    environment: Path | None = None
    controller: str | None = None
    size: int = 0
    volume: str | None = None
    logging: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Former:
    """A cluster of the predecessor's as one of today, and what to run on it."""

    config: ClusterConfig
    values: Values
    environment: Path | None = None
    notes: tuple[str, ...] = ()


def is_former(text: str) -> bool:
    """Tell a file of the predecessor's from one of today, which has a name."""
    try:
        root = yamltree.compose(text, "")
    except UserError:  # told by who reads it as a file of today
        return False
    if isinstance(root, yaml.SequenceNode):
        return "instance_type" in text
    pairs = root.value if isinstance(root, yaml.MappingNode) else ()
    keys = [key.value for key, _ in pairs if isinstance(key, yaml.ScalarNode)]
    return "name" not in keys and any(key in keys for key in ("cluster_name", "parameters"))


def read(path: Path) -> Former:
    """The cluster that the file at *path* asks for; mistakes of all its files are told."""
    said = parse(_text(path), str(path), path.parent)
    environment = None
    if said.environment is not None:
        text = _text(said.environment)
        environment = envfile.parse(text, str(said.environment), said.values, whole=True)
    return as_today(said, environment, str(path))


def values_of(path: Path) -> Values:
    """The values that the file at *path* has for an environment's variables."""
    return parse(_text(path), str(path), path.parent).values


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def parse(text: str, source: str, folder: Path) -> Parameters:
    """Read such a file; what it names is relative to its *folder*."""
    root = yamltree.compose(text, source)
    reader = _Reader(last_counts=True)
    if isinstance(root, yaml.SequenceNode):
        reader.wrong(root, _OLD_LIST)
    said = None
    if root is not None and not reader.mistakes:
        try:
            said = reader.parameters(root, folder)
        except RecursionError:
            reader.wrong(root, "it is nested too deep")
    if reader.mistakes or said is None:
        raise _told(source, reader.mistakes)
    return said


def _told(source: str, mistakes: list[Mistake]) -> UserError:
    return config.told(source, mistakes or [Mistake(line=1, column=1, text="the file is empty")])


class _Reader(Reader):
    def parameters(self, root: yaml.Node, folder: Path) -> Parameters | None:
        values = self.known(root, KEYS, "")
        for key in ("cluster_name", "parameters"):
            if key not in values and isinstance(root, yaml.MappingNode):
                self.wrong(root, f"{key} is missing")
        if "cluster_name" not in values or "parameters" not in values:
            return None
        name = self.text(values["cluster_name"], "cluster_name")
        if name is not None and not _NAME.fullmatch(name):
            text = f"cluster_name {name!r}: 1 to 64 letters, digits, _ and - are allowed"
            self.wrong(values["cluster_name"], text)
        environment = self.maybe(values, "environment_file")
        return Parameters(
            name=name or "",
            values=self.scalars(values["parameters"]),
            environment=folder / environment if environment else None,
            controller=self.maybe(values, "controller_instance_type"),
            size=self.number(values, "shared_volume_size", 16384),
            volume=self.maybe(values, "shared_volume_id"),
            logging=self.number(values, "central_logging_level", 2),
        )

    def scalars(self, node: yaml.Node) -> Values:
        found = {}
        for name, (_, value) in self.entries(node, "parameters").items():
            if isinstance(value, yaml.ScalarNode) and not yamltree.is_null(value):
                found[name] = value
            else:
                kind = yamltree.kind(value)
                self.wrong(value, f"parameters.{name} must be text or a number, not {kind}")
        return found

    def maybe(self, values: Mapping[str, yaml.Node], key: str) -> str | None:
        return self.text(values[key], key) if key in values else None

    def number(self, values: Mapping[str, yaml.Node], key: str, most: int) -> int:
        node = values.get(key)
        if node is None:
            return 0
        is_int = node.tag.endswith(":int") and re.fullmatch("[0-9]{1,9}", node.value)
        if is_int and int(node.value) <= most:
            return int(node.value)
        self.wrong(node, f"{key} must be a whole number from 0 to {most}")
        return 0


# -- as a cluster of today ------------------------------------------------------------------


def as_today(said: Parameters, environment: Environment | None, source: str) -> Former:
    """Return the cluster that *said* asks for, with the machines of *environment*."""
    asked = environment is not None  # and so were its own variables
    groups = (environment.groups if environment else ()) or _layout(said, source, asked=asked)
    document = _document(said, groups, source)
    try:
        made = config.parse(yaml.safe_dump(document, sort_keys=False), source)
    except UserError as error:
        shown = yaml.safe_dump(document, sort_keys=False)
        raise UserError(f"{error}\nIt was read as this cluster file of today:\n{shown}") from error
    masters = next((one for one in groups if one.name == names.POOL_MASTER), None)
    if masters is not None and masters.count not in (None, "1"):
        made = made.changed(names.POOL_MASTER, count=int(masters.count or 1))
    return Former(config=made, values=said.values, environment=said.environment, notes=_notes(said))


def _layout(said: Parameters, source: str, *, asked: bool) -> tuple[Group, ...]:
    """The built-in machines; their values must be given, and, unless others are *asked* for too,
    no others."""
    values = dict(said.values)
    if WITH_MASTER in values and "worker_count" not in values:
        values["worker_count"] = _less_one(values.pop(WITH_MASTER), source)
    missing = [name for name in LAYOUT if name not in values]
    spare = [name for name in values if name not in LAYOUT and not asked]
    words = [
        *([f"parameters: {', '.join(missing)} missing"] if missing else []),
        *([f"parameters: nothing asks for {', '.join(spare)}"] if spare else []),
    ]
    if words:
        raise _told(source, [Mistake(line=1, column=1, text=one) for one in words])
    master, worker, count = (str(values[name].value) for name in LAYOUT)
    return (
        Group(name="master", type=master, count="1"),
        Group(name="worker", type=worker, count=count),
    )


def _less_one(node: yaml.ScalarNode, source: str) -> yaml.ScalarNode:
    if not re.fullmatch("[1-9][0-9]{0,4}", node.value):
        text = f"parameters.{WITH_MASTER} must be a whole number above 0"
        raise _told(source, [Mistake(line=1, column=1, text=text)])
    return yaml.ScalarNode(node.tag, str(int(node.value) - 1))


def _document(said: Parameters, groups: tuple[Group, ...], source: str) -> dict[str, Any]:
    """The cluster file of today that says the same."""
    found: dict[str, Any] = {"name": dns_label(said.name, POOL_LIMIT)}
    if said.controller:
        found["controller"] = {"type": said.controller}
    master = next((one for one in groups if one.name == names.POOL_MASTER), None)
    found["master"] = {"type": master.type} if master else config.NONE
    pools = {dns_label(g.name, POOL_LIMIT): _machines(g) for g in groups if g is not master}
    if names.ROLE_WORKER in pools or not pools:
        found["workers"] = pools.pop(names.ROLE_WORKER, 0)
    if pools:
        found["pools"] = pools
    if said.logging:
        found["logging"] = {"level": said.logging, "store": str(Store.LIGHT)}
    if said.volume:
        found["volume"] = {"id": said.volume}
    elif said.size:
        found["volume"] = {"size": said.size}
    return found


def _machines(group: Group) -> dict[str, Any]:
    count = group.count or "0"
    return {"type": group.type, "count": int(count) if re.fullmatch("[0-9]{1,9}", count) else count}


def _notes(said: Parameters) -> tuple[str, ...]:
    notes = []
    if said.logging:
        notes.append(LIGHT)
    if said.volume and said.size:
        notes.append("shared_volume_size is not used: the volume has its size")
    return tuple(notes)
