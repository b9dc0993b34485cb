"""`clusterous put SRC… [DST]`: local files to the shared volume."""

import click

from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument("paths", nargs=-1, required=True, metavar="SRC... [DST]")
@options.with_settings
def command(settings: Settings, paths: tuple[str, ...]) -> None:
    """Copy files and folders from here to the shared volume.

    The last of several PATHS is where to: a path on the volume, relative to /home/data; with one
    path only, the volume's root. As with rsync, `inputs` arrives as a folder of that name, and
    `inputs/` only with its contents. Only what is new or changed travels; the same command
    resumes what was cut short. Nothing is deleted.

    \b
    clusterous put inputs                 /home/data/inputs
    clusterous put a.csv b.csv tables/    /home/data/tables/{a,b}.csv
    """
    from clusterous_cli.commands import opening
    from clusterous_cli.data import transfer, volumes
    from clusterous_cli.reach import session
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    *sources, target = paths if len(paths) > 1 else (*paths, ".")
    transfer.check_sources(sources)
    transfer.volume_path(target)
    goal = opening.target(settings)
    opened = session.open_session(goal.cloud, goal.name)
    with ui.lines() as lines:
        title = " ".join(sources)
        tell = session.now_and_then(ui, lambda text: lines.set(title, text))
        transfer.put(opened.access, volumes.of(opened.cluster), sources, target, tell)
        lines.set(title, f"is in {transfer.volume_path(target)}", done=True)
