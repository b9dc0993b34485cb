"""`clusterous rm PATH`: files and folders of the shared volume go."""

import click

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument("path")
@click.option("--confirm", is_flag=True, help="Do not ask (the same as --yes).")
@options.with_settings
def command(settings: Settings, path: str, confirm: bool) -> int:
    """Delete PATH on the shared volume, relative to /home/data, with all that is in it."""
    from clusterous_cli.commands import opening
    from clusterous_cli.data import listing, transfer, volumes
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    place = transfer.volume_path(path).rstrip("/")
    if place == names.VOLUME_PATH:
        raise UserError("That is the whole volume. Name what is in it.")
    opened = opening.session_of(settings)
    question = f"delete {place} of {opened.cluster.name}, with all that is in it? [y/N]"
    if not (confirm or ui.confirm(question)):
        ui.warn("Nothing was deleted.")
        return 1
    listing.removed(opened.access, volumes.of(opened.cluster), place)
    ui.tell(f"✓ {place} is gone.")
    return 0
