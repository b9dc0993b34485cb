"""`clusterous rm-volume ID`."""

import click

from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument("id")
@click.option("--confirm", is_flag=True, help="Do not ask (the same as --yes).")
@options.with_settings
def command(settings: Settings, id: str, confirm: bool) -> int:
    """Delete a volume or snapshot that was kept: ID as ls-volumes shows it.

    Refused is what a cluster uses or has for its own, and what clusterous did not make. Snapshots
    of a volume stay when it goes, and are named.
    """
    from clusterous_cli.commands import opening
    from clusterous_cli.output import volumes
    from clusterous_cli.plan.volumes import removal, stock
    from clusterous_cli.system import wait
    from clusterous_cli.terminal.screen import Ui

    screen = Ui(settings)
    cloud = opening.region(settings)
    used = stock.users(cloud)
    thing = stock.find(cloud, id, used)
    removal.refuse(thing, used)
    copies = stock.snapshots_of(cloud, thing.id)
    place = f"{cloud.region} (account {cloud.account})"
    question = volumes.removal_words(thing, copies, place, opening.now())
    if not (confirm or screen.confirm(f"{question}\nType its id to go on:", word=thing.id)):
        screen.warn("Nothing was removed.")
        return 1
    with opening.journaled(cloud, opening.kept_from(settings, cloud, thing.cluster)):
        removal.remove(cloud, thing, wait.Pauses())
    screen.tell(f"✓ {thing.id} is gone.")
    for words in volumes.copies_words(copies):
        screen.warn(f"  ! {words}")
    if not screen.for_people:
        screen.emit({"removed": thing.id, "kept": [one.id for one in copies]})
    return 0
