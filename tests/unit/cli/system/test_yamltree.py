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


# What PyYAML itself says nothing of, and Python does.
ODD = {
    "a character that there is not": r'a: "\UFFFFFFFF"',
    "another one": r'a: "\U00110000"',
    "nested": "[" * 5000,
    "no marks": "a: \x00",
}
ODD_VALUES = {
    "bool": "a: !!bool maybe",
    "int": "a: !!int ''",
    "float": "a: !!float ''",
    "many digits": "a: " + "9" * 5000,
}


@pytest.mark.parametrize("text", [*ODD.values()], ids=[*ODD])
def test_whatever_yaml_cannot_be_read_is_told(text: str) -> None:
    for read in (yamltree.compose, yamltree.load_all):
        with pytest.raises(UserError, match=r"^x\.yaml:\d+:\d+  this is not YAML: "):
            read(text, "x.yaml")


@pytest.mark.parametrize("text", [*ODD_VALUES.values()], ids=[*ODD_VALUES])
def test_whatever_value_cannot_be_read_is_told(text: str) -> None:
    with pytest.raises(UserError, match=r"^x\.yaml:1:1  this is not YAML: a value in it"):
        yamltree.load_all(text, "x.yaml")


@pytest.mark.parametrize("text", [r'b: "x\0y"', r'b: ["\ud800"]', r'"\uDFFF": 1', r'b: {c: "\0"}'])
def test_text_that_nobody_can_be_given_is_told_with_its_place(text: str) -> None:
    for read in (yamltree.compose, yamltree.load_all):
        with pytest.raises(UserError, match=r"x\.yaml:2:\d+  .*no text can have"):
            read(f"a: 1\n{text}\n", "x.yaml")


def test_a_document_that_holds_itself_is_looked_at_once() -> None:
    root = yamltree.compose("&a {x: *a, y: [*a]}", "x.yaml")

    assert root is not None
