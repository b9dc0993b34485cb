"""`clusterous destroy`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from clusterous_api.errors import UserError
from clusterous_cli.commands import completing
from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings

if TYPE_CHECKING:
    from clusterous_cli.aws.client import Aws
    from clusterous_cli.cluster.file.centrallogging import CentralLogging
    from clusterous_cli.cluster.identity import Identity
    from clusterous_cli.plan.kinds.kind import Found
    from clusterous_cli.terminal.screen import Ui


@click.command(cls=options.Command)
@click.argument("name", required=False, shell_complete=completing.clusters)
@click.option(
    "--guardduty", is_flag=True, help="Also remove what Amazon GuardDuty made in its network."
)
@click.option(
    "--leave-shared-volume",
    is_flag=True,
    help="Keep the shared volume, for another cluster (volume: {id: …}).",
)
@click.option(
    "--force-delete-shared-volume",
    is_flag=True,
    help="Remove the shared volume, also one that was taken by its id.",
)
@click.option(
    "--export-logs",
    metavar="FOLDER",
    help="First write what central logging has collected into a folder here.",
)
@click.option(
    "--discard-logs", is_flag=True, help="Let what central logging has collected go with it."
)
@click.option(
    "--keep-images",
    is_flag=True,
    help="Keep the images that were built for it, in ECR or in the bucket of registry: s3.",
)
@click.option("--confirm", is_flag=True, help="Do not ask (the same as --yes).")
@options.break_lock
@options.with_settings
def command(
    settings: Settings,
    name: str | None,
    guardduty: bool,
    leave_shared_volume: bool,
    force_delete_shared_volume: bool,
    export_logs: str | None,
    discard_logs: bool,
    keep_images: bool,
    confirm: bool,
) -> int:
    """Remove the cluster, its data, and everything that costs money; then look again.

    A volume that was taken by its id stays. With --leave-shared-volume the cluster's own does, too,
    and snapshots do in any case: what is kept is listed with what it costs, and is no failure.
    Images go with the cluster unless --keep-images says otherwise; those in a bucket that another
    cluster uses, too, stay.

    What Kubernetes made for it (volumes of claims, load balancers, security groups) goes, too,
    where tags and place prove whose it is; what may be another cluster's is listed, and stays.

    Where central logging has a store of its own on the cluster, it is asked where to write what was
    collected; without a terminal --export-logs or --discard-logs must say it.

    Needs no file and no record: what exists is found by its tags. Exit code 3: something is left,
    and is listed.
    """
    from dataclasses import replace

    from clusterous_cli.cluster import local, record
    from clusterous_cli.commands import opening
    from clusterous_cli.output import removal
    from clusterous_cli.plan import converge, inventory, sweep
    from clusterous_cli.system import wait
    from clusterous_cli.terminal.screen import Ui
    from clusterous_cli.turns import journal

    keep, force = leave_shared_volume, force_delete_shared_volume
    if keep and force:
        raise UserError(
            "--leave-shared-volume keeps the volume, --force-delete-shared-volume removes it: say"
            " one of them."
        )
    if export_logs and discard_logs:
        raise UserError(
            "--export-logs keeps what was collected, --discard-logs lets it go: say one of them."
        )
    settings = replace(settings, yes=settings.yes or confirm)
    screen, pauses = Ui(settings), wait.Pauses()
    goal = opening.target(settings, name)
    cloud = goal.cloud
    who = opening.identity(goal.name, cloud)
    if who is None:
        if local.known():
            raise record.nowhere(cloud)
        return opening.nothing(screen, f"There is no cluster in {cloud.region}.")
    found = inventory.take(cloud, who, deep=True)
    if not converge.left(found) and not (seen := sweep.look(cloud, who, ())).left:
        opening.vanished(goal, who)
        opening.forget(who)
        kept = removal.kept_data((), seen, who.region, keep=keep)
        return opening.nothing(screen, removal.nothing_words(who, seen), seen.unseen, kept)
    if settings.yes and goal.name is None and who not in [one.who for one in local.known()]:
        raise UserError(
            f"There is {who.name} in {who.region} (account {who.account}), which this machine does"
            " not know. Name it to remove it without a question."
        )
    logs = _collected(cloud, who, found)
    if not keep_images and removal.has_images(found) and screen.can_ask and not settings.yes:
        keep_images = screen.confirm(f"{removal.images_words(found)} Keep them? [y/N]")
    what = removal.removal_words(
        who, found, keep=keep, force=force, logs=logs is not None, keep_images=keep_images
    )
    question = f"{what}\nType the cluster's name to go on:"
    if not screen.confirm(question, word=who.name):
        screen.warn("Nothing was removed.")
        return 1
    by_aws = converge.managed(found)
    if by_aws and not guardduty and screen.can_ask and not settings.yes:
        guardduty = screen.confirm(f"{removal.managed_words(by_aws)} Remove that, too? [y/N]")
    if logs is not None and not discard_logs:
        _saved(screen, cloud, who, logs, export_logs)
    decided = " --discard-logs" * (logs is not None)
    also = " --guardduty" * guardduty + options.also("guardduty", "export_logs", "discard_logs")
    also += decided
    also += " --keep-images" * (keep_images and "--keep-images" not in also)
    again = f"clusterous destroy {who.name}{also}"
    with (
        screen.lines() as lines,
        converge.resumable(pauses, screen, lines, again),
        journal.kept(cloud, who, options.running(), opening.now),
    ):
        try:
            destroy = converge.Destroy(
                cloud=cloud, who=who, lines=lines, pauses=pauses, managed=guardduty, keep=keep,
                keep_images=keep_images, force=force, breaks=settings.break_lock, again=again,
            )  # fmt: skip
            seen = destroy.run(found)
        except converge.Remains as error:
            if not screen.for_people:
                kept = removal.kept_data((), error.seen, who.region, keep=keep)
                screen.emit({**removal.seen_data(who.name, error.seen), "kept": kept})
            raise
    opening.forget(who)
    screen.tell(removal.gone_words(who, seen, screen.passed))
    kept = removal.kept_data(found, seen, who.region, keep=keep, force=force)
    for words in (*removal.kept_words(kept), *seen.unseen):
        screen.warn(f"  ! {words}")
    if not screen.for_people:
        screen.emit({**removal.seen_data(who.name, seen), "kept": kept})
    return 0


# -- what was collected -----------------------------------------------------------------------


def _collected(cloud: "Aws", who: "Identity", found: "Sequence[Found]") -> "CentralLogging | None":
    """Return how a store on the cluster is kept, if it has one and there is still a way to it."""
    from clusterous_cli.cluster import record
    from clusterous_cli.cluster.config import ClusterConfig
    from clusterous_cli.output import removal

    if not removal.has_controller(found):
        return None
    try:
        kept = record.read(cloud, who)
        wanted = ClusterConfig.from_record(kept["config"]).logging if kept else None
    except (UserError, KeyError, TypeError, ValueError):
        # destroy needs no record, nor one that this version understands
        return None
    return wanted if wanted is not None and wanted.store.ours else None


def _saved(
    screen: "Ui", cloud: "Aws", who: "Identity", kept: "CentralLogging", folder: str | None
) -> None:
    """Write what was collected into *folder*, or where the answer says; before anything goes."""
    from clusterous_api.errors import ClusterousError, FailedError
    from clusterous_cli.cluster.file.centrallogging import Store
    from clusterous_cli.commands import centrallogging
    from clusterous_cli.output import removal

    if kept.store is not Store.LIGHT:  # has no export: what goes with it was said in the question
        if folder is not None:
            raise UserError(removal.NO_EXPORT.format(store=kept.store))
        return
    if folder is None:
        usual = f"{who.name}-logs"
        folder = screen.ask(removal.WHERE_TO, flag=removal.LOGS_FLAGS, usual=usual)
    if folder == removal.NOWHERE:
        return
    try:
        made = centrallogging.exported_all(screen, cloud, who.name, kept, folder)
    except ClusterousError as error:
        raise FailedError(f"{error}\n{removal.NOT_SAVED}") from error
    screen.tell(removal.saved_words(len(made), folder))
