"""`clusterous connect [APP] [NAME]`: open what an app exposes, or a shell in a component."""

from functools import partial

import click

from clusterous_cli.commands import completing, kept
from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument("app", required=False, shell_complete=completing.apps_and_components)
@click.argument("name", required=False)
@click.option("--list", "show", is_flag=True, help="Only list what can be opened.")
@click.option("--browser", is_flag=True, help="Show it (or the first of several) in a browser.")
@click.option("--background", is_flag=True, help="Open it, and give the terminal back.")
@click.option("--close", is_flag=True, help="Close what was opened in the background.")
@click.option(
    "--timeout",
    type=options.Finite(min=0),
    default=600,
    help="Seconds to wait while it comes no further; default 600.",
)
@options.with_settings
def command(
    settings: Settings,
    app: str | None,
    name: str | None,
    show: bool,
    browser: bool,
    background: bool,
    close: bool,
    timeout: float,
) -> None:
    """Open all that APP exposes (or its one part NAME) on this machine, until Ctrl-C.

    Without APP, the only one there is. Each page has the port of its own that the program asks for,
    or the next one that is free, and keeps it from one time to the next. What breaks, as when the
    laptop sleeps or changes its network, is opened again on the same port. A tunnel in the
    background closes after half an hour without use.

    Where no program is called APP, but a component is, it opens a shell there, as
    `clusterous shell` does.
    """
    from clusterous_cli.commands import shell
    from clusterous_cli.program import apps, exposure
    from clusterous_cli.program.running import parts
    from clusterous_cli.reach import kube
    from clusterous_cli.system import browser as window
    from clusterous_cli.system.wait import Patience
    from clusterous_cli.terminal import spell
    from clusterous_cli.terminal.screen import Ui

    out = Ui(settings)
    cluster = kept.programs(settings)
    api, link = cluster.api, cluster.link
    steady = Patience(mend=link.tunnel.ensure, tell=out.warn).ask
    known = steady(partial(api.items, kube.apps_path())) if app else []
    there = parts.parts(known)
    is_part = bool(app and parts.meant(there, app))
    is_app = any(parts.is_called(one, app) for one in known)
    if app and is_part and not is_app and name is None:
        shell.enter(out, cluster, parts.one_of(there, app))
        return
    if is_part:
        out.hint(f"A component is called {app}, too: clusterous shell {app}")
    state = steady(partial(apps.find, api, app))
    state = exposure.await_ready(api, state, (), out, timeout=timeout, steady=steady)
    endpoints = apps.chosen(state.endpoints, name, state.name)
    if show:
        home = cluster.access.home
        here = [(e, exposure.port_of(home, state, e)) for e in endpoints]
        rows = [(e.name, e.component, str(e.port), str(port)) for e, port in here]
        head = ("name", "component", "port", "here")
        data = [dict(zip(head, row, strict=True)) for row in rows]
        out.emit(data, lambda: spell.table([head, *rows]))
    elif close:
        closed = exposure.close_all(cluster.access, state, endpoints)
        out.tell(f"{spell.plural(closed, 'tunnel')} closed")
    else:
        served = [endpoint.component for endpoint in endpoints]
        state = exposure.await_ready(api, state, served, out, timeout=timeout, steady=steady)
        pages = exposure.open_all(cluster.access, api, state, endpoints, out)
        if not out.for_people:
            names = [endpoint.name for endpoint in endpoints]
            out.emit([{"name": n, "url": p.url} for n, p in zip(names, pages, strict=True)])
        if browser and pages and not window.show(pages[0].url):
            out.warn(f"! There is no browser to open here; the address is {pages[0].url}")
        if not background:
            out.hint("Ctrl-C closes it.")

            def find(endpoint: apps.Endpoint) -> apps.Far:
                link.tunnel.ensure()
                return apps.far_end(api, state, endpoint)

            exposure.hold(pages, find, out)
