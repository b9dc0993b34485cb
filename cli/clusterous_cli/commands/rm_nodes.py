"""`clusterous rm-nodes [NODE…]`."""

import click

from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings

FEWER = "No machine is to leave: so many are gone already. From now on fewer are wanted."


@click.command(cls=options.Command)
@click.argument("words", nargs=-1, metavar="[NODE]... | N [POOL]")
@click.option("--count", type=int, metavar="N", help="How many of a pool, in place of names.")
@click.option("--replace", is_flag=True, help="Put a new machine in the place of each NODE.")
@click.option("--force", is_flag=True, help="End them after a minute, whatever still runs there.")
@options.break_lock
@options.with_settings
def command(
    settings: Settings, words: tuple[str, ...], count: int | None, replace: bool, force: bool
) -> int:
    """Drain machines and remove them: each NODE by its name in status, or N of POOL.

    Nothing new comes to a machine that leaves. Its programs are asked to end, as fast as their
    disruption budgets allow, and run elsewhere where there is room; after 10 minutes the command
    ends (exit code 75), and the same one goes on: it removes nothing twice. Then Kubernetes forgets
    the node, and the machine is ended, with what is on its disk. Of a machine whose Kubernetes is
    silent nothing is waited for.

    Without words it goes on with those that are leaving already. With --force neither budgets nor
    pods that nothing would start elsewhere keep a machine for longer than a minute.
    """
    from clusterous_cli.cluster.config import ClusterConfig
    from clusterous_cli.commands import changing, opening
    from clusterous_cli.output import show
    from clusterous_cli.plan import cost, design
    from clusterous_cli.terminal.screen import Ui

    screen = Ui(settings)
    cloud, kept = opening.recorded(settings)
    chosen = changing.leaving(cloud, kept, words, count, replace=replace)
    listed = opening.asked_prices(cloud, chosen.config)
    drawn = design.draw(
        cloud, chosen.config, offer=opening.offer(None), leave=chosen.ids,
        unfinished=chosen.unfinished,
    )  # fmt: skip
    price = cost.of(chosen.config, cloud.region, listed())
    before = ClusterConfig.from_record(kept["config"])
    if not (drawn.plan.leaving or chosen.goes_on) and chosen.config == before:
        screen.tell("No machine is to leave.")
        return 0
    screen.tell(show.plan_table(drawn, price))
    where = f"{chosen.config.name} in {cloud.region} (account {cloud.account})"
    ids = {id for step in drawn.plan.leaving if step.found for id in step.found.id.split()}
    if lost := changing.logs_lost(cloud, before, ids):
        screen.warn(f"  ! {lost}")
    leaves = show.leaving_words(drawn.plan) or ("" if chosen.goes_on else FEWER)
    if leaves and not screen.confirm(f"{leaves}\nremove from {where}? [y/N]"):
        screen.warn("Nothing was removed.")
        return 1
    also = options.also("count", "replace")  # whom that meant is leaving already
    again = f"clusterous rm-nodes --cluster {chosen.config.name}{also}"
    cluster = changing.carried_out(screen, cloud, drawn, again, force=force)
    changing.shown(screen, cluster, price, chosen.config)
    return 0
