"""How files travel: by rsync, or as an archive of tar where the far end has none of it. Pure.

Owners stay behind: the users of a laptop mean nothing on a volume, in a builder or a container.
"""

import tarfile
from collections.abc import Sequence

SECONDS = 120  # of silence, after which rsync gives up


def rsync(shell: str, far: str, sources: Sequence[str], destination: str, *more: str) -> list[str]:
    """Spell a transfer with *more* options: *shell* leads to the other end, *far* is rsync there.

    Names are not taken for options or for what a shell would make of them.
    """
    return [
        *("rsync", "--recursive", "--links", "--perms", "--times"),
        *("--protect-args", f"--timeout={SECONDS}"),
        *more,
        f"--rsh={shell}",
        f"--rsync-path={far}",
        "--",
        *sources,
        destination,
    ]


def nobodys(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Return the entry of an archive without its owner: a filter of `TarFile.add`."""
    return entry.replace(uid=0, gid=0, uname="", gname="", deep=False)
