"""Records of the light store: how they are asked for, and what comes. Pure, but for the asking."""

import base64
import http.client
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from clusterous_api.errors import FailedError, TransientError, UserError
from clusterous_cli.program.central.page import Door
from clusterous_cli.reach import tunnel
from clusterous_cli.terminal import spell

PATH: Final = "/select/logsql/query"
SECONDS: Final = 60
# How far back is looked, and how many records are shown, where nothing else is said.
USUAL: Final = "1d"
MOST: Final = 1000
_SPAN: Final = re.compile(r"([1-9][0-9]{0,5}[smhdw])+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Whose records, of how long ago at most, with which words; the *last* so many of them."""

    app: str
    component: str | None = None
    since: str = USUAL
    grep: str | None = None
    last: int = MOST


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record, which may have several lines; *time* in RFC 3339."""

    time: str
    pod: str
    text: str
    component: str = ""
    level: str = ""

    def titled(self, app: str) -> str:
        """Return it as `logs` shows lines: under its pod, without the app's own name."""
        title = self.pod.removeprefix(f"{app}-")
        return "\n".join(f"{title} | {line}" for line in self.text.split("\n"))


def span(text: str) -> str:
    """Return since when to look, how long ago or a time, as the store spells it; or refuse it."""
    if _SPAN.fullmatch(text):
        return text
    if (when := spell.moment(text)) is None:
        raise UserError(
            f"{text!r} is no time to look back; say such as 90m, 6h, 2d, 1h30m, or when"
            f" {spell.TIMES}"
        )
    return f">={when}"


def logsql(asked: Asked) -> str:
    """Return the question in the store's own language."""
    which = " ".join([f"_time:{span(asked.since)}", *filters(asked)])
    return f"{which} | last {asked.last} by (_time) | sort by (_time)"


def filters(asked: Asked) -> list[str]:
    """Return what says whose records, and which; each value is quoted."""
    found = [f"app:={quoted(asked.app)}"]
    if asked.component:
        found.append(f"component:={quoted(asked.component)}")
    if asked.grep:
        found.append(f"_msg:~{quoted(asked.grep)}")
    return found


def quoted(text: str) -> str:
    """Return *text* as the store's language has it; bytes of no UTF-8 in it are no text."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{text!r} is no text in UTF-8, as which records are kept.") from error
    return json.dumps(text, ensure_ascii=False)


def rows(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Read the lines of an answer."""
    for line in lines:
        if line.strip():
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise TransientError(
                    "An answer of the store of central logging was cut off. Try again."
                ) from error


def parsed(lines: Iterable[str]) -> Iterator[Record]:
    """Read the lines of an answer that are records."""
    for said in rows(lines):
        yield Record(
            time=str(said.get("_time", "")),
            pod=str(said.get("pod") or said.get("address") or "?"),
            text=str(said.get("_msg", "")),
            component=str(said.get("component", "")),
            level=str(said.get("level", "")),
        )


def as_data(record: Record) -> dict[str, str]:
    """For -o json; the same words as of a container's own log."""
    return {"time": record.time, "pod": record.pod, "line": record.text}


def ask(port: int, door: Door, asked: Asked) -> list[Record]:
    """Ask the store behind a local *port*."""
    return list(parsed(texts(port, door, logsql(asked))))


def texts(port: int, door: Door, question: str) -> Iterator[str]:
    """Return the lines of an answer as text."""
    return (line.decode(errors="replace") for line in lines(port, door, question))


def lines(port: int, door: Door, question: str, path: str = PATH) -> Iterator[bytes]:
    """Return the lines of an answer as they come, of whatever length it is."""
    return _answered(port, door, "POST", path, urlencode({"query": question, "field": "app"}))


def metrics(port: int, door: Door) -> str:
    """Return what the store says of itself."""
    return b"".join(_answered(port, door, "GET", "/metrics")).decode(errors="replace")


def _answered(port: int, door: Door, method: str, path: str, body: str = "") -> Iterator[bytes]:
    login = base64.b64encode(f"{door.user}:{door.password}".encode()).decode()
    headers = {
        "Authorization": f"Basic {login}",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    connection = http.client.HTTPConnection(tunnel.LOOPBACK, port, timeout=SECONDS)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        if answer.status >= 400:
            words = answer.read(300).decode(errors="replace").strip()
            raise FailedError(f"The store of central logging refused the question: {words}")
        yield from answer
    except (OSError, http.client.HTTPException) as error:
        raise TransientError(
            f"The store of central logging does not answer ({error}). `clusterous logging status`"
            " says how it is."
        ) from error
    finally:
        connection.close()
