"""Files to and from the shared volume: rsync over SSH through the gateway.

Paths mean what they mean to rsync: FOLDER is copied with its name, FOLDER/ only its contents.
What is interrupted is resumed by the same command. Nothing is deleted at the destination unless
that is asked for.

The volume belongs to the programs of the cluster, which may be anybody's: a transfer stays inside
of it, whatever links they made there, and brings no more home than files.
"""

import os
import posixpath
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Final

from clusterous_api import names
from clusterous_api.errors import FailedError, UserError
from clusterous_api.mounts import EFS_OPTIONS
from clusterous_cli.data import confined, links, rsync, tarball
from clusterous_cli.data.rsync import Done, Tell, Wishes
from clusterous_cli.reach import ssh
from clusterous_cli.system import shell

# Programs run as any user, so all must be able to read what arrives, and to write beside it; as in
# /tmp, nobody removes what is another's. No set-id bit travels in either direction.
PUT_MODES: Final = "D1777,Fu+rw,Fgo+rX,Fug-s"
GET_MODES: Final = "u+rwX,go-w,ug-s,-t"
# Where there is no space left, when something is put.
FULL: Final = "on the shared volume; `clusterous volume grow SIZE` makes it larger"
USUAL: Final = Wishes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """The cluster's volume: over NFS, or, without a *server*, the controller's own."""

    server: str | None
    path: str = "/"
    options: tuple[str, ...] = EFS_OPTIONS


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


def prepare_script(
    volume: Volume, folders: Sequence[str], wanted: Sequence[str], targets: Sequence[str] = ()
) -> str:
    """Mount the volume unless it is mounted; make *folders*; name what is missing of *wanted*.

    One of the controller's own is mounted by its volume server, or not at all.

    What leads out of the volume, by a link that a program made there, is named and not touched.
    """
    mount = [
        *("sudo", "mount", "-t", "nfs4", "-o", ",".join(volume.options)),
        *(f"{volume.server}:{volume.path}", names.VOLUME_PATH),
    ]
    root = shlex.quote(names.VOLUME_PATH)
    unserved = "{ echo the volume is not mounted: see clusterous status; exit 1; }"
    make = confined.program("sh", "-c", 'umask 0; mkdir -p -m 1777 -- "$@"', "sh")
    steps = [
        "set -e",
        f"sudo mkdir -p {root}",
        f"mountpoint -q {root} || {shlex.join(mount) if volume.server else unserved} >&2",
        # A new volume is its owner's alone, and programs run as any user.
        f"test -k {root} || sudo chmod 1777 {root}",
        f"top=$(sudo realpath -- {root})",
        'inside() { case "$(sudo realpath -m -- "$1")/" in "$top"/*) ;; *) return 1 ;; esac; }',
        *(
            f"inside {shlex.quote(path)} || {{ echo outside {shlex.quote(path)}; exit 0; }}"
            for path in (*folders, *targets, *wanted)
        ),
        *([f"{make} {shlex.join(folders)}"] if folders else []),
        *(f"sudo test -e {shlex.quote(path)} || echo missing {n}" for n, path in enumerate(wanted)),
        *(_link_step(n, path) for n, path in enumerate(wanted) if not path.endswith("/")),
        "command -v rsync >/dev/null || echo no-rsync",
    ]
    return "\n".join(steps)


def _link_step(number: int, path: str) -> str:
    """Say of a link whether it leads to a folder or to a file."""
    quoted = shlex.quote(path)
    kind = f"if sudo test -d {quoted}; then echo to-folder {number}; else echo to-file {number}; fi"
    return f"if sudo test -L {quoted}; then {kind}; fi"


def copied_as(folder: Path, item: str) -> str:
    """Where an *item* of `copy` lands: in the root of the volume, under its last segment.

    What has no name of its own (`.`) is called as it is from the root on.
    """
    return posixpath.basename(os.path.abspath(folder / item))


def put_folders(destination: str) -> list[str]:
    """The folders that must be there before files can arrive at *destination*."""
    if destination.endswith("/"):
        return [destination]
    parent = posixpath.dirname(destination)
    return [] if parent == names.VOLUME_PATH else [parent]


