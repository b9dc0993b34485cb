"""What the predecessor's clusters had and ours have not, found in a program before it starts."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from clusterous_cli.program.envfile import Environment

# What is looked for in copied files, and what to say of it.
WORDS: Final[Mapping[bytes, str]] = {
    b"mesos://": (
        "asks Mesos for machines, which there is not: its jobs would wait for ever. Start what it"
        " has Mesos start as a component of its own (for Spark: a master and workers, and"
        " spark://NAME:7077 in place of mesos://)"
    ),
    b"central-logging": (
        "sends to central-logging, which listens only while central logging is on (`clusterous"
        " logging status`); `clusterous logs` shows what programs write to stdout and stderr"
    ),
}
# Of a copied folder: so many files are read, each up to so many bytes. Programs are small.
MOST_FILES: Final = 2000
MOST_BYTES: Final = 1 << 20
UNUSED: Final = (
    "no component runs on these machines. With Mesos a program could start executors there by"
    " itself; here nothing will run on them: write what shall run there as a component"
)


def told(environment: Environment, folders: Sequence[Path]) -> tuple[str, ...]:
    """Say what of *environment*, or in the *folders* that it copies, needs what is not there."""
    used = {one.machine for one in environment.components}
    groups = [f"cluster.{one.name}: {UNUSED}" for one in environment.groups if one.name not in used]
    said: dict[str, str] = {}
    for one in environment.components:
        for word in WORDS:
            if one.cmd and word.decode() in one.cmd:
                said.setdefault(f"{one.name}.cmd", WORDS[word])
    for folder in folders:
        for path, word in found(folder):
            said.setdefault(path, WORDS[word])
    return (*groups, *(f"{where} {what}" for where, what in _shortened(said)))


def found(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The files in *folder* that have one of the words in them, each with its first one."""
    for path in _files(folder):
        try:
            with path.open("rb") as file:
                text = file.read(MOST_BYTES)
        except OSError:
            continue  # what cannot be read cannot be copied, either, and is told then
        for word in WORDS:
            if word in text:
                yield os.path.relpath(path, folder.parent), word
                break


def _files(folder: Path) -> Iterator[Path]:
    seen = 0
    for where, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(where, name)
            if path.is_symlink() or not path.is_file():
                continue
            seen += 1
            if seen > MOST_FILES:
                return
            yield path


def _shortened(said: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Name of all that say the same the first, and how many more there are."""
    for what in dict.fromkeys(said.values()):
        places = [where for where, words in said.items() if words == what]
        more = f" (and {len(places) - 1} more)" if len(places) > 1 else ""
        yield f"{places[0]}{more}", what
