"""What lives long is kept from the collector, what is garbage is not."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from clusterous_operator.controller import garbage


class Thing:
    """Something that can be in a cycle."""

    def __init__(self) -> None:
        self.other: Thing | None = None


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_what_lives_is_no_longer_looked_at() -> None:
    kept = Thing()

    garbage.settle()

    assert gc.get_freeze_count() > 0
    assert not any(one is kept for one in gc.get_objects())


def test_garbage_goes_even_if_it_was_frozen_when_it_was_none() -> None:
    one, two = Thing(), Thing()
    one.other, two.other = two, one
    seen = weakref.ref(one)
    garbage.settle()
    del one, two

    garbage.settle()

    assert seen() is None


def test_what_has_no_cycle_goes_at_once() -> None:
    kept = Thing()
    seen = weakref.ref(kept)
    garbage.settle()

    del kept

    assert seen() is None
