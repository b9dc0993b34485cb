"""`clusterous image ls|info|rm|prune`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings

if TYPE_CHECKING:
    from clusterous_cli.images.stock.removal import Decision
    from clusterous_cli.images.stock.shelf import Item
    from clusterous_cli.reach.session import Session
    from clusterous_cli.terminal.screen import Ui

dry_run = click.option("--dry-run", is_flag=True, help="Only say what would go and what stays.")


@click.group(cls=options.Group)
def command() -> None:
    """Show the images that were built for the cluster's programs, and remove old ones.

    What a program of any cluster uses is never removed, nor what such an image is built on.
    """


@command.command("ls", short_help="List them, with sizes and ages.")
@options.with_settings
def ls(settings: Settings) -> None:
    """List the images of the cluster, with their sizes (as the registry keeps them) and ages."""
    from clusterous_cli.commands import opening
    from clusterous_cli.images.stock import shelf
    from clusterous_cli.output import images
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    cloud, who = opening.chosen(settings)
    items, now = shelf.listed(cloud, who), opening.now()
    if not items and ui.for_people:
        ui.tell(f"There is no image of {who.name} yet: clusterous build-image FOLDER NAME")
        return
    data = images.listed_data(items, who.registry, now)
    ui.emit(data, lambda: images.listed_table(items, now))


@command.command("info", short_help="Show what one is.")
@click.argument("name", metavar="NAME[:TAG]")
@options.with_settings
def info(settings: Settings, name: str) -> None:
    """Show what NAME:TAG (default: latest) stands for: tags, id, author, when it was made."""
    from clusterous_cli.commands import launching, opening
    from clusterous_cli.images import workshop
    from clusterous_cli.images.stock import shelf
    from clusterous_cli.output import images
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    cloud, who = opening.chosen(settings)
    item = shelf.find(shelf.listed(cloud, who), name)
    profile = launching.aws_profile(settings)
    config = workshop.repository(who, item.repository, profile).config(item.digest)
    data = images.described_data(item, config, who.registry, opening.now())
    ui.emit(data, lambda: images.described_table(data))


@command.command("rm", short_help="Remove some.")
@click.argument("names", metavar="NAME[:TAG]…", nargs=-1, required=True)
@dry_run
@options.with_settings
def rm(settings: Settings, names: tuple[str, ...], dry_run: bool) -> int:
    """Remove the images that NAME:TAG (default: latest) or NAME@DIGEST stand for, with all names.

    The Kubernetes of every cluster in the region is asked first. Who uses what stays is said; a
    cluster that cannot be asked counts as using everything.
    """
    from clusterous_cli.commands import opening
    from clusterous_cli.images.stock import shelf
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    opened = opening.session_of(settings)
    items = shelf.listed(opened.cloud, opened.identity)
    wanted = list(dict.fromkeys(shelf.find(items, name) for name in names))
    return _removed(ui, opened, items, wanted, dry_run)


@command.command("prune", short_help="Remove what nobody uses or calls by a name.")
@click.option(
    "--older-than",
    metavar="DAYS",
    type=click.FloatRange(min=0),
    default=1,
    help="Only what was pushed so long ago; default 1.",
)
@click.option("--all", "also_named", is_flag=True, help="Also what NAME:TAG stands for.")
@dry_run
@options.with_settings
def prune(settings: Settings, older_than: float, also_named: bool, dry_run: bool) -> int:
    """Remove images that no program uses, and that no NAME:TAG stands for any more.

    The Kubernetes of every cluster in the region is asked first. Who uses what stays is said; a
    cluster that cannot be asked counts as using everything.
    """
    from datetime import timedelta

    from clusterous_cli.commands import opening
    from clusterous_cli.images.stock import removal, shelf
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    opened = opening.session_of(settings)
    items = shelf.listed(opened.cloud, opened.identity)
    older = timedelta(days=older_than)
    wanted = removal.prunable(items, opening.now(), older, also_named)
    return _removed(ui, opened, items, wanted, dry_run)


def _removed(
    ui: "Ui", opened: "Session", items: Sequence["Item"], wanted: Sequence["Item"], dry_run: bool
) -> int:
    """Remove what may go of what is *wanted* away; 1 if something stays that was."""
    from clusterous_cli.images.stock import shelf
    from clusterous_cli.output import images

    decision = _decided(ui, opened, items, wanted)
    for words in images.stay_words(decision):
        ui.warn(f"  ! {words}")
    if not decision.go:
        ui.tell("Nothing was removed." if wanted else "There is nothing to remove.")
    else:
        cluster = opened.cluster
        place = f"{cluster.name} in {cluster.region} (account {cluster.account})"
        question = images.removal_words(decision, place)
        if dry_run:
            ui.tell(question.replace("This removes", "This would remove", 1))
        elif ui.confirm(f"{question}\nRemove them? [y/N]"):
            shelf.remove(opened.cloud, decision.go)
            ui.tell("✓ removed")
        else:
            ui.warn("Nothing was removed.")
            return 1
    if not ui.for_people:
        ui.emit({**images.removal_data(decision), "dry_run": dry_run})
    return 1 if decision.stay else 0


def _decided(
    ui: "Ui", opened: "Session", items: Sequence["Item"], wanted: Sequence["Item"]
) -> "Decision":
    from clusterous_cli.cluster import record
    from clusterous_cli.images.stock import removal, shelf, usage
    from clusterous_cli.reach import kube, session

    if not wanted:
        return removal.Decision()

    def reached(name: str) -> kube.Api:
        ui.tell(f"· asking {name} what it uses")
        there = session.open_session(opened.cloud, name)
        return session.api_of(there.cluster)

    uses = usage.ask(record.cluster_names(opened.cloud), reached)
    known = shelf.with_layers(opened.cloud, items)
    digests = {item.digest for item in wanted}
    return removal.decide([item for item in known if item.digest in digests], known, uses)
