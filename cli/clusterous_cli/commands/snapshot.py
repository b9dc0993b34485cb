"""`clusterous snapshot save|ls|restore`."""

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from clusterous_api.errors import FailedError, UserError
from clusterous_cli.cluster.payload import LIB, SNAPSHOT_SCRIPT
from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings

if TYPE_CHECKING:
    from clusterous_cli.aws import client
    from clusterous_cli.cluster.config import ClusterConfig
    from clusterous_cli.reach.session import Session
    from clusterous_cli.terminal.screen import Ui

# See boot/templates/snapshot.sh.
SAVE = f"sudo sh {LIB}/{SNAPSHOT_SCRIPT} asked"
SAVE_SECONDS = 600


@click.group(cls=options.Group)
def command() -> None:
    """Save what Kubernetes knows, list what is saved, and begin with it again.

    Programs, their settings and all else that kubectl shows are saved to the cluster's bucket every
    quarter of an hour: those of a day, and the last of each day of a month. They go with the
    cluster. Files on the shared volume are not in them.
    """


@command.command(cls=options.Command)
@click.option("--without-volume", is_flag=True, help="Take no snapshot of the shared volume.")
@options.with_settings
def save(settings: Settings, without_volume: bool) -> None:
    """Save it now, and keep that until the cluster is destroyed.

    Of a shared volume on EBS, a snapshot is taken with it, which outlasts the cluster, and is named
    beside it in `snapshot ls`. It is as of the moment before; AWS copies it meanwhile.
    """
    from clusterous_cli.commands import opening
    from clusterous_cli.output import snapshots as shown
    from clusterous_cli.plan.volumes import copies
    from clusterous_cli.reach import ssh
    from clusterous_cli.system import shell
    from clusterous_cli.terminal.screen import Ui
    from clusterous_cli.turns import journal

    screen = Ui(settings)
    opened = opening.session_of(settings)
    name = opened.cluster.name
    if opened.cluster.away:
        raise UserError(
            f"The controller of {name} is away, and only it can save what it knows."
            f" `clusterous create --cluster {name}` brings it back."
        )
    copy = "" if without_volume else _copied(screen, opened)
    order = f"{SAVE} {copy}".rstrip()
    try:
        said = ssh.run(opened.access, ssh.CONTROLLER, order, timeout=SAVE_SECONDS).split()[-1:]
    except shell.CommandFailed as error:
        raise FailedError(
            f"The controller of {name} could not save what it knows: {error}\n"
            "  One that an older clusterous made cannot; a new one can."
            + (f"\n  {shown.copy_words(copy)}" if copy else "")
        ) from error
    taken = "".join(said)
    if copy:
        with journal.kept(opened.cloud, opened.identity, options.running(), opening.now):
            copies.belong(opened.cloud, copy, taken)
    screen.emit({"name": taken, "volume_snapshot": copy or None}, lambda: taken)
    if copy:
        screen.tell(shown.copy_words(copy))


def _copied(screen: "Ui", opened: "Session") -> str:
    """Begin a snapshot of the shared volume, where it is on EBS and holds something."""
    from clusterous_cli.cluster.config import ClusterConfig
    from clusterous_cli.commands import opening
    from clusterous_cli.plan.volumes import copies
    from clusterous_cli.system import wait
    from clusterous_cli.turns import journal

    cloud, cluster, who = opened.cloud, opened.cluster, opened.identity
    config = ClusterConfig.from_record(cluster.record["config"])
    if not config.volume.served:
        return ""
    volume = copies.source(cloud, who, cluster.record)
    if why := opening.unflushed(cluster):
        screen.warn(f"  ! what the controller holds of the volume is not written out: {why}")
    with journal.kept(cloud, who, options.running(), opening.now):
        return copies.Taking(
            cloud=cloud, who=who, volume=volume, now=opening.now(), more=config.tags,
            pauses=wait.Pauses(), description=f"Shared volume of {who.name}, with what it knew",
        ).begin()  # fmt: skip


@command.command(cls=options.Command)
@options.with_settings
def ls(settings: Settings) -> None:
    """List what is saved, the newest first."""
    from clusterous_cli.cluster import record
    from clusterous_cli.commands import opening
    from clusterous_cli.output import snapshots as shown
    from clusterous_cli.plan.snapshots import stored
    from clusterous_cli.terminal.screen import Ui

    screen = Ui(settings)
    cloud, who = opening.chosen(settings)
    found = stored.listed(cloud, who)
    if not found and record.read(cloud, who) is None:
        raise record.absent(who)
    data = [one.data for one in found]
    screen.emit(data, lambda: shown.table(found, opening.now()))
    screen.hint("Next: clusterous snapshot restore NAME")


