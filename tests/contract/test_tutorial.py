"""The tutorial's files are right, its program is run and its lines are understood."""

import json
import os
import shlex
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from clusterous_cli.cluster import config
from clusterous_cli.images import contexts
from clusterous_cli.images.context import recipe
from tests import guides
from tests.contract.test_examples import SCHEMA
from tests.unit.cli.test_spellings import understood

PAGE = "tutorial.md"
FILES = guides.files(PAGE)
LINES = [line for lines in guides.sections(PAGE).values() for line in lines]
PORT = "8000"  # the page's; here several run at a time


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of somebody who wrote the files of the page."""
    guides.write(PAGE, tmp_path, PORT)
    return tmp_path


def test_its_files_are_right(folder: Path) -> None:
    assert config.parse(FILES["reef.yaml"]).name == "reef"
    app = yaml.safe_load(FILES["primes/app.yaml"])
    jsonschema.validate(app, SCHEMA)
    (image,) = contexts.manifest_builds(app).values()
    assert recipe.find(folder / "primes" / image).is_default  # the page says that it is enough


@pytest.mark.parametrize("line", [one for one in LINES if one.words], ids=lambda one: one.line)
def test_its_lines_are_understood(line: guides.Typed) -> None:
    assert understood(shlex.split(line.words or ""))


def test_its_program_finds_what_the_page_shows(folder: Path) -> None:
    """Typed are the lines of other programs than ours; what we would fetch is there already."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("CLUSTEROUS_")}

    def run(line: str) -> str:
        argv = ["sh", "-euc", line]
        done = subprocess.run(
            argv, cwd=folder, env=env, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    alone = next(one.line for one in LINES if one.line.startswith("DATA=."))
    fetched = {one.line: one.shown for one in LINES if one.line.startswith("cat ")}
    first, again = [one.shown for one in LINES if one.line == "cat result.json"]
    change = next(one.line for one in LINES if one.line.startswith("perl "))

    run(alone)
    assert run("cat primes/result.json") == fetched["cat primes/result.json"] == first
    run(change)
    run(alone)
    assert run("cat primes/result.json") == again
    assert json.loads(first)["primes"] < json.loads(again)["primes"]


def test_no_line_is_left_out() -> None:
    others = [one.line.split()[0] for one in LINES if not one.words]

    assert sorted(set(others)) == ["DATA=.", "cat", "perl", "pip"]  # pip: `test_packaging.py`
    assert {one.line for one in LINES if one.line.startswith("pip")} == {"pip install ."}
