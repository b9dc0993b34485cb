"""`clusterous shell [APP] COMPONENT`: a shell in a component's container."""

from typing import TYPE_CHECKING

import click

from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings
from clusterous_cli.terminal.screen import Ui

if TYPE_CHECKING:
    from clusterous_cli.program.running.shells import Part
    from clusterous_cli.reach.kube import Api
    from clusterous_cli.reach.session import Session


@click.command(cls=options.Command)
@click.argument("words", nargs=-1, required=True, metavar="[APP] COMPONENT")
@options.with_settings
def command(settings: Settings, words: tuple[str, ...]) -> None:
    """Open a shell in the container of COMPONENT: bash where its image has it, else sh.

    APP is needed only where several programs have a component of that name.
    """
    from clusterous_cli.commands import opening
    from clusterous_cli.program.running import shells
    from clusterous_cli.reach import session

    if len(words) > 2:
        raise click.UsageError("It takes [APP] COMPONENT.")
    ui = Ui(settings)
    opened = opening.session_of(settings)
    api = session.api(session.link(opened.cluster))
    app = words[0] if len(words) == 2 else None
    enter(ui, opened, api, shells.one_of(shells.listed(api), words[-1], app))


def enter(ui: Ui, opened: "Session", api: "Api", part: "Part") -> None:
    """Become a shell in *part*."""
    from clusterous_cli.commands import kubectl
    from clusterous_cli.program.running import shells
    from clusterous_cli.system import shell

    shell.program("kubectl")
    found = shells.inside(api, part)
    if found.others:
        ui.tell(f"! {part.called[-1]} has {found.others} more like {found.pod}, which this is")
    shell.replace(found.argv, kubectl.environment(opened.cluster))
