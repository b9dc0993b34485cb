"""Packed values come back as they were, and are small."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from clusterous_operator.objects import packing
from tests.unit.operator.making import FakeApi, make_app, settle

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_comes_back_as_it_was(value: Any) -> None:
    assert packing.unpack(packing.pack(value)) == value


@given(VALUES)
def test_equal_values_are_equal_when_packed(value: Any) -> None:
    assert packing.pack(value) == packing.pack(json.loads(json.dumps(value)))


def test_an_ordinary_deployment_takes_less_than_a_third_of_a_kilobyte() -> None:
    app, api = make_app(), FakeApi()
    settle(app, api)
    body = api.objects["Deployment", "sim-master"]

    assert len(packing.pack(body["spec"])) < 340
    assert len(json.dumps(body["spec"])) > 1000
