"""Files to and from the shared volume: rsync over SSH through the gateway.

Paths mean what they mean to rsync: FOLDER is copied with its name, FOLDER/ only its contents.
What is interrupted is resumed by the same command. Nothing is ever deleted at the destination.
"""

import posixpath
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clusterous_api import names
from clusterous_api.errors import FailedError, UserError
from clusterous_cli.reach import ssh
from clusterous_cli.system import shell

Tell = Callable[[str], None]

# rsync's statuses that mean: the connection broke, what arrived is kept.
BROKEN: Final = frozenset({10, 12, 20, 30, 35, 255})


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """The cluster's NFS volume, as the nodes mount it."""

    server: str
    path: str = "/"
    options: tuple[str, ...] = ("nfsvers=4.1", "hard", "timeo=600", "retrans=2", "noresvport")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What rsync says about the whole transfer."""

    bytes: int
    percent: int
    rate: str
    left: str

    def __str__(self) -> str:
        return f"{self.percent} %  {self.rate}  {self.left} left"


# -- pure -----------------------------------------------------------------------------------


def volume_path(path: str) -> str:
    """The absolute path on the volume that a person means by *path*; a last slash stays."""
    full = posixpath.normpath(posixpath.join(names.VOLUME_PATH, path or "."))
    full = f"/{full.lstrip('/')}"
    if full != names.VOLUME_PATH and not full.startswith(f"{names.VOLUME_PATH}/"):
        raise UserError(
            f"{path} is outside the shared volume; paths are relative to {names.VOLUME_PATH}."
        )
    return f"{full}/" if path.endswith(("/", "/.")) or full == names.VOLUME_PATH else full


def progress(line: str) -> Progress | None:
    """Read a line of `rsync --info=progress2`."""
    found = re.match(r"\s*([\d,.]+)\s+(\d+)%\s+(\S+/s)\s+(\d+:\d\d:\d\d)", line)
    if found is None:
        return None
    count, percent, rate, left = found.groups()
    return Progress(bytes=int(re.sub(r"\D", "", count)), percent=int(percent), rate=rate, left=left)


def rsync_argv(access: ssh.Access, sources: Sequence[str], destination: str) -> list[str]:
    """The command line; remote paths begin with `controller:`.

    Owners are not kept: the user numbers of a laptop mean nothing on the volume. What is cut
    short waits in a folder of its own, so that no program takes half a file for a whole one.
    """
    return [
        "rsync",
        "--recursive",
        "--links",
        "--perms",
        "--times",
        "--protect-args",
        "--partial-dir=.rsync-partial",
        "--info=progress2",
        "--no-inc-recursive",
        "--timeout=120",
        f"--rsh={ssh.remote_shell(access)}",
        "--rsync-path=sudo rsync",
        "--",
        *sources,
        destination,
    ]


def remote(path: str) -> str:
    return f"{ssh.CONTROLLER}:{path}"


def prepare_script(volume: Volume, folders: Sequence[str], wanted: Sequence[str]) -> str:
    """Mount the volume unless it is mounted; make *folders*; name what is missing of *wanted*."""
    mount = [
        *("sudo", "mount", "-t", "nfs4", "-o", ",".join(volume.options)),
        *(f"{volume.server}:{volume.path}", names.VOLUME_PATH),
    ]
    root = names.VOLUME_PATH
    steps = [
        "set -e",
        f"sudo mkdir -p {root}",
        f"mountpoint -q {root} || {shlex.join(mount)} >&2",
        *(f"sudo mkdir -p {shlex.quote(folder)}" for folder in folders),
        *(f"sudo test -e {shlex.quote(path)} || echo missing {n}" for n, path in enumerate(wanted)),
        "command -v rsync >/dev/null || echo no-rsync",
    ]
    return "\n".join(steps)


def copied_as(folder: str) -> str:
    """Where an item of `copy` lands: its last segment in the root of the volume."""
    return posixpath.basename(folder.rstrip("/"))


def put_folders(destination: str) -> list[str]:
    """The folders that must be there before files can arrive at *destination*."""
    if destination.endswith("/"):
        return [destination]
    parent = posixpath.dirname(destination)
    return [] if parent == names.VOLUME_PATH else [parent]


def tar_put_argv(source: Path, contents_only: bool) -> list[str]:
    where = source if contents_only else source.parent
    return ["tar", "-C", str(where), "-cf", "-", "." if contents_only else f"./{source.name}"]


def tar_get_command(path: str) -> str:
    where, name = (path, ".") if path.endswith("/") else posixpath.split(path)
    return shlex.join(
        ["sudo", "tar", "-C", where, "-cf", "-", name if name == "." else f"./{name}"]
    )


# -- acting ---------------------------------------------------------------------------------


def prepare(
    access: ssh.Access, volume: Volume, folders: Sequence[str], wanted: Sequence[str]
) -> bool:
    """Make ready for a transfer; False where the controller has no rsync."""
    script = prepare_script(volume, folders, wanted)
    try:
        said = ssh.run(access, ssh.CONTROLLER, script, timeout=180).split("\n")
    except shell.CommandFailed as error:
        raise FailedError(f"The shared volume could not be made ready: {error.said}") from error
    missing = [wanted[int(line.split()[1])] for line in said if line.startswith("missing ")]
    if missing:
        shown = ", ".join(posixpath.relpath(path, names.VOLUME_PATH) for path in missing)
        raise UserError(f"There is no {shown} on the shared volume.")
    return "no-rsync" not in said


def check_sources(sources: Sequence[str]) -> None:
    """Refuse what is not there before anything is started."""
    missing = [source for source in sources if not Path(source).exists()]
    if missing:
        raise UserError(f"There is no {', '.join(missing)} here; nothing was copied.")


def put(
    access: ssh.Access, volume: Volume, sources: Sequence[str], destination: str, tell: Tell
) -> None:
    """Copy local *sources* to *destination* on the volume."""
    check_sources(sources)
    target = volume_path(destination if len(sources) == 1 else f"{destination}/")
    has_rsync = prepare(access, volume, put_folders(target), ())
    if has_rsync:
        paths = [_local(source) for source in sources]
        _rsync(rsync_argv(access, paths, remote(target)), tell)
    else:
        _tar_put(access, sources, target, tell)


def get(
    access: ssh.Access, volume: Volume, sources: Sequence[str], destination: str, tell: Tell
) -> None:
    """Copy *sources* on the volume to the local *destination*."""
    wanted = [volume_path(source) for source in sources]
    has_rsync = prepare(access, volume, (), wanted)
    local = Path(destination)
    folder = local if destination.endswith("/") or len(sources) > 1 else local.parent
    folder.mkdir(parents=True, exist_ok=True)
    if has_rsync:
        paths = [remote(path) for path in wanted]
        _rsync(rsync_argv(access, paths, _local(destination)), tell)
    else:
        _tar_get(access, wanted, local, tell)


def copy(
    access: ssh.Access, volume: Volume, folder: Path, items: Sequence[str], tell: Tell
) -> None:
    """Put the `copy` folders of an environment file, each under its last segment."""
    for item in items:
        put(access, volume, [f"{folder / item}/"], f"{copied_as(item)}/", tell)


def check_copy(folder: Path, items: Sequence[str]) -> None:
    """As the predecessor: an item of `copy` must be a folder."""
    for item in items:
        if not (folder / item).is_dir():
            raise UserError(f"copy: there is no folder {folder / item}; nothing was started.")


def _local(path: str) -> str:
    """A local path that rsync cannot take for HOST:PATH or for an option."""
    return path if path.startswith("/") else f"./{path}"


def _rsync(argv: list[str], tell: Tell) -> None:
    said: list[str] = []

    def hear(line: str) -> None:
        now = progress(line)
        if now is None:
            said.append(line.strip())
        else:
            tell(str(now))

    status = shell.stream(argv, hear)
    if status != 0:
        raise FailedError(rsync_failure(status, said))


def rsync_failure(status: int, said: Sequence[str]) -> str:
    """What a failed rsync means, and what to do."""
    words = "\n".join(f"    {line}" for line in said[-5:])
    if any("No space left" in line for line in said):
        return f"There is no space left.\n{words}"
    if status in BROKEN:
        return f"The connection broke; the same command goes on where it stopped.\n{words}"
    return f"Not everything was copied (rsync, status {status}).\n{words}"


def _tar_put(access: ssh.Access, sources: Sequence[str], target: str, tell: Tell) -> None:
    tell("the controller has no rsync: copying everything by tar, without resume")
    folder = target if target.endswith("/") else f"{target}/"
    ssh.run(access, ssh.CONTROLLER, f"sudo mkdir -p {shlex.quote(folder)}")
    unpack = shlex.join(["sudo", "tar", "-C", folder, "--no-same-owner", "-xf", "-"])
    for source in sources:
        pack = tar_put_argv(Path(source).absolute(), source.endswith("/"))
        shell.pipe(pack, ssh.argv(access, ssh.CONTROLLER, unpack))


def _tar_get(access: ssh.Access, sources: Sequence[str], local: Path, tell: Tell) -> None:
    tell("the controller has no rsync: copying everything by tar, without resume")
    local.mkdir(parents=True, exist_ok=True)
    for source in sources:
        pack = ssh.argv(access, ssh.CONTROLLER, tar_get_command(source))
        shell.pipe(pack, ["tar", "-C", str(local), "--no-same-owner", "-xf", "-"])
