"""`clusterous plan [FILE]`."""

import click

from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument("file", required=False, type=click.Path())
@click.option("--full", is_flag=True, help="Print FILE with all its defaults, and nothing else.")
@options.operator_image
@options.with_settings
def command(settings: Settings, file: str | None, full: bool, operator_image: str | None) -> int:
    """Show what create would do with FILE, and what it would cost; change nothing.

    Exit code 0: all is as FILE wants it. 4: changes are pending, or something differs that create
    does not change yet, which is told.
    """
    from clusterous_cli.cluster.file import written
    from clusterous_cli.commands import opening
    from clusterous_cli.output import show
    from clusterous_cli.plan import cost, design
    from clusterous_cli.system import yamltree
    from clusterous_cli.terminal.screen import Ui

    screen = Ui(settings)
    if full:
        text = written.written(opening.described(settings, file))
        screen.emit(yamltree.load_all(text, "")[0], lambda: text.rstrip("\n"))
        return 0
    cloud, config = opening.wanted(settings, file)
    listed = opening.asked_prices(cloud, config)
    drawn = design.draw(cloud, config, offer=opening.offer(operator_image))
    price = cost.of(config, cloud.region, listed())
    screen.emit(show.plan_data(drawn, price), lambda: show.plan_table(drawn, price))
    if drawn.plan.pending:
        screen.hint(f"Next: clusterous create{' ' + file if file else ''}")
    elif not drawn.plan.unchanged:
        return 0
    return 4
