"""Snapshots of what a cluster's Kubernetes knows, as people read of them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from clusterous_cli.plan.snapshots.restoring import Files, Moved
from clusterous_cli.plan.snapshots.stored import KEPT, Snapshot
from clusterous_cli.terminal import spell

# One is taken each quarter of an hour; a machine may be slow, or be replaced.
LATE: Final = timedelta(minutes=45)


def table(found: Sequence[Snapshot], now: datetime) -> str:
    """Return them as a table, and say where none was taken for long."""
    if not found:
        return "There is no snapshot yet. The first is taken when the controller is ready."
    head = ("SNAPSHOT", "TAKEN", "SIZE", "KEPT", "K3S", "SHARED VOLUME")
    rows = [
        (
            one.name,
            f"{spell.duration((now - one.taken).total_seconds())} ago",
            spell.size(one.size),
            KEPT[one.kept],
            one.k3s,
            one.volume or "-",
        )
        for one in found
    ]
    late = now - found[0].taken
    words = (
        f"\n! The newest is {spell.duration(late.total_seconds())} old: is the controller away"
        " (clusterous status)? Else `clusterous snapshot save` says what is wrong."
        if late > LATE
        else ""
    )
    return f"{spell.table([head, *rows], indent='')}{words}"


def copy_words(id: str) -> str:
    """Say what became of the shared volume."""
    return (
        f"The shared volume is in {id}, which is kept: `clusterous volume restore {id}` makes one"
        " of it, `clusterous rm-volume` removes it."
    )


def restore_words(
    one: Snapshot, name: str, *, lives: bool, files: Files, others: Sequence[Snapshot] = ()
) -> str:
    """Say what a restore does; *others* are what else there is to begin with."""
    taken = f"{one.taken:%H:%M} on {one.taken.day} {one.taken:%B} UTC"
    begins = f"{name} begins with what {one.cluster} knew at {taken} ({one.name})"
    said = f"{begins}; its programs come back suspended."
    if lives:
        said += (
            f" The controller and all workers of {name} end now, with all that runs on them and is"
            " on their disks, and are made anew. What came after that time is forgotten, but for"
            " files on the shared volume."
        )
    return f"{said} {_files_words(one, files, others)}".rstrip()


def going_words(volume: str | None, zone: str) -> str:
    """Say what becomes of the shared *volume* when the controller goes to another *zone*."""
    if not zone:
        return ""
    if volume is None:
        return f" The controller is made in {zone}."
    return (
        f" The controller is made in {zone}, with a copy of the shared volume {volume}: of a"
        f" snapshot of it that is taken now, of the newest one where it is lost. {volume} is kept."
    )


def moved_words(moved: Moved | None) -> list[str]:
    """Say what is kept where a shared volume was copied, and what the file has to say."""
    if moved is None or moved.copy is None:
        return []
    copy, of, given = moved.copy, moved.copy.of, moved.config.volume.id
    kept = f"{of.id}, of which {copy.id} is a copy, is kept in {of.value.zone}" if of else ""
    if given:
        words = f"the shared volume is {given} now: say volume: {{id: {given}}} in the cluster file"
        return [*([kept] if kept else []), words]
    return [f"{kept}: `clusterous rm-volume {of.id}` removes it"] if of else []


def _files_words(one: Snapshot, files: Files, others: Sequence[Snapshot]) -> str:
    """Say what becomes of the shared volume."""
    match files:
        case Files.COPIED:
            return (
                f"Its shared volume is a new one, of {one.volume}: the files of then. That of"
                f" {one.cluster} stays as it is."
            )
        case Files.EMPTY:
            with_files = next((other.name for other in others if other.volume), "")
            newest = f"; the newest that has files, too, is {with_files}" * bool(with_files)
            return f"Its shared volume is empty{newest if not one.volume else ''}."
    return f"`clusterous volume restore {one.volume}` makes that of then." if one.volume else ""
