"""The log of every call: in memory for tests, as JSON lines for people."""

from __future__ import annotations

import dataclasses
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to the API and its outcome. *fault* names what a test injected."""

    time: float
    service: str
    action: str
    region: str
    caller: str
    agent: str
    status: int
    error: str | None
    ms: float
    mutating: bool
    fault: str | None = None
    resource: str | None = None
    replay: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A small JSON document that a machine put into a bucket, as *text*: what it told, and when."""

    time: float
    caller: str
    resource: str
    text: str


class Log:
    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        self._told: list[Told] = []
        self._file = path.open("a", buffering=1, encoding="utf-8")

    def add(self, call: Call) -> None:
        with self._lock:
            self._calls.append(call)
            if not self._file.closed:
                self._file.write(json.dumps(as_json(call)) + "\n")

    def calls(self) -> list[Call]:
        with self._lock:
            return list(self._calls)

    def tell(self, told: Told) -> None:
        with self._lock:
            self._told.append(told)

    def told(self) -> list[Told]:
        with self._lock:
            return list(self._told)

    def clear(self) -> None:
        with self._lock:
            self._calls.clear()
            self._told.clear()

    def close(self) -> None:
        with self._lock:
            self._file.close()


_FIELDS = tuple(each.name for each in dataclasses.fields(Call))


def as_json(call: Call) -> dict[str, Any]:
    return {name: getattr(call, name) for name in _FIELDS}


_READING = ("Describe", "Get", "List", "Head", "BatchGet", "BatchCheck", "Lookup", "Simulate")


def is_mutating(action: str) -> bool:
    """Whether *action* changes the account, judged by its name as AWS's naming allows."""
    return not action.startswith(_READING) and action != "AssumeRole"
