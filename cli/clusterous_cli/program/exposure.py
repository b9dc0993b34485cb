"""What apps expose, opened on this machine: a tunnel for each port, and what to say about it."""

import time
from collections.abc import Callable, Sequence
from functools import partial

from clusterous_api.conditions import Type
from clusterous_api.errors import ClusterousError, FailedError
from clusterous_cli.program import apps
from clusterous_cli.program.apps import AppState, Endpoint
from clusterous_cli.reach import ssh, tunnel
from clusterous_cli.reach.kube import Api
from clusterous_cli.reach.tunnel import Forward, Tunnel
from clusterous_cli.system.wait import Progress
from clusterous_cli.terminal.screen import Ui

CHECK_SECONDS = 2.0


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


def open_all(
    access: ssh.Access, api: Api, app: AppState, endpoints: Sequence[Endpoint], ui: Ui
) -> list[Tunnel]:
    """Open a tunnel in the background for each of *endpoints*, and say the app's messages."""
    return [_open(access, api, app, endpoint, ui) for endpoint in endpoints]


def _open(access: ssh.Access, api: Api, app: AppState, endpoint: Endpoint, ui: Ui) -> Tunnel:
    end = apps.far_end(api, app, endpoint)
    # An earlier tunnel of ours on that port may lead to an app that is no more.
    app_tunnel(access, endpoint.local_port).close()
    port = tunnel.free_port(endpoint.local_port)
    if port != endpoint.local_port:
        ui.tell(f"! port {endpoint.local_port} is taken on this machine; it is {port} instead")
    opened = app_tunnel(access, port, end.address, end.port)
    opened.ensure()
    ui.tell(f"→ {apps.message_text(endpoint, port)}")
    return opened


def close_all(access: ssh.Access, endpoints: Sequence[Endpoint]) -> int:
    """Close the tunnels to *endpoints*, and say how many there were."""
    tunnels = [app_tunnel(access, endpoint.local_port) for endpoint in endpoints]
    opened = [one for one in tunnels if one.is_open()]
    for one in opened:
        one.close()
    return len(opened)


def hold(tunnels: Sequence[Tunnel], ui: Ui, *, sleep: Callable[[float], None] = time.sleep) -> None:
    """Keep the tunnels open until Ctrl-C (or SIGTERM); one that broke is opened again."""
    broken = False
    try:
        while True:
            sleep(CHECK_SECONDS)
            broken = _keep(tunnels, ui, broken)
    except KeyboardInterrupt:
        ui.tell("\nclosed")
    finally:
        for one in tunnels:
            one.close()


def _keep(tunnels: Sequence[Tunnel], ui: Ui, broken: bool) -> bool:
    """Open again what is closed; whether something stays broken."""
    try:
        lost = [one for one in tunnels if not one.is_open()]
        for one in lost:
            one.ensure()
    except ClusterousError as error:
        if not broken:
            ui.warn(f"The connection broke; trying again. ({error})")
        return True
    if broken:
        ui.tell("The connection is back.")
    return False
