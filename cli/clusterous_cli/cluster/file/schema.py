"""The cluster file as a JSON Schema, for editors: made of what its reader goes by. Pure.

A schema knows no sums: what depends on several values, and which network lies in which, only the
reader tells. It never refuses what the reader takes.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from clusterous_api import names
from clusterous_cli.cluster import config
from clusterous_cli.cluster.file import centrallogging
from clusterous_cli.cluster.file.centrallogging import CentralLogging, Store
from clusterous_cli.cluster.file.fields import FIELDS, of_pool
from clusterous_cli.cluster.file.registry import BUCKET, Registry, RegistryType

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]

_BYTE: Final = r"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_ADDRESS: Final = rf"{_BYTE}(\.{_BYTE}){{3}}"
# Of Unicode a schema's patterns know little: what is not ASCII, the reader looks at.
_OF_TAGS: Final = r"[^\u0000-\u001f!-)*,;<>?\[-^`{-\u007f]"


def schema() -> Schema:
    """Return the schema of the whole file."""
    usual = config.ClusterConfig(name="x")
    return {
        "$schema": DIALECT,
        "title": "Clusterous cluster file",
        "description": "What `clusterous create` makes. Of each key: docs/cluster-file.md",
        "type": "object",
        "additionalProperties": False,
        "required": ["name"],
        "properties": {
            "version": _said("version", _whole(1, config.VERSION), config.VERSION),
            "name": _said("name", _matching(config.NAME)),
            "region": _said("region", _matching(config.REGION)),
            "image": _said("image", _image(), usual.image),
            "k3s": _said("k3s", _matching(config.K3S), usual.k3s),
            "network": _section("network", cidr=_cidr(), zone=_matching(config.ZONE)),
            "gateway": _section("gateway", **_machine(config.GATEWAY), allow=_allow()),
            "controller": _section("controller", **_machine(config.CONTROLLER)),
            "master": {
                "anyOf": [{"const": config.NONE}, _section("master", **_machine(config.MASTER))],
            },
            "workers": _pool("what runs programs; `workers: 8` is short for its count"),
            "volume": _volume(),
            "pools": _said("pools", _pools()),
            "registry": _registry(),
            "logging": _logging(),
            "tags": _said("tags", _tags()),
            "environment_file": _said("environment_file", _matching(config.PATH)),
        },
        **_together(),
    }


def text() -> str:
    """Return the schema as a file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _said(key: str, how: Schema, default: Any = None) -> Schema:
    usual = {} if default is None else {"default": default}
    return {"description": FIELDS[key].what, **how, **usual}


def _section(name: str, **keys: Schema) -> Schema:
    properties = {key: _said(f"{name}.{key}", how) for key, how in keys.items()}
    return _closed(properties)


def _closed(properties: Mapping[str, Schema]) -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": dict(properties)}


def _matching(*patterns: re.Pattern[str], but: re.Pattern[str] | None = None) -> Schema:
    plain = [re.sub(r"\?P<\w+>", "", one.pattern) for one in patterns]
    refused = f"(?!{but.pattern})" if but else ""
    return {"type": "string", "pattern": f"^{refused}({'|'.join(plain)})$"}


def _whole(low: int, high: int) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high}


def _image() -> Schema:
    return {"type": "string", "anyOf": [{"enum": list(config.IMAGES)}, _matching(config.AMI)]}


def _network(least: int, most: int) -> str:
    """Return a pattern of networks with as many bits; a mask may be spelled as an address."""
    bits = "|".join(f"0*{number}" for number in range(least, most + 1))
    return rf"{_ADDRESS}/({bits}|{_ADDRESS})"


def _cidr() -> Schema:
    default = config.ClusterConfig(name="x").cidr
    return {**_matching(re.compile(_network(*config.SIZES))), "default": default}


def _allow() -> Schema:
    network = _matching(re.compile(_ADDRESS), re.compile(_network(config.WIDEST, 32)))
    return {"type": "array", "items": network}


def _machine(usual: config.Pool) -> dict[str, Schema]:
    return {
        "type": {**_matching(config.TYPE, but=config.ARM), "default": usual.type},
        "disk": {**_whole(*config.DISK), "default": usual.disk},
    }


def _pool(what: str) -> Schema:
    usual = config.WORKERS
    count = {**_whole(0, config.MOST_WORKERS), "default": usual.count}
    keys = {**_machine(usual), "count": count, "labels": _labels(), "taints": _taints()}
    properties = {key: {"description": of_pool(key).what, **how} for key, how in keys.items()}
    return {"description": what, "anyOf": [_whole(0, config.MOST_WORKERS), _closed(properties)]}


