"""What passes between an operator and the API server: a call, its answer, a stream of events.

`Fault` is what a thing that goes wrong may do to them; faults.py has them all. Pure.
"""

import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any

Events = AsyncGenerator[bytes]  # one line of JSON each, without its end

_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class DroppedError(Exception):
    """The connection breaks; the operator gets no answer, or only the beginning of it."""

    def __init__(self, beginning: bytes = b"") -> None:
        super().__init__("the connection breaks")
        self.beginning = beginning


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Call:
    """One request of an operator."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    token: str = ""
    namespace: str = ""
    plural: str = ""
    name: str = ""
    sub: str = ""

    @property
    def is_write(self) -> bool:
        """Tell whether it changes something."""
        return self.method in _WRITES

    def changes(self, namespace: str) -> bool:
        """Tell whether it writes to *namespace*; a Lease is the operators' own affair."""
        return self.is_write and self.namespace == namespace and self.plural != "leases"

    @property
    def is_watch(self) -> bool:
        """Tell whether its answer is a stream of events."""
        return self.query.get("watch") in ("true", "1")

    @property
    def is_list(self) -> bool:
        """Tell whether it asks for a collection."""
        return self.method == "GET" and bool(self.plural) and not self.name and not self.is_watch

    def __str__(self) -> str:
        """Return it in a few words."""
        what = "/".join(filter(None, (self.plural or self.path, self.name, self.sub)))
        return f"{self.method} {what}"


def read(method: str, path: str, query: Mapping[str, str], token: str = "") -> Call:
    """Return a call, its path taken apart as the API server does."""
    parts = [one for one in path.split("/") if one]
    parts = parts[3:] if parts[:1] == ["apis"] else parts[2:]
    namespace = ""
    if parts[:1] == ["namespaces"] and len(parts) > 2:
        namespace, parts = parts[1], parts[2:]
    plural, name, sub = (*parts, "", "", "")[:3]
    return Call(
        method=method,
        path=path,
        query=query,
        token=token,
        namespace=namespace,
        plural=plural,
        name=name,
        sub=sub,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer that is no stream."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def refusal(code: int, reason: str, message: str, retry_after: int = 0) -> Reply:
    """Return an answer as the API server refuses."""
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }
    headers = {"Retry-After": str(retry_after)} if retry_after else {}
    return Reply(status=code, body=json.dumps(status).encode(), headers=headers)


def event(kind: str, body: Mapping[str, Any]) -> bytes:
    """Return a line of a watch."""
    return json.dumps({"type": kind, "object": body}).encode()


class Fault:
    """Something that may go wrong; by default nothing does.

    *active* is asked at each call and event, so that a fault ends also for streams that run.
    *strikes* counts how often it did something: a fault that never strikes proves nothing.
    """

    active = True
    strikes = 0

    async def before(self, call: Call) -> Reply | None:
        """Answer instead of the API server, or break the connection, before it sees the call."""
        return None

    async def after(self, call: Call, reply: Reply) -> Reply:
        """Change the API server's answer, or keep it back."""
        return reply

    def stream(self, call: Call, events: Events) -> Events:
        """Change the events of a watch."""
        return events
