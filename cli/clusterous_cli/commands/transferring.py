"""What `put` and `get` share: options, what is asked first, what is told while and after."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from clusterous_api.errors import FailedError
from clusterous_cli.terminal.screen import Ui

if TYPE_CHECKING:
    from clusterous_cli.data.rsync import Done
    from clusterous_cli.data.transfer import Course

F = TypeVar("F", bound=Callable[..., Any])

SHOWN: Final = 5  # names in a question
GOES_ON: Final = "What has arrived is kept: the same command goes on from there."

_OPTIONS: Final = (
    click.option(
        "--exclude",
        multiple=True,
        metavar="PATTERN",
        help="Leave out what fits PATTERN, as rsync reads it (*.tmp, /cache/); may be repeated.",
    ),
    click.option(
        "--delete", is_flag=True, help="Delete there what is not in SRC, one folder; asks first."
    ),
    click.option(
        "-c", "--checksum", is_flag=True, help="Compare contents, in place of size and time."
    ),
    click.option(
        "--check", is_flag=True, help="At the end, read both sides again and compare contents."
    ),
    click.option("-n", "--dry-run", is_flag=True, help="Only tell what would be done."),
)


def transfer_options(command: F) -> F:
    """Give a command what says how files travel."""
    for one in reversed(_OPTIONS):
        command = one(command)
    return command


def carried_out(
    ui: Ui,
    course: "Course",
    title: str,
    where: str,
    *,
    delete: bool,
    check: bool,
    dry_run: bool,
) -> "Done | None":
    """Copy what is to be copied to *where*, or tell what would be (then None)."""
    from clusterous_cli.terminal import spell

    if dry_run:
        shown(ui, course.told(_unheard))
        return None
    if delete and (gone := course.told(_unheard).gone):
        question = f"delete {spell.plural(len(gone), 'file')} in {where} ({_some(gone)})? [y/N]"
        if not ui.confirm(question):
            ui.warn("Nothing was copied.")
            raise click.exceptions.Exit(1)
    try:
        with ui.lines() as lines:
            tell = ui.now_and_then(lambda text: lines.set(title, text))
            done = course.run(tell, lambda text: ui.warn(f"! {title}: {text}"))
            if check:
                lines.set(title, "comparing what arrived with what was sent")
                compared(course.differing(_unheard))
            same = "; compared, all the same" if check else ""
            lines.set(title, f"is in {where}  {done}{same}", done=True)
    except KeyboardInterrupt:
        ui.warn(GOES_ON)
        raise
    if done.vanished:
        ui.warn("! Some files went while they were read: a program removed them. All others came.")
    if not ui.for_people:
        ui.emit(as_data(done, where))
    return done


def compared(differing: Sequence[str]) -> None:
    """Refuse to call it done where not all is the same at both ends."""
    if differing:
        raise FailedError(
            f"Not the same at both ends: {_some(differing)}. A program may write there just now;"
            " the same command copies it again."
        )


def shown(ui: Ui, done: "Done") -> None:
    """Put on stdout what would be done: + new, ~ changed, - deleted."""
    signs = (("+", done.new), ("~", done.changed), ("-", done.gone))
    rows = [f"{sign} {name}" for sign, names in signs for name in names]
    data = {"new": list(done.new), "changed": list(done.changed), "deleted": list(done.gone)}
    ui.emit(data, lambda: "\n".join(rows) or "Nothing would be copied.")


def as_data(done: "Done", where: str) -> dict[str, Any]:
    """For -o json."""
    return {
        "destination": where,
        "files": done.files,
        "bytes": done.bytes,
        "sent": {"files": done.sent, "bytes": done.sent_bytes},
        "deleted": done.deleted,
        "links_left": [str(link) for link in done.left],
        "vanished": done.vanished,
    }


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")


def _unheard(text: str) -> None:
    """It is quick, or says nothing that matters."""
