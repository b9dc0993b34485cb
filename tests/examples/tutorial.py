"""The tutorial as somebody at the laptop types it, from an empty account to an empty account."""

import shlex
import time
from typing import Final

from tests import guides
from tests.examples.programs import Laptop

PAGE: Final = "tutorial.md"
# It is installed there already.
DONE: Final = "pip install ."
PENDING: Final = 4  # what `plan` ends with where there is something to do


def typed(laptop: Laptop) -> str:
    """Type every line of the page; return what a terminal showed, for its picture."""
    for name, text in guides.files(PAGE).items():
        place = laptop.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    began = time.monotonic()
    lines = [line for lines in guides.sections(PAGE).values() for line in lines]
    shown = [_typed(laptop, line) for line in lines if line.line != DONE]
    return "".join([*shown, f"# {(time.monotonic() - began) / 60:.0f} min\n"])


def _typed(laptop: Laptop, one: guides.Typed) -> str:
    words = shlex.split(one.words or "")
    asks = ["--yes"] if words[:1] in (["create"], ["destroy"]) else []
    argv = ["clusterous", *words, *asks] if words else ["sh", "-euc", one.line]
    done = laptop.region.laptop_run(argv, cwd=laptop.folder, capture_output=True, text=True)
    expected = PENDING if words[:1] == ["plan"] else 0
    assert done.returncode == expected, f"{one.line}: {done.stdout}{done.stderr}"
    assert not one.shown or done.stdout == one.shown, f"{one.line}: {done.stdout}"
    return f"$ {one.line}\n{done.stderr}{done.stdout}"
