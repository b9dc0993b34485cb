"""Lines of progress: changing in place on a terminal, timed elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from clusterous_cli.terminal import spell


class Told(Protocol):
    """Who says the lines: what the screen is to them."""

    began: float

    def clock(self) -> float:
        """Return the time, in seconds."""

    def tell(self, message: str) -> None:
        """Say something, unless nothing may be said."""


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

    def __init__(self, ui: Told) -> None:
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
            took = f" after {spell.duration(row.took)}" if row.took and row.took >= 1 else ""
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

    def __init__(self, ui: Told, width: int = 80) -> None:
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
            took = spell.duration(passed) if passed >= 1 else ""
            text = Text(row.text)
            text.truncate(room, overflow="ellipsis")
            mark = Text.assemble(" ", (row.mark, style), f" {name}")
            grid.add_row(mark, text, Text(took, "dim"))
        return grid


STYLES: Final = {"✓": "green", "✗": "bold red", "·": "cyan"}


SILENCE: Final = 5.0


REMINDER: Final = 30.0


def _next(before: Row | None, text: str, now: float, *, done: bool, failed: bool) -> Row:
    text = spell.plain(text)
    mark = "✗" if failed else "✓" if done else "·"
    if before is not None and before.over and mark == before.mark:
        return replace(before, text=text)  # said again; it did not take longer for that
    since = now if before is None else before.since
    return Row(text=text, since=since, mark=mark, took=now - since if done or failed else None)


def _unfinished(rows: Mapping[str, Row]) -> list[str]:
    return [name for name, row in list(rows.items()) if not row.over]
