"""The recipe of an image: the folder's own, or a usual one for a Python program without any."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clusterous_api.errors import UserError
from clusterous_cli.images.context import ignore

REQUIREMENTS: Final = "requirements.txt"
# Python as our own images have it. Requirements first: the layer with them is built anew only when
# they change.
PYTHON: Final = f"""\
FROM docker.io/library/python:3.11-slim
WORKDIR /app
COPY {REQUIREMENTS} ./
RUN pip install --no-cache-dir --root-user-action=ignore -r {REQUIREMENTS}
COPY . .
ENV PYTHONUNBUFFERED=1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """*name* is the file's, which decides about ignore files; *is_default* if there is none."""

    name: str
    content: bytes
    is_default: bool = False

    @property
    def words(self) -> str:
        """Show a recipe that nobody wrote, with how to get it as a file."""
        shown = "".join(f"\n    {line}" for line in self.content.decode().splitlines())
        return f"no Containerfile, so it is built by this one:{shown}"


def find(folder: Path) -> Recipe:
    """Return the recipe of *folder*; a Containerfile goes before a Dockerfile."""
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder} to build an image from.")
    for name in ignore.RECIPES:
        if (folder / name).is_file():
            return Recipe(name=name, content=(folder / name).read_bytes())
    if (folder / REQUIREMENTS).is_file():
        return Recipe(name=ignore.RECIPES[0], content=PYTHON.encode(), is_default=True)
    raise UserError(
        f"There is neither Containerfile nor Dockerfile in {folder}, and no {REQUIREMENTS} of a"
        " Python program."
    )


def write(folder: Path) -> Path:
    """Write the usual recipe into *folder*, where it may be changed from then on."""
    found = find(folder)
    if not found.is_default:
        raise UserError(f"{folder / found.name} is there already; nothing was written.")
    target = folder / found.name
    with target.open("xb") as file:
        file.write(found.content)
    return target
