"""The stand-in for k3s as one file: its launcher and, behind it, the programs that it unpacks."""

from pathlib import Path


def assemble(go: Path, debian: Path, target: Path) -> None:
    raise NotImplementedError
