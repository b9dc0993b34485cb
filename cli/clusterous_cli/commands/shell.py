"""`clusterous shell [APP] COMPONENT`: a shell in a component's container."""

import sys
from typing import TYPE_CHECKING

import click

from clusterous_cli.commands import completing, kept
from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings
from clusterous_cli.terminal.screen import Ui

if TYPE_CHECKING:
    from clusterous_cli.program.running.parts import Part


@click.command(cls=options.Command)
@click.argument(
    "words",
    nargs=-1,
    required=True,
    metavar="[APP] COMPONENT",
    shell_complete=completing.components,
)
@click.option("-c", "said", metavar="COMMAND", help="Run this there by sh, in place of a shell.")
@options.with_settings
def command(settings: Settings, words: tuple[str, ...], said: str | None) -> None:
    """Open a shell in the container of COMPONENT: bash where its image has it, else sh.

    APP is needed only where several programs have a component of that name. Without a terminal,
    the shell reads its commands from stdin. The exit code is the shell's.

    \b
    clusterous shell master
    clusterous shell worker -c 'df -h /home/data'
    """
    from clusterous_cli.program.running import parts

    if len(words) > 2:
        raise click.UsageError("It takes [APP] COMPONENT.")
    ui = Ui(settings)
    cluster = kept.programs(settings)
    app = words[0] if len(words) == 2 else None
    enter(ui, cluster, parts.one_of(parts.listed(cluster.api), words[-1], app), said)


def enter(ui: Ui, cluster: kept.Programs, part: "Part", said: str | None = None) -> None:
    """Become a shell in *part*, or what is *said* to one."""
    from clusterous_cli.program.running import shells
    from clusterous_cli.system import shell

    shell.program("kubectl")
    found = shells.inside(cluster.api, part)
    if words := found.words(part.name):
        ui.tell(words)
    argv = ("sh", "-c", said) if said is not None else shells.SHELL
    has_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    shell.replace(found.argv(*argv, terminal=has_terminal), cluster.environment)
