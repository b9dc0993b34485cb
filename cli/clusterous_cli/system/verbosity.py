"""What --verbose says on stderr: which programs are started, and which calls are made."""

import shlex
import sys
from collections.abc import Sequence
from typing import Final

MOST: Final = 300  # letters of a line: scripts for the controller are long
_heard: Final[list[bool]] = []


def on() -> None:
    """Say from now on what is done."""
    _heard[:] = [True]


def off() -> None:
    """Say nothing of it any more."""
    _heard.clear()


def program(argv: Sequence[str]) -> None:
    """Say which program is started."""
    line = shlex.join(argv).replace("\n", " ")
    _say(f"$ {line}" if len(line) <= MOST else f"$ {line[:MOST]}…")


def heard(line: str) -> None:
    """Say what a program said."""
    _say(f"  {line}")


def call(service: str, action: str) -> None:
    """Say which call is made."""
    _say(f"→ {service} {action}")


def _say(line: str) -> None:
    if _heard:
        print(line, file=sys.stderr, flush=True)
