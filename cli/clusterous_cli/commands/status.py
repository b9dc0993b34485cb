"""`clusterous status`."""

import click

from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@options.with_settings
def command(settings: Settings) -> int:
    """Show the machines, the programs, and the cost so far.

    Of CPU and memory: what is used, what programs were promised, and what there is.
    """
    from clusterous_cli.cluster import record
    from clusterous_cli.cluster.config import ClusterConfig
    from clusterous_cli.commands import opening
    from clusterous_cli.output import show
    from clusterous_cli.plan import cost
    from clusterous_cli.terminal.screen import Ui

    screen = Ui(settings)
    goal = opening.target(settings)
    cluster = record.open_cluster(goal.name, goal.cloud)
    price = cost.of(ClusterConfig.from_record(cluster.record["config"]), cluster.region)
    now, inside = opening.now(), opening.inside(cluster, screen.tell)
    data = show.cluster_data(cluster, price, now) | show.inside_data(cluster, inside)
    screen.emit(data, lambda: show.cluster_table(cluster, price, now, inside))
    if show.missing(cluster):
        screen.hint("Next: clusterous create makes what is missing · clusterous destroy")
    elif any(node.phase == "failed" for node in cluster.nodes):
        screen.hint("Next: clusterous create replaces what failed")
    else:
        screen.hint("Next: clusterous run FILE · clusterous destroy")
    return 0
