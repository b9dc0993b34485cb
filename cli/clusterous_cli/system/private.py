"""The files that only we may read, and the folder where they are."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clusterous_api.errors import UserError


def home() -> Path:
    """Return the folder of our files."""
    return Path(os.environ.get("CLUSTEROUS_HOME") or user_folder() / ".clusterous")


def user_folder() -> Path:
    """Return the person's own folder; a container's user may have none."""
    try:
        return Path.home()
    except RuntimeError as error:
        raise UserError(
            f"Your home folder is not known: HOME is not set, and user {os.getuid()} has no entry"
            " in the list of users. Set CLUSTEROUS_HOME to a folder that may be written."
        ) from error


def folder(path: Path) -> None:
    """Make *path*, and what is missing above it, for us alone."""
    for part in (*reversed(path.parents), path):
        if not part.exists():
            part.mkdir(mode=0o700, exist_ok=True)


def write(path: Path, text: str) -> None:
    """Write a file that only we may read, at no moment half; if it says so already, leave it."""
    content = text.encode()
    if path.exists() and path.read_bytes() == content:
        if path.stat().st_mode & 0o077:  # as another tool, or a copy of it, left it
            path.chmod(0o600)
        return
    folder(path.parent)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    fresh.replace(path)


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Let one process at a time do what goes by the file *lock*; the others wait."""
    import fcntl  # not on every system that may ask for --help

    folder(lock.parent)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
