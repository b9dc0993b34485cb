"""All that the store has of programs, as files of JSON lines, by program and day."""

import itertools
import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

from clusterous_cli.program.central import export

DAY = date(2026, 11, 30)


def record(when: str, text: str) -> bytes:
    return json.dumps({"_time": when, "_msg": text, "app": "sim"}).encode() + b"\n"


class Store:
    """Has records of one program, and gives those of a question in an order of its own."""

    def __init__(self, *records: bytes) -> None:
        self.records = records
        self.asked: list[str] = []

    def __call__(self, question: str, path: str) -> Iterator[bytes]:
        self.asked.append(question)
        if path == export.VALUES:
            yield json.dumps({"values": [{"value": "sim"}, {"value": ""}, {"value": "a"}]}).encode()
            return
        found = re.fullmatch(r'_time:\[(\S+), (\S+)\) app:="sim"', question)
        assert found is not None
        for one in reversed(self.records):
            if found[1] <= json.loads(one)["_time"] < found[2]:
                yield one


def test_a_day_is_one_file_by_time_with_every_record_once(tmp_path: Path) -> None:
    records = [
        record("2026-11-30T00:00:00Z", "first"),
        record("2026-11-30T09:59:59.999999999Z", "before"),
        record("2026-11-30T10:00:00Z", "after"),
        record("2026-11-30T10:00:00Z", "after"),
        record("2026-11-30T23:59:59.9Z", "last"),
        record("2026-12-01T00:00:00Z", "tomorrow"),
    ]

    made = export.taken(Store(*records), "sim", DAY, tmp_path)

    assert made is not None
    assert (made.records, made.key) == (5, "logs/sim/2026-11-30.jsonl")
    assert made.path == tmp_path / made.key
    said = [json.loads(line)["_msg"] for line in made.path.read_text().splitlines()]
    assert said == ["first", "before", "after", "after", "last"]


def test_a_day_without_a_word_makes_no_file(tmp_path: Path) -> None:
    assert export.taken(Store(), "sim", DAY, tmp_path) is None
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_parts_of_a_day_leave_nothing_out() -> None:
    parts = list(export.windows(DAY))

    assert parts[0][0] == datetime(2026, 11, 30, tzinfo=UTC)
    assert parts[-1][1] == datetime(2026, 12, 1, tzinfo=UTC)
    assert all(one[1] == other[0] for one, other in itertools.pairwise(parts))


def test_days_are_those_of_utc() -> None:
    tokyo = datetime(2026, 12, 1, 8, 30, tzinfo=timezone(timedelta(hours=9)))

    assert export.days(tokyo, 2) == [date(2026, 11, 29), DAY]


def test_who_said_something_is_asked_of_the_store() -> None:
    assert export.apps(Store(), 7) == ["a", "sim"]
