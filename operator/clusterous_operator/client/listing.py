"""Reads a list of API objects one by one, so that never all of them exist as Python objects. Pure.

A page of 250 pods is 2 MB of text and 15 MB of dicts, of which less than 100 kB are kept. What a
process needs at its most it seldom gives back.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Body = dict[str, Any]
T = TypeVar("T")

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")


def read(text: str, trim: Callable[[Body], T]) -> tuple[list[T], Mapping[str, Any]]:
    """Return the trimmed items of a list, and the list's metadata."""
    items: list[T] = []
    metadata: Mapping[str, Any] = {}
    at = _after(text, 0, "{")
    while text[at] != "}":
        key, at = _DECODER.raw_decode(text, at)
        at = _after(text, at, ":")
        if key == "items" and text[at] == "[":
            at = _read_items(text, at, trim, items)
        else:
            value, at = _DECODER.raw_decode(text, at)
            if key == "metadata":
                metadata = value
        at = _next(text, at)
    return items, metadata


def _read_items(text: str, at: int, trim: Callable[[Body], T], items: list[T]) -> int:
    at = _after(text, at, "[")
    while text[at] != "]":
        body, at = _DECODER.raw_decode(text, at)
        items.append(trim(body))
        at = _next(text, at)
    return at + 1


def _after(text: str, at: int, sign: str) -> int:
    at = _skip(text, at)
    if text[at] != sign:
        raise ValueError(f"{sign!r} is missing at character {at} of a list")
    return _skip(text, at + 1)


def _next(text: str, at: int) -> int:
    """Return where the next member begins, or the closing bracket is."""
    at = _skip(text, at)
    return _skip(text, at + 1) if text[at] == "," else at


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()
