"""Ignore files, read by one set of rules whatever builder there is: Docker's. Pure.

The rules are those of https://github.com/moby/patternmatcher, by which docker and BuildKit read;
buildah and podman have an older copy of them, which reads `!` and `**` otherwise.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from clusterous_api.errors import UserError

RECIPES: Final = ("Containerfile", "Dockerfile")
DOCKERIGNORE: Final = ".dockerignore"
CONTAINERIGNORE: Final = ".containerignore"
# All that some builder takes for an ignore file: none of them is in the copy.
FILES: Final = (
    DOCKERIGNORE,
    CONTAINERIGNORE,
    *(recipe + ending for recipe in RECIPES for ending in (DOCKERIGNORE, CONTAINERIGNORE)),
)
_MARK: Final = "\N{ZERO WIDTH NO-BREAK SPACE}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One line: what it *says*, whether it *keeps* what it matches, and what that is."""

    says: str
    keeps: bool
    matches: Callable[[str], bool] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Rules:
    """The lines of an ignore file, in their order."""

    lines: tuple[Rule, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.lines)

    @property
    def keep_some(self) -> bool:
        """Whether something may be kept inside of a folder that is ignored."""
        return any(one.keeps for one in self.lines)

    def ignore(self, path: str) -> bool:
        """Whether the last line that matches *path*, or a folder above it, ignores it."""
        parts = path.split("/")
        above = ["/".join(parts[:n]) for n in range(len(parts), 0, -1)]
        ignored = False
        for line in self.lines:
            if line.keeps is ignored and any(line.matches(one) for one in above):
                ignored = not line.keeps
        return ignored


def names(recipe: str) -> tuple[str, ...]:
    """Return where the rules for *recipe* may stand; the first file that is there has them."""
    return (f"{recipe}{DOCKERIGNORE}", CONTAINERIGNORE, DOCKERIGNORE)


def read(text: str, where: str) -> Rules:
    """Read the rules in *text*; *where* they stand is for the words of an error."""
    lines = text.removeprefix(_MARK).split("\n")
    return Rules(tuple(_rule(one, where) for one in map(_said, lines) if one))


def _said(line: str) -> str:
    """Return what a line says: nothing if it is a comment, which has its # at the very start."""
    return "" if line.startswith("#") else line.strip()


def _rule(line: str, where: str) -> Rule:
    keeps = line.startswith("!")
    pattern = line[keeps:].strip()
    if not pattern:
        raise UserError(f"{where} has a line {line!r}, which keeps nothing; a path belongs there.")
    try:
        matches = matcher(pattern)
    except ValueError as error:
        raise UserError(f"{where} has a wrong pattern, {line!r}: {error}.") from error
    return Rule(says=line, keeps=keeps, matches=matches)


def _clean(pattern: str) -> str:
    """Return a path without `.`, `..` where it has a folder to leave, and what is superfluous."""
    cleaned = os.path.normpath(pattern)
    return cleaned.lstrip("/") if len(cleaned.strip("/")) else "/"


def matcher(pattern: str) -> Callable[[str], bool]:
    """Return what tells whether *pattern* matches a path: `*`, `?`, `**`, `[a-z]`, `\\x`.

    A letter after a backslash is that letter; Docker takes some for what they are in Go's regular
    expressions, such as `\\a` for a bell, which no file's name has.
    """
    cleaned = _clean(pattern)
    pieces = _pieces(cleaned)
    plain = [one for one in pieces if one not in ("**", "**/")]
    if all(len(one) == 1 and one not in "*?" for one in plain):
        if pieces == plain:
            return lambda path: path == cleaned
        if pieces[:1] in (["**"], ["**/"]) and pieces[1:] == plain:
            ending = cleaned[2:]
            return lambda path: path.endswith(ending) or path == ending.removeprefix("/")
        if pieces[-1:] == ["**"] and pieces[:-1] == plain:
            start = cleaned[:-2]
            return lambda path: path.startswith(start)
    last = len(pieces) - 1
    spelled = [_spelled(one, at == last) for at, one in enumerate(pieces)]
    try:
        compiled = re.compile("".join(spelled), re.DOTALL)
    except re.error as error:
        raise ValueError(str(error)) from error
    return lambda path: compiled.fullmatch(path) is not None


_PIECE: Final = re.compile(
    r"\*\*/?"  # any number of folders
    r"|\[\^?(?:(?:\\.|[^\\\]\-])(?:-(?:\\.|[^\\\]\-]))?)+\]"  # one of some signs
    r"|\\."  # a sign that means itself
    r"|[^\[\\]",  # any sign; * and ? as they are
    re.DOTALL,
)


def _pieces(pattern: str) -> list[str]:
    pieces, at = [], 0
    while at < len(pattern):
        found = _PIECE.match(pattern, at)
        if not found:
            raise ValueError(f"{pattern[at:]!r} is not complete")
        pieces.append(found[0])
        at = found.end()
    return pieces


def _spelled(piece: str, is_last: bool) -> str:
    match piece:
        case "**" | "**/":
            return ".*" if is_last else "(?:.*/)?"
        case "*":
            return "[^/]*"
        case "?":
            return "[^/]"
    if piece.startswith("[") and len(piece) > 1:
        return _class(piece)
    return re.escape(piece[-1])


def _class(piece: str) -> str:
    inner = piece[1:-1]
    start = "^" if inner.startswith("^") else ""
    signs = re.findall(r"\\.|.", inner[len(start) :], re.DOTALL)
    return f"[{start}{''.join(one if one == '-' else re.escape(one[-1]) for one in signs)}]"
