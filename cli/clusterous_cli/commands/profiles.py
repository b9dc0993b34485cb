"""`clusterous profile ls|use|show|rm`: configuration profiles, as Clusterous 1.0 had them."""

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import click

from clusterous_api.errors import UserError
from clusterous_cli.commands import completing
from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings

if TYPE_CHECKING:
    from clusterous_cli.aws.profiles import Profiles

CURRENT: Final = "{name} is the current profile: choose another before it goes."


@click.group(cls=options.Group)
def command() -> None:
    """Choose the configuration profile: a region and whose keys, as ~/.clusterous.yml has them.

    `clusterous setup` writes them. They are not AWS's profiles, which --profile and AWS_PROFILE
    name. The current one counts where neither an option nor the environment says whose credentials
    are meant. What those of Clusterous 1.0 have of a VPC and of a key pair is not used: each
    cluster has its own. A bucket is for images that outlive clusters.
    """


@command.command(name="ls")
@options.with_settings
def ls(settings: Settings) -> None:
    """List the profiles, the current one first."""
    from clusterous_cli.aws import profiles
    from clusterous_cli.terminal.screen import Ui

    found = profiles.read()
    ordered = sorted(found.all, key=lambda name: (name != found.current, name))
    data = [
        {"name": name, "current": name == found.current, "region": found.all[name].region}
        for name in ordered
    ]
    lines = [f"{'*' if name == found.current else ' '} {name}" for name in ordered]
    Ui(settings).emit(data, lambda: "\n".join(lines) or "There are no configuration profiles.")


@command.command(name="use")
@click.argument("name", shell_complete=completing.own_profiles)
@options.with_settings
def use(settings: Settings, name: str) -> None:
    """Make NAME the current profile."""
    from clusterous_cli.aws import profiles
    from clusterous_cli.terminal.screen import Ui

    found = profiles.read()
    chosen = found.find(name)
    if name == found.current:
        raise UserError(f"{name} is the current profile already.")
    profiles.change(lambda there: replace(there, current=there.find(name).name))
    ui = Ui(settings)
    ui.tell(f"✓ {name} is the current profile ({chosen.region}).")
    if meant := profiles.said_otherwise():
        ui.warn(f"! {meant} is set here, and goes before it.")


@command.command(name="show")
@click.argument("name", required=False, shell_complete=completing.own_profiles)
@options.with_settings
def show(settings: Settings, name: str | None) -> None:
    """Show the profile NAME, or the current one, with the end of its secret key."""
    from clusterous_cli.aws import profiles
    from clusterous_cli.terminal import screen

    shown = profiles.read().find(name).shown()
    screen.Ui(settings).emit(shown, lambda: screen.render(shown, "yaml", None))


@command.command(name="rm")
@click.argument("name", shell_complete=completing.own_profiles)
@click.option("--confirm", is_flag=True, help="Do not ask (the same as --yes).")
@options.with_settings
def rm(settings: Settings, name: str, confirm: bool) -> int:
    """Forget the profile NAME; the current one is refused."""
    from clusterous_cli.aws import profiles
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    found = profiles.read()
    found.find(name)
    if name == found.current:
        raise UserError(CURRENT.format(name=name))
    if not (confirm or ui.confirm(f"forget the profile {name}, and its keys? [y/N]")):
        ui.warn("Nothing was removed.")
        return 1

    def rest(there: "Profiles") -> "Profiles":
        if name == there.current:  # meanwhile
            raise UserError(CURRENT.format(name=name))
        return replace(there, all={key: one for key, one in there.all.items() if key != name})

    profiles.change(rest)
    ui.tell(f"✓ {name} is gone.")
    return 0
