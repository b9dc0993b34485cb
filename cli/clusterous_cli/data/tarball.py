"""Files through a pipe as a tar archive, for a controller without rsync: the same arrives as there.

Modes, owners and links are settled here and not by the tars of two machines, which differ.
"""

import os
import posixpath
import shutil
import stat
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import IO

from clusterous_cli.data import links
from clusterous_cli.data.links import Link
from clusterous_cli.reach import ssh

_ALL_RUN = 0o111


def pack(stream: IO[bytes], source: Path, name: str, *, follow: bool = False) -> None:
    """Write *source* as *name*, in modes that let every program read it; *follow* links or not."""
    with tarfile.open(fileobj=stream, mode="w|", dereference=follow) as archive:
        archive.add(source, arcname=name, filter=_put)


def _put(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """As rsync's modes D1777,Fu+rw,Fgo+rX,Fug-s; what is neither file, folder nor link stays."""
    if entry.isdir():
        entry.mode = 0o1777
    elif entry.isfile() or entry.islnk():
        entry.mode = (entry.mode & 0o1777) | 0o644 | (_ALL_RUN if entry.mode & _ALL_RUN else 0)
    elif not entry.issym():
        return None
    return ssh.nobodys(entry)


def unpack(stream: IO[bytes], folder: Path) -> tuple[Link, ...]:
    """Put what an archive holds into *folder*; return the links that were left out.

    Links that lead out of what is copied would lead to files of ours here. An archive that was cut
    short is an EOFError.
    """
    left = []
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for entry in archive:
                name = posixpath.normpath(entry.name)
                if _is_above(name) or (entry.islnk() and _is_above(entry.linkname)):
                    continue  # no tar that we ask writes one
                if entry.issym() and _leads_out(name, entry.linkname):
                    left.append(Link(path=name, target=entry.linkname))
                else:
                    _place(archive, entry, folder, folder / name)
    except tarfile.ReadError as error:
        raise EOFError("the archive was cut short") from error
    return tuple(left)


def _is_above(name: str) -> bool:
    return os.path.isabs(name) or posixpath.normpath(name).split("/")[0] == ".."


def _leads_out(name: str, target: str) -> bool:
    """Whether a link would lead out of what is copied; `..` behind a name may, by another link."""
    steps = [one for one in target.split("/") if one not in ("", ".")]
    climbs = [one == ".." for one in steps]
    is_plain = climbs == sorted(climbs, reverse=True)
    return os.path.isabs(target) or not is_plain or links.leads_out(name, target)


def _place(archive: tarfile.TarFile, entry: tarfile.TarInfo, folder: Path, place: Path) -> None:
    # A link that came just now, or was here before, would lead what comes below it elsewhere.
    for above in reversed(place.relative_to(folder).parents):
        _folder(folder / above, is_top=above == Path())
    if entry.isdir():
        _folder(place, is_top=place == folder)
        place.chmod(_got(entry.mode, runs=True))
        return
    fresh = place.with_name(f".{place.name}.{os.getpid()}.new")
    if entry.issym():
        fresh.symlink_to(entry.linkname)
    elif entry.islnk():
        shutil.copyfile(folder / posixpath.normpath(entry.linkname), fresh)
    elif (content := archive.extractfile(entry)) is not None:
        with content, fresh.open("wb") as file:
            shutil.copyfileobj(content, file)
    else:
        return
    if not entry.issym():
        fresh.chmod(_got(entry.mode, runs=bool(entry.mode & _ALL_RUN)))
        with suppress(OverflowError):  # a program may give its files times of any year
            os.utime(fresh, (entry.mtime, entry.mtime))
    fresh.replace(place)


def _folder(path: Path, *, is_top: bool) -> None:
    """Have a folder there; where the person themself has a link to one, at the top, that counts."""
    if not is_top and path.is_symlink():
        path.unlink()
    path.mkdir(parents=True, exist_ok=True)


def _got(mode: int, *, runs: bool) -> int:
    """As rsync's modes u+rwX,go-w,ug-s,-t."""
    return (stat.S_IMODE(mode) & 0o755) | (stat.S_IRWXU if runs else stat.S_IRUSR | stat.S_IWUSR)
