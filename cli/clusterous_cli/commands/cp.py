"""`clusterous cp SRC DST`: files to and from a container's own disk."""

import click

from clusterous_cli.commands import completing, kept
from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument("source", metavar="SRC", shell_complete=completing.container_paths)
@click.argument("target", metavar="DST", shell_complete=completing.container_paths)
@options.with_settings
def command(settings: Settings, source: str, target: str) -> None:
    """Copy a file or a folder from here to a container, or from there to here.

    One of SRC and DST is COMPONENT:PATH (APP/COMPONENT:PATH where several programs have one). What
    a container has on its own disk goes with it: what is to stay, and what is large, belongs on
    /home/data (`put`, `get`). Nothing is put in its place before all of it has come, by its sum.
    The image needs sh, tar and sha256sum.

    \b
    clusterous cp master:/tmp/trace.json .
    clusterous cp settings.ini sim/worker:/etc/sim/
    """
    from clusterous_cli.data import links, transfer
    from clusterous_cli.program.running import copying, parts, shells
    from clusterous_cli.system import shell
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    here, there = copying.ends(source, target)
    is_fetched = not here.is_here
    if is_fetched:
        here, there = there, here
    else:
        transfer.check_sources([here.path])
    shell.program("kubectl")
    cluster = kept.programs(settings)
    api = cluster.api
    part = parts.one_of(parts.listed(api), there.component, there.app, verb="shell")
    inside = shells.inside(api, part)
    if words := inside.words(part.name):
        ui.tell(words)
    end = copying.Container(inside=inside, component=part.name, env=cluster.environment)
    with ui.lines() as lines:
        tell = ui.now_and_then(lambda text: lines.set(source, text))
        if is_fetched:
            left = copying.fetch(end, there.path, here.path, tell)
        else:
            left = ()
            copying.send(end, here.path, there.path, tell)
        lines.set(source, f"is in {target}", done=True)
    if left:
        ui.warn(f"! {links.spelled(left)} lead out of what was copied, and stayed there.")
    if not ui.for_people:
        ui.emit({"pod": inside.pod, "destination": target, "links_left": [str(x) for x in left]})
