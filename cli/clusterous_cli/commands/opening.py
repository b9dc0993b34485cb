"""How commands begin: from options to a session, a configuration, a cluster's identity."""

import os
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clusterous_api.errors import ClusterousError, UserError
from clusterous_cli.aws import client, errors
from clusterous_cli.cluster import config, record
from clusterous_cli.cluster.config import ClusterConfig
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.terminal.options import Settings
from clusterous_cli.terminal.screen import Ui


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def cloud(settings: Settings, region: str | None = None) -> client.Aws:
    """Open the session; a cluster's own region is known from the last time it was opened here."""
    return client.connect(settings, region or _region_of(settings.cluster))


def _region_of(name: str | None) -> str | None:
    if name is None or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"):
        return None
    import json

    try:
        kept: Mapping[str, Any] = json.loads((record.folder(name) / record.RECORD).read_text())
    except (OSError, ValueError):
        return None
    return kept.get("region")


def wanted(settings: Settings, file: str | None) -> tuple[client.Aws, ClusterConfig]:
    """Return the session and the configuration that *file*, or the cluster's record, describes."""
    path = Path(file) if file else Path(config.FILE)
    if file or (path.exists() and settings.cluster is None):
        read = config.read(path)
        return client.connect(settings, read.region), _same(read, settings)
    if settings.cluster is None:
        raise UserError(
            f"Which cluster? Name a cluster file (there is no {config.FILE} here), or one that"
            " exists with --cluster NAME. The smallest file is: name: reef"
        )
    session = cloud(settings)
    who = Identity(name=settings.cluster, account=session.account, region=session.region)
    kept = record.read_json(session, who, record.RECORD)
    if kept is None:
        raise errors.NoCluster(f"There is no cluster {who.name!r} in {who.region}; name its file.")
    return session, ClusterConfig.from_record(kept["config"])


def _same(read: ClusterConfig, settings: Settings) -> ClusterConfig:
    if settings.cluster not in (None, read.name):
        raise UserError(f"The file describes {read.name}, but --cluster says {settings.cluster}.")
    return read


def identity(name: str | None, session: client.Aws) -> Identity | None:
    """Return the identity of the cluster *name*, or of the only one there is, or None."""
    try:
        chosen = record.choose(name, session)
    except errors.NoCluster:
        return None
    if not config.NAME.fullmatch(chosen):
        raise UserError(f"{chosen!r} is no cluster's name.")
    return Identity(name=chosen, account=session.account, region=session.region)


def nothing(screen: Ui, message: str, unseen: Sequence[str] = ()) -> int:
    """Say that there is nothing to do, and what could not be looked for."""
    screen.tell(message)
    for words in unseen:
        screen.warn(f"  ! {words}")
    if not screen.for_people:
        screen.emit({"left": [], "unseen": list(unseen)})
    return 0


def forget(name: str) -> None:
    """Close the ways to a cluster that is gone, and remove what is cached of it."""
    from clusterous_cli.reach import ssh

    ssh.close(record.folder(name))
    shutil.rmtree(record.folder(name), ignore_errors=True)


def apps(cluster: record.Cluster) -> Sequence[Mapping[str, Any]] | None:
    """Return the states of the cluster's programs; None while nothing can tell."""
    from clusterous_cli.program import apps
    from clusterous_cli.reach import session

    if not (cluster.gateway_ip and cluster.controller_ip):
        return None
    try:
        states = apps.all_states(session.api(session.link(cluster)))
    except ClusterousError:
        return None
    return [apps.as_data(state) for state in states]
