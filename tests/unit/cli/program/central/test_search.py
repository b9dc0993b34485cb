"""How records are asked for, and what comes."""

import base64
import http.server
import json
import threading
from collections.abc import Iterator
from typing import ClassVar
from urllib.parse import parse_qs

import pytest

from clusterous_api.errors import FailedError, TransientError, UserError
from clusterous_cli.program.central import search
from clusterous_cli.program.central.page import Door
from clusterous_cli.program.central.search import Asked, Record

DOOR = Door(address="10.43.7.7", port=9428, user="clusterous", password="p")
LINE = {"_time": "2026-11-30T10:00:00Z", "_msg": "a\nb", "pod": "sim-workers-x", "app": "sim"}


@pytest.mark.parametrize(
    ("asked", "question"),
    [
        pytest.param(Asked(app="sim"), '_time:1d app:="sim" | last 1000 by (_time)', id="app"),
        pytest.param(
            Asked(app="sim", component="workers", since="90m", last=5),
            '_time:90m app:="sim" component:="workers" | last 5 by (_time)',
            id="all",
        ),
        pytest.param(
            Asked(app="sim", grep='a "b" \\d | delete'),
            '_time:1d app:="sim" _msg:~"a \\"b\\" \\\\d | delete" | last 1000 by (_time)',
            id="quoted",
        ),
        pytest.param(
            Asked(app="sim", grep='ä\n*` | "\U0001f980'),
            '_time:1d app:="sim" _msg:~"ä\\n*` | \\"\U0001f980" | last 1000 by (_time)',
            id="odd",
        ),
        pytest.param(
            Asked(app='x" or *', since="2026-11-30T09:00Z"),
            '_time:>=2026-11-30T09:00:00Z app:="x\\" or *" | last 1000 by (_time)',
            id="a time, and a name that is none",
        ),
        pytest.param(
            Asked(app="sim", since="1h30m"),
            '_time:1h30m app:="sim" | last 1000 by (_time)',
            id="hours and minutes",
        ),
    ],
)
def test_a_question_is_spelled_with_each_value_quoted(asked: Asked, question: str) -> None:
    assert search.logsql(asked) == f"{question} | sort by (_time)"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "h",
        "0h",
        "1h0m",
        "1h | delete",
        "1 h",
        "-1h",
        "9999-99-99",
        "0001-01-01T00:00+05:00",
    ],
)
def test_no_time_to_look_back_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="no time to look back"):
        search.span(text)


def test_what_is_no_text_is_refused_and_never_sent() -> None:
    with pytest.raises(UserError, match="no text in UTF-8"):
        search.logsql(Asked(app="sim", grep=b"\xff".decode(errors="surrogateescape")))


def test_a_record_of_several_lines_is_shown_under_its_pod() -> None:
    (record,) = search.parsed([json.dumps(LINE), ""])

    assert record == Record(time="2026-11-30T10:00:00Z", pod="sim-workers-x", text="a\nb")
    assert record.titled("sim") == "workers-x | a\nworkers-x | b"
    assert search.as_data(record)["line"] == "a\nb"


def test_who_sent_by_syslog_and_is_no_pod_is_told_by_its_address() -> None:
    (record,) = search.parsed([json.dumps({"_msg": "x", "address": "10.42.0.1"})])

    assert record.pod == "10.42.0.1"


class Store(http.server.BaseHTTPRequestHandler):
    """Answers as VictoriaLogs does; a refusal has its words as text."""

    asked: ClassVar[list[tuple[str, str]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.asked.append((self.headers["Authorization"], parse_qs(body)["query"][0]))
        wrong = "refuse" in body
        answer = b"cannot parse query" if wrong else json.dumps(LINE).encode() + b"\n"
        self.send_response(400 if wrong else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_GET(self) -> None:
        self.asked.append((self.headers["Authorization"], self.path))
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"x 1")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_the_store_is_asked_with_its_password(port: int) -> None:
    (record,) = search.ask(port, DOOR, Asked(app="sim"))

    assert record.text == "a\nb"
    login, question = Store.asked[-1]
    assert base64.b64decode(login.removeprefix("Basic ")) == b"clusterous:p"
    assert question.startswith('_time:1d app:="sim"')


def test_the_store_says_of_itself_how_it_is(port: int) -> None:
    assert search.metrics(port, DOOR) == "x 1"
    assert Store.asked[-1][1] == "/metrics"


def test_a_refusal_is_told_with_the_stores_words(port: int) -> None:
    with pytest.raises(FailedError, match="cannot parse query"):
        search.ask(port, DOOR, Asked(app="sim", grep="refuse"))


def test_a_store_that_does_not_answer_may_do_so_later() -> None:
    with pytest.raises(TransientError, match="does not answer"):
        search.ask(1, DOOR, Asked(app="sim"))
