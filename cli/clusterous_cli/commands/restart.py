"""`clusterous restart [APP] [COMPONENT]`: pods begin anew."""

import click

from clusterous_cli.commands import completing, kept
from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument(
    "words", nargs=-1, metavar="[APP] [COMPONENT]", shell_complete=completing.components
)
@options.with_settings
def command(settings: Settings, words: tuple[str, ...]) -> None:
    """Let all pods of APP begin anew, or those of its COMPONENT.

    They are replaced as their strategy says: the master ends before the new one starts, workers a
    share at a time, so that the others go on meanwhile. Images of a moving tag are fetched again.
    Files stay; what a program has only in memory is lost.
    """
    from datetime import UTC, datetime

    from clusterous_api.errors import UserError
    from clusterous_cli.program import apps
    from clusterous_cli.program.running import parts, restarting
    from clusterous_cli.reach import kube
    from clusterous_cli.terminal import spell
    from clusterous_cli.terminal.screen import Ui

    if len(words) > 2:
        raise click.UsageError("It takes [APP] [COMPONENT].")
    ui = Ui(settings)
    api = kept.programs(settings).api
    found = parts.chosen(api.items(kube.apps_path()), words, "restart")
    state = apps.app_state(found.body)
    name = state.name
    if state.is_suspended or state.is_idle:
        raise UserError(f"{name} is suspended; `clusterous resume {name}` lets it run.")
    done = restarting.restart(api, found.parts, datetime.now(UTC))
    shown = ", ".join(f"{one.component} ({spell.plural(one.pods, 'pod')})" for one in done)
    ui.tell(f"✓ {name} restarts: {shown}")
    if not ui.for_people:
        ui.emit({"app": name, "restarted": {one.component: one.pods for one in done}})
    ui.hint("Next: clusterous status · clusterous logs -f")
