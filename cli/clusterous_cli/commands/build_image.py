"""`clusterous build-image FOLDER [NAME[:TAG]]`."""

from pathlib import Path

import click

from clusterous_api.errors import UserError
from clusterous_cli.commands import launching
from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("name", metavar="NAME[:TAG]", required=False)
@click.option(
    "--build-arg",
    "arguments",
    metavar="NAME=VALUE",
    multiple=True,
    help="A value for an ARG of the recipe; it is part of what the image is.",
)
@click.option(
    "--write-containerfile",
    is_flag=True,
    help="Only write the usual recipe into FOLDER, which has none.",
)
@launching.builder
@options.with_settings
def command(
    settings: Settings,
    folder: Path,
    name: str | None,
    arguments: tuple[str, ...],
    write_containerfile: bool,
    wish: str | None,
) -> None:
    """Build FOLDER, unless the registry has its content, and call it NAME:TAG (default: latest).

    FOLDER has a Containerfile or a Dockerfile, or only the requirements.txt of a Python program:
    then a usual recipe is taken, and shown. NAME:TAG stands for it from then on; what it stood for
    before stays as long as a program uses it. Its name by digest is printed.
    """
    from clusterous_cli.images.context import recipe

    if write_containerfile:
        click.echo(str(recipe.write(folder)))
        return
    if name is None:
        raise UserError("Say what it is to be called: clusterous build-image FOLDER NAME[:TAG]")
    from clusterous_cli.commands import opening
    from clusterous_cli.images import contexts
    from clusterous_cli.images.workshop import Workshop
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    contexts.pointing(name)
    build = contexts.plan_build(name, folder, arguments=contexts.build_arguments(arguments))
    opened = opening.session_of(settings)
    workshop = Workshop(opened, ui, launching.aws_profile(settings), wish)
    digest = workshop.make([build], workshop.there([build]))[name]
    reference = contexts.reference(opened.cluster.place, build, digest)
    ui.emit({"name": name, "digest": digest, "reference": reference}, lambda: reference)
