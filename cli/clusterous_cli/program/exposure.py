"""What apps expose, opened on this machine: a tunnel for each port, and what to say about it."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from clusterous_api.conditions import Type
from clusterous_api.errors import ClusterousError, FailedError, TransientError
from clusterous_cli.program import apps
from clusterous_cli.program.apps import AppState, Endpoint, Far
from clusterous_cli.reach import ports, ssh, tunnel
from clusterous_cli.reach.kube import Api
from clusterous_cli.reach.tunnel import Forward, Tunnel
from clusterous_cli.system import private
from clusterous_cli.system.wait import Progress
from clusterous_cli.terminal.screen import Ui

CHECK_SECONDS: Final = 2.0
ASKED_EACH: Final = 5  # of these looks one also asks through the tunnel, and the cluster


def always(port: int) -> bool:
    """An app's port may speak anything: that ssh holds the tunnel is all that can be known."""
    return True


def app_tunnel(access: ssh.Access, port: int, address: str = "", remote: int = 0) -> Tunnel:
    """The tunnel behind a local port; without an address it can only be asked and closed.

    What is on the network of a machine is reached from that machine itself, so also what listens
    there for nobody else.
    """
    host = next((one.name for one in access.nodes if one.address == address), None)
    if host is None:
        forward = Forward(port=port, address=address, remote=remote)
    else:
        forward = Forward(port=port, address=tunnel.LOOPBACK, remote=remote, host=host)
    return Tunnel(access=access, forward=forward, is_alive=always)


def await_ready(
    api: Api,
    app: AppState,
    names: Sequence[str],
    ui: Ui,
    *,
    timeout: float,
    sleep: Callable[[float], None] = time.sleep,
    steady: apps.Steady = lambda ask: ask(),
) -> AppState:
    """Wait until each of the components *names* has a pod that is ready, or for *timeout* seconds
    nothing has come further."""
    further, told = Progress(clock=ui.clock), ""
    while True:
        waits = unready(app, names)
        if not waits:
            return app
        if app.holds(Type.COMPLETED):
            raise FailedError(f"{app.name} has completed; it serves nothing any more.")
        if further.still(waits) >= timeout:
            raise FailedError(
                f"{app.name} is not there, and for {timeout:.0f} s has come no further: {waits}"
            )
        if waits != told:
            ui.tell(f"waiting for {app.name}: {waits}")
            told = waits
        sleep(CHECK_SECONDS / 2)
        app = steady(partial(apps.look, api, app))


def unready(app: AppState, names: Sequence[str]) -> str:
    """How far the first of the components *names* is that has no ready pod; empty if all have."""
    if not app.is_current:
        return "the operator has not looked at it yet"
    for name in names:
        component = app.component(name)
        if component is None or not component.ready:
            return f"{name}: {component.reason or 'starting'}" if component else name
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A page that is open on this machine; without an *endpoint*, one that never moves."""

    endpoint: Endpoint | None = None
    tunnel: Tunnel

    @property
    def url(self) -> str:
        return f"http://localhost:{self.tunnel.forward.port}"


def port_of(home: Path, app: AppState, endpoint: Endpoint) -> int:
    """The port here that a page has or had, or else would like."""
    return ports.read(home).get(_key(app, endpoint), endpoint.local_port)


def _key(app: AppState, endpoint: Endpoint) -> str:
    return ports.key(_title(app), endpoint.name)


def _title(app: AppState) -> str:
    return f"{app.namespace}/{app.name}"


def open_all(
    access: ssh.Access, api: Api, app: AppState, endpoints: Sequence[Endpoint], ui: Ui
) -> list[Opened]:
    """Open a tunnel in the background for each of *endpoints*, and say the app's messages."""
    there = {_title(app), *(_title(one) for one in apps.all_states(api))}
    return [_open(access, api, app, endpoint, ui, there) for endpoint in endpoints]


