"""What a cluster says at once: by ways that are open already, and from what this machine has kept.

Nothing here opens a connection, asks AWS or waits: who presses TAB is offline as often as not.
"""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from clusterous_cli.reach import kube, kubeconfig, ssh
from clusterous_cli.system import private, shell

KEPT: Final = "programs.json"
SECONDS: Final = 1.0


def apps(home: Path) -> list[kube.Object]:
    """The apps of the cluster whose folder is *home*, or those that there were at the last look."""
    link = kubeconfig.read(home)
    if link is None or not link.tunnel.is_open():
        return _kept(home)
    context = kube.tls_context(link.server_ca, link.certificate, link.key)
    api = kube.Api(
        kube.Https(port=link.port, context=context, server_name=kubeconfig.TLS_SERVER_NAME)
    )
    found = api.items(kube.apps_path())
    keep(home, found)
    return found


def keep(home: Path, apps: Sequence[kube.Object]) -> None:
    """Keep of *apps* what they and their components are called."""
    told = json.dumps([_named(one) for one in apps])
    private.write(home / KEPT, told)


def _named(app: kube.Object) -> kube.Object:
    metadata, spec = app["metadata"], app.get("spec") or {}
    blocks = {key: _called(spec[key]) for key in ("master", "workers") if key in spec}
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
    control = ssh.socket_folder(home) / ssh.CONTROLLER
    to_controller = ("ssh", "-F", str(home / ssh.CONFIG))
    if not control.exists() or _failed((*to_controller, "-O", "check", ssh.CONTROLLER)):
        return []
    script = f"sudo ls -1Ap -- {shlex.quote(folder)}"
    status, said, _ = shell.outcome((*to_controller, ssh.CONTROLLER, script), timeout=SECONDS)
    return said.splitlines() if status == 0 else []


def _failed(argv: Sequence[str]) -> bool:
    return shell.outcome(argv, timeout=SECONDS)[0] != 0
