"""Whole numbers in annotations, which anybody may write: what is none counts as 0. Pure."""

import re

# Within 64 bits. Python takes more for digits than others do, and not too many of them.
_NUMBER = re.compile(r"-?[0-9]{1,18}")


def number(text: object) -> int:
    """Return the number that an annotation says."""
    return int(text) if isinstance(text, str) and _NUMBER.fullmatch(text) else 0
