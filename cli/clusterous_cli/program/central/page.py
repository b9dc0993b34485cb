"""The way to a store's page: who is let in to it, and a tunnel to where it is.

The tunnel ends on the controller, whose packets reach a pod on another node under the first address
of the controller's part of the pod network (flannel.1), one of its own node under the second. They
are no pod's: no selector names them. So the policy that admits them is written anew at each
opening: a controller that was replaced has another part.
"""

import base64
import contextlib
import ipaddress
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from clusterous_api import names
from clusterous_api.errors import FailedError
from clusterous_cli.cluster.file.centrallogging import NAMESPACE, Store
from clusterous_cli.program import exposure
from clusterous_cli.program.central.stores import STORES, Page
from clusterous_cli.reach import tunnel
from clusterous_cli.reach.kube import Api, Object
from clusterous_cli.reach.session import Session

POLICY: Final = "clusterous-logs-page"
OFF: Final = "Central logging is off. `clusterous logging on` says what it needs, and turns it on."


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where a page is as seen from the controller, and who may enter."""

    address: str
    port: int
    user: str
    password: str
    authority: str | None = None  # in PEM; None: it speaks no TLS


def admitted(nodes: Iterable[Object]) -> list[str]:
    """Return the addresses that the controllers' own packets have on the pod network."""
    found = []
    for node in nodes:
        if names.LABEL_CONTROL_PLANE in (node["metadata"].get("labels") or {}):
            for cidr in node.get("spec", {}).get("podCIDRs") or ():
                network = ipaddress.ip_network(cidr)
                found += [f"{network[0]}/{network.max_prefixlen}"]
                found += [f"{network[1]}/{network.max_prefixlen}"]
    return sorted(found)


def policy(page: Page, addresses: Iterable[str]) -> Object:
    """Return the policy that lets these addresses in to the page, and nobody else."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": POLICY, "namespace": NAMESPACE},
        "spec": {
            "podSelector": {"matchLabels": dict(page.selector)},
            "policyTypes": ["Ingress"],
            "ingress": [
                {
                    "ports": [{"port": page.pod_port, "protocol": "TCP"}],
                    "from": [{"ipBlock": {"cidr": one}} for one in addresses],
                }
            ],
        },
    }


def door(page: Page, service: Object, secrets: Mapping[str, Mapping[str, str]]) -> Door:
    """Return where the page is, by its Service and the Secrets that it has."""
    address = service["spec"]["clusterIP"]
    password = _decoded(secrets[page.secret], page.key)
    authority = _decoded(secrets[page.authority], "ca.crt") if page.authority else None
    return Door(
        address=address, port=page.port, user=page.user, password=password, authority=authority
    )


def _decoded(data: Mapping[str, str], key: str) -> str:
    return base64.b64decode(data[key]).decode()


def let_in(api: Api, store: Store) -> Door:
    """Let the controllers in to the page of *store*, and return where it is."""
    page = STORES[store].page
    if page is None:
        raise FailedError(
            f"Records go to {STORES[store].words}: its page is its own, and not on the cluster."
        )
    service = api.find(f"/api/v1/namespaces/{NAMESPACE}/services/{page.service}")
    wanted = [page.secret, *([page.authority] if page.authority else [])]
    secrets = {name: _secret(api, name) for name in wanted}
    if service is None or not all(secrets.values()):
        raise FailedError(
            "Central logging is not there yet; `clusterous logging status` shows how far it is."
        )
    addresses = admitted(api.items("/api/v1/nodes"))
    if not addresses:
        raise FailedError("No controller has a part of the pod network yet. Try again in a minute.")
    api.apply(policy(page, addresses))
    return door(page, service, secrets)


def _secret(api: Api, name: str) -> dict[str, str]:
    found: dict[str, Any] = api.find(f"/api/v1/namespaces/{NAMESPACE}/secrets/{name}") or {}
    return dict(found.get("data") or {})


@contextlib.contextmanager
def reached(opened: Session, api: Api, store: Store) -> Iterator[tuple[int, Door]]:
    """Open a way to the store for as long as the block lasts: a local port, and who may enter."""
    door = let_in(api, store)
    port = tunnel.free_port(tunnel.preferred_port(opened.cluster.uid) + 1)
    way = _way(opened, port, door)
    way.ensure()
    try:
        yield port, door
    finally:
        way.close()


def reach_again(opened: Session, api: Api, store: Store, port: int) -> None:
    """Mend a way that broke: a controller that was replaced has other addresses, too."""
    _way(opened, port, let_in(api, store)).ensure()


def _way(opened: Session, port: int, door: Door) -> tunnel.Tunnel:
    return exposure.app_tunnel(opened.access, port, door.address, door.port)


def trust(authority: str) -> ssl.SSLContext:
    """Trust only the authority of the page's certificate, whatever the host is called."""
    context = ssl.create_default_context(cadata=authority)
    context.check_hostname = False  # it is behind a tunnel, and called localhost here
    return context
