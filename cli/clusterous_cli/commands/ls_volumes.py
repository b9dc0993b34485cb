"""`clusterous ls-volumes`."""

import click

from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@options.with_settings
def command(settings: Settings) -> int:
    """List the volumes and snapshots of all clusters in the region: used, kept, and left.

    Kept is what outlasts its cluster, by destroy --leave-shared-volume or as a snapshot. It costs
    money until rm-volume removes it. Volumes that clusterous did not make are not listed.
    """
    from clusterous_cli.commands import opening
    from clusterous_cli.output import volumes
    from clusterous_cli.plan.volumes import stock
    from clusterous_cli.terminal.screen import Ui

    screen = Ui(settings)
    cloud = opening.region(settings)
    found, now = stock.take(cloud), opening.now()
    place = f"{cloud.region} (account {cloud.account})"
    for words in found.unseen:
        screen.warn(f"  ! {words}")
    if not found.things and screen.for_people:
        screen.tell(
            f"No volume of clusterous was found in {place}, but not all could be looked at."
            if found.unseen
            else f"There is no volume of clusterous in {place}."
        )
        return 0
    data = volumes.stock_data(found, cloud.region, cloud.account, now)
    screen.emit(data, lambda: volumes.stock_table(found, now))
    screen.hint("Next: a cluster file with volume: {id: …} · clusterous rm-volume ID")
    return 0
