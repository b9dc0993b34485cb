"""Records of the light store as they come, each as often as it is there.

The store's own tail leaves out what is as old as the last record shown, or later than 5 s
(https://github.com/VictoriaMetrics/VictoriaLogs/issues/1459). So it is asked how many records it
has of each short while, and what it has more of than was heard is read again: what a machine could
not deliver for minutes comes, too.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from clusterous_cli.program.central import search
from clusterous_cli.program.central.search import Asked, Record
from clusterous_cli.terminal import spell

WHILE: Final = timedelta(seconds=5)
# What is older than the newest record by more comes no more: memory for it has to end somewhere.
LATEST: Final = timedelta(minutes=15)
PAUSE_SECONDS: Final = 1.0
_COUNT: Final = "records"
_EPOCH: Final = datetime.fromtimestamp(0, UTC)
# Asks the store a question: its lines.
Ask = Callable[[str], Iterable[str]]


# -- pure -----------------------------------------------------------------------------------


def counting(asked: Asked, start: str) -> str:
    """Ask how many records there are of each while since *start*."""
    seconds = int(WHILE.total_seconds())
    which = " ".join([f"_time:>={start}", *search.filters(asked)])
    return f"{which} | stats by (_time:{seconds}s) count() {_COUNT}"


def reading(asked: Asked, start: str, end: str) -> str:
    """Ask for the records from *start* on and before *end*."""
    which = " ".join([f"_time:[{start}, {end})", *search.filters(asked)])
    return f"{which} | sort by (_time)"


def counted(lines: Iterable[str]) -> dict[datetime, int]:
    """Read how many there are of each while, by its beginning; the oldest first."""
    read = {datetime.fromisoformat(one["_time"]): int(one[_COUNT]) for one in search.rows(lines)}
    return dict(sorted(read.items()))


def beginning(time: str) -> datetime:
    """Return the beginning of the while that a record's time is in."""
    when = datetime.fromisoformat(time).astimezone(UTC)
    return when - (when - _EPOCH) % WHILE


@dataclass(slots=True)
class Memory:
    """What was heard of late, as often as it was; *first* is when the first of it was said."""

    first: str = ""
    _heard: dict[datetime, Counter[int]] = field(default_factory=dict)

    def start(self) -> str:
        """Return since when to ask."""
        return _later(self.first, max(self._heard) - LATEST)

    def lacks(self, there: Mapping[datetime, int]) -> list[datetime]:
        """Return the whiles of which the store has more than was heard."""
        none: Counter[int] = Counter()
        return [one for one, count in there.items() if count > self._heard.get(one, none).total()]

    def new(self, records: Iterable[Record]) -> list[Record]:
        """Return those that were not heard, of all that there is of some whiles; now they are."""
        before: dict[datetime, Counter[int]] = {}
        found = [one for one in records if self._is_new(before, one)]
        kept = max(self._heard, default=_EPOCH) - LATEST
        self._heard = {when: heard for when, heard in self._heard.items() if when >= kept}
        return found

    def _is_new(self, before: dict[datetime, Counter[int]], record: Record) -> bool:
        when, mark = beginning(record.time), hash(record)
        self.first = self.first or record.time
        heard = self._heard.setdefault(when, Counter())
        again = before.setdefault(when, Counter(heard))
        if again[mark]:
            again[mark] -= 1
            return False
        heard[mark] += 1
        return True


def _later(time: str, when: datetime) -> str:
    """Return the later of both; a record's time is finer than ours."""
    return time if datetime.fromisoformat(time) >= when else spell.instant(when)


# -- acting ---------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Following:
    """The records of a program: what there is of it, and then what comes."""

    ask: Ask
    asked: Asked
    say: Callable[[Record], None]
    memory: Memory = field(default_factory=Memory)

    def look(self) -> None:
        """Say what is there that was not heard yet: in order, but for what comes late."""
        if not self.memory.first:
            self._hear(search.logsql(self.asked))
            return
        start = self.memory.start()
        for when in self.memory.lacks(counted(self.ask(counting(self.asked, start)))):
            end = spell.instant(when + WHILE)
            self._hear(reading(self.asked, _later(start, when), end))

    def _hear(self, question: str) -> None:
        """What an answer brings counts when it has come whole: else it is asked for again."""
        for record in self.memory.new(list(search.parsed(self.ask(question)))):
            self.say(record)
