"""Images of an app: their names, the hash of their content, and which of them must be built.

An image is built from its folder and tagged with the hash of what is in it, so that the same
content is never built or pushed twice, and a change is never overlooked.
"""

import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_cli.cluster.identity import repositories

# Annotation `clusterous.io/build.NAME: FOLDER` on a ClusterousApp: `clusterous run` builds the
# image NAME from FOLDER (relative to the file) and puts the reference wherever the spec says
# `image: NAME` or `image: NAME:TAG`.
BUILD_PREFIX: Final = f"{names.DOMAIN}/build."
CONTAINERFILES: Final = ("Containerfile", "Dockerfile")
DOCKERIGNORE: Final = ".dockerignore"  # which all builders know
IGNORE_FILES: Final = (
    *(".containerignore", DOCKERIGNORE),
    *(f"{recipe}{DOCKERIGNORE}" for recipe in CONTAINERFILES),
)
# What every builder is asked beside the folder: the nodes are Intel's and AMD's, whatever the
# laptop is. All of it is in the tag, so that what is built otherwise is another image.
ASKED: Final = ("--platform", "linux/amd64")


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One image to build: its *title* as the file writes it, its *name* without the tag there,
    its *folder*, and the *tag* of its content.

    *bases* are the person's own images that it builds on: as its recipe names them, and as the
    registry does.
    """

    title: str
    name: str
    folder: Path
    tag: str
    bases: tuple[tuple[str, str], ...] = ()


def repository(cluster: str, name: str) -> str:
    """Under the cluster's name: the nodes' roles may pull from there, and destroy looks there."""
    return f"{repositories(cluster)}{name}"


def reference(registry: str, cluster: str, build: Build) -> str:
    return f"{registry}/{repository(cluster, build.name)}:{build.tag}"


def plan_build(name: str, folder: Path, bases: Mapping[str, str] | None = None) -> Build:
    """The build of *name* from *folder*, whose content is read to know its tag.

    What it builds on counts as well: *bases*, each with its reference in the registry.
    """
    under = tuple(sorted((bases or {}).items()))
    tag = content_tag(folder, [reference.rpartition("/")[2] for _, reference in under])
    return Build(title=name, name=name.partition(":")[0], folder=folder, tag=tag, bases=under)


def containerfile(folder: Path) -> Path:
    """The recipe in *folder*; a Containerfile goes before a Dockerfile."""
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder} to build an image from.")
    for name in CONTAINERFILES:
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"There is neither Containerfile nor Dockerfile in {folder}.")


# -- the hash -----------------------------------------------------------------------------


def content_tag(folder: Path, bases: Sequence[str] = ()) -> str:
    """A tag that changes with all that the image depends on: names, bytes, and what is asked.

    *bases* are the images below it, each with the tag of its content.

    Of a file's mode only what git keeps, whether it can be run, counts: the rest depends on the
    umask of whoever checked it out.
    """
    recipe = containerfile(folder)
    digest = hashlib.sha256()
    _add(digest, b"asked", *(word.encode() for word in ASKED))
    _add(digest, b"recipe", recipe.read_bytes())
    for base in bases:
        _add(digest, b"base", base.encode())
    for path in context_files(folder):
        full = folder / path
        info = full.lstat()
        _add(digest, path.encode(errors="surrogateescape"), f"{_mode(info.st_mode):o}".encode())
        if stat.S_ISLNK(info.st_mode):
            _add(digest, b"link", os.readlink(full).encode(errors="surrogateescape"))
        elif stat.S_ISREG(info.st_mode):
            with full.open("rb") as file:
                _add(digest, b"file", hashlib.file_digest(file, "sha256").digest())
    return f"src-{digest.hexdigest()[:16]}"


def _mode(mode: int) -> int:
    """The mode as a checkout with the usual umask has it, with the kind of file."""
    runs = stat.S_ISDIR(mode) or bool(mode & stat.S_IXUSR)
    return stat.S_IFMT(mode) | (0o755 if runs else 0o644)


@contextmanager
def readable(folder: Path) -> Iterator[Path]:
    """Give the folder to build from: *folder*, or a copy where its files are for their owner alone.

    Otherwise a program in the image that does not run as root could not read them, and the tag,
    which does not know of that, would keep it so.
    """
    paths = context_files(folder)
    if all(_is_open((folder / path).lstat().st_mode) for path in paths):
        yield folder
        return
    with tempfile.TemporaryDirectory() as place:
        copied = Path(place, "context")
        copied.mkdir()
        for path in (*paths, *_recipes(folder)):
            _copy(folder / path, copied / path)
        yield copied


def _is_open(mode: int) -> bool:
    wanted = _mode(mode) & 0o055 & ~0o022
    return stat.S_ISLNK(mode) or mode & wanted == wanted


def _recipes(folder: Path) -> list[str]:
    """The files that the builder itself reads, which an ignore file may leave out."""
    return [name for name in (*CONTAINERFILES, *IGNORE_FILES) if (folder / name).is_file()]


def _copy(source: Path, target: Path) -> None:
    mode = source.lstat().st_mode
    if stat.S_ISDIR(mode):
        target.mkdir(exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISLNK(mode):
        target.unlink(missing_ok=True)
        target.symlink_to(os.readlink(source))
        return
    shutil.copy2(source, target)
    target.chmod(stat.S_IMODE(_mode(mode)))


def _add(digest: Any, *parts: bytes) -> None:
    """Each part with its length, so that no two contents can look the same."""
    for part in parts:
        digest.update(f"{len(part)}:".encode())
        digest.update(part)


def context_files(folder: Path) -> list[str]:
    """What any builder sees of *folder*, as sorted relative paths: files, links and folders.

    Each obeys other ignore files: what one of them leaves in may be in the image.
    """
    several = [ignore_rules(text) for text in _ignore_texts(folder)]
    return sorted(
        path for path in _walk(folder, "") if not all(is_ignored(path, rules) for rules in several)
    )


def _ignore_texts(folder: Path) -> list[str]:
    there = [name for name in IGNORE_FILES if (folder / name).is_file()]
    texts = [(folder / name).read_text(errors="replace") for name in there]
    return texts if DOCKERIGNORE in there else ["", *texts]


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    for entry in os.scandir(folder):
        path = prefix + entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        if is_folder or entry.is_symlink() or entry.is_file(follow_symlinks=False):
            yield path
        if is_folder:
            yield from _walk(folder / entry.name, f"{path}/")


# -- ignore files -------------------------------------------------------------------------

Rule = tuple[bool, re.Pattern[str]]


def ignore_rules(text: str) -> list[Rule]:
    """Rules of a .dockerignore: (keep, pattern); the last that matches a path decides."""
    rules = []
    for line in text.splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        keep = pattern.startswith("!")
        pattern = os.path.normpath(pattern[keep:].strip()).strip("/")
        try:
            rules.append((keep, re.compile(_regex(pattern))))
        except re.error as error:
            raise UserError(f"The ignore file has a wrong pattern, {line!r}: {error}.") from error
    return rules


def is_ignored(path: str, rules: Sequence[Rule]) -> bool:
    """Whether the last rule that matches *path*, or a folder above it, ignores it."""
    parts = path.split("/")
    above = ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
    ignored = False
    for keep, pattern in rules:
        if any(pattern.fullmatch(candidate) for candidate in above):
            ignored = not keep
    return ignored


def _regex(pattern: str) -> str:
    """The pattern language of Docker: * and ? within a segment, ** across them, [a-z], \\x."""
    pieces = re.findall(r"\*\*/?|\*|\?|\[[^\]]+\]|\\.|.", pattern, re.DOTALL)
    return "".join(_piece(piece) for piece in pieces)


def _piece(piece: str) -> str:
    match piece:
        case "**/":
            return "(?:.*/)?"
        case "**":
            return ".*"
        case "*":
            return "[^/]*"
        case "?":
            return "[^/]"
    if piece.startswith("[") and len(piece) > 2:
        inner = re.escape(piece[1:-1]).replace("\\-", "-").replace("\\^", "^")
        return f"[{inner}]"
    return re.escape(piece[-1])


# -- manifests ----------------------------------------------------------------------------


def manifest_builds(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Image name → folder, from the annotations `clusterous.io/build.NAME` of a ClusterousApp."""
    annotations = (manifest.get("metadata") or {}).get("annotations") or {}
    found = {
        str(key).removeprefix(BUILD_PREFIX): str(folder)
        for key, folder in annotations.items()
        if str(key).startswith(BUILD_PREFIX)
    }
    for name in found:
        if not re.fullmatch(r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*", name):
            raise UserError(f"{BUILD_PREFIX}{name}: {name!r} is not the name of an image.")
    return found


def with_images(value: Any, references: Mapping[str, str]) -> Any:
    """A copy of the manifest part *value* in which built images stand under their reference."""
    if isinstance(value, list):
        return [with_images(item, references) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _image(key, item, references) for key, item in value.items()}


def _image(key: str, item: Any, references: Mapping[str, str]) -> Any:
    if key == "image" and isinstance(item, str) and "/" not in item:
        return references.get(item.partition(":")[0], item)
    return with_images(item, references)
