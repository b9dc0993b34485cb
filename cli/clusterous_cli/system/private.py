"""The files that only we may read, and the folder where they are."""

import os
from pathlib import Path


def home() -> Path:
    """Return the folder of our files."""
    return Path(os.environ.get("CLUSTEROUS_HOME") or Path.home() / ".clusterous")


def write(path: Path, text: str) -> None:
    """Write a file that only we may read, at no moment half, if it does not say so already."""
    if path.exists() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)
