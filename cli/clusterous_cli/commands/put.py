"""`clusterous put SRC… [DST]`: local files to the shared volume."""

import click

from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument("paths", nargs=-1, required=True, metavar="SRC... [DST]")
@click.option("--follow", is_flag=True, help="Copy what links lead to that lead out of SRC.")
@options.with_settings
def command(settings: Settings, paths: tuple[str, ...], follow: bool) -> None:
    """Copy files and folders from here to the shared volume.

    The last of several PATHS is where to: a path on the volume, relative to /home/data; with one
    path only, the volume's root. As with rsync, `inputs` arrives as a folder of that name, and
    `inputs/` only with its contents. Only what is new or changed travels; the same command
    resumes what was cut short. Nothing is deleted. Every program may read what arrives, and write
    beside it, whichever user it runs as. A SRC that is a link is copied as what it leads to.

    \b
    clusterous put inputs                 /home/data/inputs
    clusterous put a.csv b.csv tables/    /home/data/tables/{a,b}.csv
    """
    from clusterous_cli.commands import opening
    from clusterous_cli.data import links, transfer, volumes
    from clusterous_cli.reach import session
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    *sources, target = paths if len(paths) > 1 else (*paths, ".")
    transfer.check_sources(sources)
    transfer.check_rsync()
    transfer.volume_path(target)
    opened = opening.session_of(settings)
    with ui.lines() as lines:
        title = " ".join(sources)
        tell = session.now_and_then(ui, lambda text: lines.set(title, text))
        volume = volumes.of(opened.cluster)
        left = transfer.put(opened.access, volume, sources, target, tell, follow=follow)
        lines.set(title, f"is in {transfer.volume_path(target)}", done=True)
    if left:
        ui.warn(
            f"! {links.spelled(left)} lead nowhere on the volume; --follow copies what is there."
        )
