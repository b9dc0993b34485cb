"""`clusterous put SRC… [DST]`: local files to the shared volume."""

from pathlib import Path

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
    shell_complete=completing.put_paths,
)
@click.option("--follow", is_flag=True, help="Copy what links lead to that lead out of SRC.")
@transferring.transfer_options
@options.with_settings
def command(
    settings: Settings,
    paths: tuple[str, ...],
    follow: bool,
    exclude: tuple[str, ...],
    delete: bool,
    checksum: bool,
    check: bool,
    dry_run: bool,
) -> None:
    """Copy files and folders from here to the shared volume.

    The last of several PATHS is where to: a path on the volume, relative to /home/data; with one
    path only, the volume's root. As with rsync, `inputs` arrives as a folder of that name, and
    `inputs/` only with its contents. Only what is new or changed travels, each file checked by its
    sum when it arrives. A connection that breaks is taken up again, and after Ctrl-C the same
    command goes on where it stopped. Nothing is deleted without --delete.

    Every program may read what arrives, and write beside it, whichever user it runs as. A SRC that
    is a link is copied as what it leads to.

    \b
    clusterous put inputs                  /home/data/inputs
    clusterous put a.csv b.csv tables/     /home/data/tables/{a,b}.csv
    clusterous put src --exclude .git -n   what would be copied
    """
    from clusterous_cli.data import links, transfer
    from clusterous_cli.data.rsync import Wishes
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    *sources, target = paths if len(paths) > 1 else (*paths, ".")
    transfer.check_sources(sources)
    if delete:
        transfer.check_delete(sources, is_folder=Path(sources[0]).is_dir())
    transfer.check_rsync()
    where = transfer.volume_path(target)
    there = kept.files(settings)
    course = transfer.way_there(
        there.access, there.volume, sources, target,
        follow=follow, is_dry=dry_run,
        wishes=Wishes(exclude=exclude, delete=delete, checksum=checksum),
    )  # fmt: skip
    done = transferring.carried_out(
        ui, course, " ".join(sources), where, delete=delete, check=check, dry_run=dry_run
    )
    if done and done.left:
        ui.warn(
            f"! {links.spelled(done.left)} lead nowhere on the volume; --follow copies what is"
            " there."
        )
