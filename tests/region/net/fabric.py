"""The fabric makes the network what it should be: it applies the difference, and remembers.

Safe to call again after any failure: what was made is remembered piece by piece.
"""

import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

from tests.region.aws.view import Snapshot
from tests.region.net import addresses, netns, plan
from tests.region.net.dns import Resolver
from tests.region.net.wanted import Link, Namespace, Route, Wanted

_ROUTER = {
    "ipv4/ip_forward": "1",
    "ipv6/conf/all/disable_ipv6": "1",
    "ipv6/conf/default/disable_ipv6": "1",
    "ipv4/conf/all/send_redirects": "0",
    "ipv4/conf/default/send_redirects": "0",
    # Neighbours of a subnet have no cable to each other: the router answers for all of them.
    "ipv4/conf/default/proxy_arp": "1",
}


@dataclass(slots=True, kw_only=True)
class Fabric:
    """All namespaces, cables, routes, rules and resolvers of one region."""

    region: str  # the simulated region's own name, which starts the name of each namespace
    aws_region: str
    state_dir: Path
    _namespaces: set[Namespace] = field(default_factory=set)
    _links: set[Link] = field(default_factory=set)
    _routes: set[Route] = field(default_factory=set)
    _rules: dict[str, str] = field(default_factory=dict)
    _resolvers: dict[str, Resolver] = field(default_factory=dict)
    _followed: Snapshot | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def namespace(self, instance_id: str) -> str:
        return addresses.instance_namespace(self.region, instance_id)

    def reconcile(self, snapshot: Snapshot) -> None:
        """Make the network what *snapshot* says; the same one again costs nothing."""
        with self._lock:
            if snapshot is not self._followed:
                wanted = plan.wanted(snapshot, self.region)
                self._apply(wanted)
                # While a namespace waits for its machine's end, we have to look again.
                self._followed = snapshot if self._namespaces == wanted.namespaces else None

    def silence(self, instance_id: str) -> None:
        """Let nothing that a machine says reach anybody any more."""
        with self._lock:
            name = self.namespace(instance_id)
            if netns.exists(name):
                netns.batch(name, ["link set eth0 down"])

    def forget(self, instance_id: str) -> None:
        """End the namespace of an instance whose machine has ended."""
        with self._lock:
            name = self.namespace(instance_id)
            self._namespaces = {space for space in self._namespaces if space.name != name}
            for link in [link for link in self._links if link.leaf == name]:
                self._remove_link(link)
            netns.delete(name)

    def close(self) -> None:
        """End everything; processes that others have left in our namespaces keep them alive."""
        with self._lock:
            self._followed = None
            self._apply(Wanted())
            for space in list(self._namespaces):
                netns.delete(space.name)
            self._namespaces.clear()

    def _apply(self, wanted: Wanted) -> None:
        """Remove first, from the ends inwards; then add, from the middle outwards."""
        with self._lock:
            self._remove(wanted)
            for space in sorted(wanted.namespaces - self._namespaces, key=lambda one: one.name):
                self._add_namespace(space)
            # Rules come before cables: no packet ever passes a router that has none.
            self._set_rules(wanted)
            for link in sorted(wanted.links - self._links, key=lambda one: one.port):
                self._add_link(link)
            self._add_routes(wanted.routes - self._routes)
            for name, zone in wanted.zones.items():
                self._resolver(name).serve(zone)

    def _remove(self, wanted: Wanted) -> None:
        for name in set(self._resolvers) - set(wanted.zones):
            self._resolvers.pop(name).close()
        self._remove_routes(self._routes - wanted.routes)
        for link in self._links - wanted.links:
            self._remove_link(link)
        kept = {space.name for space in wanted.namespaces}
        for space in [space for space in self._namespaces if space.name not in kept]:
            self._remove_namespace(space)

    def _remove_namespace(self, space: Namespace) -> None:
        """Leave a namespace in which something still runs: its owner will `forget` it."""
        if not netns.pids(space.name):
            netns.delete(space.name)
            self._namespaces.discard(space)
            self._rules.pop(space.name, None)

    def _add_namespace(self, space: Namespace) -> None:
        netns.add(space.name)
        try:
            if space.router:
                netns.configure(space.name, _ROUTER)
            if space.resolver:
                netns.set_resolver(space.name, space.resolver)
            netns.batch(space.name, [f"addr add {address} dev lo" for address in space.addresses])
        except OSError:
            netns.delete(space.name)  # half made, it would be in the way of the next try
            raise
        self._namespaces.add(space)

    def _add_link(self, link: Link) -> None:
        mac = f" address {link.mac}" if link.mac else ""
        end = f"name {link.interface} netns {link.leaf}{mac}"
        router = [
            f"link add {link.port} type veth peer {end}",
            f"addr add {link.gateway} dev {link.port}",
            f"link set {link.port} up",
        ]
        try:
            netns.batch(link.router, router)
            # Answer for the neighbours at once, not after the kernel's delay of up to 0.8 s.
            netns.configure(link.router, {f"ipv4/neigh/{link.port}/proxy_delay": "0"})
            netns.batch(link.leaf, _leaf_lines(link))
        except OSError:
            self._remove_link(link)
            raise
        self._links.add(link)

    def _remove_link(self, link: Link) -> None:
        """Cut a cable; its routes go with it."""
        self._links.discard(link)
        self._routes = {
            route
            for route in self._routes
            if (route.router, route.port) != (link.router, link.port)
        }
        if netns.exists(link.router):
            _quietly(["ip", "-n", link.router, "link", "delete", link.port])

    def _add_routes(self, routes: set[Route] | frozenset[Route]) -> None:
        for route in sorted(routes, key=lambda one: (one.via or "", one.destination)):
            netns.batch(route.router, [f"route replace {_route_text(route)}"])
            self._routes.add(route)

    def _remove_routes(self, routes: set[Route]) -> None:
        for route in routes:
            if netns.exists(route.router):
                _quietly(["ip", "-n", route.router, "route", "delete", *_route_text(route).split()])
            self._routes.discard(route)

    def _set_rules(self, wanted: Wanted) -> None:
        for name, text in wanted.rules.items():
            if self._rules.get(name) != text:
                netns.apply_rules(name, text)
                self._rules[name] = text

    def _resolver(self, name: str) -> Resolver:
        if name not in self._resolvers:
            folder = self.state_dir / "dns" / name
            self._resolvers[name] = Resolver(region=self.aws_region, folder=folder)
        return self._resolvers[name]


def _leaf_lines(link: Link) -> list[str]:
    gateway = link.gateway.partition("/")[0]
    lines = [f"addr add {address} dev {link.interface}" for address in link.addresses]
    lines.append(f"link set {link.interface} up")
    if link.addresses:
        lines.append(f"route add default via {gateway} dev {link.interface} onlink")
    return lines


def _route_text(route: Route) -> str:
    if route.port is None:
        return f"blackhole {route.destination}"
    via = f" via {route.via}" if route.via else ""
    return f"{route.destination}{via} dev {route.port}{' onlink' if route.via else ''}"


def _quietly(argv: list[str]) -> None:
    """Run what may find its work done: a namespace or a peer that ended takes cables along."""
    subprocess.run(argv, capture_output=True, check=False)
