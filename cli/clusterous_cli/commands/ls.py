"""`clusterous ls [PATH]`: what is on the shared volume."""

import click

from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument("path", default=".")
@options.with_settings
def command(settings: Settings, path: str) -> None:
    """List PATH on the shared volume, relative to /home/data, with hidden files."""
    from clusterous_cli.commands import opening
    from clusterous_cli.data import listing, transfer, volumes
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    place = transfer.volume_path(path)
    opened = opening.session_of(settings)
    text = listing.listed(opened.access, volumes.of(opened.cluster), place)
    ui.emit(text.splitlines(), lambda: text)
