"""`clusterous logs [APP] [COMPONENT]`: what a program's containers say."""

import json
from typing import TYPE_CHECKING, NoReturn

import click

from clusterous_cli.commands import completing, kept
from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from clusterous_cli.program.central.search import Asked, Record
    from clusterous_cli.reach.session import Session
    from clusterous_cli.terminal.screen import Ui

# ANSI's colours, one for each component: none that is hard to read on black or on white.
COLORS = ("36", "33", "32", "35", "34", "31")


@click.command(cls=options.Command)
@click.argument("app", required=False, shell_complete=completing.apps)
@click.argument("component", required=False, shell_complete=completing.components_of_app)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option(
    "--lines",
    type=click.IntRange(min=0),
    help="Of each container, how many of its last lines; default 100, with --since all.",
)
@click.option("--since", metavar="TIME", help="Only what was said since: 10m, 2h, or a time.")
@click.option(
    "-p", "--previous", is_flag=True, help="Also of containers that ended and were started again."
)
@click.option(
    "--stored", is_flag=True, help="From central logging: also of pods and programs that are gone."
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
    lines: int | None,
    since: str | None,
    previous: bool,
    stored: bool,
    grep: str | None,
) -> None:
    """Show what the containers of APP say (or those of its one COMPONENT), by time.

    Without APP, the only one there is; a COMPONENT alone is that of whatever has one. With
    --follow, a connection that breaks is taken up again where it broke, and new containers join; it
    ends when a batch has. On a terminal each component has its colour. With -o json, each line is
    an object.

    With --stored or --grep, what central logging has of it: of a day, or as far back as --since
    says, the last 1000 records or --lines of them; with --follow also what comes, until Ctrl-C.

    \b
    clusterous logs -f                     all that is said from now on, and 100 lines before
    clusterous logs master --since 2h      what its master said in two hours
    clusterous logs -p                     why a container ended that was started again
    clusterous logs sim --grep 'Error|OOM' where anything of it said so
    clusterous logs sim --stored -f        what its pods say, also those that end meanwhile
    """
    from clusterous_cli.program import apps, logs
    from clusterous_cli.program.running import parts
    from clusterous_cli.reach import kube
    from clusterous_cli.system.wait import Patience
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    if stored or grep:
        _searched(ui, settings, app, component, follow=follow, lines=lines, since=since, grep=grep)
        return
    wanted = logs.extent(lines, since)
    cluster = kept.programs(settings)
    api, link = cluster.api, cluster.link
    words = [word for word in (app, component) if word is not None]
    found = parts.chosen(api.items(kube.apps_path()), words, "logs")
    state = apps.app_state(found.body)
    title = found.parts[0].title if found.is_named else None
    titles = [one.title for one in parts.parts([found.body])]
    colors = {one: COLORS[n % len(COLORS)] for n, one in enumerate(titles)}

    def say(line: logs.Line) -> None:
        if settings.output == "json":
            ui.line(json.dumps(logs.as_data(line), ensure_ascii=False))
            return
        source = line.source
        before = " (before)" if source.previous else ""
        ui.line(
            line.text, mark=f"{source.title}{before} | ", color=colors.get(source.component, "")
        )

    there = logs.pods(api, state, title)
    ended = logs.before(there, state.name) if previous else []
    now = [] if follow else logs.sources(there, state.name)
    for line in logs.gathered(api, (*ended, *now), wanted):
        say(line)
    if not follow:
        return
    from functools import partial

    from clusterous_cli.reach import streams

    steady = Patience(mend=link.tunnel.ensure, tell=ui.warn)
    logs.Following(
        read=partial(streams.log, streams.client(link)),
        look=lambda: steady.ask(lambda: logs.pods(api, state, title)),
        app=state.name,
        wanted=wanted,
    ).run(say, lambda: steady.ask(lambda: apps.has_ended(api, state)))


def _searched(
    ui: "Ui",
    settings: Settings,
    app: str | None,
    component: str | None,
    *,
    follow: bool,
    lines: int | None,
    since: str | None,
    grep: str | None,
) -> None:
    """Show what the store of central logging has."""
    from clusterous_api.errors import UserError
    from clusterous_cli.cluster.file.centrallogging import Store
    from clusterous_cli.commands import opening
    from clusterous_cli.program.central import page, search
    from clusterous_cli.reach import session

    if app is None:
        raise UserError("--stored and --grep take the name of a program.")
    if lines == 0:
        raise UserError("--stored and --grep show one record at least: --lines 1, or more.")
    asked = search.Asked(
        app=app,
        component=component,
        since=since or search.USUAL,
        grep=grep,
        last=lines or search.MOST,
    )
    search.logsql(asked)  # refused before anything is asked
    cloud, config = opening.existing(settings)
    wanted = config.logging
    if wanted is None:
        raise UserError(f"--stored and --grep ask central logging. {page.OFF}")
    if wanted.store is not Store.LIGHT:
        raise UserError(
            f"Records are in {wanted.store}: clusterous logging open {app} shows and searches them."
        )

    def say(one: search.Record) -> None:
        as_json = settings.output == "json"
        data = json.dumps(search.as_data(one), ensure_ascii=False) if as_json else ""
        ui.line(data or one.titled(asked.app))

    opened = session.open_session(cloud, config.name)
    if follow:
        _followed(ui, opened, asked, say)
        return
    with page.reached(opened, session.api_of(opened.cluster), wanted.store) as (port, door):
        found = search.ask(port, door, asked)
    for one in found:
        say(one)
    if lines is None and len(found) == asked.last:
        ui.tell(f"The last {asked.last} records; --lines N shows more of them.")
    if not found:
        ui.tell(f"Nothing of {app} since {asked.since}" + (f" with {grep}" if grep else "") + ".")


def _followed(
    ui: "Ui", opened: "Session", asked: "Asked", say: "Callable[[Record], None]"
) -> NoReturn:
    """Say what the store has and gets, until Ctrl-C: its program may have been gone for days."""
    from functools import partial

    from clusterous_cli.cluster.file.centrallogging import Store
    from clusterous_cli.program.central import following, page, search
    from clusterous_cli.reach import session
    from clusterous_cli.system import wait

    link = session.link(opened.cluster)
    api, pauses = session.api(link), wait.Pauses()
    with page.reached(opened, api, Store.LIGHT) as (port, door):

        def mend() -> None:
            link.tunnel.ensure()
            page.reach_again(opened, api, Store.LIGHT, port)

        name = "The store of central logging"
        steady = wait.Patience(mend=mend, tell=ui.warn, name=name, sleep=pauses.sleep)
        ask = partial(search.texts, port, door)
        heard = following.Following(ask=ask, asked=asked, say=say)
        while True:
            steady.ask(heard.look)
            pauses.sleep(following.PAUSE_SECONDS)
