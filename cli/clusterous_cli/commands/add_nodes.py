"""`clusterous add-nodes [N] [POOL]`."""

import click

from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument("words", nargs=-1, metavar="[N] [POOL]")
@click.option("--count", type=int, metavar="N", help="How many; 1 if not given.")
@options.break_lock
@options.with_settings
def command(settings: Settings, words: tuple[str, ...], count: int | None) -> int:
    """Add N machines (or one) to POOL, and wait until they are ready.

    POOL may be left out where there is only one pool of workers. A cluster file that says another
    number is told: create with it would go back. The same command again goes on with one that has
    not ended, and adds nothing twice.
    """
    from clusterous_cli.cluster.config import ClusterConfig
    from clusterous_cli.commands import changing, opening
    from clusterous_cli.output import show
    from clusterous_cli.plan import cost, design
    from clusterous_cli.terminal.screen import Ui

    screen = Ui(settings)
    cloud, kept = opening.recorded(settings)
    before = ClusterConfig.from_record(kept["config"])
    number, name = changing.amount(words, count)
    pool = changing.pool(before, name)
    chosen = changing.by(kept, pool, number)
    config = changing.checked(chosen.config)
    listed = opening.asked_prices(cloud, config)
    drawn = design.draw(cloud, config, offer=opening.offer(None), unfinished=chosen.unfinished)
    price = cost.of(config, cloud.region, listed())
    screen.tell(show.plan_table(drawn, price))
    if chosen.goes_on:
        screen.tell(f"To add {number} to {pool.spelled} was begun, and has not ended: it goes on.")
    where = f"{config.name} in {cloud.region} (account {cloud.account})"
    if not screen.confirm(f"add {number} to {pool.spelled} of {where}?  {price.spelled()} [y/N]"):
        screen.warn("Nothing was added.")
        return 1
    also = options.also("count")
    again = f"clusterous add-nodes {number} {pool.name} --cluster {config.name}{also}"
    cluster = changing.carried_out(screen, cloud, drawn, again)
    changing.shown(screen, cluster, price, config)
    return 0
