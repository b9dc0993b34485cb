"""`clusterous doctor [FILE]`."""

import click

from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument("file", required=False, type=click.Path())
@options.with_settings
def command(settings: Settings, file: str | None) -> int:
    """Check what the cluster of FILE needs before it is made; change nothing.

    FILE is clusterous.yaml here if not given; where there is none, what any cluster needs. create
    checks the same by itself. What could not be asked is not known (?), and no failure.

    Exit code 0: nothing is wrong. 1: what is marked with ✗ must be mended first.
    """
    from clusterous_cli.checks.examination import Examination, failures
    from clusterous_cli.commands import opening
    from clusterous_cli.output import findings
    from clusterous_cli.terminal.screen import Ui, slow

    screen = Ui(settings)
    place = opening.place(settings, file)
    with slow(screen.tell, "Asking AWS, and this machine…"):
        found = Examination(place).findings()
    where = {"cluster": place.config.name, "region": place.approach.region or None}
    screen.emit(where | findings.data(found), lambda: findings.table(found))
    if failures(found):
        return 1
    screen.hint(f"Next: clusterous plan{' ' + file if file else ''}")
    return 0
