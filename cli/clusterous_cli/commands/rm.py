"""`clusterous rm PATH…`: files and folders of the shared volume go."""

from typing import Final

import click

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_cli.commands import completing, kept
from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings

# From so much on a slip of the finger costs too much: a person is asked, a script is not.
MANY_FILES: Final = 1000
MANY_BYTES: Final = 1 << 30


@click.command(cls=options.Command)
@click.argument(
    "paths", nargs=-1, required=True, metavar="PATH...", shell_complete=completing.on_volume
)
@click.option("--confirm", is_flag=True, help="Do not ask (the same as --yes).")
@options.with_settings
def command(settings: Settings, paths: tuple[str, ...], confirm: bool) -> int:
    """Delete each PATH on the shared volume, relative to /home/data, with all that is in it.

    It goes without a question, files of any owner, too; on a terminal you are asked where it is
    much (a thousand files, or 1 GiB). Of a link goes the link. The whole volume is refused.
    """
    from clusterous_cli.data import listing, transfer
    from clusterous_cli.terminal import spell
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    places = [transfer.volume_path(path).rstrip("/") for path in paths]
    if names.VOLUME_PATH in places:
        raise UserError("That is the whole volume. Name what is in it.")
    there = kept.files(settings)
    for place in places:
        if ui.can_ask and not (confirm or settings.yes):
            files, size = listing.extent(there.access, there.volume, place)
            much = f"{spell.plural(files, 'file')}, {spell.size(size)}"
            question = f"delete {place} of {there.name} ({much})? [y/N]"
            is_much = files >= MANY_FILES or size >= MANY_BYTES
            if is_much and not ui.confirm(question):
                ui.warn("Nothing more was deleted.")
                return 1
        listing.removed(there.access, there.volume, place)
        ui.tell(f"✓ {place} is gone.")
    if not ui.for_people:
        ui.emit({"removed": places})
    return 0
