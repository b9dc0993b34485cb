"""A machine's console: everything that it has printed since it was launched, in one file."""

import re
from pathlib import Path
from typing import Final

# As much as GetConsoleOutput answers.
LIMIT: Final = 64 * 1024

_ESCAPES: Final = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[@-Z\\-_])")


def tail(path: Path) -> str:
    """Answer the end of the console's output as plain text; empty before there is any."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - LIMIT))
        return plain(file.read().decode(errors="replace"))


def plain(text: str) -> str:
    """Take out colours and carriage returns, which a serial line shows and nobody reads."""
    return _ESCAPES.sub("", text).replace("\r", "")
