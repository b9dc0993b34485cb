"""The kubeconfig of a cluster, and what its credential plugin answers.

Its server is a local port behind which the plugin opens the tunnel when kubectl asks for
credentials. So plain `kubectl` works, also hours later, and the file holds no secret. What the
plugin needs is kept beside it (`access.json`, readable by its owner only), so that it asks AWS for
nothing and answers within a fraction of a second.
"""

import base64
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from clusterous_api.errors import UserError
from clusterous_cli.reach import kube, ssh, tunnel
from clusterous_cli.system import private

API_PORT: Final = 6443
FILE: Final = "kubeconfig"
# A name that every API server's certificate holds.
TLS_SERVER_NAME: Final = "kubernetes"
LISTS: Final = ("contexts", "clusters", "users")
# kubectl keeps what the plugin said; a long `kubectl get --watch` comes back for it after this
# time, and the plugin finds a tunnel that broke meanwhile.
CREDENTIAL_LIFE: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """How this machine reaches a cluster's API server."""

    cluster: str
    port: int
    access: ssh.Access
    certificate: str
    key: str
    server_ca: str
    api_port: int = API_PORT

    @property
    def tunnel(self) -> tunnel.Tunnel:
        # The API server listens on all of the controller's addresses, its loopback included.
        forward = tunnel.Forward(port=self.port, address=tunnel.LOOPBACK, remote=self.api_port)
        return tunnel.Tunnel(access=self.access, forward=forward)


# -- pure -----------------------------------------------------------------------------------


def document(link: Link, plugin: Mapping[str, Any]) -> dict[str, Any]:
    """The kubeconfig; it is JSON, which is YAML too."""
    name = f"clusterous-{link.access.home.name}"  # with the uid: two clusters may share a name
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "clusters": [
            {
                "name": name,
                "cluster": {
                    "server": f"https://{tunnel.LOOPBACK}:{link.port}",
                    "tls-server-name": TLS_SERVER_NAME,
                    "certificate-authority-data": _base64(link.server_ca),
                },
            }
        ],
        "users": [{"name": name, "user": {"exec": dict(plugin)}}],
    }


def merged(ours: Mapping[str, Any], before: object) -> dict[str, Any]:
    """*ours*, with what others put into the file *before*: a namespace, contexts, preferences.

    kubens, k9s and `kubectl config` write into the file that they are given.
    """
    kept = before if isinstance(before, dict) else {}
    rest = {key: value for key, value in kept.items() if key not in ours}
    lists = {key: _with_others(key, ours[key], kept.get(key)) for key in LISTS}
    there = [one["name"] for one in lists["contexts"]]
    chosen = kept.get("current-context")
    current = chosen if chosen in there else ours["current-context"]
    return {**ours, **rest, **lists, "current-context": current}


def _with_others(kind: str, ours: Sequence[Mapping[str, Any]], before: object) -> list[Any]:
    """Our entry, with what it had beside, and those of others; ours of an earlier name go."""
    (mine,) = ours
    listed = [one for one in before if isinstance(one, dict)] if isinstance(before, list) else []
    was = next((one for one in listed if one.get("name") in (mine["name"], _old(mine))), {})
    if kind == "contexts" and isinstance(was.get("context"), dict):
        mine = {**mine, "context": {**was["context"], **mine["context"]}}
    others = [one for one in listed if one.get("name") not in (mine["name"], _old(mine), None)]
    return [mine, *others]


def _old(mine: Mapping[str, Any]) -> str:
    """How an earlier release called the entry: without the cluster's uid."""
    return re.sub(r"-[0-9a-f]{10}$", "", str(mine["name"]))


def plugin(cluster: str, command: list[str], home: str | None) -> dict[str, Any]:
    """The part of the kubeconfig that names the credential plugin."""
    answer: dict[str, Any] = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": command[0],
        "args": [*command[1:], "credential", "--cluster", cluster],
        "interactiveMode": "Never",
        "provideClusterInfo": False,
    }
    if home:
        answer["env"] = [{"name": "CLUSTEROUS_HOME", "value": home}]
    return answer


def credential(link: Link, now: datetime) -> dict[str, Any]:
    """The answer of the plugin to kubectl."""
    expires = now + CREDENTIAL_LIFE
    return {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {
            "expirationTimestamp": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "clientCertificateData": link.certificate,
            "clientKeyData": link.key,
        },
    }


def to_json(link: Link) -> str:
    return json.dumps(asdict(link), indent=1, default=str)


def from_json(text: str) -> Link:
    data = json.loads(text)
    access = data.pop("access")
    return Link(
        **data,
        access=ssh.Access(
            gateway=ssh.Host(**access["gateway"]),
            nodes=tuple(ssh.Host(**node) for node in access["nodes"]),
            user=access["user"],
            key=Path(access["key"]),
            known_hosts=Path(access["known_hosts"]),
            home=Path(access["home"]),
        ),
    )


def environment(home: Path) -> dict[str, str]:
    """Tell kubectl which cluster it is about, by its folder; what it keeps of the cluster goes with
    that."""
    return {"KUBECONFIG": str(home / FILE), "KUBECACHEDIR": str(home / "kubectl-cache")}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# -- acting ---------------------------------------------------------------------------------


def own_command() -> list[str]:
    """How kubectl starts us, wherever our program is installed."""
    program = Path(sys.argv[0])
    if program.name == "clusterous" and (found := shutil.which(str(program))):
        return [str(Path(found).absolute())]
    return [sys.executable, "-m", "clusterous_cli"]


def choose_port(uid: str, before: Link | None) -> int:
    """The port used so far if it is ours or free, else one that is free."""
    wanted = before.port if before else tunnel.preferred_port(uid)
    if before and before.tunnel.is_open():
        return wanted
    return tunnel.free_port(wanted)


def write(link: Link, path: Path) -> None:
    """Write the kubeconfig and what the plugin needs, if they say something new."""
    home = os.environ.get("CLUSTEROUS_HOME")
    ours = document(link, plugin(link.access.home.name, own_command(), home))
    private.write(access_path(path.parent), to_json(link))
    before = _read(path)
    wanted = merged(ours, before)
    if before != wanted:
        private.write(path, json.dumps(wanted, indent=1) + "\n")


def _read(path: Path) -> object:
    """What the file says now; others write it as YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        from clusterous_cli.system import yamltree  # not on the way of the credential plugin

        try:
            return next(iter(yamltree.load_all(text, str(path))), None)
        except UserError:
            return None


def api(link: Link) -> kube.Api:
    """The Kubernetes API at our end of the tunnel, which is open."""
    context = kube.tls_context(link.server_ca, link.certificate, link.key)
    return kube.Api(kube.Https(port=link.port, context=context, server_name=TLS_SERVER_NAME))


def access_path(home: Path) -> Path:
    return home / "access.json"


def read(home: Path) -> Link | None:
    """What was written before; None if nothing was, or it cannot be read any more."""
    try:
        return from_json(access_path(home).read_text())
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError):  # written by another version of us
        return None


def read_or_explain(home: Path, cluster: str) -> Link:
    link = read(home)
    if link is None:
        raise UserError(
            f"This machine does not know the cluster {cluster} yet; run "
            f"`clusterous kubectl --cluster {cluster} --config` once."
        )
    return link
