"""A stranger finds the room of a change: the houses are as the page draws them, and stay small."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text()
HOUSES = {
    "clusterous_cli": ROOT / "cli/clusterous_cli",
    "clusterous_operator": ROOT / "operator/clusterous_operator",
}
MOST_MODULES = 10  # about as many as one keeps in mind at once
BY_VERB = ("commands",)  # one file a verb: they are found by name, as `--help` lists them


def floors(package: str) -> list[str]:
    """Return the rooms of the import contract, ground first."""
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    (layers,) = (
        one["layers"]
        for one in tools["importlinter"]["contracts"]
        if one.get("containers") == [package]
    )
    return [room for room in reversed(layers) if (HOUSES[package] / room).is_dir()]


@pytest.mark.parametrize(
    ("package", "heading"),
    [("clusterous_cli", "## The command line"), ("clusterous_operator", "## The operator")],
)
def test_the_page_draws_the_rooms_in_their_order(package: str, heading: str) -> None:
    section = PAGE.partition(heading)[2].partition("\n## ")[0]

    assert re.findall(r"^\| `(\w+)/?` \|", section, re.MULTILINE) == floors(package)


@pytest.mark.parametrize("package", HOUSES)
def test_each_room_says_what_it_is_for_and_is_small(package: str) -> None:
    house = HOUSES[package]
    rooms = [str(face.parent.relative_to(house)) for face in house.rglob("__init__.py")]
    assert {*floors(package)} < {*rooms}
    for room in rooms:
        said = ast.get_docstring(ast.parse((house / room / "__init__.py").read_text()))
        modules = [one for one in (house / room).iterdir() if one.suffix == ".py"]

        assert said, room
        assert said.endswith("."), room
        assert len(modules) - 1 <= MOST_MODULES or room in BY_VERB, room
