"""`clusterous convert FILE`: an environment file as a ClusterousApp."""

from pathlib import Path

import click

from clusterous_cli.commands import launching
from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument("file", type=click.Path(path_type=Path))
@launching.file_options
@options.with_settings
def command(
    settings: Settings,
    file: Path,
    assigned: tuple[str, ...],
    parameters: Path | None,
    name: str | None,
    outside: bool,
) -> None:
    """Write the ClusterousApp that the environment file FILE becomes on this cluster.

    To apply it does what `clusterous run FILE` does, once its images are in the registry and its
    folders on the volume: which these are is said.
    """
    from clusterous_cli.commands import opening
    from clusterous_cli.program import launch
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    what = launching.read(
        ui, file, assigned=assigned, parameters=parameters, name=name, outside=outside
    )
    goal = opening.target(settings)
    wishes = launch.Wishes(profile=launching.aws_profile(settings))
    launching.launch(ui, what, wishes, goal.cloud, goal.name).show()
