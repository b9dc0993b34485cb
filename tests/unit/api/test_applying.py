"""What is applied is JSON that a YAML reader takes for the same, also when the CLI applies it."""

import json

import pytest
import yaml

from clusterous_api import applying

TEXTS = {
    "emoji": "💥 KeyError: 'a'",
    "rare kanji": "𠮷野家",
    "umlauts, Greek, Chinese": "ä Ω 中文",
    "line ends of Unicode": "a\u2028b\u2029c\u0085d",
    "control characters": "\x00\x1b[31m\x7f\x9b\t\r\n",
    "not characters": "\ufffe\uffff\ufeff",
    "a backslash before an escape": "\\💥 \\ud83d\\udca5 \\",
    "quotes": "\"'`",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_json_and_yaml_read_the_same(text: str) -> None:
    written = applying.dumps({"message": text, text: [text]})

    assert json.loads(written) == {"message": text, text: [text]}
    assert yaml.safe_load(written) == json.loads(written)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_nothing_that_a_strict_yaml_reader_refuses(text: str) -> None:
    written = applying.dumps(text)

    assert not any("\x7f" <= char <= "\uffff" for char in written)
    assert "\\ud8" not in written.replace("\\\\", "")


def test_half_a_pair_is_no_text() -> None:
    assert json.loads(applying.dumps("a\ud83db\udca5")) == "a\ufffdb\ufffd"
    assert applying.dumps("a\ud83db").encode()
