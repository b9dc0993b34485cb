"""Every command line of the predecessor's manual is understood, as far as its command is there."""

from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from clusterous_cli import main

TABLE: dict[str, list[dict[str, Any]]] = yaml.safe_load(
    Path(__file__).with_name("spellings.yaml").read_text()
)
ROWS = [row for rows in TABLE.values() for row in rows]
COMMANDS = sorted({word for row in ROWS for word in row["line"].split()[:1] if word[0] != "-"})


def understood(words: list[str]) -> bool:
    """Whether the line is taken, options and arguments and all; nothing is carried out."""
    command: click.Command = main.cli
    above = None
    try:
        while True:
            context = command.make_context("clusterous", list(words), parent=above)
            if not isinstance(command, click.Group):
                return True
            rest = [*context._protected_args, *context.args]
            if not rest and command.invoke_without_command:
                return True
            _, found, words = command.resolve_command(context, rest)
            assert found is not None
            command, above = found, context
    except click.exceptions.Exit as stop:  # --help and --version are carried out at once
        return stop.exit_code == 0
    except click.UsageError:
        return False


@pytest.mark.parametrize("row", [pytest.param(row, id=row["line"]) for row in ROWS])
def test_a_line_of_the_predecessors_manual_is_understood(row: dict[str, Any]) -> None:
    is_there = understood(row["line"].split())

    if "coming" in row:
        assert not is_there, "it is there now: take the mark away"
    else:
        assert is_there


@pytest.mark.parametrize("line", ["quit --tunnels", "create --run x", "frobnicate", "put"])
def test_what_nobody_ever_wrote_is_not(line: str) -> None:
    assert not understood(line.split())


@pytest.mark.parametrize("word", COMMANDS)
def test_every_command_of_it_helps(word: str) -> None:
    assert understood([word, "--help"])
