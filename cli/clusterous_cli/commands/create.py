"""`clusterous create [FILE]`."""

import click

from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument("file", required=False, type=click.Path())
@options.operator_image
@options.with_settings
def command(settings: Settings, file: str | None, operator_image: str | None) -> int:
    """Create the cluster that FILE describes; finish or mend it when it exists.

    FILE is clusterous.yaml here if not given, else what the cluster named by --cluster was created
    from. It may be stopped and repeated at any point.

    The operator's image is the release's, or, where there is none of this version, made here first.
    """
    from clusterous_cli.cluster import local, record
    from clusterous_cli.commands import opening
    from clusterous_cli.output import show
    from clusterous_cli.plan import converge, cost, design
    from clusterous_cli.system import wait
    from clusterous_cli.terminal import spell
    from clusterous_cli.terminal.screen import Ui

    screen, pauses = Ui(settings), wait.Pauses()
    cloud, config = opening.wanted(settings, file)
    drawn = design.draw(cloud, config, offer=opening.offer(operator_image))
    who = drawn.who
    price = cost.of(config, cloud.region)
    if drawn.plan.pending:
        screen.tell(show.plan_table(drawn, price))
        for other in local.elsewhere(who):
            screen.warn(f"  ! this machine knows another {other}; this one is not it")
        where = f"{who.name} in {who.region} (account {who.account})"
        if not screen.confirm(f"create {where}?  {price.spelled()} [y/N]"):
            screen.warn("Nothing was created.")
            return 1
    local.remember(who)
    named = file or (f"--cluster {settings.cluster}" if settings.cluster else "")
    again = f"clusterous create {named}".rstrip()
    with (
        screen.lines() as lines,
        converge.resumable(pauses, screen, lines, again),
        converge.accounted(cloud, who),
    ):
        drawn = converge.with_image(drawn, lines, pauses)
        converge.Create(cloud=cloud, design=drawn, lines=lines, pauses=pauses).run()
    cluster = record.open_cluster(config.name, cloud)
    screen.tell(f"✓ {config.name} is ready after {spell.duration(screen.passed)}.")
    for words in drawn.plan.unchanged:
        screen.warn(f"  ! {words}")
    if not screen.for_people:
        screen.emit(show.cluster_data(cluster, price, opening.now()))
    screen.hint("Next: clusterous run FILE · clusterous status")
    return 0
