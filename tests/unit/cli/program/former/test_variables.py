"""Values for the variables of the predecessor's files."""

import pytest

from clusterous_api.errors import UserError
from clusterous_cli.program import envfile
from clusterous_cli.program.former import variables


@pytest.mark.parametrize(
    ("word", "tag", "value"),
    [
        ("a=4", "int", "4"),
        ("a=0.5", "float", "0.5"),
        ("a=c3.large", "str", "c3.large"),
        ("a='4'", "str", "4"),
        ("a=", "str", ""),
        ("a=x=y", "str", "x=y"),
        ("a=null", "str", "null"),
        ("a=[1]", "str", "[1]"),
    ],
)
def test_a_value_is_read_as_yaml(word: str, tag: str, value: str) -> None:
    node = variables.given([word])["a"]

    assert (node.tag.rpartition(":")[2], node.value) == (tag, value)


def test_the_last_value_counts() -> None:
    assert variables.given(["a=1", "a=2"])["a"].value == "2"


@pytest.mark.parametrize("word", ["a", "=3", "1a=3", "a-b=3", "$a=3"])
def test_refuses_what_is_no_value(word: str) -> None:
    with pytest.raises(UserError, match="it takes NAME=VALUE"):
        variables.given([word])


def test_what_a_shell_or_a_person_reads_is_never_touched() -> None:
    text = (
        "name: x\nenvironment:\n  components: {a: {machine: $m, cpu: auto, image: i, cmd: $m}}\n"
        "  expose_tunnel: {service: '1:a:2', message: $m}\n"
    )

    found = envfile.parse(text, "f", variables.given(["m=master"]))

    assert (found.components[0].machine, found.components[0].cmd) == ("master", "$m")
    assert found.tunnels[0].message == "$m"
