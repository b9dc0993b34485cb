"""`clusterous scale [APP] [COMPONENT] N`: how many there are."""

from dataclasses import asdict

import click

from clusterous_cli.commands import completing, kept
from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument(
    "words",
    nargs=-1,
    required=True,
    metavar="[APP] [COMPONENT] N",
    shell_complete=completing.components,
)
@options.with_settings
def command(settings: Settings, words: tuple[str, ...]) -> None:
    """Let there be N of the workers of APP, or of its COMPONENT; `fill`: as many as fit.

    APP is needed only where several run. The number holds until the next `clusterous run` of a file
    that says another. When there are to be fewer, those that do least go first.

    \b
    clusterous scale 12              the workers of the only program
    clusterous scale sim fill        as many workers as the cluster holds
    clusterous scale sim notebook 2  a component of its own
    """
    from clusterous_cli.program import apps
    from clusterous_cli.program.running import parts, scaling
    from clusterous_cli.reach import kube
    from clusterous_cli.terminal.screen import Ui

    *named, text = words
    if len(named) > 2:
        raise click.UsageError("It takes [APP] [COMPONENT] N.")
    count = scaling.number(text)
    ui = Ui(settings)
    api = kept.programs(settings).api
    found = parts.chosen(api.items(kube.apps_path()), named, "scale")
    part = scaling.one_of(found.parts)
    done = scaling.scale(api, part, found.body, count)
    if done.is_changed:
        ui.tell(f"✓ {part.name} of {part.app}: {done.before} → {done.after}")
    else:
        ui.tell(f"{part.name} of {part.app}: {done.after}, as before")
    if (now := apps.app_state(found.body)).is_suspended or now.is_idle:
        ui.tell(f"! {part.app} is suspended; `clusterous resume {part.app}` lets it run")
    if not ui.for_people:
        ui.emit(asdict(done))
    ui.hint("Next: clusterous status")
