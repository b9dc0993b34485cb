"""What a cluster says at once: by ways that are open already, and from what this machine has kept.

Nothing here opens a connection, asks AWS or waits. A connection that is open leads to the cluster,
so nobody need be asked where that is; and who presses TAB is offline as often as not.
"""

import contextlib
import json
import shlex
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from clusterous_api import names
from clusterous_cli.reach import kube, kubeconfig, ssh
from clusterous_cli.system import private, shell

KEPT: Final = "programs.json"
SECONDS: Final = 1.0
BEGIN_SECONDS: Final = 20.0


def apps(home: Path) -> list[kube.Object]:
    """The apps of the cluster whose folder is *home*, or those that there were at the last look."""
    found = link(home)
    if found is None:
        return _kept(home)
    listed = kubeconfig.api(found).items(kube.apps_path())
    keep(home, listed)
    return listed


def keep(home: Path, apps: Sequence[kube.Object]) -> None:
    """Keep of *apps* what they and their components are called."""
    told = json.dumps([_named(one) for one in apps])
    private.write(home / KEPT, told)


def _named(app: kube.Object) -> kube.Object:
    metadata, spec = app["metadata"], app.get("spec") or {}
    blocks = {key: _called(spec[key]) for key in (names.MASTER, names.WORKERS) if key in spec}
    others = [_called(one) for one in spec.get("components") or ()]
    return {
        "metadata": {key: metadata[key] for key in ("namespace", "name") if key in metadata},
        "spec": {**blocks, "components": others},
    }


def _called(block: kube.Object) -> kube.Object:
    return {key: block[key] for key in ("name", "aliases") if key in block}


def _kept(home: Path) -> list[kube.Object]:
    try:
        found = json.loads((home / KEPT).read_text())
    except (OSError, ValueError):
        return []
    return list(found) if isinstance(found, list) else []


def names_in(home: Path, folder: str) -> list[str]:
    """What is in *folder*, an absolute one on the volume; a folder's name ends in a slash."""
    way = access(home)
    if way is None:
        return []
    argv = ssh.argv(way, ssh.CONTROLLER, f"sudo ls -1Ap -- {shlex.quote(folder)}")
    status, said, _ = shell.outcome(argv, timeout=SECONDS)
    return said.splitlines() if status == 0 else []


def access(home: Path) -> ssh.Access | None:
    """The way to the controller of the cluster whose folder is *home*, if it is open."""
    way = ssh.Access(
        gateway=ssh.Host(name=ssh.GATEWAY, address=""),
        nodes=(),
        user="",
        key=home / "id_ed25519",
        known_hosts=home / "known_hosts",
        home=home,
    )
    if not way.config_path.exists():
        return None
    return way if _listens(ssh.socket_folder(home) / ssh.CONTROLLER) else None


def _listens(control: Path) -> bool:
    """Whether ssh waits behind a control socket: one that died leaves its socket behind."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        try:
            asked.connect(str(control))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def beginning(home: Path | None) -> Iterator[None]:
    """Open the way to the controller as it was last, while others find out where it is now.

    Whoever answers there must show the controller's own key. If it is not there any more, or is
    reached otherwise by now, nothing stays of it.
    """
    if home is None or not (config := home / ssh.CONFIG).exists():
        yield
        return
    before = config.read_text()
    begun = shell.start(["ssh", "-F", str(config), ssh.CONTROLLER, "true"])
    try:
        yield
        begun.wait(BEGIN_SECONDS)
    except subprocess.TimeoutExpired:
        pass  # who comes next opens one of their own, or says why not
    finally:
        if begun.poll() is None:
            begun.kill()
            begun.wait()
    if not config.exists() or config.read_text() != before:
        ssh.close(home)


def link(home: Path) -> kubeconfig.Link | None:
    """The way to the API server of the cluster of *home*, if it is open and it answers."""
    found = kubeconfig.read(home)
    if found is None or not found.tunnel.is_open():
        return None
    return found if found.tunnel.is_alive(found.port) else None
