"""What the pages for people tell them to type and to write, so that tests can do it."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests import ports

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```console\n(.*?)^```", re.M | re.S)
HEADING = re.compile(r"^## (.*)$", re.M)
# A file is shown in a block that comes after its name.
FILE = re.compile(r"^`([\w./-]+)`\n\n```\w+\n(.*?)^```", re.M | re.S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """A line to type, and what the page shows of what it says."""

    line: str
    shown: str = ""

    @property
    def words(self) -> str | None:
        """What comes after `clusterous`; None of another program's line."""
        name, _, rest = self.line.partition(" ")
        return rest if name == "clusterous" else None


def sections(page: str) -> dict[str, list[Typed]]:
    """Return the lines of a page by their headings."""
    text = (DOCS / page).read_text()
    titles = [*HEADING.finditer(text)]
    ends = [one.start() for one in titles[1:]] + [len(text)]
    return {
        one[1]: [typed for block in BLOCK.findall(text[one.end() : end]) for typed in _typed(block)]
        for one, end in zip(titles, ends, strict=True)
    }


def _typed(block: str) -> list[Typed]:
    parts = re.split(r"^\$ ", block, flags=re.M)[1:]
    lines = [part.partition("\n") for part in parts]
    return [Typed(line=line, shown=shown) for line, _, shown in lines]


def files(page: str) -> dict[str, str]:
    """Return the files that a page lets people write, by their paths."""
    return dict(FILE.findall((DOCS / page).read_text()))


def write(page: str, folder: Path, port: str) -> None:
    """Write them; the *port* that they name becomes a free one, for several run at a time."""
    free = str(ports.free())
    for name, text in files(page).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.replace(port, free))
