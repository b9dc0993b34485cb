"""A list is read as json would read it, however it is written."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterous_operator.client import listing

ITEMS = st.lists(st.dictionaries(st.text(), st.none() | st.integers() | st.text()))


@given(items=ITEMS, indent=st.none() | st.integers(0, 3), is_sorted=st.booleans())
def test_reads_what_json_reads(items: list[Any], indent: int | None, is_sorted: bool) -> None:
    body = {
        "kind": "PodList",
        "metadata": {"resourceVersion": "7", "continue": "x"},
        "items": items,
        "apiVersion": "v1",
    }

    text = json.dumps(body, indent=indent, sort_keys=is_sorted)

    assert listing.read(text, lambda one: one) == (items, body["metadata"])


def test_no_item_is_kept_whole() -> None:
    text = json.dumps({"items": [{"name": "a"}, {"name": "b"}], "metadata": {}})

    assert listing.read(text, lambda one: one["name"]) == (["a", "b"], {})


@pytest.mark.parametrize("items", ["null", "[]"])
def test_an_empty_list_may_be_written_in_two_ways(items: str) -> None:
    text = f'{{"items":{items},"metadata":{{"resourceVersion":"1"}}}}'

    assert listing.read(text, lambda one: one) == ([], {"resourceVersion": "1"})


def test_refuses_what_is_no_list() -> None:
    with pytest.raises(ValueError, match="missing"):
        listing.read("[]", lambda one: one)
