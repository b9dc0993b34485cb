"""A configuration as a cluster file in which every default is written out. Pure."""

from collections.abc import Sequence
from typing import Any, Final

import yaml

from clusterous_api import names
from clusterous_cli.cluster import config
from clusterous_cli.cluster.config import ClusterConfig, Pool, Volume
from clusterous_cli.cluster.file.centrallogging import CentralLogging
from clusterous_cli.cluster.file.fields import FIELDS, of_pool
from clusterous_cli.cluster.file.registry import Registry

_WIDTH: Final = 38  # so far comments stand from the left
# What has no value where nothing is said: what a file could say there.
_SUCH_AS: Final = {
    "region": "eu-west-1",
    "network.zone": "a",
    "gateway.allow": "[203.0.113.0/24]",
    "volume.size": "100",
    "volume.iops": "3000",
    "volume.throughput": "125",
    "volume.id": "vol-0123456789abcdef0",
    "registry.bucket": "our-images",
    "logging.size": "20",
    "logging.url": "https://logs.example.org:9200",
    "environment_file": "apps/program.yml",
}


def written(wanted: ClusterConfig) -> str:
    """Return a file that is read as *wanted*; what it does not say is there as a comment."""
    short, pools = _split(wanted.workers)
    lines = [
        _line("version", config.VERSION),
        _line("name", wanted.name),
        _line("region", wanted.region),
        _line("image", wanted.image),
        _line("k3s", wanted.k3s),
        "network:",
        _line("network.cidr", wanted.cidr),
        _line("network.zone", wanted.zone),
        "gateway:",
        *_machine("gateway", wanted.pool(names.ROLE_GATEWAY)),
        _line("gateway.allow", list(wanted.allow) or None),
        "controller:",
        *_machine("controller", wanted.pool(names.ROLE_CONTROLLER)),
        *_master(wanted),
        *(line for one in short for line in ("workers:", *_pool(one, "  "))),
        *_pools(pools),
        "volume:",
        *_volume(wanted.volume),
        "registry:",
        *_registry(wanted.registry),
        *_logging(wanted.logging),
        _line("tags", dict(wanted.tags)),
        _line("environment_file", wanted.environment_file),
    ]
    return "\n".join([*lines, ""])


def _split(pools: Sequence[Pool]) -> tuple[Sequence[Pool], Sequence[Pool]]:
    """Part the pool that `workers` stands for, where it comes first, from the others."""
    number = 1 if pools[0].name == names.ROLE_WORKER else 0
    return pools[:number], pools[number:]


def _line(key: str, value: Any) -> str:
    indent, what = "  " * key.count("."), FIELDS[key].what
    name = key.rpartition(".")[2]
    if value is None:
        return _beside(f"{indent}# {name}: {_SUCH_AS[key]}", what)
    return _beside(f"{indent}{name}: {_spelled(value)}", what)


def _beside(text: str, what: str) -> str:
    return f"{text.ljust(_WIDTH)}  # {what}"


def _spelled(value: Any) -> str:
    """Spell a value on one line, with quotes where YAML would take it for something else."""
    text = yaml.safe_dump(
        value, default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False
    )
    return text.removesuffix("...\n").strip()


def _machine(section: str, pool: Pool) -> list[str]:
    return [_line(f"{section}.type", pool.type), _line(f"{section}.disk", pool.disk)]


def _master(wanted: ClusterConfig) -> list[str]:
    for pool in wanted.agents:
        if pool.name == names.POOL_MASTER:
            return ["master:", *_machine("master", pool)]
    return [_beside(f"master: {config.NONE}", FIELDS["master.type"].what)]


def _pool(pool: Pool, indent: str) -> list[str]:
    values = {
        "type": pool.type,
        "count": pool.count,
        "disk": pool.disk,
        "labels": dict(pool.labels),
        "taints": list(pool.taints),
    }
    return [
        _beside(f"{indent}{key}: {_spelled(value)}", of_pool(key).what)
        for key, value in values.items()
    ]


def _pools(pools: Sequence[Pool]) -> list[str]:
    if not pools:
        return [_beside("# pools: {big: {type: m7i.4xlarge, count: 1}}", FIELDS["pools"].what)]
    lines = [line for one in pools for line in (f"  {_spelled(one.name)}:", *_pool(one, " " * 4))]
    return [_beside("pools:", FIELDS["pools"].what), *lines]


def _volume(volume: Volume) -> list[str]:
    figures = [_line(f"volume.{name}", getattr(volume, name)) for name in config.FIGURES]
    return [
        _line("volume.type", str(volume.type)),
        *(figures if volume.served else []),
        *([_line("volume.id", volume.id)] if volume.type is not config.VolumeType.NONE else []),
    ]


def _registry(registry: Registry) -> list[str]:
    return [
        _line("registry.type", str(registry.type)),
        _line("registry.bucket", registry.bucket),
    ]


def _logging(wanted: CentralLogging | None) -> list[str]:
    keys = config.SECTIONS["logging"]
    if wanted is None:
        usual = CentralLogging()
        such = {key: _SUCH_AS.get(f"logging.{key}", str(getattr(usual, key))) for key in keys}
        words = [_beside(f"  # {key}: {such[key]}", FIELDS[f"logging.{key}"].what) for key in keys]
        return [f"logging: {config.NONE}", *words]
    ours = wanted.store.ours
    values = {key: getattr(wanted, key) for key in keys} | {"store": str(wanted.store)}
    left = {"url"} if ours else {"size"}
    return [
        "logging:",
        *(_line(f"logging.{key}", None if key in left else values[key]) for key in keys),
    ]
