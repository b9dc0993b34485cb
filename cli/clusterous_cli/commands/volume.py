"""`clusterous volume grow|snapshot|restore`."""

import click

from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.group(cls=options.Group)
def command() -> None:
    """Grow the shared volume on EBS, take a snapshot of it, or make a volume of one.

    What there is, and what it costs, is shown by `clusterous ls-volumes`.
    """


@command.command("grow", short_help="Make it larger while programs go on.")
@click.argument("size", metavar="SIZE")
@options.break_lock
@options.with_settings
def grow(settings: Settings, size: str) -> int:
    """Grow the shared volume to SIZE GiB (100, 100GiB, 2TiB) while programs go on.

    The file system grows with it; who is stopped half-way runs it again. A volume never shrinks,
    and AWS takes some changes of one in a day, each when the last is completed (exit code 75 until
    then). A cluster file that says a smaller size is told: the number there counts for create.
    """
    from clusterous_cli.commands import changing, opening
    from clusterous_cli.output import show
    from clusterous_cli.plan import cost, design
    from clusterous_cli.terminal.screen import Ui

    screen = Ui(settings)
    cloud, before = opening.existing(settings)
    config = changing.grown(before, size)
    drawn = design.draw(cloud, config, offer=opening.offer(None))
    price = cost.of(config, cloud.region)
    screen.tell(show.plan_table(drawn, price))
    where = f"{config.name} in {cloud.region} (account {cloud.account})"
    question = f"grow the volume of {where} to {config.volume.size} GiB?  {price.spelled()} [y/N]"
    if drawn.plan.pending and not screen.confirm(question):
        screen.warn("Nothing was changed.")
        return 1
    again = f"clusterous volume grow {config.volume.size} --cluster {config.name}{options.also()}"
    cluster = changing.carried_out(screen, cloud, drawn, again)
    changing.shown(screen, cluster, price, config)
    return 0


@command.command("snapshot", short_help="Take a snapshot of it, which is kept.")
@click.option("--description", metavar="TEXT", default="", help="What it is, for ls-volumes.")
@click.option("--no-wait", is_flag=True, help="Do not wait until AWS has copied everything.")
@options.with_settings
def snapshot(settings: Settings, description: str, no_wait: bool) -> int:
    """Take a snapshot of the cluster's shared volume on EBS; programs go on meanwhile.

    It is as after a power cut at the moment it begins: what was synced is in it, and the file
    system's journal makes the rest whole. The controller writes out what it holds first, where it
    can be reached; what a program on a worker has not synced is not in it. It is kept until
    rm-volume removes it, also by destroy.
    """
    from clusterous_cli.cluster import record
    from clusterous_cli.cluster.config import ClusterConfig
    from clusterous_cli.cluster.identity import Identity
    from clusterous_cli.commands import opening
    from clusterous_cli.output import volumes
    from clusterous_cli.plan.volumes import copies
    from clusterous_cli.system import wait
    from clusterous_cli.terminal.screen import Ui
    from clusterous_cli.turns import journal

    screen, pauses = Ui(settings), wait.Pauses()
    goal = opening.target(settings)
    cloud, cluster = goal.cloud, record.open_cluster(goal.name, goal.cloud)
    who = Identity(name=cluster.name, account=cluster.account, region=cluster.region)
    volume = copies.source(cloud, who, cluster.record)
    if why := opening.unflushed(cluster):
        screen.warn(
            f"  ! the controller could not write out what it holds ({why}): the snapshot has what"
            " had reached the volume."
        )
    more = ClusterConfig.from_record(cluster.record["config"]).tags
    with journal.kept(cloud, who, options.running(), opening.now):
        id = copies.Taking(
            cloud=cloud, who=who, volume=volume, now=opening.now(), description=description,
            more=more, pauses=pauses,
        ).begin()  # fmt: skip
    if not no_wait:
        try:
            with screen.lines() as lines:
                copies.await_complete(cloud, id, pauses, lambda text: lines.set(id, text))
                lines.set(id, "complete", done=True)
        except KeyboardInterrupt:
            raise wait.Stopped(
                f"Stopped waiting. AWS goes on with {id} by itself; `clusterous ls-volumes` shows"
                " how far it is."
            ) from None
    made = copies.shown(cloud, id, pauses)
    screen.emit(volumes.thing_data(made, opening.now()), lambda: id)
    screen.tell(volumes.snapshot_words(made))
    screen.hint(f"Next: clusterous volume restore {id} · clusterous ls-volumes")
    return 0


@command.command("restore", short_help="Make a volume of a snapshot.")
@click.argument("id", metavar="SNAPSHOT")
@click.option(
    "--zone",
    metavar="ZONE",
    help="Where; default: where its cluster is, or was; else where the next would be.",
)
@options.with_settings
def restore(settings: Settings, id: str, zone: str | None) -> int:
    """Make a volume of SNAPSHOT, and print the line of a cluster file that takes it.

    It is kept, and never formatted. A new cluster takes it, or one whose volume was lost; a cluster
    that has its volume keeps that. AWS fetches what is on it when it is first read, which is slow.
    """
    from functools import partial
    from uuid import uuid4

    from clusterous_cli.commands import opening
    from clusterous_cli.output import volumes
    from clusterous_cli.plan.volumes import copies, stock
    from clusterous_cli.system import wait
    from clusterous_cli.terminal.screen import Ui

    screen, pauses = Ui(settings), wait.Pauses()
    cloud = opening.region(settings)
    copy = stock.find(cloud, id, stock.Users())
    copies.check(copy)
    who = opening.kept_from(settings, cloud, copy.cluster)
    where = copies.zone(cloud, who, copy.found, zone, partial(opening.next_cluster, who))
    restoring = copies.Restoring(
        cloud=cloud, who=who, copy=copy.found, zone=where, token=str(uuid4()), pauses=pauses
    )
    with screen.lines() as lines, opening.journaled(cloud, who):
        lines.set("volume", f"being made of {id} in {where}")
        made = restoring.run()
        lines.set("volume", f"{made} in {where}", done=True)
    thing = copies.shown(cloud, made, pauses)
    screen.emit(
        {**volumes.thing_data(thing, opening.now()), "snapshot": id},
        lambda: f"volume: {{id: {made}}}",
    )
    screen.tell(volumes.restored_words(thing, id))
    return 0
