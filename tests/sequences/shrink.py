"""The smallest sequence that still fails: steps are left out, as long as one may be."""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def smallest(whole: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> tuple[T, ...]:
    """Leave out what may be left out of a sequence that fails: many at once first, then each."""
    left, size = list(whole), max(len(whole) // 2, 1)
    while size:
        start = 0
        while start < len(left):
            rest = left[:start] + left[start + size :]
            if rest and fails(rest):
                left = rest
            else:
                start += size
        size //= 2
    return tuple(left)
