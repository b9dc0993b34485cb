"""`clusterous quit [NAME]`: programs end, the cluster stays."""

import click

from clusterous_cli.commands import completing, kept
from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument("name", required=False, shell_complete=completing.apps)
@click.option("--keep", is_flag=True, help="Only suspend it: `clusterous run` brings it back.")
@click.option("--tunnel-only", is_flag=True, help="Only close its tunnels on this machine.")
@click.option("--confirm", is_flag=True, help="Do not ask (the same as --yes).")
@options.with_settings
def command(
    settings: Settings, name: str | None, keep: bool, tunnel_only: bool, confirm: bool
) -> int:
    """End the program NAME, or without a name all programs, and close their tunnels.

    Files on the volume, images and machines stay.
    """
    from clusterous_cli.program import apps, exposure
    from clusterous_cli.program.running import ending
    from clusterous_cli.terminal import spell
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    cluster = kept.programs(settings)
    api = cluster.api
    states = [apps.find(api, name)] if name else apps.all_states(api)
    shown = ", ".join(one.name for one in states)
    if states and not (tunnel_only or confirm):
        verb = "suspend" if keep else "end"
        question = f"{verb} {shown} on {cluster.name}? Files and images stay. [y/N]"
        if not ui.confirm(question):
            ui.warn("Nothing was ended.")
            return 1
    closed = sum(exposure.close_all(cluster.access, one) for one in states)
    if tunnel_only:
        ui.tell(f"{spell.plural(closed, 'tunnel')} closed")
        return 0
    for one in states:
        ending.end(api, one, keep=keep)
    if left := ending.await_end(api, states):
        ui.warn(f"! {spell.plural(left, 'pod')} still ends; `clusterous status` shows when it has.")
    word = "suspended" if keep else "ended"
    ui.tell(f"✓ {shown} {word}" if states else "No program is running.")
    if not ui.for_people:
        ui.emit({word: [one.name for one in states], "left": left})
    if states and keep:
        ui.hint("Next: clusterous run FILE brings it back")
    return 0
