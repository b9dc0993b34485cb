"""What people see (stderr) and what programs read (stdout)."""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, TextIO

from clusterous_api.errors import UserError
from clusterous_cli.options import Settings


class Ui:
    """The two streams and the manners: what is said, asked and shown, and in which form."""

    def __init__(
        self,
        settings: Settings,
        *,
        out: TextIO | None = None,
        err: TextIO | None = None,
        inp: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.out = out or sys.stdout
        self.err = err or sys.stderr
        self.inp = inp or sys.stdin
        self.clock = clock
        self.began = clock()
        self._console: Any = None  # rich's, while lines change in place

    @property
    def live(self) -> bool:
        """Whether lines may change in place."""
        return self.err.isatty() and not self.settings.quiet

    @property
    def for_people(self) -> bool:
        """Whether stdout is read by a person: then hints and headings are welcome."""
        return self.settings.output == "table"

    @property
    def passed(self) -> float:
        """Return the seconds since the command began."""
        return self.clock() - self.began

    def tell(self, message: str) -> None:
        """Say something on stderr, unless --quiet."""
        if not self.settings.quiet:
            self.warn(message)

    def warn(self, message: str) -> None:
        """Say something on stderr, even when --quiet."""
        if self._console is None:
            print(message, file=self.err, flush=True)
        else:  # above the lines that change, which stay whole
            self._console.print(message, markup=False, highlight=False, soft_wrap=True)

    def leave(self) -> None:
        """Give the terminal back as it was: for who is about to end the process at once."""
        if self._console is not None:
            self._console.show_cursor(True)
            print(file=self.err, flush=True)

    def hint(self, message: str) -> None:
        """Name the next command, where a person reads."""
        if self.for_people:
            self.tell(message)

    def emit(self, data: Any, table: Callable[[], str] | None = None) -> None:
        """Put *data* on stdout in the form asked for; *table* makes the form for people."""
        print(render(data, self.settings.output, table), file=self.out, flush=True)

    def confirm(self, question: str, *, word: str | None = None) -> bool:
        """Ask on the terminal; with *word*, that very word is the only yes."""
        if self.settings.yes:
            return True
        if not (self.inp.isatty() and self.err.isatty()):
            raise UserError(f"{question}\nThere is no terminal to answer on; say --yes.")
        print(question, end=" ", file=self.err, flush=True)
        answer = self.inp.readline().strip()
        return answer == word if word else answer.lower() in ("y", "yes")

    @contextmanager
    def lines(self) -> Iterator["Lines"]:
        """Show lines that change in place on a terminal, and as timed lines elsewhere."""
        if not self.live:
            yield TimedLines(self)
            return
        from rich.console import Console
        from rich.live import Live

        # The renderable is asked for anew each time, since clocks go on between changes.
        self._console = Console(
            file=self.err, no_color=not self.settings.color, highlight=False, emoji=False
        )
        shown = LiveLines(self, self._console.width)
        try:
            with Live(get_renderable=shown.render, console=self._console, refresh_per_second=4):
                yield shown
        finally:
            self._console = None


class Lines:
    """Named lines of progress; each says what its part is doing now."""

    moving = False

    def set(self, name: str, text: str, *, done: bool = False, failed: bool = False) -> None:
        """Say what *name* is doing; what is *done* or has *failed* stops its clock."""
        raise NotImplementedError

    def remind(self) -> None:
        """Say what is waited for, if nothing was said for long; to be called now and then."""

    @property
    def unfinished(self) -> list[str]:
        """The names of the lines that are neither done nor failed."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a line says, since when its part is at work, and how that ended."""

    text: str
    since: float
    mark: str = "·"
    took: float | None = None

    @property
    def over(self) -> bool:
        """Whether the part came to an end."""
        return self.took is not None


class TimedLines(Lines):
    """Plain lines with the seconds since the start, for logs and pipes.

    A line is said when its part begins and when it ends; in between only what changed, and not
    more often than every few seconds.
    """

    def __init__(self, ui: Ui) -> None:
        self._ui = ui
        self._rows: dict[str, Row] = {}
        self._said: dict[str, tuple[Row, float]] = {}
        self._last = ui.clock()

    def set(self, name: str, text: str, *, done: bool = False, failed: bool = False) -> None:
        """Print the line if it is time to say something new."""
        now = self._ui.clock()
        row = _next(self._rows.get(name), text, now, done=done, failed=failed)
        self._rows[name] = row
        said, when = self._said.get(name, (None, 0.0))
        if said is not None and (said.mark, said.text) == (row.mark, row.text):
            return
        if said is None or row.over or said.over or now - when >= SILENCE:
            self._said[name] = (row, now)
            mark = f"{row.mark} " if row.over else ""
            took = f" after {duration(row.took)}" if row.took and row.took >= 1 else ""
            self._tell(now, f"{name}: {mark}{row.text}{took}")

    def remind(self) -> None:
        now = self._ui.clock()
        if now - self._last >= REMINDER and self.unfinished:
            rows = [(name, self._rows[name]) for name in self.unfinished]
            waits = "; ".join(f"{name} ({row.text})" for name, row in rows)
            self._tell(now, f"still waiting: {waits}")

    def _tell(self, now: float, text: str) -> None:
        self._last = now
        self._ui.tell(f"[{now - self._ui.began:6.1f} s] {text}")

    @property
    def unfinished(self) -> list[str]:
        return _unfinished(self._rows)


class LiveLines(Lines):
    """Lines that change in place."""

    moving = True

    def __init__(self, ui: Ui, width: int = 80) -> None:
        self._ui = ui
        self._width = width
        self._rows: dict[str, Row] = {}

    def set(self, name: str, text: str, *, done: bool = False, failed: bool = False) -> None:
        """Replace the line of *name*."""
        now = self._ui.clock()
        self._rows[name] = _next(self._rows.get(name), text, now, done=done, failed=failed)

    @property
    def unfinished(self) -> list[str]:
        return _unfinished(self._rows)

    def render(self) -> Any:
        """Return what stands on the screen now."""
        from rich.table import Table
        from rich.text import Text

        rows = list(self._rows.items())
        # Names and clocks stay whole, whatever the width.
        room = max(20, self._width - max([len(name) for name, _ in rows], default=0) - 22)
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, min_width=min(room, 36))
        grid.add_column(no_wrap=True, justify="right")
        for name, row in rows:
            passed = row.took if row.took is not None else self._ui.clock() - row.since
            style = STYLES[row.mark]
            took = duration(passed) if passed >= 1 else ""
            text = Text(row.text)
            text.truncate(room, overflow="ellipsis")
            mark = Text.assemble(" ", (row.mark, style), f" {name}")
            grid.add_row(mark, text, Text(took, "dim"))
        return grid


