"""Which keys of the cluster file say something else than before. Pure."""

from dataclasses import dataclass
from typing import Any

from clusterous_api import names
from clusterous_cli.cluster import config
from clusterous_cli.cluster.config import ClusterConfig, Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A key, what it *was*, and what it *is* now; None where it is not there."""

    key: str
    was: Any
    now: Any

    def __str__(self) -> str:
        if self.was is None:
            return f"{self.key} is new in the file"
        if self.now is None:
            return f"{self.key} is no more in the file"
        return f"{self.key}: {_spelled(self.was)} → {_spelled(self.now)}"


def between(before: ClusterConfig, wanted: ClusterConfig) -> tuple[Difference, ...]:
    """Return what is otherwise; of a pool that comes or goes, nothing but that."""
    was, now = values(before), values(wanted)
    gone = {key for key in (*was, *now) if (key in was) != (key in now)}
    whole = {key for key in gone if isinstance((was | now)[key], Pool)}
    return tuple(
        Difference(key=key, was=was.get(key), now=now.get(key))
        for key in dict.fromkeys((*was, *now))
        if key.rpartition(".")[0] not in whole
        and was.get(key) != now.get(key)
        and (key in whole or not isinstance((was | now)[key], Pool))
    )


def values(of: ClusterConfig) -> dict[str, Any]:
    """Return what a configuration says, by the keys of the file; a pool also as a whole."""
    found: dict[str, Any] = {
        "image": of.image,
        "k3s": of.k3s,
        "network.cidr": of.cidr,
        "network.zone": of.zone or "",
        "gateway.allow": of.allow,
    }
    for pool in of.pools:
        where = section(pool.name)
        found[where] = pool
        found |= {f"{where}.{key}": getattr(pool, key) for key in config.POOL}
    volume = of.volume
    found |= {f"volume.{key}": getattr(volume, key) or "" for key in config.SECTIONS["volume"]}
    found |= {"registry.type": str(of.registry.type), "registry.bucket": of.registry.bucket or ""}
    for key in config.SECTIONS["logging"]:
        found[f"logging.{key}"] = (getattr(of.logging, key) if of.logging else None) or ""
    return {**found, "tags": of.tags}


def section(pool: str) -> str:
    """Return where the file speaks of a pool."""
    if pool == names.ROLE_WORKER:
        return "workers"
    return pool if pool in config.FIXED else f"pools.{pool}"


def _spelled(value: Any) -> str:
    if isinstance(value, tuple):
        words = ["=".join(one) if isinstance(one, tuple) else str(one) for one in value]
        return ", ".join(words) or "none"
    return str(value) if value != "" else "not said"
