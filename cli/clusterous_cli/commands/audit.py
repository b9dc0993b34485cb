"""`clusterous audit`."""

import click

from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.option(
    "--last",
    type=click.IntRange(1),
    default=40,
    show_default=True,
    metavar="N",
    help="How many calls.",
)
@options.with_settings
def command(settings: Settings, last: int) -> None:
    """Show what was called in AWS to change the cluster: when, by whom, with which command.

    Every call is there but those of the lock. A call without a result is one whose answer nobody
    heard: AWS may have done it. The list lies in the cluster's bucket, and goes with it.
    """
    from clusterous_cli.cluster import record
    from clusterous_cli.commands import opening
    from clusterous_cli.output import show
    from clusterous_cli.terminal.screen import Ui
    from clusterous_cli.turns import journal

    screen = Ui(settings)
    cloud, who = opening.chosen(settings)
    found = journal.listed(cloud, who, last)
    if not found and record.read(cloud, who) is None:
        raise record.absent(who)
    screen.emit([dict(one.data) for one in found], lambda: show.calls(found))
