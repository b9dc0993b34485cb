"""`clusterous ls [PATH]`: what is on the shared volume."""

import click

from clusterous_cli.commands import completing, kept
from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument("path", default=".", shell_complete=completing.on_volume)
@options.with_settings
def command(settings: Settings, path: str) -> None:
    """List PATH on the shared volume, relative to /home/data, with hidden files.

    With -o json, each is an object with its kind, size, mode, owner and time.
    """
    from clusterous_cli.data import listing, transfer
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    place = transfer.volume_path(path)
    there = kept.files(settings)
    if ui.for_people:
        text = listing.listed(there.access, there.volume, place)
        ui.emit(None, lambda: text)
    else:
        ui.emit([one.as_data() for one in listing.there(there.access, there.volume, place)])
