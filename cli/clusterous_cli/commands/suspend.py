"""`clusterous suspend [APP]`: nothing of it runs, and all of it is kept."""

import click

from clusterous_cli.commands import completing, kept
from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument("app", required=False, shell_complete=completing.apps)
@options.with_settings
def command(settings: Settings, app: str | None) -> None:
    """End what runs of APP, and keep it known: `clusterous resume` lets it run again.

    Without APP, the only one there is. Files, images and machines stay; what a program has only in
    memory is lost. Its tunnels on this machine are closed.
    """
    from clusterous_cli.program import apps, exposure
    from clusterous_cli.program.running import ending
    from clusterous_cli.terminal import spell
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    cluster = kept.programs(settings)
    api = cluster.api
    state = apps.find(api, app)
    exposure.close_all(cluster.access, state)
    ending.end(api, state, keep=True)
    if left := ending.await_end(api, [state]):
        ui.warn(f"! {spell.plural(left, 'pod')} still ends; `clusterous status` shows when it has.")
    word = "was suspended already" if state.is_suspended else "is suspended"
    ui.tell(f"✓ {state.name} {word}")
    if not ui.for_people:
        ui.emit({"suspended": [state.name], "left": left})
    ui.hint(f"Next: clusterous resume {state.name}")
