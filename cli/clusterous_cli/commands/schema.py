"""`clusterous schema`: the cluster file as a JSON Schema."""

import click

from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@options.with_settings
def command(settings: Settings) -> None:
    """Print the JSON Schema of the cluster file, by which editors complete and check it.

    \b
    clusterous schema > clusterous.schema.json
    and as the first line of the cluster file:
    # yaml-language-server: $schema=clusterous.schema.json
    """
    from clusterous_cli.cluster.file import schema
    from clusterous_cli.terminal.screen import Ui

    Ui(settings).emit(schema.schema(), lambda: schema.text().rstrip("\n"))
