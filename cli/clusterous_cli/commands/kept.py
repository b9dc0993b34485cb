"""How daily commands begin: by a way to the cluster that is open already, or else by asking AWS.

For ten minutes after a command the connection stays, and leads to the very cluster: then neither
AWS is asked nor what speaks to it loaded, which takes longer than most of these commands.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clusterous_api.errors import ClusterousError
from clusterous_cli.terminal.options import Settings

if TYPE_CHECKING:
    from clusterous_cli.data.transfer import Volume
    from clusterous_cli.reach.kube import Api
    from clusterous_cli.reach.kubeconfig import Link
    from clusterous_cli.reach.ssh import Access


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The shared volume of the cluster *name*, and the way there."""

    name: str
    access: "Access"
    volume: "Volume"


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """The API of the cluster *name*, and the way there."""

    name: str
    home: Path
    link: "Link"
    api: "Api"

    @property
    def access(self) -> "Access":
        """The way to its machines."""
        return self.link.access

    @property
    def environment(self) -> Mapping[str, str]:
        """Tell kubectl whose cluster it is."""
        from clusterous_cli.reach import kubeconfig

        return kubeconfig.environment(self.home)


def files(settings: Settings) -> Files:
    """Return the volume of the cluster that is meant."""
    from clusterous_cli.data import volumes
    from clusterous_cli.reach import warm

    place = _home(settings)
    if place and (found := _warm_files(place)):
        return found
    with warm.beginning(place):
        from clusterous_cli.commands import opening

        cluster = (opened := opening.session_of(settings)).cluster
    return Files(name=cluster.name, access=opened.access, volume=volumes.of(cluster))


def programs(settings: Settings) -> Programs:
    """Return the API of the cluster that is meant."""
    from clusterous_cli.reach import kubeconfig, warm

    if (place := _home(settings)) and (link := warm.link(place)):
        return Programs(name=link.cluster, home=place, link=link, api=kubeconfig.api(link))
    from clusterous_cli.commands import opening
    from clusterous_cli.reach import session

    cluster = opening.session_of(settings).cluster
    link = session.link(cluster)
    return Programs(name=cluster.name, home=cluster.home, link=link, api=session.api(link))


def home(name: str | None) -> Path | None:
    """The folder of the cluster that a command would be about: *name*, the file's here, the chosen
    one, or the only one that this machine knows."""
    from clusterous_cli.cluster import config, local

    file = config.read(Path(config.FILE)) if name is None and Path(config.FILE).exists() else None
    name = file.name if file else name
    if name is None and (who := local.current()):
        return local.folder(who)
    known = [one for one in local.known(name) if not file or file.region in (None, one.who.region)]
    return known[0].folder if len(known) == 1 else None


def _home(settings: Settings) -> Path | None:
    """The folder, unless it is said that the cluster is elsewhere, or for others to say."""
    if settings.region or settings.profile:
        return None
    with contextlib.suppress(ClusterousError, OSError):  # told by who asks AWS
        return home(settings.cluster)
    return None


def _warm_files(place: Path) -> Files | None:
    import json

    from clusterous_cli.cluster.payload import RECORD
    from clusterous_cli.cluster.records import formats
    from clusterous_cli.data import volumes
    from clusterous_cli.reach import warm

    try:
        record = formats.current(json.loads((place / RECORD).read_text()))
        name, volume = str(record["name"]), volumes.by(record, str(record["name"]))
    except (ClusterousError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    access = warm.access(place)
    return Files(name=name, access=access, volume=volume) if access else None