@command.command(cls=options.Command)
@click.argument("snapshot")
@click.argument("file", required=False, type=click.Path())
@click.option("--from", "source", metavar="CLUSTER", help="Whose snapshot; default: its own.")
@click.option("--without-volume", is_flag=True, help="Let a new cluster's shared volume be empty.")
@click.option("--zone", metavar="ZONE", help="Where the controller and its volumes are to be.")
@click.option("--confirm", is_flag=True, help="End the life that the cluster has now.")
@options.break_lock
@options.with_settings
def restore(
    settings: Settings,
    snapshot: str,
    file: str | None,
    source: str | None,
    without_volume: bool,
    zone: str | None,
    confirm: bool,
) -> int:
    """Let a cluster begin again with what SNAPSHOT knows: its name in `snapshot ls`, or `newest`.

    The cluster is the one of --cluster or FILE; one that is not there is made, and like the one
    that is saved where no FILE says otherwise. Of one that is there, the controller and all workers
    are made anew, with all that runs on them: this has to be confirmed. The volume with what it
    knew last is put aside, and goes with the cluster; the shared volume stays as it is. A new
    cluster's is made of the snapshot that `snapshot save` took of the first one's, which stays as
    it is; it is empty where none was taken.

    With --zone that is in another zone than before, for a controller of which there is none left
    in its own: the shared volume is copied there, with all files of now, and the one of before is
    kept. A new cluster is made there as a whole.

    All programs come back suspended, so that none runs twice unasked. Nothing is taken along of the
    machines of then. The command may be stopped and repeated at any point.

    \b
    clusterous snapshot restore newest --confirm
    clusterous snapshot restore newest --zone eu-west-1b
    clusterous snapshot restore 20261129T101503Z --from reef --cluster reef-2
    """
    from clusterous_cli.boot import bootstrap
    from clusterous_cli.cluster.config import FILE
    from clusterous_cli.cluster.identity import Identity
    from clusterous_cli.commands import changing, opening
    from clusterous_cli.output import show
    from clusterous_cli.output import snapshots as shown
    from clusterous_cli.plan import converge, cost, design, inventory
    from clusterous_cli.plan.snapshots import moving, restoring, stored
    from clusterous_cli.plan.volumes import copies
    from clusterous_cli.system import wait
    from clusterous_cli.terminal.screen import Ui
    from clusterous_cli.turns import journal

    screen = Ui(settings)
    cloud, config, is_like = _target(settings, file, source)
    who = Identity(name=config.name, account=cloud.account, region=cloud.region)
    owner = replace(who, name=source or who.name)
    kept = stored.listed(cloud, owner)
    one = stored.chosen(kept, snapshot, owner.name)
    stored.check_version(one, config.k3s)
    blob = bootstrap.restored(stored.content(cloud, owner, one))
    found = inventory.take(cloud, who)
    lives = restoring.lives(found)
    where = design.check_control(cloud, config, zone) if zone else ""
    goes = moving.going(config, found, where) if where else None
    if where and moving.is_new(found):
        config = replace(config, zone=where)
    elif restoring.has_state(found) and not (where and moving.is_lost(config, found)):
        # What create would refuse, before anything is ended for it.
        design.draw(cloud, config, offer=opening.offer(None))
    becomes = restoring.files(
        config.volume, found, is_copied=bool(one.volume) and not without_volume
    )
    copied = ""
    if becomes is restoring.Files.COPIED:
        copy = copies.beside(cloud, owner, one)
        copied, config = copy.id, copies.fitting(config, copy, may_grow=is_like)
    words = shown.restore_words(one, who.name, lives=lives, files=becomes, others=kept)
    words += shown.going_words(goes, where)
    if not confirm and not _agreed(screen, words, who.name if lives else None):
        screen.warn("Nothing was changed.")
        return 1
    # Without its file, a cluster that is not there yet would become one like the source.
    shape = file or (FILE if source and settings.cluster is None else "")
    again = (
        f"clusterous snapshot restore {one.name}{f' {shlex.quote(shape)}' if shape else ''}"
        f" --cluster {who.name}{options.also('zone')}{f' --zone {where}' if where else ''}"
        " --confirm"
    )
    pauses = wait.Pauses()
    with (
        screen.lines() as lines,
        converge.resumable(pauses, screen, lines, again),
        journal.kept(cloud, who, options.running(), opening.now),
    ):
        goal = moving.Moving(
            cloud=cloud, who=who, config=config, zone=where, lines=lines, pauses=pauses,
            now=opening.now,
        )  # fmt: skip
        moved = restoring.Restoring(
            cloud=cloud, who=who, lines=lines, pauses=pauses, breaks=settings.break_lock,
            moving=goal if where else None,
        ).run(blob)  # fmt: skip
    drawn = design.draw(
        cloud, moved.config if moved else config, offer=opening.offer(None), restore=blob,
        copied=copied, control=where,
    )  # fmt: skip
    cluster = changing.carried_out(screen, cloud, drawn, again)
    for told in shown.moved_words(moved):
        screen.warn(f"  ! {told}")
    if not screen.for_people:
        screen.emit(show.cluster_data(cluster, cost.of(config, cloud.region), opening.now()))
    screen.hint(
        "Programs are suspended. Next: clusterous status · to let one run again:\n"
        """  clusterous kubectl patch capp NAME --type merge -p '{"spec": {"suspend": false}}'"""
    )
    return 0


def _agreed(screen: "Ui", words: str, ends: str | None) -> bool:
    """Ask; where a life *ends*, the cluster's name is the only yes."""
    if ends is None:
        return screen.confirm(f"{words}\ngo on? [y/N]")
    return screen.confirm(
        f"{words}\nType the cluster's name to go on:", word=ends, flag="--confirm"
    )


def _target(
    settings: Settings, file: str | None, source: str | None
) -> "tuple[client.Aws, ClusterConfig, bool]":
    """Return the session and what the cluster shall be: by file, by record, or like the source.

    One that is like the source, of which the last is true, has a shared volume of its own.
    """
    from clusterous_cli.aws import errors
    from clusterous_cli.cluster import config
    from clusterous_cli.commands import opening

    if file is None and settings.cluster is None and source is None:
        return *opening.existing(settings), False
    try:
        return *opening.wanted(settings, file), False
    except errors.NoCluster:
        if settings.cluster is None or source in (None, settings.cluster):
            raise
    cloud, like = opening.existing(replace(settings, cluster=source))
    return cloud, replace(like, name=settings.cluster, volume=config.own(like.volume)), True
