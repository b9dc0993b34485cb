"""What this machine knows of clusters: a folder for each, named by the cluster and its uid.

Two clusters may share a name, in two regions or accounts. Their keys, host keys and connections
must never meet, so all of that hangs on the folder, and the folder on the uid.
"""

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clusterous_api.errors import UserError
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import RECORD
from clusterous_cli.system import private

# In the folder of all clusters: the name of the folder of the one that was chosen.
CURRENT: Final = "current"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A cluster that was made or opened here, and the folder of what is kept of it."""

    who: Identity
    folder: Path

    def __str__(self) -> str:
        return f"{self.who.name} in {self.who.region} (account {self.who.account})"


def root() -> Path:
    """Return the folder of all clusters."""
    return private.home() / "clusters"


def folder(who: Identity) -> Path:
    """Return the folder that caches what is known of a cluster."""
    return root() / f"{who.name}-{who.uid}"


def known(name: str | None = None) -> tuple[Known, ...]:
    """List the clusters called *name*, or all, that this machine knows."""
    try:
        folders = sorted(path for path in root().iterdir() if not path.is_symlink())
    except (FileNotFoundError, NotADirectoryError):
        return ()
    read = [Known(who=who, folder=path) for path in folders if (who := _identity(path))]
    return tuple(one for one in read if name in (None, one.who.name))


def _identity(path: Path) -> Identity | None:
    """The cluster whose folder *path* is; of a copy of one, or of anything else, it is none."""
    try:
        kept = json.loads((path / RECORD).read_text())
        name, account, region = (kept[key] for key in ("name", "account", "region"))
        who = Identity(name=str(name), account=str(account), region=str(region))
        return who if path.name in (who.name, folder(who).name) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def elsewhere(who: Identity) -> tuple[Known, ...]:
    """List the clusters of the same name that are others."""
    return tuple(one for one in known(who.name) if one.who.uid != who.uid)


def spelled(clusters: Iterable[Known]) -> str:
    """Say which clusters this machine knows."""
    return f"This machine knows {' and '.join(str(one) for one in clusters)}."


def remember(who: Identity) -> None:
    """Note that the cluster is made from here, before anything of it exists."""
    settle(who)
    place = folder(who) / RECORD
    if not place.exists():
        kept = {"name": who.name, "uid": who.uid, "account": who.account, "region": who.region}
        private.write(place, json.dumps(kept, indent=1))


def settle(who: Identity) -> Path:
    """Return the cluster's folder; what an earlier release kept under the bare name moves there.

    A link stays in the old place: shells may have exported the path of the kubeconfig.
    """
    before, now = root() / who.name, folder(who)
    if not now.exists() and not before.is_symlink() and _identity(before) == who:
        before.rename(now)
        before.symlink_to(now.name)
    return now


def choose(who: Identity) -> None:
    """Let commands be about this cluster from now on, where nothing else says which."""
    private.write(root() / CURRENT, folder(who).name)


def current() -> Identity | None:
    """Return the cluster that was chosen, unless this machine has forgotten it since."""
    try:
        chosen = (root() / CURRENT).read_text(errors="replace").strip()
    except OSError:
        return None
    return next((one.who for one in known() if one.folder.name == chosen), None)


def forget(who: Identity) -> None:
    """Remove what is kept of this very cluster; another of its name keeps its own."""
    now = settle(who)
    link = root() / who.name
    if link.is_symlink() and link.readlink() == Path(now.name):
        link.unlink()
    shutil.rmtree(now, ignore_errors=True)


def find(text: str) -> Path:
    """Return the folder that *text* means: a cluster's name, or the folder's own."""
    exact = root() / text
    if "/" not in text and exact.is_dir():
        return exact
    found = known(text)
    if len(found) > 1:
        raise UserError(f"There are several clusters {text}. {spelled(found)}")
    return found[0].folder if found else exact
