"""Faults that were once put in by hand and noticed by nobody: none of them survives any more."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.mutants.copies import ROOT

FILE: Final = Path(__file__).with_name("named.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A text of a module to be replaced by another, and the tests that notice it."""

    name: str
    module: str
    right: str
    wrong: str
    tests: tuple[str, ...]

    def put_into(self, code: str) -> str:
        """Return *code* with the fault; what is not there once cannot be wrong."""
        if code.count(self.right) != 1:
            raise ValueError(f"{FILE.name}: {self.name}: not once in {self.module}: {self.right}")
        return code.replace(self.right, self.wrong)


def all_of_them() -> list[Named]:
    """Read the table."""
    listed = tomllib.loads(FILE.read_text())["fault"]
    return [Named(**{**one, "tests": tuple(one["tests"])}) for one in listed]


def code(one: Named) -> str:
    """Return the module's code with the fault."""
    return one.put_into((ROOT / one.module).read_text())
