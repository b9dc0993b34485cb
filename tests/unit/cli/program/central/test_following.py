"""Records as they come: each as often as the store has it, however late and however equal."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from clusterous_api.errors import TransientError
from clusterous_cli.program.central import following
from clusterous_cli.program.central.following import Following
from clusterous_cli.program.central.search import Asked, Record

NOW = datetime(2026, 11, 30, 10, 0, 7, tzinfo=UTC)
COUNTS = re.compile(r'_time:>=(\S+) app:="sim" \| stats by \(_time:5s\) count\(\) records')
RANGE = re.compile(r'_time:\[(\S+), (\S+)\) app:="sim" \| sort by \(_time\)')
LAST = re.compile(r'_time:1d app:="sim" \| last (\d+) by \(_time\) \| sort by \(_time\)')


@dataclass
class Store:
    """Answers what is asked of it by what it has: times, and what was said then."""

    has: list[tuple[datetime, str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    cut: int | None = None  # after so many lines of an answer

    def gets(self, *texts: str, seconds: float = 0) -> None:
        self.has += [(NOW + timedelta(seconds=seconds), text) for text in texts]

    def __call__(self, question: str) -> Iterator[str]:
        self.asked.append(question)
        for number, line in enumerate(self._answer(question)):
            yield line if number != self.cut else line[:9]

    def _answer(self, question: str) -> Iterable[str]:
        there = sorted(self.has, key=lambda one: one[0])
        if found := LAST.fullmatch(question):
            return [shown(*one) for one in there[-int(found[1]) :]]
        if found := COUNTS.fullmatch(question):
            start = datetime.fromisoformat(found[1])
            whiles = [following.beginning(when.isoformat()) for when, _ in there if when >= start]
            return [
                json.dumps({"_time": one.isoformat(), "records": str(whiles.count(one))})
                for one in set(whiles)
            ]
        found = RANGE.fullmatch(question)
        assert found, question
        start, end = (datetime.fromisoformat(one) for one in found.groups())
        return [shown(*one) for one in there if start <= one[0] < end]


def shown(when: datetime, text: str) -> str:
    time = when.isoformat().replace("+00:00", "Z")
    return json.dumps({"_time": time, "_msg": text, "pod": "sim-workers-x"})


@dataclass
class Heard:
    """What was said to whoever follows."""

    store: Store
    asked: Asked = field(default_factory=lambda: Asked(app="sim"))
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.follows = Following(ask=self.store, asked=self.asked, say=self.say)

    def say(self, record: Record) -> None:
        self.said.append(record.text)

    def look(self) -> list[str]:
        """Look once, and return what that brought."""
        self.said.clear()
        self.follows.look()
        return list(self.said)


@pytest.fixture
def store() -> Store:
    return Store()


def test_what_is_there_comes_first_and_then_what_comes(store: Store) -> None:
    heard = Heard(store)
    assert heard.look() == []
    store.gets("a")
    assert heard.look() == ["a"]
    assert heard.look() == []

    store.gets("b", seconds=1)
    store.gets("c", seconds=30)

    assert heard.look() == ["b", "c"]
    assert heard.look() == []


def test_equal_lines_of_one_moment_are_as_many_as_they_were(store: Store) -> None:
    store.gets(*["same"] * 25)
    heard = Heard(store)
    assert heard.look() == ["same"] * 25

    store.gets(*["same"] * 25)

    assert heard.look() == ["same"] * 25
    assert heard.look() == []


def test_what_a_machine_could_not_deliver_for_minutes_comes_too(store: Store) -> None:
    store.gets("first", seconds=-1000)
    store.gets("newest")
    heard = Heard(store)
    heard.look()

    store.gets("minutes late", seconds=-600)
    store.gets("older than the first", seconds=-1001)
    store.gets("too late", seconds=-950)

    assert heard.look() == ["minutes late"]


def test_what_was_left_out_at_first_does_not_come_afterwards(store: Store) -> None:
    for number in range(5):
        store.gets(str(number), seconds=number / 10)
    heard = Heard(store, Asked(app="sim", last=2))
    assert heard.look() == ["3", "4"]

    store.gets("5", seconds=1)

    assert heard.look() == ["5"]


@pytest.mark.parametrize("first", [True, False], ids=["at first", "later"])
def test_an_answer_that_is_cut_off_loses_and_doubles_nothing(store: Store, first: bool) -> None:
    heard = Heard(store)
    if not first:
        store.gets("before", seconds=-60)
        heard.look()
    store.gets("a", "b")
    store.cut = 1
    if not first:
        store.cut = 0
    with pytest.raises(TransientError, match="cut off"):
        heard.look()
    assert heard.said == []

    store.cut = None

    assert heard.look() == ["a", "b"]


def test_what_is_heard_is_not_asked_for_again(store: Store) -> None:
    store.gets("a")
    heard = Heard(store)
    heard.look()

    heard.look()

    assert [bool(RANGE.fullmatch(one)) for one in store.asked] == [False, False]


def test_memory_ends(store: Store) -> None:
    heard = Heard(store)
    for number in range(0, 3600, 60):
        store.gets("a", seconds=number)
        heard.look()

    assert len(heard.follows.memory._heard) == 16  # a quarter of an hour, and what it begins with


def test_questions_are_spelled_with_each_value_quoted() -> None:
    asked = Asked(app="sim", component="workers", grep='a "b" | delete')

    which = 'app:="sim" component:="workers" _msg:~"a \\"b\\" | delete"'

    assert following.counting(asked, "S") == (
        f"_time:>=S {which} | stats by (_time:5s) count() records"
    )
    assert following.reading(asked, "S", "E") == f"_time:[S, E) {which} | sort by (_time)"
