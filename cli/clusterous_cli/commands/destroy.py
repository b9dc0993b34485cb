"""`clusterous destroy`."""

import click

from clusterous_api.errors import UserError
from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument("name", required=False)
@click.option(
    "--guardduty", is_flag=True, help="Also remove what Amazon GuardDuty made in its network."
)
@click.option(
    "--leave-shared-volume",
    is_flag=True,
    help="Keep the shared volume, for another cluster (volume: {id: …}).",
)
@options.with_settings
def command(
    settings: Settings, name: str | None, guardduty: bool, leave_shared_volume: bool
) -> int:
    """Remove the cluster, its data, and everything that costs money; then look again.

    A volume that was taken by its id stays. With --leave-shared-volume the cluster's own does, too:
    what it costs is told.

    Needs no file and no record: what exists is found by its tags. Exit code 3: something is left,
    and is listed.
    """
    from clusterous_cli.cluster import local, record
    from clusterous_cli.commands import opening
    from clusterous_cli.output import show
    from clusterous_cli.plan import converge, inventory, sweep
    from clusterous_cli.system import wait
    from clusterous_cli.terminal import spell
    from clusterous_cli.terminal.screen import Ui

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
        nothing = f"There is nothing of {who.name} in {who.region} (account {who.account})."
        return opening.nothing(screen, nothing, seen.unseen)
    if settings.yes and goal.name is None and who not in [one.who for one in local.known()]:
        raise UserError(
            f"There is {who.name} in {who.region} (account {who.account}), which this machine does"
            " not know. Name it to remove it without a question."
        )
    keep = leave_shared_volume
    question = f"{show.removal_words(who, found, keep=keep)}\nType the cluster's name to go on:"
    if not screen.confirm(question, word=who.name):
        screen.warn("Nothing was removed.")
        return 1
    by_aws = converge.managed(found)
    if by_aws and not guardduty and screen.can_ask and not settings.yes:
        guardduty = screen.confirm(f"{show.managed_words(by_aws)} Remove that, too? [y/N]")
    again = f"clusterous destroy {who.name}{' --leave-shared-volume' * keep}"
    with screen.lines() as lines, converge.resumable(pauses, screen, lines, again):
        try:
            destroy = converge.Destroy(
                cloud=cloud, who=who, lines=lines, pauses=pauses, managed=guardduty, keep=keep
            )
            unseen = destroy.run(found)
        except converge.Remains as error:
            if not screen.for_people:
                screen.emit(show.seen_data(who.name, error.seen))
            raise
    opening.forget(who)
    screen.tell(
        f"✓ {who.name} is gone after {spell.duration(screen.passed)}; nothing is left"
        f" (looked for {sweep.kinds() - len(unseen)} kinds of things)."
    )
    for words in (*show.kept_words(found, who.region, keep=keep), *unseen):
        screen.warn(f"  ! {words}")
    if not screen.for_people:
        kept = show.kept_data(found, who.region, keep=keep)
        screen.emit({**show.seen_data(who.name, sweep.Seen(unseen=unseen)), "kept": kept})
    return 0
