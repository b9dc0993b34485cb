"""The cache of parts: what is slow to build is built once per machine, whole or not at all.

A recipe says what a part depends on and how it is built. Its key is the hash of that, so that
a part is found by what it is made of; entries appear by rename, so that none is ever half there.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

Tell = Callable[[str], None]
Found = Mapping[str, Path]
Build = Callable[[Path, Found, Tell], None]

TICK_SECONDS: Final = 15.0
ATTEMPTS: Final = 3
# Entries that nobody asked for in that time make room, when a new one of their part is built.
FORGET_AFTER_SECONDS: Final = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one part is made: `build(target, found, tell)` fills the empty folder *target*."""

    name: str
    build: Build
    versions: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[Path, ...] = ()
    needs: tuple[str, ...] = ()
    estimate_seconds: float = 10.0
    # Parts that keep all processors busy take turns; the others run beside them.
    heavy: bool = False


class BuildError(Exception):
    """A part could not be built; the message says which and why."""


class ChangedError(BuildError):
    """Sources were edited while a part was built of them: nobody knows what went into it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Where a recipe's result is, or will be."""

    recipe: Recipe
    key: str
    path: Path


def default_root() -> Path:
    """Return the folder of the cache: outside of the checkout, shared by all checkouts."""
    base = os.environ.get("CLUSTEROUS_CACHE") or Path.home() / ".cache" / "clusterous"
    return Path(base) / "parts"


def closure(recipes: Mapping[str, Recipe], names: Iterable[str]) -> list[Recipe]:
    """Return the named recipes and all that they need, needs first."""
    ordered: dict[str, Recipe] = {}

    def visit(name: str) -> None:
        if name not in ordered:
            for need in recipes[name].needs:
                visit(need)
            ordered[name] = recipes[name]

    for name in names:
        visit(name)
    return list(ordered.values())


def keys(ordered: Sequence[Recipe]) -> dict[str, str]:
    """Return the key of each recipe: its versions, the content of its sources, its needs' keys."""
    found: dict[str, str] = {}
    for recipe in ordered:
        digest = hashlib.sha256()
        needs = {need: found[need] for need in recipe.needs}
        digest.update(json.dumps([dict(recipe.versions), needs], sort_keys=True).encode())
        for source in recipe.sources:
            _add_source(digest, source)
        found[recipe.name] = digest.hexdigest()[:16]
    return found


def _add_source(digest: "hashlib._Hash", source: Path) -> None:
    # A source that does not exist (yet) counts as such: the key changes when it appears.
    for path in sorted(_files(source)):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        mode = "x" if os.access(path, os.X_OK) else "-"
        digest.update(f"{source.name}/{path.relative_to(source)} {mode} {content}\n".encode())


def _files(source: Path) -> Iterator[Path]:
    if source.is_file():
        yield source
    elif source.is_dir():
        yield from (
            path
            for path in source.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
        )


def entries(recipes: Mapping[str, Recipe], names: Iterable[str], root: Path) -> dict[str, Entry]:
    """Return where each of the named parts, and what they need, is or will be."""
    ordered = closure(recipes, names)
    found = keys(ordered)
    return {
        recipe.name: Entry(
            recipe=recipe,
            key=found[recipe.name],
            path=root / f"{recipe.name}-{found[recipe.name]}",
        )
        for recipe in ordered
    }