def _open(
    access: ssh.Access,
    api: Api,
    app: AppState,
    endpoint: Endpoint,
    ui: Ui,
    there: Collection[str],
) -> Opened:
    end = apps.far_end(api, app, endpoint)
    with private.alone(access.home / "ports.lock"):
        kept, gone = ports.divided(ports.read(access.home), there)
        key = _key(app, endpoint)
        # An earlier tunnel of this page may lead to a pod that is no more, as those of gone apps.
        for port in (*gone.values(), *({kept[key]} if key in kept else ())):
            app_tunnel(access, port).close()
        port = ports.chosen(kept, key, endpoint.local_port, tunnel.is_free)
        ports.write(access.home, {**kept, key: port})
        opened = app_tunnel(access, port, end.address, end.port)
        opened.ensure()
    if port != endpoint.local_port:
        ui.tell(f"! port {endpoint.local_port} is taken on this machine; it is {port} instead")
    ui.tell(f"→ {apps.message_text(endpoint, port)}")
    return Opened(endpoint=endpoint, tunnel=opened)


def close_all(
    access: ssh.Access, app: AppState, endpoints: Sequence[Endpoint] | None = None
) -> int:
    """Close the tunnels to *endpoints* of *app* (None: to all), and say how many there were."""
    wanted = app.endpoints if endpoints is None else endpoints
    tunnels = [app_tunnel(access, port_of(access.home, app, one)) for one in wanted]
    opened = [one for one in tunnels if one.is_open()]
    for one in opened:
        one.close()
    return len(opened)


@dataclass(slots=True, kw_only=True)
class Keeping:
    """Holds pages open: each look mends what broke, or leads to where its pods have gone.

    *find* asks the cluster where a page is now. That a connection is dead which ssh believes in, as
    after the laptop slept or changed its network, is found out by asking through it.
    """

    opened: list[Opened]
    find: Callable[[Endpoint], Far] | None
    ui: Ui
    broken: bool = False
    _looks: int = 0

    def look(self) -> None:
        """Look after all of them once."""
        self._looks += 1
        is_asked = self._looks % ASKED_EACH == 0
        try:
            self.opened = [self._kept(one, is_asked) for one in self.opened]
        except ClusterousError as error:
            if not self.broken:
                self.ui.warn(f"The connection broke; trying again. ({error})")
            self.broken = True
            return
        if self.broken:
            self.ui.tell("The connection is back.")
        self.broken = False

    def _kept(self, one: Opened, is_asked: bool) -> Opened:
        is_open = one.tunnel.is_open() and (not is_asked or one.tunnel.answers())
        if is_open and not is_asked:
            return one
        fresh = self._anew(one, is_open)
        if is_open and fresh.forward == one.tunnel.forward:
            return one
        one.tunnel.close()
        fresh.ensure()
        return Opened(endpoint=one.endpoint, tunnel=fresh)

    def _anew(self, one: Opened, is_open: bool) -> Tunnel:
        """The tunnel to where the page is now; to where it was, while nobody can be asked."""
        if one.endpoint is None or self.find is None:
            return one.tunnel
        try:
            end = self.find(one.endpoint)
        except ClusterousError as error:
            if is_open or isinstance(error, TransientError):
                return one.tunnel
            raise
        return app_tunnel(one.tunnel.access, one.tunnel.forward.port, end.address, end.port)

    def close(self) -> None:
        for one in self.opened:
            one.tunnel.close()


def hold(
    opened: Sequence[Opened],
    find: Callable[[Endpoint], Far] | None,
    ui: Ui,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Keep the pages open until Ctrl-C (or SIGTERM); one that broke is opened again."""
    keeping = Keeping(opened=list(opened), find=find, ui=ui)
    try:
        while True:
            sleep(CHECK_SECONDS)
            keeping.look()
    except KeyboardInterrupt:
        ui.tell("\nclosed")
    finally:
        keeping.close()
