"""One request as the listener read it, and what its host, path and body mean."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import parse_qsl, unquote

from tests.region.aws.hosts import Target
from tests.region.aws.keys import Identity

if TYPE_CHECKING:
    from tests.region.aws.signatures import Verified


@dataclass(slots=True, kw_only=True)
class Request:
    """*raw_path* and *raw_query* are as sent: signatures are made over them.

    Filled step by step: the listener knows the wire, the gate adds action and caller.
    """

    method: str
    raw_path: str
    raw_query: str
    headers: Mapping[str, str]
    body: bytes
    stream: io.RawIOBase
    length: int
    target: Target
    request_id: str
    peer: str = ""
    region: str = ""
    action: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    identity: Identity | None = None
    resource: str | None = None
    verified: Verified | None = None
    replayed: bool = False

    @property
    def path(self) -> str:
        return unquote(self.raw_path)

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.raw_query, keep_blank_values=True))

    @property
    def agent(self) -> str:
        return self.headers.get("user-agent", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """*body* is bytes, or the part of a file that is too big to hold.

    *ending* is how a fault breaks it: `reset` (nothing arrives) or `truncate` (half does).
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | FilePart = b""
    error: str | None = None
    ending: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePart:
    """*file* is open and at the right place, so that it can be read even if it is deleted."""

    file: BinaryIO
    length: int


def form(request: Request) -> dict[str, str]:
    """Return the parameters of a query-protocol request, from its body or its query."""
    text = request.body.decode() if request.body else request.raw_query
    return dict(parse_qsl(text, keep_blank_values=True))


def document(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body, empty if there is none."""
    value = json.loads(request.body or b"{}")
    return value if isinstance(value, dict) else {}


def members(params: Mapping[str, Any], name: str) -> list[str]:
    """Return `name.1`, `name.2`, … of a flattened EC2 list."""
    found: list[str] = []
    while (key := f"{name}.{len(found) + 1}") in params:
        found.append(params[key])
    return found


def structures(params: Mapping[str, Any], name: str) -> list[dict[str, str]]:
    """Return the structures `name.1.…`, `name.2.…` of a flattened EC2 list."""
    found: list[dict[str, str]] = []
    while True:
        prefix = f"{name}.{len(found) + 1}."
        one = {k.removeprefix(prefix): v for k, v in params.items() if k.startswith(prefix)}
        if not one:
            return found
        found.append(one)
