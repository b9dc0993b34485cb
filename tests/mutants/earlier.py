"""What an earlier run found, of the very same code: a run that was cut short is gone on with."""

import hashlib
import json
import threading
from pathlib import Path
from typing import Any, Final

from tests.mutants import copies

# Where a change may make another verdict.
READ: Final = (
    "cli", "crds", "operator", "charts", "tests", "pyproject.toml", "requirements.lock",
    ":!tests/mutants/survivors.toml",
)  # fmt: skip

Result = dict[str, Any]


class Earlier:
    """The results, a line of JSON each, below a line with the state of the code they are of."""

    def __init__(self, path: Path, state: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._known: dict[str, Result] = {}
        lines = path.read_text().splitlines() if path.exists() else []
        if lines[:1] == [state]:
            self._known = {_key(one): one for one in map(_read, lines[1:]) if one}
        path.parent.mkdir(exist_ok=True)
        known = [json.dumps(one) for one in self._known.values()]
        path.write_text("\n".join([state, *known]) + "\n")

    def of(self, told: Result) -> Result | None:
        """Return what came of a fault, if it was tried."""
        return self._known.get(_key(told))

    def add(self, result: Result) -> None:
        """Write down what came of a fault."""
        with self._lock, self._path.open("a") as file:
            file.write(json.dumps(result) + "\n")


def _key(told: Result) -> str:
    return str(told.get("id") or told["name"])


def _read(line: str) -> Result | None:
    try:
        return dict(json.loads(line))
    except ValueError:  # the last one, when the machine was lost
        return None


def state(words: str) -> str:
    """Return a hash of all that a verdict follows from, and of *words*.

    Raises subprocess.CalledProcessError outside a checkout.
    """
    found = hashlib.sha256(words.encode())
    for name in copies.listed(*READ):
        path = copies.ROOT / name
        if path.is_file():
            found.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    return found.hexdigest()