def _labels() -> Schema:
    return {
        "type": "object",
        "propertyNames": {
            "pattern": f"^({config.LABEL_KEY.pattern})$",
            "not": {"pattern": f"^({config.OF_OTHERS.pattern})$"},
        },
        "additionalProperties": _matching(config.LABEL_VALUE),
    }


def _taints() -> Schema:
    return {"type": "array", "items": _matching(config.TAINT, but=config.OF_OTHERS)}


def _pools() -> Schema:
    return {
        "type": "object",
        "propertyNames": {
            "pattern": f"^({config.NAME.pattern})$",
            "not": {"enum": list(config.RESERVED)},
        },
        "additionalProperties": _pool("a pool of workers, or its number alone"),
    }


def _volume() -> Schema:
    types: Schema = {"enum": [str(one) for one in config.VOLUMES]}
    figures = {
        name: _said(f"volume.{name}", _whole(low, high))
        for name, (low, high, _) in config.FIGURES.items()
    }
    mapping = _closed(
        {
            "type": _said("volume.type", types),
            **figures,
            "id": _said("volume.id", _matching(config.VOLUME_ID)),
        }
    )
    # An id says the type, as does a figure, and a type that is said must be that.
    mapping["allOf"] = [
        *(
            _when({"id": {"pattern": f"^{start}-"}}, ["id"], {"type": {"const": str(type)}})
            for start, type in config.PREFIXES.items()
        ),
        *(_when({}, [name], {"type": {"const": str(config.VolumeType.EBS)}}) for name in figures),
        {
            "if": {"properties": {"id": {"pattern": "^fs-"}}, "required": ["id"]},
            "then": {"properties": dict.fromkeys(figures, False)},
        },
    ]
    what = "the shared volume; `volume: efs` is short for its type"
    default = str(config.ClusterConfig(name="x").volume.type)
    return {"description": what, "anyOf": [types, mapping], "default": default}


def _registry() -> Schema:
    types: Schema = {"enum": [str(one) for one in RegistryType]}
    mapping = _section("registry", type=types, bucket=_matching(BUCKET))
    # A bucket says the type, and a type that is said must be that.
    mapping["allOf"] = [_when({}, ["bucket"], {"type": {"const": str(RegistryType.S3)}})]
    what = "where images are kept; `registry: s3` is short for its type"
    return {"description": what, "anyOf": [types, mapping], "default": str(Registry().type)}


def _logging() -> Schema:
    usual = CentralLogging()
    low, high = centrallogging.LEVELS
    mapping = _section(
        "logging",
        level={**_whole(low, high), "default": usual.level},
        store={"enum": [str(one) for one in Store], "default": str(usual.store)},
        days={**_whole(*centrallogging.DAYS), "default": usual.days},
        size={**_whole(*centrallogging.SIZE), "default": usual.size},
        url=_matching(centrallogging.URL),
    )
    theirs = [str(one) for one in Store if not one.ours]
    # A store of yours has an address and a size of its own; one of ours has no address.
    mapping["allOf"] = [
        {
            "if": {"properties": {"store": {"enum": theirs}}, "required": ["store"]},
            "then": {"required": ["url"], "properties": {"size": False}},
        },
        {
            "if": {"required": ["url"]},
            "then": {"properties": {"store": {"enum": theirs}, "size": False}},
        },
    ]
    what = "central logging; `logging: 1` is short for its level"
    return {"description": what, "anyOf": [{"const": config.NONE}, _whole(low, high), mapping]}


def _when(properties: Schema, required: list[str], then: Schema) -> Schema:
    return {"if": {"properties": properties, "required": required}, "then": {"properties": then}}


def _tags() -> Schema:
    most = config.TAG_NAME.pattern.rpartition("{1,")[2].rstrip("}")
    value = config.TAG_VALUE.pattern.rpartition("{0,")[2].rstrip("}")
    own = rf"[Aa][Ww][Ss]:|Name$|{re.escape(names.DOMAIN)}/"
    return {
        "type": "object",
        "maxProperties": config.MOST_TAGS,
        "propertyNames": {"pattern": f"^(?!{own}){_OF_TAGS}{{1,{most}}}$"},
        "additionalProperties": {"type": "string", "pattern": f"^{_OF_TAGS}{{0,{value}}}$"},
    }


def _together() -> Schema:
    """Return what `workers` and `pools` say of each other: the pool `worker` is there once."""
    both = {"required": ["workers", "pools"]}
    one = {"properties": {"pools": {"properties": {names.ROLE_WORKER: False}}}}
    alone = {"properties": {"pools": {"minProperties": 1}}}
    return {"if": both, "then": one, "else": alone}
