"""Commands for the virtual machine, by its second serial port, and what they say.

The other side is guest/usr/local/sbin/channel. A line out is a number and a command in base64;
lines back carry that number, `7: words` while it runs and `7= 0` with its exit code at the end.
"""

import base64
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.region.parts.cache import Tell

READY: Final = "ready"
ENDED: Final = "the virtual machine has ended"
# After so long without a word, somebody who looks on wants to know that it goes on.
SILENCE_SECONDS: Final = 60.0
_LINE: Final = re.compile(r"(\d+)([:=]) ?(.*)")


class SilentError(Exception):
    """The machine is gone, or did not answer in time; the message says which."""


@dataclass(frozen=True, slots=True)
class Said:
    number: int
    words: str


@dataclass(frozen=True, slots=True)
class Ended:
    number: int
    code: int


def encode(number: int, command: str) -> bytes:
    """Return the line that asks for *command*."""
    return f"{number} {base64.b64encode(command.encode()).decode()}\n".encode()


def parse(line: str) -> Said | Ended | None:
    """Return what a line from the machine means; None if it is not of this protocol."""
    found = _LINE.fullmatch(line)
    if not found:
        return None
    number, kind, rest = int(found[1]), found[2], found[3]
    if kind == ":":
        return Said(number, rest)
    return Ended(number, int(rest)) if rest.isdecimal() else None


@dataclass(slots=True)
class Channel:
    """One conversation; *is_alive* tells whether the machine still runs."""

    wire: socket.socket
    is_alive: Callable[[], bool]
    tell: Tell = lambda line: None
    clock: Callable[[], float] = time.monotonic
    asked: int = 0
    waiting: bytes = b""

    def wait_until_ready(self, seconds: float) -> None:
        """Wait for the machine's first word."""
        deadline = self.clock() + seconds
        while self._line(deadline) != READY:
            pass

    def run(self, command: str, *, silence: float, hear: Tell = lambda line: None) -> int:
        """Run *command* in bash, as root; *hear* each line that it says, return its exit code.

        It is given up after *silence* seconds without a word, however long it takes.
        """
        self.asked += 1
        self._send(encode(self.asked, command))
        while True:
            match parse(self._line(self.clock() + silence)):
                case Said(number, words) if number == self.asked:
                    hear(words)
                case Ended(number, code) if number == self.asked:
                    return code

    def _send(self, line: bytes) -> None:
        try:
            self.wire.sendall(line)
        except ConnectionError as error:
            raise SilentError(ENDED) from error

    def _line(self, deadline: float) -> str:
        while b"\n" not in self.waiting:
            self.waiting += self._more(deadline)
        line, _, self.waiting = self.waiting.partition(b"\n")
        return line.decode(errors="replace").rstrip("\r")

    def _more(self, deadline: float) -> bytes:
        began = told = self.clock()
        while self.clock() < deadline:
            if found := self._received():
                return found
            if not self.is_alive():
                raise SilentError(ENDED)
            if self.clock() - told >= SILENCE_SECONDS:
                told = self.clock()
                self.tell(f"   (no word for {(told - began) / 60:.0f} min)")
        raise SilentError("the virtual machine did not answer in time")

    def _received(self) -> bytes:
        """Return what came within a second, which may be nothing."""
        self.wire.settimeout(1.0)
        try:
            found = self.wire.recv(65536)
        except TimeoutError:
            return b""
        except ConnectionError as error:
            raise SilentError(ENDED) from error
        if not found:
            raise SilentError(ENDED)
        return found


def connect(
    path: Path, *, is_alive: Callable[[], bool], tell: Tell, seconds: float = 10.0
) -> Channel:
    """Return the channel at the Unix socket *path*, as soon as somebody listens there."""
    deadline = time.monotonic() + seconds
    while True:
        wire = socket.socket(socket.AF_UNIX)
        try:
            wire.connect(str(path))
        except OSError as error:
            wire.close()
            if time.monotonic() > deadline or not is_alive():
                raise SilentError(f"nobody listens at {path.name}: {error}") from error
            time.sleep(0.1)
        else:
            return Channel(wire=wire, is_alive=is_alive, tell=tell)
