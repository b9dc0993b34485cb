"""`clusterous logs [APP] [COMPONENT]`: what a program's containers say."""

import json
from typing import TYPE_CHECKING

import click

from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings

if TYPE_CHECKING:
    from clusterous_cli.terminal.screen import Ui


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
@click.option(
    "--since",
    metavar="TIME",
    help="From central logging: what was said so long ago at most, such as 90m, 6h, 2d.",
)
@click.option(
    "--grep",
    metavar="PATTERN",
    help="From central logging: records in which this regular expression is found.",
)
@options.with_settings
def command(
    settings: Settings,
    app: str | None,
    component: str | None,
    follow: bool,
    lines: int,
    since: str | None,
    grep: str | None,
) -> None:
    """Show what the containers of APP say (or those of its one COMPONENT), by time.

    Without APP, the only one there is. With --follow, a connection that breaks is taken up again
    where it broke, and new containers join; it ends when a batch has. With -o json, each line is
    an object.

    With --since or --grep, what central logging has of it, also of pods and programs that are gone.
    """
    from clusterous_cli.commands import opening
    from clusterous_cli.program import apps, logs
    from clusterous_cli.reach import session
    from clusterous_cli.system.wait import Patience
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    if since or grep:
        _searched(ui, settings, app, component, follow=follow, since=since, grep=grep)
        return
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


def _searched(
    ui: "Ui",
    settings: Settings,
    app: str | None,
    component: str | None,
    *,
    follow: bool,
    since: str | None,
    grep: str | None,
) -> None:
    """Show what the store of central logging has."""
    from clusterous_api.errors import UserError
    from clusterous_cli.cluster.file.centrallogging import Store
    from clusterous_cli.commands import opening
    from clusterous_cli.program.central import page, search
    from clusterous_cli.reach import session

    if app is None or follow:
        raise UserError("--since and --grep take the name of a program, and no --follow.")
    wanted = opening.existing(settings)[1].logging
    if wanted is None:
        raise UserError(f"--since and --grep ask central logging. {page.OFF}")
    if wanted.store is not Store.LIGHT:
        raise UserError(
            f"Records are in {wanted.store}: clusterous logging open {app} shows and searches them."
        )
    asked = search.Asked(app=app, component=component, since=search.span(since or "1d"), grep=grep)
    opened = opening.session_of(settings)
    api = session.api(session.link(opened.cluster))
    with page.reached(opened, api, wanted.store) as (port, door):
        found = search.ask(port, door, asked)
    for one in found:
        ui.line(
            json.dumps(search.as_data(one), ensure_ascii=False)
            if settings.output == "json"
            else one.titled(app)
        )
    if not found:
        ui.tell(f"Nothing of {app} since {asked.since}" + (f" with {grep}" if grep else "") + ".")
