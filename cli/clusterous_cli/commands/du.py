"""`clusterous du [PATH]`: how much takes how much of the shared volume."""

import click

from clusterous_cli.commands import completing, kept
from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument("path", default=".", shell_complete=completing.on_volume)
@click.option(
    "-d",
    "--depth",
    type=click.IntRange(min=0, max=20),
    default=1,
    help="How deep to tell; default 1, what is in PATH.",
)
@options.with_settings
def command(settings: Settings, path: str, depth: int) -> None:
    """Show how much each thing in PATH takes, the largest first, and how much is free.

    PATH is one on the shared volume, relative to /home/data. Counted is what is taken of the
    volume, of files of every owner; what has several names is counted once.
    """
    from clusterous_cli.data import listing, transfer
    from clusterous_cli.terminal.screen import Ui, slow

    ui = Ui(settings)
    place = transfer.volume_path(path)
    there = kept.files(settings)
    with slow(ui.tell, "Counting…"):
        found = listing.measured(there.access, there.volume, place, depth)
    ui.emit(found.as_data(), lambda: found.table(place))
