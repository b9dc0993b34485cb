"""Times, sizes, numbers and tables as people write them."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

# Joiners of letters and emoji, which are as invisible as harmless.
JOINERS: Final = "\u200c\u200d"


def plain(text: str) -> str:
    """Replace what a terminal would obey instead of show: escape sequences, turned directions.

    Words of programs, of machines and of whoever may write an app come to people's terminals.
    """
    if text.isprintable():
        return text
    return "".join(_shown(sign) for sign in text.replace("\r\n", "\n"))


def _shown(sign: str) -> str:
    # Cc: control, Cf: format (such as right-to-left), Cs: half a sign, Zl and Zp: other line ends.
    obeyed = unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    return "\N{REPLACEMENT CHARACTER}" if obeyed and sign not in "\n\t" + JOINERS else sign


def table(rows: Iterable[Sequence[str]], *, indent: str = "  ") -> str:
    """Align *rows* in columns."""
    lines = [tuple(row) for row in rows]
    if not lines:
        return ""
    widths = [max(len(row[i]) for row in lines if i < len(row)) for i in range(len(lines[0]))]
    return "\n".join(
        (
            indent + "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        ).rstrip()
        for row in lines
    )


def duration(seconds: float) -> str:
    """Spell a time as people do: 41 s, 1 min 12 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def instant(when: datetime) -> str:
    """Spell a time of UTC as AWS, Kubernetes and JSON's readers do: 2026-11-30T09:00:00Z."""
    return when.isoformat().replace("+00:00", "Z")


# How a time is typed that `moment` reads.
TIMES: Final = "(2026-11-30T09:00, in this machine's time zone; 2026-11-30T09:00Z)"


def moment(text: str) -> str | None:
    """Spell a time that a person typed as `instant` does, to the second; None if it is none."""
    try:
        when = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):  # in UTC it may be before there were years
        return None
    return instant(when.replace(microsecond=0))


def size(count: float) -> str:
    """Spell a number of bytes: 38 MB, 1.2 GiB are easier to read than digits."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def plural(count: int, noun: str) -> str:
    """Spell a number of things: 1 worker, 2 workers."""
    if count == 1:
        return f"{count} {noun}"
    ending = "ies" if noun.endswith(("ry", "ty", "cy")) else f"{noun[-1]}s"
    return f"{count} {noun[:-1]}{ending}"


def as_data(value: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a mapping without the keys that hold nothing."""
    return {key: item for key, item in value.items() if item is not None}
