"""`clusterous image ls|info|rm|prune|collect`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from clusterous_cli.terminal import options
from clusterous_cli.terminal.options import Settings

if TYPE_CHECKING:
    from clusterous_cli.cluster.identity import Identity
    from clusterous_cli.images.stock.places import Place
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
    from clusterous_cli.output import images
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    who, place, host = _place(settings)
    items, now = place.listed(), opening.now()
    if not items and ui.for_people:
        ui.tell(f"There is no image of {who.name} yet: clusterous build-image FOLDER NAME")
        return
    data = images.listed_data(items, host, now)
    ui.emit(data, lambda: images.listed_table(items, now))


@command.command("info", short_help="Show what one is.")
@click.argument("name", metavar="NAME[:TAG]")
@options.with_settings
def info(settings: Settings, name: str) -> None:
    """Show what NAME:TAG (default: latest) stands for: tags, id, author, when it was made."""
    from clusterous_cli.commands import opening
    from clusterous_cli.images.stock import shelf
    from clusterous_cli.output import images
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    _, place, host = _place(settings)
    item = shelf.find(place.listed(), name)
    data = images.described_data(item, place.config(item), host, opening.now())
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
    from clusterous_cli.images.stock import places, shelf
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    opened = opening.session_of(settings)
    place = places.of_session(opened, None)
    items = place.listed()
    wanted = list(dict.fromkeys(shelf.find(items, name) for name in names))
    return _removed(ui, opened, place, items, wanted, dry_run)


@command.command("prune", short_help="Remove what nobody uses or calls by a name.")
@click.option(
    "--older-than",
    metavar="DAYS",
    type=options.Finite(min=0, max=36500),
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
    from clusterous_cli.images.stock import places, removal
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    opened = opening.session_of(settings)
    place = places.of_session(opened, None)
    items = place.listed()
    older = timedelta(days=older_than)
    wanted = removal.prunable(items, opening.now(), older, also_named)
    return _removed(ui, opened, place, items, wanted, dry_run)


@command.command("collect", short_help="Free what removed images took.")
@options.with_settings
def collect(settings: Settings) -> None:
    """Free the layers that no image needs any more, in the bucket of `registry: s3`.

    Meanwhile nobody pushes to that bucket, from any cluster: a lock in it says so, and who pushes
    already is waited for. Programs go on. ECR does all that by itself.
    """
    from clusterous_cli.commands import opening
    from clusterous_cli.images.stock import collection, places
    from clusterous_cli.system import wait
    from clusterous_cli.terminal import spell
    from clusterous_cli.terminal.screen import Ui

    ui = Ui(settings)
    opened = opening.session_of(settings)
    place = places.of_session(opened, None)
    if not isinstance(place, places.OnCluster):
        ui.tell("There is nothing to do: ECR frees by itself what no image needs.")
        return
    with ui.lines() as lines:
        done = collection.collect(opened, place.bucket, wait.Pauses(), lines)
        freed = spell.size(max(0, done.before - done.after))
        words = f"{freed} freed, {spell.size(done.after)} left in {place.bucket}"
        lines.set("collection", words, done=True)
    if not ui.for_people:
        ui.emit({"bucket": place.bucket, "before": done.before, "after": done.after,
                 "blobs": done.blobs, "manifests": done.manifests})  # fmt: skip


def _place(settings: Settings) -> "tuple[Identity, Place, str]":
    """Return the cluster that is meant, where it keeps images, and what that is called."""
    from clusterous_cli.cluster import record
    from clusterous_cli.cluster.file import registry
    from clusterous_cli.commands import launching, opening
    from clusterous_cli.images.stock import places

    cloud, who = opening.chosen(settings)
    place = places.of(cloud, who, record.read(cloud, who), launching.aws_profile(settings))
    return who, place, registry.HOST if isinstance(place, places.OnCluster) else who.registry


def _removed(
    ui: "Ui",
    opened: "Session",
    place: "Place",
    items: Sequence["Item"],
    wanted: Sequence["Item"],
    dry_run: bool,
) -> int:
    """Remove what may go of what is *wanted* away; 1 if something stays that was."""
    from clusterous_cli.output import images

    decision = _decided(ui, opened, place, items, wanted)
    for words in images.stay_words(decision):
        ui.warn(f"  ! {words}")
    if not decision.go:
        ui.tell("Nothing was removed." if wanted else "There is nothing to remove.")
    else:
        cluster = opened.cluster
        where = f"{cluster.name} in {cluster.region} (account {cluster.account})"
        question = images.removal_words(decision, where)
        if dry_run:
            ui.tell(question.replace("This removes", "This would remove", 1))
        elif ui.confirm(f"{question}\nRemove them? [y/N]"):
            place.remove(decision.go)
            ui.tell("✓ removed")
        else:
            ui.warn("Nothing was removed.")
            return 1
    if not ui.for_people:
        ui.emit({**images.removal_data(decision), "dry_run": dry_run})
    return 1 if decision.stay else 0


def _decided(
    ui: "Ui",
    opened: "Session",
    place: "Place",
    items: Sequence["Item"],
    wanted: Sequence["Item"],
) -> "Decision":
    from clusterous_cli.cluster import record
    from clusterous_cli.images.stock import removal, usage
    from clusterous_cli.reach import kube, session

    if not wanted:
        return removal.Decision()

    def reached(name: str) -> kube.Api:
        ui.tell(f"· asking {name} what it uses")
        there = session.open_session(opened.cloud, name)
        return session.api_of(there.cluster)

    uses = usage.ask(record.cluster_names(opened.cloud), reached)
    known = place.with_layers(items)
    digests = {item.digest for item in wanted}
    return removal.decide([item for item in known if item.digest in digests], known, uses)
