"""`clusterous workon [NAME]`."""

import click

from clusterous_api.errors import UserError
from clusterous_cli.commands import completing
from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument("name", required=False, shell_complete=completing.clusters)
@options.with_settings
def command(settings: Settings, name: str | None) -> None:
    """Make NAME the cluster that commands are about, also on a machine that never saw it.

    Its keys are fetched from its bucket: whoever may read that can work on it. In a folder with a
    clusterous.yaml, commands are about that file's cluster all the same; --cluster goes first.

    Without NAME it says which cluster that is.
    """
    from clusterous_cli.cluster import local, record
    from clusterous_cli.commands import opening
    from clusterous_cli.output import show
    from clusterous_cli.terminal.screen import Ui

    screen = Ui(settings)
    if name is None:
        current = local.current()
        if current is None:
            raise UserError("No cluster is chosen. `clusterous workon NAME` chooses one.")
        known = [one for one in local.known() if one.who == current]
        screen.emit(show.identity_data(current), lambda: str(known[0]))
        return
    cloud = opening.found(settings, name)
    cluster = record.open_cluster(name, cloud)
    who = opening.identity(name, cloud)
    assert who is not None
    local.choose(who)
    screen.emit(
        {**show.identity_data(who), "ssh_key": str(cluster.ssh_key)},
        lambda: f"{who.name} in {who.region} (account {who.account})",
    )
    for words in opening.other_here(who):
        screen.warn(f"  ! {words}")
    screen.hint("Next: clusterous status · clusterous connect")
