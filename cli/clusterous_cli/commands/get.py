"""`clusterous get SRC… [DST]`: files of the shared volume to here."""

import click

from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument("paths", nargs=-1, required=True, metavar="SRC... [DST]")
@options.with_settings
def command(settings: Settings, paths: tuple[str, ...]) -> None:
    """Copy files and folders from the shared volume to here.

    SRC are paths on the volume, relative to /home/data; the last of several PATHS is where to,
    with one path only the current folder. As with rsync, `results` arrives as a folder of that
    name, and `results/` only with its contents. Only what is new or changed travels; the same
    command resumes what was cut short. Nothing is deleted. Links that lead out of SRC stay there.

    \b
    clusterous get results                ./results
    clusterous get result.json build/     build/result.json
    """
    from clusterous_cli.commands import opening
    from clusterous_cli.data import links, transfer, volumes
    from clusterous_cli.reach import session
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    *sources, target = paths if len(paths) > 1 else (*paths, "./")
    for source in sources:
        transfer.volume_path(source)
    transfer.check_rsync()
    opened = opening.session_of(settings)
    with ui.lines() as lines:
        title = " ".join(sources)
        tell = session.now_and_then(ui, lambda text: lines.set(title, text))
        left = transfer.get(opened.access, volumes.of(opened.cluster), sources, target, tell)
        lines.set(title, f"is in {target}", done=True)
    if left:
        ui.warn(f"! {links.spelled(left)} lead out of what was copied, and stayed there.")
