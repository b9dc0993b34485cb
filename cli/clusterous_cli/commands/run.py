"""`clusterous run FILE`: a program on the cluster."""

from collections.abc import Sequence
from pathlib import Path

import click

from clusterous_api.errors import UserError
from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--wait/--no-wait", default=True, help="Wait until it is ready (default).")
@click.option(
    "--until",
    type=click.Choice(["ready", "completed"]),
    default="ready",
    help="Wait until all is ready, or until a batch has completed.",
)
@click.option(
    "--timeout", type=click.FloatRange(min=0), default=30, help="Minutes to wait; default 30."
)
@click.option("--connect/--no-connect", default=True, help="Open what it exposes (default).")
@click.option("--outside", is_flag=True, help="Let FILE take what lies outside of its folder.")
@options.with_settings
def command(
    settings: Settings,
    file: Path,
    wait: bool,
    until: str,
    timeout: float,
    connect: bool,
    outside: bool,
) -> None:
    """Run the program that FILE describes, or bring a running one to what FILE says.

    FILE is a ClusterousApp manifest (further objects may stand beside it), or an environment file
    of Clusterous 1.0. Images are built from their folders when the registry lacks their content:
    an environment file names them under `image`, a manifest in annotations:

    \b
    metadata:
      annotations:
        clusterous.io/build.NAME: FOLDER     # for every `image: NAME` in the spec

    To run a file is to run its author's programs. What they are given lies in the folder of FILE;
    whatever leads out of it is asked about, with its real path.
    """
    from clusterous_cli.commands import opening
    from clusterous_cli.program import apps, launch, program
    from clusterous_cli.reach import session
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)

    def ask(paths: Sequence[Path]) -> None:
        question = f"{program.outside_words(paths)}\nTake it? [y/N]"
        if not outside and not ui.confirm(question, flag="--outside"):
            raise UserError("Nothing was started.")

    what = program.read(file, ask)
    wishes = launch.Wishes(
        wait=wait,
        until=until.capitalize(),
        timeout=timeout * 60,
        profile=settings.profile,
        connect=connect,
    )
    goal = opening.target(settings)
    opened = session.open_session(goal.cloud, goal.name)
    state = launch.Launch(what, opened, ui, wishes).run()
    if not ui.for_people:
        ui.emit(apps.as_data(state))