def tar_get_command(path: str, follow: bool = False) -> str:
    where, name = (path, ".") if path.endswith("/") else posixpath.split(path)
    deep = ["--dereference"] if follow else []
    return confined.program(
        "tar", "-C", where, *deep, "-cf", "-", name if name == "." else f"./{name}"
    )


# -- acting ---------------------------------------------------------------------------------


def prepare(
    access: ssh.Access,
    volume: Volume,
    folders: Sequence[str],
    wanted: Sequence[str],
    targets: Sequence[str] = (),
) -> "Ready":
    """Make ready for a transfer, and look what it meets."""
    script = prepare_script(volume, folders, wanted, targets)
    try:
        said = ssh.run(access, ssh.CONTROLLER, script, timeout=180).split("\n")
    except shell.CommandFailed as error:
        raise FailedError(f"The shared volume could not be made ready: {error.said}") from error
    outside = [line.removeprefix("outside ") for line in said if line.startswith("outside ")]
    if outside:
        raise UserError(
            f"{_shown(outside)} leads out of the shared volume: a program made a link there."
            " Nothing was copied."
        )
    if missing := _told("missing", said, wanted):
        raise UserError(f"There is no {_shown(missing)} on the shared volume.")
    return Ready(
        has_rsync="no-rsync" not in said,
        folders=_told("to-folder", said, wanted),
        files=_told("to-file", said, wanted),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What the controller has, and which of what is wanted are links: to *folders*, to *files*."""

    has_rsync: bool
    folders: Sequence[str] = ()
    files: Sequence[str] = ()


def _told(word: str, said: Sequence[str], wanted: Sequence[str]) -> list[str]:
    return [wanted[int(line.split()[1])] for line in said if line.startswith(f"{word} ")]


def _shown(paths: Sequence[str]) -> str:
    return ", ".join(posixpath.relpath(path, names.VOLUME_PATH) for path in paths)


def check_rsync() -> None:
    """Refuse an rsync that does not know our options before anything is started."""
    shell.fitting("rsync")


def check_sources(sources: Sequence[str]) -> None:
    """Refuse what is not there before anything is started."""
    missing = [source for source in sources if not Path(source).exists()]
    if missing:
        raise UserError(f"There is no {', '.join(missing)} here; nothing was copied.")
    # Of a pipe (`put <(program)`) or a device rsync copies nothing, and calls that a success.
    other = [one for one in sources if not (Path(one).is_file() or Path(one).is_dir())]
    if other:
        raise UserError(f"{', '.join(other)}: neither a file nor a folder; nothing was copied.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What is to be copied, made ready: one rsync after the other, or a tar where there is none."""

    argvs: tuple[tuple[str, ...], ...]
    full: str  # where no space is left, if none is left
    left: tuple[links.Link, ...] = ()
    by_tar: Callable[[Tell], tuple[links.Link, ...]] | None = None

    def run(self, tell: Tell, warn: Tell | None = None) -> Done:
        """Copy it; *warn* hears where a connection broke."""
        if self.by_tar is not None:
            return Done(left=(*self.left, *self.by_tar(tell)), is_counted=False)
        done = self._run(tell, warn=warn)
        # What was listed on the way was for the links that were left out.
        return replace(done, left=(*self.left, *done.left), new=(), changed=(), gone=())

    def told(self, tell: Tell) -> Done:
        """What it would do, without doing it: new, changed and gone files by name."""
        if self.by_tar is not None:
            raise UserError(f"{NO_RSYNC}: what would be done cannot be told.")
        return self._run(tell, *rsync.DRY)

    def differing(self, tell: Tell) -> tuple[str, ...]:
        """What is not the same at both ends, by its contents."""
        if self.by_tar is not None:
            raise UserError(f"{NO_RSYNC}: what arrived cannot be compared.")
        found = self._run(tell, *rsync.DRY, "--checksum")
        return (*found.new, *found.changed)

    def _run(self, tell: Tell, *more: str, warn: Tell | None = None) -> Done:
        done = Done()
        for program, *rest in self.argvs:
            done += rsync.run([program, *more, *rest], tell, self.full, warn=warn)
        return done


NO_RSYNC: Final = "The controller has no rsync"


def put(
    access: ssh.Access,
    volume: Volume,
    sources: Sequence[str],
    destination: str,
    tell: Tell,
    *,
    follow: bool = False,
    wishes: Wishes = USUAL,
) -> Done:
    """Copy local *sources* to *destination* on the volume.

    A source that is a link is what it leads to. Of the links inside those are told that lead out of
    what was copied; with *follow*, what they lead to is copied in their places.
    """
    return way_there(access, volume, sources, destination, follow=follow, wishes=wishes).run(tell)


def way_there(
    access: ssh.Access,
    volume: Volume,
    sources: Sequence[str],
    destination: str,
    *,
    follow: bool = False,
    wishes: Wishes = USUAL,
    is_dry: bool = False,
) -> Course:
    """Make ready to put *sources* to *destination*; if it *is_dry*, nothing is made there."""
    check_sources(sources)
    target = volume_path(destination if len(sources) == 1 else f"{destination}/")
    parts = tuple(put_parts(sources, target, follow))
    folders = [*put_folders(target), *(part.target for part in parts if part.target != target)]
    ready = prepare(access, volume, () if is_dry else folders, (), [target])
    check_wishes(wishes, has_rsync=ready.has_rsync)
    left = () if follow else tuple(link for source in sources for link in links.outward(source))
    if not ready.has_rsync:
        by_tar = partial(_tar_put, access, parts, follow=follow)
        return Course(argvs=(), full=FULL, left=left, by_tar=by_tar)
    unsafe = ("--copy-unsafe-links",) if follow else ()
    more = (f"--chmod={PUT_MODES}", *unsafe, *wishes.options)
    argvs = [
        rsync.argv(
            access,
            [_local(source) for source in part.sources],
            rsync.remote(part.target),
            *(*more, *part.options),
        )
        for part in parts
    ]
    return Course(argvs=tuple(map(tuple, argvs)), full=FULL, left=left)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one rsync takes: plain sources, or one that is a link."""

    sources: tuple[str, ...]
    target: str
    options: tuple[str, ...] = ()


def put_parts(sources: Sequence[str], target: str, follow: bool = False) -> list[Part]:
    """Divide *sources* so that each that is a link arrives under its name as what it leads to.

    A folder whose links are followed goes by itself, too: rsync asks what leads out of all.
    """
    named = [source for source in sources if not source.endswith("/")]
    linked = [s for s in named if Path(s).is_symlink() or (follow and Path(s).is_dir())]
    plain = tuple(source for source in sources if source not in linked)
    parts = [Part(sources=plain, target=target)] if plain else []
    for source in linked:
        if Path(source).is_dir():
            inside = f"{target.rstrip('/')}/{Path(source).name}/"
            parts.append(Part(sources=(f"{source}/",), target=inside))
        else:
            parts.append(Part(sources=(source,), target=target, options=("--copy-links",)))
    return parts


def get(
    access: ssh.Access,
    volume: Volume,
    sources: Sequence[str],
    destination: str,
    tell: Tell,
    *,
    wishes: Wishes = USUAL,
) -> Done:
    """Copy *sources* on the volume to the local *destination*; tell of the links left out.

    A source that is a link is what it leads to. Links that lead out of what is copied stay behind:
    here, they would lead to files of ours.
    """
    return way_back(access, volume, sources, destination, wishes=wishes).run(tell)


def way_back(
    access: ssh.Access,
    volume: Volume,
    sources: Sequence[str],
    destination: str,
    *,
    wishes: Wishes = USUAL,
    is_dry: bool = False,
) -> Course:
    """Make ready to get *sources* to *destination*; if it *is_dry*, nothing is made here."""
    wanted = [volume_path(source) for source in sources]
    ready = prepare(access, volume, (), wanted)
    check_wishes(wishes, has_rsync=ready.has_rsync)
    parts = tuple(get_parts(wanted, destination, ready))
    local = Path(destination)
    folder = local if destination.endswith("/") or len(sources) > 1 else local.parent
    if not is_dry:
        folder.mkdir(parents=True, exist_ok=True)
    if not ready.has_rsync:
        return Course(argvs=(), full="here", by_tar=partial(_tar_get, access, parts))
    more = ("--safe-links", f"--chmod={GET_MODES}", "--info=name1", *wishes.options)
    argvs = [
        rsync.argv(
            access,
            [rsync.remote(path) for path in part.sources],
            _local(part.target),
            *(*more, f"--out-format={rsync.NAMED}%i %n", *part.options),
        )
        for part in parts
    ]
    return Course(argvs=tuple(map(tuple, argvs)), full="here")


def check_wishes(wishes: Wishes, *, has_rsync: bool) -> None:
    """Refuse what only rsync can do."""
    if not has_rsync and wishes != USUAL:
        raise UserError(
            f"{NO_RSYNC}, and without it everything is copied: --delete, --exclude and --checksum"
            " need it. Nothing was copied."
        )


def check_delete(sources: Sequence[str], *, is_folder: bool = True) -> None:
    """Refuse to delete where it would not be clear what is compared with what."""
    if len(sources) != 1 or not is_folder:
        raise UserError("--delete takes one folder: what is not in it goes at the destination.")


def get_parts(wanted: Sequence[str], destination: str, ready: Ready) -> list[Part]:
    """Divide what is *wanted* so that a link arrives under its name as what it leads to."""
    plain = tuple(one for one in wanted if one not in (*ready.folders, *ready.files))
    below = destination.rstrip("/") or "/" * destination.startswith("/")
    return [
        *([Part(sources=plain, target=destination)] if plain else []),
        *(
            Part(sources=(f"{one}/",), target=posixpath.join(below, posixpath.basename(one), ""))
            for one in ready.folders
        ),
        *(
            Part(sources=(one,), target=destination, options=("--copy-links",))
            for one in ready.files
        ),
    ]


def copy(
    access: ssh.Access, volume: Volume, folder: Path, items: Sequence[str], tell: Tell
) -> Done:
    """Put the `copy` folders of an environment file, each under its last segment."""
    done = Done()
    for item in items:
        done += put(access, volume, [f"{folder / item}/"], f"{copied_as(folder, item)}/", tell)
    return done


def check_copy(folder: Path, items: Sequence[str]) -> None:
    """As the predecessor: an item of `copy` must be a folder."""
    for item in items:
        if not (folder / item).is_dir():
            raise UserError(f"copy: there is no folder {folder / item}; nothing was started.")


def _local(path: str) -> str:
    """A local path that rsync cannot take for HOST:PATH or for an option."""
    return path if path.startswith("/") else f"./{path}"


def _tar_put(
    access: ssh.Access, parts: Sequence[Part], tell: Tell, *, follow: bool
) -> tuple[links.Link, ...]:
    tell("the controller has no rsync: copying everything by tar, without resume")
    for part in parts:
        for source in part.sources:
            whole = source.endswith("/")  # then a link is followed, as rsync does
            path = Path(source).resolve() if whole else Path(source)
            _tar_put_one(access, part, path, whole, follow)
    return ()


def _tar_put_one(
    access: ssh.Access, part: Part, source: Path, contents_only: bool, follow: bool
) -> None:
    """Send one source; as with rsync, a file takes the name of a target that is no folder."""
    where, name = part.target, "." if contents_only else source.name
    if source.is_file() and not where.endswith("/") and not _is_folder(access, where):
        where, name = posixpath.split(where)
    quoted = shlex.quote(where)
    unpack = confined.script(f"mkdir -p {quoted} && tar -C {quoted} --no-same-owner -p -xf -")

    def write(stream: IO[bytes]) -> None:
        tarball.pack(stream, source, name, follow=follow or bool(part.options))

    shell.feed(ssh.argv(access, ssh.CONTROLLER, unpack), write)


def _is_folder(access: ssh.Access, path: str) -> bool:
    told = ssh.run(access, ssh.CONTROLLER, f"sudo test -d {shlex.quote(path)} && echo y || true")
    return told.strip() == "y"


def _tar_get(access: ssh.Access, parts: Sequence[Part], tell: Tell) -> tuple[links.Link, ...]:
    tell("the controller has no rsync: copying everything by tar, without resume")
    left: tuple[links.Link, ...] = ()
    for part in parts:
        folder = Path(part.target)
        folder.mkdir(parents=True, exist_ok=True)
        for source in part.sources:
            pack = ssh.argv(access, ssh.CONTROLLER, tar_get_command(source, bool(part.options)))
            left += shell.drain(pack, partial(tarball.unpack, folder=folder))
    return left
