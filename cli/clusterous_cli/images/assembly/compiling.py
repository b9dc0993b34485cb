"""Bytecode in the image, valid whatever time a file bears there: its root file system is read-only.

Without it Python would compile every module anew at each start.
"""

import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from clusterous_cli.system import shell

SECONDS: Final = 300.0
OPTIONS: Final = ("--invalidation-mode", "unchecked-hash", "-q")
# Sets of constants are stored in the order of their hashes.
STEADY: Final = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}


def interpreter(python: str) -> str | None:
    """Return a Python whose bytecode *python* understands, if there is one here."""
    if f"{sys.version_info.major}.{sys.version_info.minor}" == python:
        return sys.executable
    return shutil.which(f"python{python}")


def compiled(files: Mapping[str, bytes], program: str) -> dict[str, bytes]:
    """Return the bytecode of the modules among *files*, by where Python looks for it."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for path, content in files.items():
            if path.endswith(".py"):
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(content)
        argv = [program, "-m", "compileall", *OPTIONS, "-s", scratch, "-p", "/", scratch]
        # Templates and tests of other versions of Python may not compile: they have no bytecode.
        shell.outcome(argv, env=STEADY, timeout=SECONDS)
        return {
            str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.pyc"))
        }
