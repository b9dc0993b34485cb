"""`clusterous run FILE`: a program on the cluster."""

from pathlib import Path

import click

from clusterous_cli.commands import launching
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
    "--timeout", type=options.Finite(min=0), default=30, help="Minutes to wait; default 30."
)
@click.option("--connect/--no-connect", default=True, help="Open what it exposes (default).")
@click.option(
    "--dry-run", is_flag=True, help="Only write on stdout what would be applied (-o yaml|json)."
)
@launching.builder
@launching.file_options
@options.with_settings
def command(
    settings: Settings,
    file: Path,
    wait: bool,
    until: str,
    timeout: float,
    connect: bool,
    dry_run: bool,
    wish: str | None,
    assigned: tuple[str, ...],
    parameters: Path | None,
    name: str | None,
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

    Several programs run side by side: a file twice, under another --name. What its components
    share is the volume.
    """
    from clusterous_cli.commands import opening
    from clusterous_cli.program import apps, launch
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    what = launching.read(
        ui, file, assigned=assigned, parameters=parameters, name=name, outside=outside
    )
    wishes = launch.Wishes(
        wait=wait,
        until=until.capitalize(),
        timeout=timeout * 60,
        profile=launching.aws_profile(settings),
        connect=connect,
        builder=wish,
    )
    goal = opening.target(settings)
    launched = launching.launch(ui, what, wishes, goal.cloud, goal.name)
    if dry_run:
        launched.show()
        return
    state = launched.run()
    if not ui.for_people:
        ui.emit(apps.as_data(state))
