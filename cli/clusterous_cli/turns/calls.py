"""What a call to AWS that changes something is remembered by. Pure.

A call has two lines: one before AWS is asked, one when it answered. Who was killed in between left
the first alone, and that is known then, too. What is secret, or long, is in neither: no object's
content, no machine's first words, no policy.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

FORMAT: Final = 1
# What a parameter is called that tells what a call is about.
ABOUT: Final = re.compile(
    r"(?:Id|Ids|Name|Names|Key|Bucket|Resources|Type|Size|Zone|Cidr(?:Block|Ip)?|Count|Groups?)$"
)
SECRET: Final = frozenset({"Body", "UserData", "KeyMaterial", "PolicyDocument"})
# Which of AWS's answers' values is the id of something that it made.
MADE: Final = re.compile(r"[a-z]+-(?:[0-9a-z]+-)?[0-9a-f]{8,}")
TOKENS: Final = re.compile(r"Token|RequestId|OwnerId|HostId")
LONGEST: Final = 200
MOST: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call: *began* and *ended* as ISO 8601 in UTC; *ended* is "" where no answer is known.

    *about* are the ids and names that it was told, *made* those that AWS answered with; *error* is
    AWS's code. *request* is AWS's own number of the call.
    """

    number: int
    by: str
    doing: str
    call: str
    began: str
    about: tuple[str, ...] = ()
    ended: str = ""
    error: str = ""
    request: str = ""
    made: tuple[str, ...] = ()

    @property
    def data(self) -> Mapping[str, Any]:
        """Return it for programs."""
        return {
            "time": self.began, "ended": self.ended or None, "by": self.by, "doing": self.doing,
            "call": self.call, "about": list(self.about), "made": list(self.made),
            "error": self.error or None, "request": self.request or None,
        }  # fmt: skip


def heading(by: str, doing: str) -> str:
    """Return the first line: who works, and at what."""
    return json.dumps({"format": FORMAT, "by": by, "doing": doing}) + "\n"


def asked(number: int, call: str, time: str, parameters: Mapping[str, Any]) -> str:
    """Return the line before a call."""
    about = list(dict.fromkeys(_about(parameters)))[:MOST]
    return json.dumps({"n": number, "call": call, "began": time, "about": about}) + "\n"


def answered(number: int, time: str, answer: Any, error: str) -> str:
    """Return the line when AWS answered, or when the answer was lost."""
    content = answer if isinstance(answer, Mapping) else {}
    request = str(content.get("ResponseMetadata", {}).get("RequestId", ""))
    made = list(dict.fromkeys(_made(content)))[:MOST]
    line = {"n": number, "ended": time, "error": error, "request": request, "made": made}
    return json.dumps({key: value for key, value in line.items() if value}) + "\n"


def read(text: str) -> tuple[Call, ...]:
    """Return the calls of one turn; a line that was cut short is left out."""
    lines = [line for raw in text.splitlines() if (line := _line(raw)) is not None]
    head = next((line for line in lines if "format" in line), {})
    begun = {line["n"]: line for line in lines if "call" in line and "n" in line}
    ended = {line["n"]: line for line in lines if "ended" in line and "n" in line}
    return tuple(
        Call(
            number=number, by=str(head.get("by", "")), doing=str(head.get("doing", "")),
            call=str(line["call"]), began=str(line.get("began", "")),
            about=_texts(line.get("about")), ended=str(ended.get(number, {}).get("ended", "")),
            error=str(ended.get(number, {}).get("error", "")),
            request=str(ended.get(number, {}).get("request", "")),
            made=_texts(ended.get(number, {}).get("made")),
        )
        for number, line in begun.items()
    )  # fmt: skip


def _line(raw: str) -> dict[str, Any] | None:
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) and isinstance(line.get("n", 0), int) else None


def _texts(found: Any) -> tuple[str, ...]:
    return tuple(str(one) for one in found) if isinstance(found, list) else ()


def _about(found: Any, key: str = "") -> Iterator[str]:
    if key in SECRET or key.endswith("Token"):
        return
    if isinstance(found, Mapping):
        for name, inner in found.items():
            if name != "Tags" and name != "TagSpecifications":
                yield from _about(inner, str(name))
    elif isinstance(found, list | tuple):
        for inner in found:
            yield from _about(inner, key)
    elif isinstance(found, str | int) and not isinstance(found, bool) and ABOUT.search(key):
        yield str(found)[:LONGEST]


def _made(found: Any, key: str = "") -> Iterator[str]:
    if TOKENS.search(key) or key in SECRET or key == "ResponseMetadata":
        return
    if isinstance(found, Mapping):
        for name, inner in found.items():
            yield from _made(inner, str(name))
    elif isinstance(found, list | tuple):
        for inner in found:
            yield from _made(inner, key)
    elif isinstance(found, str) and key.endswith("Id") and MADE.fullmatch(found):
        yield found
