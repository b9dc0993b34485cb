"""What `run`, `create` and `convert` share: a file's program, and the cluster it goes to."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from clusterous_api.errors import UserError
from clusterous_cli.terminal.options import Settings
from clusterous_cli.terminal.screen import Ui

if TYPE_CHECKING:
    from clusterous_cli.aws.client import Aws
    from clusterous_cli.program.former.variables import Values
    from clusterous_cli.program.launch import Launch, Wishes
    from clusterous_cli.program.program import Program

F = TypeVar("F", bound=Callable[..., Any])

given_values = click.option(
    "--set",
    "assigned",
    multiple=True,
    metavar="NAME=VALUE",
    help="The value of $NAME in an environment file.",
)
parameters = click.option(
    "--parameters",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A cluster parameters file of Clusterous 1.0, with such values.",
)
named = click.option("--name", metavar="NAME", help="Run it under this name, beside others.")
builder = click.option(
    "--builder",
    "wish",
    type=click.Choice(["buildah", "podman", "docker", "cluster"]),
    help="Who builds images: a program of this machine's, or the cluster.",
)
outside = click.option(
    "--outside", is_flag=True, help="Let FILE take what lies outside of its folder."
)


def values(assigned: Sequence[str], file: Path | None) -> "Values":
    """Return the values for an environment file's variables: those of --set go first."""
    from clusterous_cli.program.former import clusterfile, variables

    said = clusterfile.values_of(file) if file else {}
    return {**said, **variables.given(assigned)}


def aws_profile(settings: Settings) -> str | None:
    """Return AWS's profile that is named: one of the predecessor's has given its keys already."""
    from clusterous_cli.aws import profiles

    return settings.profile if settings.profile in profiles.of_aws() else None


def permit(ui: Ui, outside: bool) -> Callable[[Sequence[Path]], None]:
    """Return who is asked about what a file takes from outside of its folder."""
    from clusterous_cli.program import program

    def ask(paths: Sequence[Path]) -> None:
        question = f"{program.outside_words(paths)}\nTake it? [y/N]"
        if not outside and not ui.confirm(question, flag="--outside"):
            raise UserError("Nothing was started.")

    return ask


def file_options(command: F) -> F:
    """Give a command what says how an environment file is to be read."""
    return given_values(parameters(named(outside(command))))


def read(
    ui: Ui,
    file: Path,
    *,
    assigned: Sequence[str],
    parameters: Path | None,
    name: str | None,
    outside: bool,
) -> "Program":
    """Read the program in *file*, by what these options say."""
    from clusterous_cli.program import program

    given = values(assigned, parameters)
    return program.read(file, permit(ui, outside), values=given, name=name)


def launch(ui: Ui, what: "Program", wishes: "Wishes", cloud: "Aws", name: str | None) -> "Launch":
    """Return the launch of *what* on the cluster *name*, whose registry was asked for images."""
    from clusterous_cli.program import launch
    from clusterous_cli.program.former import ownimages
    from clusterous_cli.reach import session

    opened = session.open_session(cloud, name)
    return launch.Launch(ownimages.looked_up(what, opened, ui.tell), opened, ui, wishes)
