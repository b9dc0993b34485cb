"""How commands begin: from options to a session, a configuration, a cluster's identity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clusterous_api.errors import ClusterousError, UserError
from clusterous_cli.aws import client, errors
from clusterous_cli.cluster import config, local, record, regions
from clusterous_cli.cluster.config import ClusterConfig
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.terminal.options import Settings
from clusterous_cli.terminal.screen import Ui


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The session, and the cluster that is meant (None: the only one there is).

    The region was *chosen* for this cluster (by an option, a file, or since it is known to be
    there), or is only what the AWS tools are set to.
    """

    cloud: client.Aws
    name: str | None
    chosen: bool


def target(settings: Settings, name: str | None = None) -> Target:
    """Open the session where the cluster is: *name*, else --cluster, else the file in this folder.

    What is known of the cluster goes before what the AWS tools happen to be set to, which may be
    another region for another work; only --region goes before that.
    """
    name = name or settings.cluster
    file = _file_here(name)
    name = name or (file.name if file else None)
    region = _region(settings, name, file)
    chosen = bool(settings.region or region)
    return Target(cloud=client.connect(settings, region), name=name, chosen=chosen)


def _file_here(name: str | None) -> ClusterConfig | None:
    """The cluster file of this folder, unless it describes another cluster than *name*."""
    path = Path(config.FILE)
    if not path.exists():
        return None
    try:
        read = config.read(path)
    except UserError:
        if name is None:
            raise
        return None  # its mistakes are of no matter here
    return read if name in (None, read.name) else None


def _region(settings: Settings, name: str | None, file: ClusterConfig | None) -> str | None:
    """The region that a file or this machine's own knowledge has for the cluster *name*."""
    if settings.region or name is None:
        return None
    if file and file.region and settings.cluster is None:
        return file.region
    known = local.known(name)
    regions = {one.who.region for one in known} | ({file.region} if file and file.region else set())
    if len(regions) > 1:
        also = f" {config.FILE} here says {file.region}." if file and file.region else ""
        raise UserError(
            f"Which {name}? {local.spelled(known)}{also}"
            f" Say --region {' or '.join(sorted(regions))}."
        )
    return next(iter(regions), None)


def wanted(settings: Settings, file: str | None) -> tuple[client.Aws, ClusterConfig]:
    """Return the session and the configuration that *file*, or the cluster's record, describes."""
    path = Path(file) if file else Path(config.FILE)
    if file or (path.exists() and settings.cluster is None):
        read = _same(config.read(path), settings)
        region = read.region or _region(settings, read.name, None)
        return client.connect(settings, region), read
    if settings.cluster is None:
        raise UserError(
            f"Which cluster? Name a cluster file (there is no {config.FILE} here), or one that"
            " exists with --cluster NAME. The smallest file is: name: reef"
        )
    session = target(settings).cloud
    who = Identity(name=settings.cluster, account=session.account, region=session.region)
    kept = record.read(session, who)
    if kept is None:
        raise record.absent(who)
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


def vanished(goal: Target, who: Identity) -> tuple[str, ...]:
    """Judge that nothing of *who* was found; return in words where nobody could look.

    It is an error, and this machine keeps what it knows, where the cluster may be elsewhere.
    """
    where = f"There is nothing of {who.name} in {who.region} (account {who.account})"
    is_known = any(one.who == who for one in local.known(who.name))
    others = local.elsewhere(who)
    if others and not is_known:
        raise errors.NoCluster(
            f"{where}. {local.spelled(others)}\n  Nothing was removed. Say --region, or take that"
            " account's credentials (--profile)."
        )
    if is_known or goal.chosen:
        return ()
    seen = regions.search(goal.cloud, who.name)
    if seen.found:
        raise errors.NoCluster(
            f"{where}, but there is in {', '.join(seen.found)}. Nothing was removed. Say --region"
            f" {seen.found[0]}."
        )
    if seen.unseen:
        raise errors.NoCluster(
            f"{where}; {', '.join(seen.unseen)} could not be asked. Say --region, so that it is"
            " clear where to look."
        )
    return ()


def forget(who: Identity) -> None:
    """Close the ways to a cluster that is gone, and remove what is cached of it."""
    from clusterous_cli.reach import ssh

    ssh.close(local.settle(who))
    local.forget(who)


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