def ensure(
    recipes: Mapping[str, Recipe],
    names: Sequence[str],
    *,
    root: Path,
    tell: Tell,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Path]:
    """Build what is missing of the named parts, and return the paths of them all.

    What a missing part needs only for being built is not built when the part is there.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return _ensure(recipes, names, root, tell, clock)
        except ChangedError as error:
            tell(f"{error}; building again")
    return _ensure(recipes, names, root, tell, clock)


def _ensure(
    recipes: Mapping[str, Recipe],
    names: Sequence[str],
    root: Path,
    tell: Tell,
    clock: Callable[[], float],
) -> dict[str, Path]:
    known = entries(recipes, names, root)
    missing = _missing(known, names)
    if missing:
        _Builder(root=root, known=known, missing=missing, tell=tell, clock=clock).run()
    for name in names:
        with contextlib.suppress(OSError):
            os.utime(known[name].path)
    return {name: entry.path for name, entry in known.items() if entry.path.exists()}


def _missing(known: Mapping[str, Entry], names: Iterable[str]) -> list[Entry]:
    found: dict[str, Entry] = {}

    def visit(name: str) -> None:
        entry = known[name]
        if name in found or entry.path.exists():
            return
        for need in entry.recipe.needs:
            visit(need)
        found[name] = entry

    for name in names:
        visit(name)
    return list(found.values())


@dataclass(slots=True, kw_only=True)
class _Builder:
    root: Path
    known: Mapping[str, Entry]
    missing: Sequence[Entry]
    tell: Tell
    clock: Callable[[], float]
    started: dict[str, float] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    processors: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        names = ", ".join(entry.recipe.name for entry in self.missing)
        self.tell(f"building {names}: {self._time_left()}")
        with futures.ThreadPoolExecutor(max_workers=len(self.missing)) as pool:
            running: dict[str, futures.Future[None]] = {}
            for entry in self.missing:
                waits = [running[need] for need in entry.recipe.needs if need in running]
                running[entry.recipe.name] = pool.submit(self._build, entry, waits)
            self._watch(set(running.values()))
        errors = [error for job in running.values() if (error := job.exception())]
        if errors:
            # The parts that wait for a broken one repeat its error; the first is the cause.
            raise errors[0]

    def _watch(self, pending: set[futures.Future[None]]) -> None:
        while pending:
            _, pending = futures.wait(pending, timeout=TICK_SECONDS)
            if pending and self.started:
                now = self.clock()
                running = [name for name in self.started if name not in self.done]
                ages = [f"{name} {now - self.started[name]:.0f} s" for name in running]
                self.tell(f"still building {', '.join(ages)}: {self._time_left()}")

    def _build(self, entry: Entry, waits: Sequence["futures.Future[None]"]) -> None:
        for wait in waits:
            wait.result()
        turn = self.processors if entry.recipe.heavy else contextlib.nullcontext()
        lock = self.root / "locks" / entry.path.name
        with turn, _locked(lock, lambda: self.tell(f"waiting: {entry.recipe.name} is being built")):
            # Another process may have built it while we waited for the lock.
            if not entry.path.exists():
                self._build_locked(entry)
        self.done.add(entry.recipe.name)

    def _build_locked(self, entry: Entry) -> None:
        recipe = entry.recipe
        begun = self.started[recipe.name] = self.clock()
        partial = self.root / "partial" / entry.path.name
        _remove(partial)
        partial.mkdir(parents=True)
        found = {need: self.known[need].path for need in recipe.needs}
        try:
            recipe.build(partial, found, lambda line: self.tell(f"{recipe.name}: {line}"))
        except Exception as error:
            _remove(partial)
            self.tell(f"{recipe.name} failed: {error}")  # others may go on for long
            raise BuildError(f"the part {recipe.name} could not be built: {error}") from error
        if keys([known.recipe for known in self.known.values()])[recipe.name] != entry.key:
            _remove(partial)
            raise ChangedError(f"the sources of {recipe.name} changed while it was built")
        partial.rename(entry.path)
        took = self.clock() - begun
        _remember(self.root, recipe.name, took)
        _forget(self.root, entry)
        self.tell(f"{recipe.name} is built ({took:.0f} s)")

    def _time_left(self) -> str:
        measured = _durations(self.root)
        now = self.clock()
        left: dict[str, float] = {}
        turns = 0.0
        for entry in self.missing:
            recipe = entry.recipe
            whole = measured.get(recipe.name, recipe.estimate_seconds)
            if recipe.name in self.done:
                whole = 0.0
            elif recipe.name in self.started:
                # An estimate that is already exceeded says little; some is certainly left.
                whole = max(whole - (now - self.started[recipe.name]), 0.1 * whole)
            before = max((left.get(need, 0.0) for need in recipe.needs), default=0.0)
            turns = turns + whole if recipe.heavy else turns
            left[recipe.name] = max(before + whole, turns if recipe.heavy else 0.0)
        return f"about {_spoken(max(left.values(), default=0.0))} left"


def _spoken(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


@contextlib.contextmanager
def _locked(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    # flock ends with its process: a builder that is killed leaves no lock behind.
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove(path: Path) -> None:
    if not path.exists():
        return
    # Root file systems may have been left with something mounted inside by a killed builder;
    # to delete through a mount would delete the host's files.
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mount in sorted((m for m in mounts if m.startswith(f"{path}/")), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=True)
    shutil.rmtree(path)


def _durations(root: Path) -> dict[str, float]:
    try:
        read: dict[str, float] = json.loads((root / "durations.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return read


def _remember(root: Path, name: str, seconds: float) -> None:
    with _locked(root / "locks" / "durations"):
        new = root / "durations.json.new"
        new.write_text(json.dumps({**_durations(root), name: round(seconds, 1)}, indent=1) + "\n")
        new.rename(root / "durations.json")


def _forget(root: Path, entry: Entry) -> None:
    """Remove what earlier versions of the part left, unless used recently."""
    prefix = f"{entry.recipe.name}-"
    for path in root.iterdir():
        key = path.name.removeprefix(prefix)
        is_ours = path.name.startswith(prefix) and len(key) == len(entry.key)
        if is_ours and path != entry.path and _age(path) > FORGET_AFTER_SECONDS:
            _remove(path)


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime
