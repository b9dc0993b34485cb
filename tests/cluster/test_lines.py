"""The light stack of central logging, for real: lines in, records out.

VictoriaLogs and OpenTelemetry's collectors run as the chart has them. Whose a record is they do not
ask here: test_attribution.py does.
"""

import signal
import socket
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from clusterous_api.errors import TransientError
from clusterous_cli.program.central.following import Following
from clusterous_cli.program.central.search import Asked
from tests.cluster import lightstack
from tests.cluster.lightstack import Stack, as_json, said
from tests.region.parts import parts

pytestmark = pytest.mark.cluster

LINES = Path(__file__).parents[1] / "contract" / "lines"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    programs = parts.paths(["logs"], print)["logs"]
    made = Stack(home=tmp_path_factory.mktemp("lines"), programs=programs)
    with lightstack.started(made):
        yield made


def recorded(name: str) -> str:
    return (LINES / f"{name}.txt").read_text().rstrip("\n")


@pytest.mark.parametrize("name", ["python-plain", "python-chain", "python-group", "go"])
def test_a_trace_is_one_record_of_its_lines(stack: Stack, name: str) -> None:
    trace = recorded(name)

    stack.write(name, *said("stderr", "before", *trace.split("\n"), "after"))

    records = stack.await_records(f'pod:="{name}"', 3)
    assert sorted(one.text for one in records) == sorted(["before", trace, "after"])
    assert {one.level for one in records if one.text == trace} == {"error"}


def test_what_kubernetes_says_of_a_line_is_its_level(stack: Stack) -> None:
    lines = [
        'E1130 10:00:00.123456     512 kubelet.go:2626] "Housekeeping took too long"',
        'W1130 10:00:00.123456     512 warnings.go:70] "ERROR is but a word here"',
        'I1130 10:00:00.123456       1 server.go:677] "Version info"',
        "EOF1130 10:00:00.123456 is no head",
    ]

    stack.write("klog", *said("stderr", *lines))

    records = stack.await_records('pod:="klog"', 4)
    assert [one.level for one in records] == ["error", "warn", "info", ""]


def test_of_java_a_trace_begins_where_the_exception_is_named(stack: Stack) -> None:
    logged, _, trace = recorded("java").partition("\n")

    stack.write("java", *said("stderr", logged, *trace.split("\n"), "after"))

    records = stack.await_records('pod:="java"', 3)
    assert [one.text for one in records] == [logged, trace, "after"]
    assert [one.level for one in records[:2]] == ["error", "error"]


def test_what_is_no_trace_stays_single(stack: Stack) -> None:
    lines = ["a table", "  indented", "    more", "ValueError: said, not raised", "main.main()"]

    stack.write("single", *said("stdout", *lines))

    records = stack.await_records('pod:="single"', len(lines))
    assert sorted(one.text for one in records) == sorted(lines)


def test_a_line_that_was_cut_is_whole(stack: Stack) -> None:
    stack.write("cut", ("stdout", "P", "x" * 16384), ("stdout", "P", "y" * 16384))
    stack.write("cut", ("stdout", "F", "z"))

    (record,) = stack.await_records('pod:="cut"', 1)

    assert record.text == "x" * 16384 + "y" * 16384 + "z"


def test_streams_are_not_glued_to_each_other(stack: Stack) -> None:
    trace = recorded("python-plain").split("\n")

    for number, line in enumerate(trace):
        half, rest = ("stdout", "P", "half "), ("stdout", "F", f"{number}")
        stack.write("mixed", half, ("stderr", "F", line), rest)

    records = stack.await_records('pod:="mixed"', 1 + len(trace))
    assert sorted(one.text for one in records) == sorted(
        ["\n".join(trace), *(f"half {number}" for number in range(len(trace)))]
    )


def test_json_is_taken_apart_and_told_by_its_message(stack: Stack) -> None:
    stack.write("json", *said("stdout", as_json(message="ready", level="Info", user={"id": 7})))

    (record,) = stack.await_records('pod:="json" fields.user.id:="7"', 1)

    assert (record.text, record.level) == ("ready", "info")


def test_equal_lines_stay_as_many_as_they_were(stack: Stack) -> None:
    stack.write("burst", *said("stdout", *["same"] * 1000))

    records = stack.await_records('pod:="burst" | limit 5000', 1000)

    assert [one.text for one in records] == ["same"] * 1000


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["udp", "tcp"])
def test_each_dialect_of_syslog_is_one_record_of_the_time_of_its_receipt(
    stack: Stack, kind: int
) -> None:
    mark = f"m{int(kind)}"
    lines = {
        f"<11>1 2001-01-01T10:00:00+09:00 host sim 17 - - five {mark}": ("five", "error"),
        f"<14>Jan  1 10:00:00 host sim[17]: three {mark}": ("three", "info"),
        f"no priority at all {mark}": ("no priority at all", ""),
    }
    before = datetime.now(UTC)

    for line in lines:
        stack.send(line, kind)
        stack.send(line, kind)  # equal ones stay two

    records = stack.await_records(f"app:=unknown {mark}", 2 * len(lines))
    assert Counter((one.text.removesuffix(f" {mark}"), one.level) for one in records) == Counter(
        [*lines.values(), *lines.values()]
    )
    assert all(datetime.fromisoformat(one.time) >= before for one in records)


def test_who_follows_hears_what_the_store_got_while_it_was_away(stack: Stack) -> None:
    heard: list[str] = []
    asked = Asked(app="unknown", grep="follow", since="1h")
    follows = Following(ask=stack.asked, asked=asked, say=lambda one: heard.append(one.text))
    stack.send("<14>1 - - sim - - - follow same", socket.SOCK_STREAM)
    stack.awaited(lambda: looked(follows, heard), lambda all: len(all) == 1, "the first")

    stack.end("store")
    for number in range(200):
        stack.send("<14>1 - - sim - - - follow same", socket.SOCK_STREAM)
        stack.send(f"<14>1 - - sim - - - follow {number}", socket.SOCK_STREAM)
    with pytest.raises(TransientError):
        follows.look()
    stack.start_store()

    stack.awaited(lambda: looked(follows, heard), lambda all: len(all) >= 401, "all")
    assert Counter(heard) == Counter(
        ["follow same"] * 201 + [f"follow {number}" for number in range(200)]
    )
    assert looked(follows, heard) == heard


def looked(follows: Following, heard: list[str]) -> list[str]:
    """Look once more, and return all that was heard until now."""
    follows.look()
    return list(heard)


def test_a_store_that_is_away_and_a_collector_that_is_killed_lose_and_double_nothing_more(
    stack: Stack,
) -> None:
    stack.write("outage", *said("stdout", *(f"line {number}" for number in range(500))))
    stack.await_records('pod:="outage" | limit 5000', 500)

    stack.end("store")
    stack.write("outage", *said("stdout", *(f"line {number}" for number in range(500, 1500))))
    stack.end("collector", signal.SIGKILL)
    stack.write("outage", *said("stdout", *(f"line {number}" for number in range(1500, 2500))))
    stack.start_collector("collector")
    stack.start_store()

    # One line a kill may be lost: what was read, and not yet known to be whole.
    stack.await_records('pod:="outage" "line 2499"', 1)
    records = stack.await_records('pod:="outage" | limit 5000', 2499)
    counts = Counter(one.text for one in records)
    assert len(counts) >= 2499
    assert sum(counts.values()) - len(counts) <= 25, "one in a hundred"
