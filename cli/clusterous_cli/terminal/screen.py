"""What people see (stderr) and what programs read (stdout)."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TextIO

from clusterous_api.errors import UserError
from clusterous_cli.terminal import spell
from clusterous_cli.terminal.lines import Lines, LiveLines, TimedLines
from clusterous_cli.terminal.options import Settings

# What takes longer is not left without a word.
SLOW_SECONDS: Final = 2.0
PROGRESS_SECONDS: Final = 10.0


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
    def can_ask(self) -> bool:
        """Whether somebody is there to answer."""
        return self.inp.isatty() and self.err.isatty()

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
        message = spell.plain(message)
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
        text = render(data, self.settings.output, table)
        print(spell.plain(text), file=self.out, flush=True)

    def line(self, text: str, *, mark: str = "", color: str = "") -> None:
        """Put one line on stdout, of a stream that has no end; its *mark* in *color* on a
        terminal (an ANSI number, such as 36)."""
        shown = spell.plain(mark)
        if color and self.settings.color and self.out.isatty():
            shown = f"\x1b[{color}m{shown}\x1b[0m"
        print(f"{shown}{spell.plain(text)}", file=self.out, flush=True)

    def confirm(self, question: str, *, word: str | None = None, flag: str = "--yes") -> bool:
        """Ask on the terminal; with *word*, that very word is the only yes.

        What has a *flag* of its own is not answered by --yes.
        """
        if self.settings.yes and flag == "--yes":
            return True
        if not self.can_ask:
            raise UserError(f"{question}\nThere is no terminal to answer on; say {flag}.")
        print(spell.plain(question), end=" ", file=self.err, flush=True)
        answer = self.inp.readline().strip()
        return answer == word if word else answer.lower() in ("y", "yes")

    def ask(self, question: str, *, flag: str, usual: str = "", secret: bool = False) -> str:
        """Ask for a word; without a terminal it must be said by *flag*. A *secret* is not shown."""
        if not self.can_ask:
            raise UserError(f"{question}?\nThere is no terminal to answer on; say {flag}.")
        shown = f" [{usual}]" if usual else ""
        print(spell.plain(f"{question}{shown}:"), end=" ", file=self.err, flush=True)
        if secret:
            import getpass

            return getpass.getpass("").strip()
        return self.inp.readline().strip() or usual

    def now_and_then(self, tell: Callable[[str], None]) -> Callable[[str], None]:
        """Return *tell* as it is on a terminal; elsewhere it speaks at most every ten seconds."""
        if self.live:
            return tell
        last = [self.clock()]

        def seldom(text: str) -> None:
            if self.clock() - last[0] >= PROGRESS_SECONDS:
                last[0] = self.clock()
                tell(text)

        return seldom

    @contextmanager
    def lines(self) -> Iterator[Lines]:
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


@contextmanager
def slow(tell: Callable[[str], None], words: str) -> Iterator[None]:
    """Say *words* if what follows takes longer than one likes to wait without any."""
    timer = threading.Timer(SLOW_SECONDS, tell, [words])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


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
