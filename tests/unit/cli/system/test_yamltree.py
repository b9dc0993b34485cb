"""YAML as Kubernetes takes it: what JSON does not know is text, or is told with its place."""

import json

import pytest

from clusterous_api.errors import UserError
from clusterous_cli.system import yamltree


@pytest.mark.parametrize("text", ["2026-01-01", "2026-13-45", "2026-01-01T10:00:00Z"])
def test_a_date_is_text(text: str) -> None:
    found = yamltree.load_all(f"built: {text}\n", "x.yaml")

    assert found == [{"built": text}]
    json.dumps(found)


@pytest.mark.parametrize(
    "value", ["!!binary aGVsbG8=", "!!set {a, b}", "!!omap [a: 1]", "!!timestamp 2026-01-01",
              ".nan", "-.INF", "!mine x"],
)  # fmt: skip
def test_what_json_does_not_know_is_told_with_its_place(value: str) -> None:
    with pytest.raises(UserError, match=r"x\.yaml:2:6  .*write it as text, in quotes"):
        yamltree.load_all(f"a: 1\nbad: {value}\n", "x.yaml")


def test_merge_keys_and_usual_values_are_welcome() -> None:
    text = "base: &b {n: 1.5, t: yes, none: ~}\nmore: {<<: *b, i: 0x10}\n"

    assert yamltree.load_all(text, "x.yaml") == [
        {"base": {"n": 1.5, "t": True, "none": None},
         "more": {"n": 1.5, "t": True, "none": None, "i": 16}}
    ]  # fmt: skip
