"""All that the light store has of programs, as files of JSON lines, by program and day."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Final

from clusterous_cli.program.central import search
from clusterous_cli.terminal import spell

# So much is put into order at a time: a fast program says some 300,000 lines meanwhile.
WINDOW: Final = timedelta(minutes=10)
VALUES: Final = "/select/logsql/field_values"
# Asks the store a question, at a path: its lines.
Ask = Callable[[str, str], Iterator[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """What one program said on one day (of UTC): so many records, in a file."""

    app: str
    day: date
    records: int
    path: Path

    @property
    def key(self) -> str:
        """Return its name, below a folder or in a bucket."""
        return f"logs/{self.app}/{self.day.isoformat()}.jsonl"


def days(now: datetime, count: int) -> list[date]:
    """Return the last *count* days, today's the last."""
    today = now.astimezone(UTC).date()
    return [today - timedelta(days=number) for number in reversed(range(count))]


def windows(day: date) -> Iterator[tuple[datetime, datetime]]:
    """Part a day, so that no part is too much to be put into order."""
    start = datetime.combine(day, time(), UTC)
    end = start + timedelta(days=1)
    while start < end:
        yield start, start + WINDOW
        start += WINDOW


def question(app: str, start: datetime, end: datetime) -> str:
    """Ask for all that a program said from *start* on and before *end*."""
    return f"_time:[{spell.instant(start)}, {spell.instant(end)}) app:={search.quoted(app)}"


def apps(ask: Ask, count: int) -> list[str]:
    """Return the programs that said something in the last *count* days."""
    told = b"".join(ask(f"_time:{count + 1}d", VALUES))
    found = json.loads(told or b"{}").get("values", ())
    return sorted(str(one["value"]) for one in found if one.get("value"))


def taken(ask: Ask, app: str, day: date, folder: Path) -> File | None:
    """Write what a program said on a day into *folder*, by time; None: it said nothing."""
    made = File(app=app, day=day, records=0, path=folder)
    path = folder / made.key
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with path.open("wb") as file:
        for start, end in windows(day):
            lines = [line for line in ask(question(app, start, end), search.PATH) if line.strip()]
            lines.sort(key=lambda line: str(json.loads(line).get("_time", "")))
            file.writelines(line.rstrip(b"\n") + b"\n" for line in lines)
            count += len(lines)
    if count == 0:
        path.unlink()
        return None
    return File(app=app, day=day, records=count, path=path)
