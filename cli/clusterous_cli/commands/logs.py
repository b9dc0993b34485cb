"""`clusterous logs [APP] [COMPONENT]`: what a program's containers say."""

import json

import click

from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument("app", required=False)
@click.argument("component", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option(
    "--lines",
    type=click.IntRange(min=0),
    default=100,
    help="Of each container, how many of its last lines; default 100.",
)
@options.with_settings
def command(
    settings: Settings, app: str | None, component: str | None, follow: bool, lines: int
) -> None:
    """Show what the containers of APP say (or those of its one COMPONENT), by time.

    Without APP, the only one there is. With --follow, a connection that breaks is taken up again
    where it broke, and new containers join; it ends when a batch has. With -o json, each line is
    an object.
    """
    from clusterous_cli.commands import opening
    from clusterous_cli.program import apps, logs
    from clusterous_cli.reach import session
    from clusterous_cli.system.wait import Patience
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    link = session.link(opening.session_of(settings).cluster)
    api = session.api(link)
    state = apps.find(api, app)

    def say(line: logs.Line) -> None:
        ui.line(
            json.dumps(logs.as_data(line), ensure_ascii=False)
            if settings.output == "json"
            else f"{line.source.title} | {line.text}"
        )

    if not follow:
        there = logs.sources(logs.pods(api, state, component), state.name)
        for line in logs.gathered(api, there, lines):
            say(line)
        return
    from functools import partial

    from clusterous_cli.reach import streams

    steady = Patience(mend=link.tunnel.ensure, tell=ui.warn)
    logs.Following(
        read=partial(streams.log, streams.client(link)),
        look=lambda: steady.ask(lambda: logs.pods(api, state, component)),
        app=state.name,
        lines=lines,
    ).run(say, lambda: steady.ask(lambda: apps.has_ended(api, state)))
