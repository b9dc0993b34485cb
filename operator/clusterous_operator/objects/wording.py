"""Words from outside, made fit for a line that people read: programs, images, registries. Pure.

Who can name an image or write the last line of a program must not be able to steer the terminal of
who looks at the app, nor make a status so long that the API server refuses it.
"""

from typing import Any

LONGEST = 4000  # of a message: a condition may hold 32,768, and the status holds it four times


def plain(text: str, limit: int = LONGEST) -> str:
    """Return *text* without what a terminal would obey, and no longer than *limit* characters."""
    seen = text if text.isprintable() else "".join(map(_shown, text))
    return seen if len(seen) <= limit else seen[: limit - 1] + "…"


def _shown(char: str) -> str:
    return char if char.isprintable() or char == "\n" else " "


def plainly(value: Any) -> Any:
    """Return a JSON value, all texts in which are plain."""
    match value:
        case str():
            return plain(value)
        case dict():
            return {key: plainly(one) for key, one in value.items()}
        case list():
            return [plainly(one) for one in value]
    return value
