"""`clusterous create [FILE]`."""

import click

from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument("file", required=False, type=click.Path())
@options.operator_image
@click.option(
    "--skip-check",
    "skipped",
    multiple=True,
    metavar="NAME",
    help="Go on though this check of doctor fails.",
)
@options.break_lock
@options.with_settings
def command(
    settings: Settings, file: str | None, operator_image: str | None, skipped: tuple[str, ...]
) -> int:
    """Create the cluster that FILE describes; finish or mend it when it exists.

    FILE is clusterous.yaml here if not given, else what the cluster named by --cluster was created
    from. It may be stopped and repeated at any point.

    What doctor checks is checked before the first thing is made: what fails stops it.

    The operator's image is the release's, or, where there is none of this version, made here first.
    """
    from clusterous_cli.cluster import local
    from clusterous_cli.commands import changing, opening
    from clusterous_cli.output import show
    from clusterous_cli.plan import cost, design
    from clusterous_cli.terminal.screen import Ui

    screen = Ui(settings)
    cloud, config = opening.wanted(settings, file)
    examined = changing.examined(cloud, config)
    listed = opening.asked_prices(cloud, config)
    drawn = design.draw(cloud, config, offer=opening.offer(operator_image))
    who = drawn.who
    price = cost.of(config, cloud.region, listed())
    if drawn.plan.pending:
        screen.tell(show.plan_table(drawn, price))
        changing.heeded(screen, examined.findings(), skipped)
        for other in local.elsewhere(who):
            screen.warn(f"  ! this machine knows another {other}; this one is not it")
        where = f"{who.name} in {who.region} (account {who.account})"
        leaves = show.leaving_words(drawn.plan)
        question = (
            f"{leaves}\nType the cluster's name to change {where}:"
            if leaves
            else f"create {where}?  {price.spelled()} [y/N]"
        )
        if not screen.confirm(question, word=who.name if leaves else None):
            screen.warn("Nothing was created.")
            return 1
    named = file or (f"--cluster {settings.cluster}" if settings.cluster else "")
    again = f"clusterous create {named}".rstrip()
    cluster = changing.carried_out(screen, cloud, drawn, again)
    if not screen.for_people:
        screen.emit(show.cluster_data(cluster, price, opening.now()))
    screen.hint("Next: clusterous run FILE · clusterous status")
    return 0
