"""`clusterous logging [on|off|open|export|status]`."""

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import click

from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings

# Images come through NAT, one node after the other.
PATIENCE_SECONDS = 600.0

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clusterous_cli.aws.client import Aws
    from clusterous_cli.cluster.config import ClusterConfig
    from clusterous_cli.cluster.file.centrallogging import CentralLogging, Store
    from clusterous_cli.cluster.record import Cluster
    from clusterous_cli.program.central.export import File
    from clusterous_cli.program.central.page import Door
    from clusterous_cli.reach.kube import Api
    from clusterous_cli.reach.session import Session
    from clusterous_cli.terminal.screen import Ui


@click.group(cls=options.Group, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Search what programs said, in a web page; turn that on and off.

    By itself it opens the page at http://localhost:8081, until Ctrl-C.
    """
    if ctx.invoked_subcommand is None:
        _open(options.settings(ctx), None)


@command.command("on", short_help="Collect what programs say; or change how.")
@click.option("--light", is_flag=True, help="Keep it in VictoriaLogs, which needs little memory.")
@click.option(
    "--level",
    type=click.IntRange(1, 2),
    help="1: what programs say (default); 2: also what the system says.",
)
@options.break_lock
@options.with_settings
def on(settings: Settings, light: bool, level: int | None) -> int:
    """Turn central logging on for a cluster that runs, or change it; no program starts again.

    What is there already stays: the level, and where records go. At first that is EFK
    (Elasticsearch and Kibana), which needs 4 GiB of memory, or with --light VictoriaLogs. A store
    that you have is said in the cluster file (`logging: {url: …}`).
    """
    from clusterous_cli.cluster.file.centrallogging import CentralLogging, Store
    from clusterous_cli.commands import opening
    from clusterous_cli.plan import cost
    from clusterous_cli.program.central import stores
    from clusterous_cli.terminal.screen import Ui

    screen = Ui(settings)
    cloud, before = opening.existing(settings)
    usual = before.logging or CentralLogging()
    wanted = replace(
        usual,
        level=level or usual.level,
        store=Store.LIGHT if light else usual.store,
        url=None if light else usual.url,
    )
    config = replace(before, logging=wanted)
    listed = opening.asked_prices(cloud, config)
    prices = cost.of(config, cloud.region, listed()).known
    screen.tell(f"{stores.STORES[wanted.store].words}, level {wanted.level}:")
    for line in stores.needs(wanted, config, prices):
        screen.tell(f"  {line}")
    moved = before.logging is None or before.logging.store is not wanted.store
    if moved and wanted.store.ours:
        _check_room(cloud, config.name, wanted)
    cluster = _changed(screen, cloud, config, "turn central logging on for")
    if cluster is None:
        return 1
    _await_parts(screen, cluster, wanted)
    screen.hint("Next: clusterous logging · clusterous logs APP --since 1h --grep WORD")
    return 0


@command.command("off", short_help="Stop collecting, and remove what was collected.")
@click.option("--keep-data", is_flag=True, help="Leave what was collected on the cluster's disk.")
@options.break_lock
@options.with_settings
def off(settings: Settings, keep_data: bool) -> int:
    """Turn central logging off. What was collected is removed, unless --keep-data; what `on` finds
    then is searched with what comes.
    """
    from clusterous_cli.cluster.file.centrallogging import NAMESPACE
    from clusterous_cli.commands import opening
    from clusterous_cli.program.central import standing
    from clusterous_cli.reach import session
    from clusterous_cli.system import wait
    from clusterous_cli.terminal.screen import Ui

    screen = Ui(settings)
    cloud, before = opening.existing(settings)
    if before.logging is None and keep_data:
        screen.tell(f"Central logging of {before.name} is off.")
        return 0
    what = "stop collecting" if keep_data else "stop collecting, and remove all that was collected,"
    config = replace(before, logging=None)
    cluster = _changed(screen, cloud, config, f"{what} on", ends=True)
    if cluster is None:
        return 1
    api = session.api_of(cluster)
    with screen.lines() as lines:
        lines.set("logging", "ends")
        wait.until(
            lambda: not standing.ask(api) or None,
            "The end of central logging",
            wait.Pauses(),
            timeout=600,
        )
        if not keep_data:
            api.delete(f"/api/v1/namespaces/{NAMESPACE}")
        lines.set("logging", "off, what was collected is " + ("kept" if keep_data else "removed"),
                  done=True)  # fmt: skip
    return 0


@command.command("open", short_help="Open the page.")
@click.argument("app", required=False)
@options.with_settings
def open_page(settings: Settings, app: str | None) -> None:
    """Open the page on this machine until Ctrl-C: with what APP said, or with all."""
    _open(settings, app)


@command.command("export", short_help="Write what was collected into files.")
@click.argument("app", required=False)
@click.option("--all", "every", is_flag=True, help="Of all programs.")
@click.option("--days", type=click.IntRange(min=1), help="Of how many days; default: all kept.")
@click.option("--to", metavar="FOLDER", help="Into a folder here, instead of the cluster's bucket.")
@options.with_settings
def export(
    settings: Settings, app: str | None, every: bool, days: int | None, to: str | None
) -> int:
    """Write what APP said (or --all programs) into files of JSON lines, by program and day.

    They go to the cluster's bucket, as logs/APP/DAY.jsonl, and with it when the cluster is
    destroyed; --to FOLDER keeps them. Days are those of UTC.
    """
    from clusterous_api.errors import UserError
    from clusterous_cli.cluster.file.centrallogging import Store
    from clusterous_cli.commands import opening
    from clusterous_cli.program.central import page
    from clusterous_cli.reach import session
    from clusterous_cli.terminal.screen import Ui

    if (app is None) is not every:
        raise UserError("Say one program, or --all.")
    cloud, config = opening.existing(settings)
    wanted = config.logging
    if wanted is None:
        raise UserError(page.OFF)
    if wanted.store is not Store.LIGHT:
        raise UserError(f"Records are in {wanted.store}, which has ways of its own to export them.")
    opened = session.open_session(cloud, config.name)
    return _exported(Ui(settings), opened, app, days or wanted.days + 1, to)


@command.command("status", short_help="Show what is collected, where to, and how that is.")
@options.with_settings
def status(settings: Settings) -> None:
    """Show whether central logging is on, where records go, and how what runs for it is."""
    from clusterous_cli.cluster.file.centrallogging import Store
    from clusterous_cli.commands import opening
    from clusterous_cli.program.central import page, search, standing, stores
    from clusterous_cli.reach import session
    from clusterous_cli.terminal.screen import Ui

    screen = Ui(settings)
    cloud, config = opening.existing(settings)
    wanted = config.logging
    if wanted is None:
        screen.emit({"on": False}, lambda: page.OFF)
        return
    opened = session.open_session(cloud, config.name)
    api = session.api_of(opened.cluster)
    parts = standing.ask(api)
    late = standing.missing(parts, ours=wanted.store.ours)
    full = None
    if not late and wanted.store is Store.LIGHT:
        with page.reached(opened, api, wanted.store) as (port, door):
            full = standing.disk(search.metrics(port, door))
    said = {
        "on": True,
        "store": str(wanted.store),
        "level": wanted.level,
        "days": wanted.days,
        "ready": not late,
        "parts": standing.data(parts),
        "disk": asdict(full) if full else None,
    }
    rows = [f"  {standing.WORDS[one.name]:<10} {one.words}" for one in parts]
    rows += [f"  {'disk':<10} {full.words}"] if full else []
    head = f"{stores.STORES[wanted.store].words}, level {wanted.level}, {wanted.days} days"
    screen.emit(said, lambda: "\n".join([head, *rows, late or "ready"]))


# -- shared ---------------------------------------------------------------------------------


def _changed(
    screen: "Ui", cloud: "Aws", config: "ClusterConfig", verb: str, *, ends: bool = False
) -> "Cluster | None":
    """Ask, and bring the cluster to *config*; None if that was not wanted."""
    from clusterous_cli.commands import changing, opening
    from clusterous_cli.output import show
    from clusterous_cli.plan import cost, design

    drawn = design.draw(cloud, config, offer=opening.offer(None))
    price = cost.of(config, cloud.region)
    screen.tell(show.plan_table(drawn, price))
    where = f"{config.name} in {cloud.region} (account {cloud.account})"
    if (drawn.plan.pending or ends) and not screen.confirm(f"{verb} {where}? [y/N]"):
        screen.warn("Nothing was changed.")
        return None
    turned = "off" if ends else "on"
    again = f"clusterous logging {turned} --cluster {config.name}{options.also()}"
    cluster = changing.carried_out(screen, cloud, drawn, again)
    for words in opening.outdated(config):
        screen.warn(f"  ! {words}")
    return cluster


def _check_room(cloud: "Aws", name: str, wanted: "CentralLogging") -> None:
    """Refuse a store for which no machine has memory left."""
    from clusterous_api import names
    from clusterous_api.errors import UserError
    from clusterous_cli.cluster.file.centrallogging import POOL, Store
    from clusterous_cli.program import load
    from clusterous_cli.program.central import stores
    from clusterous_cli.reach import session

    api = session.api_of(session.open_session(cloud, name).cluster)
    nodes = api.items("/api/v1/nodes")
    there = load.read(nodes, api.items("/api/v1/pods"), [])
    own = [
        one["metadata"]["name"]
        for one in nodes
        if (one["metadata"].get("labels") or {}).get(names.LABEL_POOL) == POOL
    ]
    if why := stores.lacks(wanted, there, own):
        more = f" {stores.REFUSED}" if wanted.store is Store.EFK else ""
        raise UserError(f"{why}. Nothing was changed.{more}")


def _await_parts(screen: "Ui", cluster: "Cluster", wanted: "CentralLogging") -> None:
    """Wait until all that runs for it is ready, as long as it comes further."""
    from clusterous_api.errors import FailedError
    from clusterous_cli.program.central import disks, standing
    from clusterous_cli.reach import session
    from clusterous_cli.system import wait

    link = session.link(cluster)
    api, pauses = session.api(link), wait.Pauses()
    steady = wait.Patience(mend=link.tunnel.ensure, tell=screen.warn)
    further = wait.Progress(clock=pauses.clock)
    for lost in steady.ask(lambda: disks.begin_anew(api)):
        screen.warn(
            f"  ! the machine {lost.node} is gone, and with it what was collected on its disk: the"
            " store begins anew"
        )
    with screen.lines() as lines:
        while late := standing.missing(
            parts := steady.ask(lambda: standing.ask(api)), ours=wanted.store.ours
        ):
            lines.set("logging", late)
            if further.still(parts) > PATIENCE_SECONDS:
                raise FailedError(
                    f"Central logging has come no further for {PATIENCE_SECONDS:.0f} s: {late}. It"
                    " goes on by itself; `clusterous logging status` shows how far it is."
                )
            pauses.sleep(1)
        lines.set("logging", "ready", done=True)
    for one in parts:
        if one.away:
            screen.warn(f"  ! {standing.WORDS[one.name]}: {one.words}")


def _exported(screen: "Ui", opened: "Session", app: str | None, count: int, to: str | None) -> int:
    made = _taken(screen, opened, app, count, to)
    where = f"{to}/" if to else f"s3://{opened.identity.bucket}/"
    data = [{"file": f"{where}{one.key}", "records": one.records} for one in made]
    screen.emit(data, lambda: "\n".join(str(one["file"]) for one in data))
    return 0


def exported_all(
    screen: "Ui", cloud: "Aws", name: str, kept: "CentralLogging", folder: str
) -> "list[File]":
    """Write all that the programs of a cluster said, as its light store has it, into a folder."""
    from clusterous_cli.reach import session

    return _taken(screen, session.open_session(cloud, name), None, kept.days + 1, folder)


def _taken(
    screen: "Ui", opened: "Session", app: str | None, count: int, to: str | None
) -> "list[File]":
    import tempfile
    from contextlib import ExitStack
    from pathlib import Path

    from clusterous_cli.cluster.file.centrallogging import Store
    from clusterous_cli.commands import opening
    from clusterous_cli.program.central import export, page, search
    from clusterous_cli.reach import session
    from clusterous_cli.turns import journal

    api = session.api_of(opened.cluster)
    cloud, who, made = opened.cloud, opened.identity, []
    with ExitStack() as stack:
        port, door = stack.enter_context(page.reached(opened, api, Store.LIGHT))
        folder = Path(to or stack.enter_context(tempfile.TemporaryDirectory()))
        if to is None:
            stack.enter_context(journal.kept(cloud, who, options.running(), opening.now))

        def ask(question: str, path: str) -> "Iterator[bytes]":
            return search.lines(port, door, question, path)

        lines = stack.enter_context(screen.lines())
        for name in [app] if app else export.apps(ask, count):
            for day in export.days(opening.now(), count):
                lines.set("export", f"{name}, {day}")
                file = export.taken(ask, name, day, folder)
                if file is not None and to is None:
                    cloud.upload(file.path, bucket=who.bucket, key=file.key, owner=who.account)
                made += [file] if file is not None else []
        lines.set("export", f"{len(made)} files", done=True)
    return made


def _open(settings: Settings, app: str | None) -> None:
    from clusterous_cli.commands import opening
    from clusterous_cli.program import exposure
    from clusterous_cli.program.central import page, stores
    from clusterous_cli.reach import session, tunnel, unwrapped
    from clusterous_cli.terminal.screen import Ui

    screen = Ui(settings)
    cloud, config = opening.existing(settings)
    if config.logging is None:
        screen.tell(page.OFF)
        return
    opened = session.open_session(cloud, config.name)
    api = session.api_of(opened.cluster)
    store = config.logging.store
    door = page.let_in(api, store)
    exposure.app_tunnel(opened.access, stores.LOCAL_PORT).close()
    port = tunnel.free_port(stores.LOCAL_PORT)
    inner = port if door.authority is None else tunnel.free_port(port + 1)
    leads = exposure.app_tunnel(opened.access, inner, door.address, door.port)
    leads.ensure()
    screen.line(_link(screen, api, store, door, inner, port, app))
    screen.tell(f"  as {door.user}, with the password {door.password}")
    screen.hint("Ctrl-C closes it.")
    if door.authority is None:
        exposure.hold([exposure.Opened(tunnel=leads)], None, screen)
        return
    with unwrapped.served(port, inner, page.trust(door.authority)):
        exposure.hold([exposure.Opened(tunnel=leads)], None, screen)


def _link(
    screen: "Ui", api: "Api", store: "Store", door: "Door", inner: int, port: int, app: str | None
) -> str:
    """Return the address of the page; Kibana learns first which programs there are."""
    from clusterous_api.errors import TransientError
    from clusterous_cli.cluster.file.centrallogging import Store
    from clusterous_cli.program.central import kibana, stores
    from clusterous_cli.reach import kube

    there = kibana.programs(api.items(kube.apps_path()))
    # One that is gone was where programs usually are, most probably.
    spaces = [one.namespace for one in there if one.app == app]
    wanted = kibana.Program(namespace=(*spaces, "default")[0], app=app) if app else None
    if store is Store.EFK:
        try:
            kibana.save(inner, door, sorted({*there, *([wanted] if wanted else [])}))
        except TransientError as error:
            screen.warn(f"  ! {error} So there may be no saved search of a program.")
        else:
            if wanted:
                return kibana.link(port, wanted)
    return stores.link(store, port, app, wanted.namespace if wanted else "default")
