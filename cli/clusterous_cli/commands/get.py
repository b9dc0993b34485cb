"""`clusterous get SRC… [DST]`: files of the shared volume to here."""

import click

from clusterous_cli.commands import completing, kept, transferring
from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings


@click.command(cls=options.Command)
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    metavar="SRC... [DST]",
    shell_complete=completing.get_paths,
)
@transferring.transfer_options
@options.with_settings
def command(
    settings: Settings,
    paths: tuple[str, ...],
    exclude: tuple[str, ...],
    delete: bool,
    checksum: bool,
    check: bool,
    dry_run: bool,
) -> None:
    """Copy files and folders from the shared volume to here.

    SRC are paths on the volume, relative to /home/data; the last of several PATHS is where to,
    with one path only the current folder. As with rsync, `results` arrives as a folder of that
    name, and `results/` only with its contents. Only what is new or changed travels, each file
    checked by its sum when it arrives. A connection that breaks is taken up again, and after Ctrl-C
    the same command goes on where it stopped. Nothing is deleted without --delete. Links that lead
    out of SRC stay there.

    \b
    clusterous get results                 ./results
    clusterous get result.json build/      build/result.json
    clusterous get results --check         and compare contents at the end
    """
    from clusterous_cli.data import links, transfer
    from clusterous_cli.data.rsync import Wishes
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    *sources, target = paths if len(paths) > 1 else (*paths, "./")
    for source in sources:
        transfer.volume_path(source)
    if delete:
        transfer.check_delete(sources)
    transfer.check_rsync()
    there = kept.files(settings)
    course = transfer.way_back(
        there.access, there.volume, sources, target, is_dry=dry_run,
        wishes=Wishes(exclude=exclude, delete=delete, checksum=checksum),
    )  # fmt: skip
    done = transferring.carried_out(
        ui, course, " ".join(sources), target, delete=delete, check=check, dry_run=dry_run
    )
    if done and done.left:
        ui.warn(f"! {links.spelled(done.left)} lead out of what was copied, and stayed there.")
