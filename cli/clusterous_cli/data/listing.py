"""What is on the shared volume: listed, and removed."""

import posixpath
import shlex
from typing import Final

from clusterous_api import names
from clusterous_api.errors import FailedError, UserError
from clusterous_cli.data import transfer
from clusterous_cli.data.transfer import Volume
from clusterous_cli.reach import ssh
from clusterous_cli.system import shell

MISSING: Final = 44


def listed(access: ssh.Access, volume: Volume, path: str) -> str:
    """The long listing of *path*, an absolute one on the volume."""
    transfer.prepare(access, volume, (), [path])
    return _run(access, f"sudo ls -la -- {shlex.quote(path)}")


def removed(access: ssh.Access, volume: Volume, path: str) -> None:
    """Delete *path* and all that is in it; a link goes, and not what it leads to.

    Files of any owner go: programs write as root.
    """
    parent = posixpath.dirname(path)
    transfer.prepare(access, volume, (), [f"{parent}/"])
    quoted = shlex.quote(path)
    there = f"sudo test -e {quoted} -o -L {quoted} || exit {MISSING}"
    try:
        _run(access, f"{there}; sudo rm -rf -- {quoted}")
    except shell.CommandFailed as error:
        if error.status == MISSING:
            name = posixpath.relpath(path, names.VOLUME_PATH)
            raise UserError(f"There is no {name} on the shared volume.") from error
        raise FailedError(f"The shared volume refused it: {error.said}") from error


def _run(access: ssh.Access, script: str) -> str:
    return ssh.run(access, ssh.CONTROLLER, script, timeout=600).rstrip("\n")
