"""`clusterous connect [APP] [NAME]`: open what an app exposes, or a shell in a component."""

import click

from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument("app", required=False)
@click.argument("name", required=False)
@click.option("--list", "show", is_flag=True, help="Only list what can be opened.")
@click.option("--background", is_flag=True, help="Open it, and give the terminal back.")
@click.option("--close", is_flag=True, help="Close what was opened in the background.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=600,
    help="Seconds to wait while it comes no further; default 600.",
)
@options.with_settings
def command(
    settings: Settings,
    app: str | None,
    name: str | None,
    show: bool,
    background: bool,
    close: bool,
    timeout: float,
) -> None:
    """Open what APP exposes (or its one part NAME) on this machine, until Ctrl-C.

    Without APP, the only one there is. A tunnel in the background closes after half an hour
    without use.

    Where no program is called APP, but a component is, it opens a shell there, as
    `clusterous shell` does.
    """
    from clusterous_cli.commands import opening, shell
    from clusterous_cli.program import apps, exposure
    from clusterous_cli.program.running import shells
    from clusterous_cli.reach import kube, session
    from clusterous_cli.system.wait import Patience
    from clusterous_cli.terminal import spell
    from clusterous_cli.terminal.screen import Ui

    out = Ui(settings)
    opened = opening.session_of(settings)
    link = session.link(opened.cluster)
    api = session.api(link)
    steady = Patience(mend=link.tunnel.ensure, tell=out.warn).ask
    known = api.items(kube.apps_path()) if app else []
    there = shells.parts(known)
    is_part = bool(app and shells.meant(there, app))
    is_app = any(shells.is_called(one, app) for one in known)
    if app and is_part and not is_app and name is None:
        shell.enter(out, opened, api, shells.one_of(there, app))
        return
    if is_part:
        out.hint(f"A component is called {app}, too: clusterous shell {app}")
    state = apps.find(api, app)
    state = exposure.await_ready(api, state, (), out, timeout=timeout, steady=steady)
    endpoints = apps.chosen(state.endpoints, name, state.name)
    if show:
        rows = [(e.name, e.component, str(e.port), str(e.local_port)) for e in endpoints]
        head = ("name", "component", "port", "here")
        data = [dict(zip(head, row, strict=True)) for row in rows]
        out.emit(data, lambda: spell.table([head, *rows]))
    elif close:
        out.tell(f"{spell.plural(exposure.close_all(opened.access, endpoints), 'tunnel')} closed")
    else:
        served = [endpoint.component for endpoint in endpoints]
        state = exposure.await_ready(api, state, served, out, timeout=timeout, steady=steady)
        tunnels = exposure.open_all(opened.access, api, state, endpoints, out)
        if not background:
            out.hint("Ctrl-C closes it.")
            exposure.hold(tunnels, out)
