"""`clusterous destroy`."""

import click

from clusterous_api.errors import UserError
from clusterous_cli.commands import completing
from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


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
@click.option("--confirm", is_flag=True, help="Do not ask (the same as --yes).")
@options.break_lock
@options.with_settings
def command(
    settings: Settings,
    name: str | None,
    guardduty: bool,
    leave_shared_volume: bool,
    force_delete_shared_volume: bool,
    confirm: bool,
) -> int:
    """Remove the cluster, its data, and everything that costs money; then look again.

    A volume that was taken by its id stays. With --leave-shared-volume the cluster's own does, too,
    and snapshots do in any case: what is kept is listed with what it costs, and is no failure.

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
    what = removal.removal_words(who, found, keep=keep, force=force)
    question = f"{what}\nType the cluster's name to go on:"
    if not screen.confirm(question, word=who.name):
        screen.warn("Nothing was removed.")
        return 1
    by_aws = converge.managed(found)
    if by_aws and not guardduty and screen.can_ask and not settings.yes:
        guardduty = screen.confirm(f"{removal.managed_words(by_aws)} Remove that, too? [y/N]")
    also = " --guardduty" * guardduty + options.also("guardduty")
    again = f"clusterous destroy {who.name}{also}"
    with (
        screen.lines() as lines,
        converge.resumable(pauses, screen, lines, again),
        journal.kept(cloud, who, options.running(), opening.now),
    ):
        try:
            destroy = converge.Destroy(
                cloud=cloud, who=who, lines=lines, pauses=pauses, managed=guardduty, keep=keep,
                force=force, breaks=settings.break_lock, again=again,
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
