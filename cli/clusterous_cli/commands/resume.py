"""`clusterous resume [APP]`: what was suspended runs again."""

import click

from clusterous_cli.commands import completing, kept
from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument("app", required=False, shell_complete=completing.apps)
@click.option("--wait/--no-wait", default=True, help="Wait until it is ready (default).")
@click.option(
    "--timeout", type=options.Finite(min=0), default=30, help="Minutes to wait; default 30."
)
@options.with_settings
def command(settings: Settings, app: str | None, wait: bool, timeout: float) -> None:
    """Let APP run again, which `suspend` ended or which was idle.

    Without APP, the only one there is.
    """
    from clusterous_cli.program import apps
    from clusterous_cli.system.wait import Patience
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    cluster = kept.programs(settings)
    api = cluster.api
    state = apps.find(api, app)
    if not (state.is_suspended or state.is_idle):
        ui.tell(f"{state.name} is not suspended; it is {state.state}")
    else:
        state = apps.resume(api, state)
        if wait:
            steady = Patience(mend=cluster.link.tunnel.ensure, tell=ui.warn).ask
            with ui.lines() as lines:

                def tell(now: apps.AppState) -> None:
                    lines.set(now.name, apps.progress_text(now))

                state = apps.wait(
                    api, state, tell, until="Ready", timeout=timeout * 60, steady=steady
                )
                lines.set(state.name, f"{apps.progress_text(state)}   {state.state}", done=True)
        else:
            ui.tell(f"✓ {state.name} is resumed")
    if not ui.for_people:
        ui.emit(apps.as_data(state))
    ui.hint("Next: clusterous status · clusterous connect")
