"""`clusterous create [FILE]`."""

import shlex

import click

from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument("file", required=False, type=click.Path())
@options.operator_image
@click.option(
    "--skip-check",
    "skipped",
    multiple=True,
    metavar="NAME",
    help="Go on though this check of doctor fails.",
)
@click.option("--no-run", is_flag=True, help="Do not run the environment_file that FILE names.")
@options.break_lock
@options.with_settings
def command(
    settings: Settings,
    file: str | None,
    operator_image: str | None,
    skipped: tuple[str, ...],
    no_run: bool,
) -> int:
    """Create the cluster that FILE describes; finish or mend it when it exists.

    FILE is clusterous.yaml here if not given, else what the cluster named by --cluster was created
    from. It may be stopped and repeated at any point.

    What doctor checks is checked before the first thing is made: what fails stops it.

    The operator's image is the release's, or, where there is none of this version, made here first.

    The program that FILE names as environment_file is run when the cluster is there. A cluster
    parameters file of Clusterous 1.0 is read, too.
    """
    from clusterous_cli.cluster import local
    from clusterous_cli.commands import changing, launching, opening
    from clusterous_cli.output import show
    from clusterous_cli.plan import cost, design
    from clusterous_cli.program import launch, program
    from clusterous_cli.terminal.screen import Ui

    screen = Ui(settings)
    former = opening.former(file)
    for note in former.notes if former else ():
        screen.warn(f"  ! {note}")
    cloud, config = opening.wanted(settings, file)
    # Its mistakes are told before anything is made.
    following = None if no_run else opening.following(file, config, former)
    permit, values = launching.permit(screen, False), former.values if former else None
    what = program.read(following, permit, values=values) if following else None
    examined = changing.examined(cloud, config)
    listed = opening.asked_prices(cloud, config)
    drawn = design.draw(cloud, config, offer=opening.offer(operator_image))
    who = drawn.who
    price = cost.of(config, cloud.region, listed())
    if drawn.plan.pending:
        screen.tell(show.plan_table(drawn, price))
        changing.heeded(screen, examined.findings(), skipped)
        for other in local.elsewhere(who):
            screen.warn(f"  ! this machine knows another {other}; this one is not it")
        where = f"{who.name} in {who.region} (account {who.account})"
        leaves = show.leaving_words(drawn.plan)
        question = (
            f"{leaves}\nType the cluster's name to change {where}:"
            if leaves
            else f"create {where}?  {price.spelled()} [y/N]"
        )
        if not screen.confirm(question, word=who.name if leaves else None):
            screen.warn("Nothing was created.")
            return 1
    named = ""
    if file:
        named = f" {shlex.quote(file)}"
    elif settings.cluster:
        named = f" --cluster {settings.cluster}"
    again = f"clusterous create{named}{options.also()}"
    cluster = changing.carried_out(screen, cloud, drawn, again)
    if not screen.for_people:
        screen.emit(show.cluster_data(cluster, price, opening.now()))
    if what is not None:
        wishes = launch.Wishes(profile=launching.aws_profile(settings))
        launching.launch(screen, what, wishes, cloud, config.name).run()
    screen.hint("Next: clusterous run FILE · clusterous status")
    return 0
