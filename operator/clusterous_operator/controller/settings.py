"""What can be chosen about the operator itself; read once, from the environment and the flags."""

import argparse
import socket
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_operator.objects import inherit
from clusterous_operator.objects.inherit import Inherit


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The choices, all with a default."""

    namespaces: tuple[str, ...] = ()  # none: the whole cluster
    namespace_selector: str = ""  # of the whole cluster, the namespaces with these labels
    own_namespace: str = names.NAMESPACE
    workers: int = 16
    host: str = "0.0.0.0"
    port: int = 8080
    resync_seconds: float = 300.0
    shrink_seconds: float = 20.0  # how long fewer workers must be enough before some are ended
    coalesce_seconds: float = 0.05  # changes of children come in bursts
    grace_seconds: float = 20.0
    lease: bool = True  # off: nobody else serves these namespaces, whoever may be writing
    identity: str = ""  # of the holder of the Lease; one that survives a restart takes it up again
    log_level: str = "INFO"
    inherit: Inherit = field(default_factory=Inherit)


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
    option("namespace-selector", "", "labels of the namespaces to serve; empty: whatever labels")
    option("own-namespace", environ.get("POD_NAMESPACE", base.own_namespace), "where we live")
    option("lease", "on", "write only as the holder of a Lease: on or off")
    option("identity", environ.get("POD_NAME", _anybody()), "who we are to other operators")
    option("workers", base.workers, "apps that are worked on at the same time")
    option("port", base.port, "port of probes and metrics")
    option("resync-seconds", base.resync_seconds, "how often to look at everything again")
    option("shrink-seconds", base.shrink_seconds, "patience before a filling group shrinks")
    option("inherit-labels", "", "labels of apps that their children get, separated by commas")
    option("inherit-annotations", "", "annotations of apps that their children get, likewise")
    option("log-level", base.log_level, "DEBUG, INFO, WARNING or ERROR")
    chosen = parser.parse_args(argv)
    if chosen.namespaces and chosen.namespace_selector:
        raise UserError("Give --namespaces or --namespace-selector, not both.")
    return Settings(
        namespaces=tuple(filter(None, (one.strip() for one in chosen.namespaces.split(",")))),
        namespace_selector=chosen.namespace_selector,
        own_namespace=chosen.own_namespace,
        lease=_switch("lease", chosen.lease),
        identity=chosen.identity,
        workers=int(chosen.workers),
        port=int(chosen.port),
        resync_seconds=float(chosen.resync_seconds),
        shrink_seconds=float(chosen.shrink_seconds),
        log_level=chosen.log_level.upper(),
        inherit=Inherit(
            labels=inherit.keys("inherit-labels", chosen.inherit_labels),
            annotations=inherit.keys("inherit-annotations", chosen.inherit_annotations),
        ),
    )


def _anybody() -> str:
    """Return a name that no other process has; in a pod its own is better, as it outlives one."""
    return f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"


def _switch(name: str, value: str) -> bool:
    if value.lower() not in ("on", "off"):
        raise UserError(f"--{name} is {value!r}; write on or off.")
    return value.lower() == "on"
