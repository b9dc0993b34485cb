"""What people see (stderr) and what programs read (stdout)."""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

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
            print(message, file=self.err, flush=True)

    def warn(self, message: str) -> None:
        """Say something on stderr, even when --quiet."""
        print(message, file=self.err, flush=True)

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

        console = Console(file=self.err, no_color=not self.settings.color, highlight=False)
        with Live(console=console, auto_refresh=True, refresh_per_second=4) as live:
            shown = LiveLines(self, live)
            live._get_renderable = shown.render  # clocks go on between changes
            yield shown


class Lines:
    """Named lines of progress; each says what its part is doing now."""

    moving = False

    def set(self, name: str, text: str, *, done: bool = False) -> None:
        """Say what *name* is doing; *done* stops its clock."""
        raise NotImplementedError


class TimedLines(Lines):
    """Plain lines with the seconds since the start, for logs and pipes."""

    def __init__(self, ui: Ui) -> None:
        self._ui = ui
        self._said: dict[str, str] = {}

    def set(self, name: str, text: str, *, done: bool = False) -> None:
        """Print the line if it says something new."""
        line = f"{name}: {'✓ ' if done else ''}{text}"
        if self._said.get(name) != line:
            self._said[name] = line
            self._ui.tell(f"[{self._ui.clock() - self._ui.began:6.1f} s] {line}")


class LiveLines(Lines):
    """Lines that change in place."""

    moving = True

    def __init__(self, ui: Ui, live: Any) -> None:
        self._ui = ui
        self._live = live
        self._rows: dict[str, tuple[str, bool, float]] = {}

    def set(self, name: str, text: str, *, done: bool = False) -> None:
        """Replace the line of *name*."""
        since = self._rows.get(name, ("", False, self._ui.clock()))[2]
        if done:
            text = f"{text}  {duration(self._ui.clock() - since)}"
        self._rows[name] = (text, done, since)

    def render(self) -> Any:
        """Return what stands on the screen now."""
        from rich.text import Text

        rows = [self._row(name, *row) for name, row in list(self._rows.items())]
        return Text("\n".join(rows), no_wrap=True, overflow="ellipsis")

    def _row(self, name: str, text: str, done: bool, since: float) -> str:
        passed = "" if done else f"  {duration(self._ui.clock() - since)}"
        return f" {'✓' if done else '·'} {name:<12} {text}{passed}"


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
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def as_data(value: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a mapping without the keys that hold nothing."""
    return {key: item for key, item in value.items() if item is not None}
