"""Faults on demand: throttling, errors, delays, lost and cut answers, by service, action, turn."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Final

from tests.region.aws.errors import Protocol, Refusal
from tests.region.aws.log import is_mutating
from tests.region.aws.request import Request


class Kind(StrEnum):
    THROTTLE = "throttle"
    ERROR = "error"
    HTTP = "http"
    DELAY = "delay"
    HANG = "hang"
    RESET = "reset"
    LOST = "lost"
    TRUNCATE = "truncate"
    KILL_BEFORE = "kill before"
    KILL_AFTER = "kill after"


KILLS: Final = (Kind.KILL_BEFORE, Kind.KILL_AFTER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """*skip* lets the first calls pass; *times* is how often it strikes (0: for ever).

    *lost* carries out the call and drops the answer; *reset* drops the call itself. *kill after*
    carries it out and kills the process *pid*, which therefore reads no answer; *kill before* kills
    it and drops the call. *mutating* leaves out calls that only read.
    """

    kind: Kind
    service: str = "*"
    action: str = "*"
    agent: str = "*"
    caller: str = "*"
    resource: str = "*"
    params: Mapping[str, str] | None = None
    times: int = 1
    skip: int = 0
    seconds: float = 0.0
    code: str = "InternalError"
    message: str = "An internal error has occurred."
    status: int = 500
    pid: int = 0
    mutating: bool = False

    def matches(self, request: Request) -> bool:
        caller = request.identity.label if request.identity else ""
        return (
            fnmatchcase(request.target.service, self.service)
            and fnmatchcase(request.action, self.action)
            and (not self.mutating or is_mutating(request.action))
            and (self.agent == "*" or self.agent in request.agent)
            and fnmatchcase(caller, self.caller)
            and fnmatchcase(request.resource or "", self.resource)
            and all(
                fnmatchcase(str(request.params.get(k, "")), v)
                for k, v in (self.params or {}).items()
            )
        )


def parse(value: Mapping[str, Any]) -> Fault:
    fields = dict(value)
    return Fault(**{**fields, "kind": Kind(fields["kind"])})


class Faults:
    """The faults that are set; each remembers how often it was met."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[tuple[Fault, list[int]]] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append((fault, [0]))

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def all(self) -> list[Fault]:
        with self._lock:
            return [fault for fault, _ in self._faults]

    def strike(self, request: Request) -> Fault | None:
        """Return the first fault that hits *request*, counting this call for each that matches."""
        with self._lock:
            struck: Fault | None = None
            for fault, met in self._faults:
                if not fault.matches(request):
                    continue
                met[0] += 1
                due = met[0] > fault.skip
                left = fault.times == 0 or met[0] <= fault.skip + fault.times
                if struck is None and due and left:
                    struck = fault
            return struck


def kill(fault: Fault) -> None:
    """End the process that *fault* is for as the kernel ends one: it says and tidies up nothing."""
    os.kill(fault.pid, signal.SIGKILL)


def refusal(fault: Fault, protocol: Protocol) -> Refusal:
    """Return the error that *fault* answers with."""
    if fault.kind is Kind.THROTTLE:
        return _throttled(protocol)
    return Refusal(fault.code, fault.message, fault.status)


def _throttled(protocol: Protocol) -> Refusal:
    match protocol:
        case Protocol.EC2:
            return Refusal("RequestLimitExceeded", "Request limit exceeded.", 503)
        case Protocol.S3:
            return Refusal("SlowDown", "Please reduce your request rate.", 503)
        case Protocol.QUERY:
            return Refusal("Throttling", "Rate exceeded", 400)
        case _:
            return Refusal("ThrottlingException", "Rate exceeded", 400)