STYLES: Final = {"✓": "green", "✗": "bold red", "·": "cyan"}
SILENCE: Final = 5.0
REMINDER: Final = 30.0


def _next(before: Row | None, text: str, now: float, *, done: bool, failed: bool) -> Row:
    mark = "✗" if failed else "✓" if done else "·"
    if before is not None and before.over and mark == before.mark:
        return replace(before, text=text)  # said again; it did not take longer for that
    since = now if before is None else before.since
    return Row(text=text, since=since, mark=mark, took=now - since if done or failed else None)


def _unfinished(rows: Mapping[str, Row]) -> list[str]:
    return [name for name, row in list(rows.items()) if not row.over]


def render(data: Any, form: str, table: Callable[[], str] | None) -> str:
    """Spell *data* as JSON or YAML, or as the table for people."""
    if form == "json" or (form == "table" and table is None):
        return json.dumps(data, indent=2, ensure_ascii=False)
    if form == "yaml":
        import yaml

        text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
        return text.rstrip("\n")
    assert table is not None
    return table()


def table(rows: Iterable[Sequence[str]], *, indent: str = "  ") -> str:
    """Align *rows* in columns."""
    lines = [tuple(row) for row in rows]
    if not lines:
        return ""
    widths = [max(len(row[i]) for row in lines if i < len(row)) for i in range(len(lines[0]))]
    return "\n".join(
        (
            indent + "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        ).rstrip()
        for row in lines
    )


def duration(seconds: float) -> str:
    """Spell a time as people do: 41 s, 1 min 12 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def size(count: float) -> str:
    """Spell a number of bytes: 38 MB, 1.2 GiB are easier to read than digits."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def plural(count: int, noun: str) -> str:
    """Spell a number of things: 1 worker, 2 workers."""
    if count == 1:
        return f"{count} {noun}"
    ending = "ies" if noun.endswith(("ry", "ty", "cy")) else f"{noun[-1]}s"
    return f"{count} {noun[:-1]}{ending}"


def as_data(value: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a mapping without the keys that hold nothing."""
    return {key: item for key, item in value.items() if item is not None}
