"""What can be chosen about the operator itself; read once, from the environment and the flags."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clusterous_api import names


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The choices, all with a default."""

    namespaces: tuple[str, ...] = ()  # none: the whole cluster
    own_namespace: str = names.NAMESPACE
    workers: int = 16
    host: str = "0.0.0.0"
    port: int = 8080
    resync_seconds: float = 300.0
    shrink_seconds: float = 20.0  # how long fewer workers must be enough before some are ended
    coalesce_seconds: float = 0.05  # changes of children come in bursts
    grace_seconds: float = 20.0
    log_level: str = "INFO"


def read(environ: Mapping[str, str], argv: Sequence[str]) -> Settings:
    """Read the settings; a flag wins over its variable."""
    base = Settings()
    parser = argparse.ArgumentParser(prog="clusterous-operator", description=__doc__)

    def option(flag: str, default: object, what: str) -> None:
        variable = "CLUSTEROUS_" + flag.upper().replace("-", "_")
        parser.add_argument(
            f"--{flag}",
            default=environ.get(variable, str(default)),
            help=f"{what} (${variable}; {default!r})",
        )

    option("namespaces", "", "namespaces to serve, separated by commas; empty: all")
    option("own-namespace", environ.get("POD_NAMESPACE", base.own_namespace), "where we live")
    option("workers", base.workers, "apps that are worked on at the same time")
    option("port", base.port, "port of probes and metrics")
    option("resync-seconds", base.resync_seconds, "how often to look at everything again")
    option("shrink-seconds", base.shrink_seconds, "patience before a filling group shrinks")
    option("log-level", base.log_level, "DEBUG, INFO, WARNING or ERROR")
    chosen = parser.parse_args(argv)
    return Settings(
        namespaces=tuple(filter(None, (one.strip() for one in chosen.namespaces.split(",")))),
        own_namespace=chosen.own_namespace,
        workers=int(chosen.workers),
        port=int(chosen.port),
        resync_seconds=float(chosen.resync_seconds),
        shrink_seconds=float(chosen.shrink_seconds),
        log_level=chosen.log_level.upper(),
    )
