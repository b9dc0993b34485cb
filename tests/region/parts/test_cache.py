"""The cache of parts: found by content, whole or absent, built once by whoever comes first."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.region.parts import cache
from tests.region.parts.cache import Found, Recipe, Tell

Act = Callable[[Path, Found, Tell], None]


def write(content: str = "made") -> Act:
    def build(target: Path, found: Found, tell: Tell) -> None:
        (target / "file").write_text(content)

    return build


def make_recipe(
    name: str = "part",
    build: Act | None = None,
    *,
    sources: tuple[Path, ...] = (),
    needs: tuple[str, ...] = (),
    versions: Mapping[str, str] | None = None,
) -> Recipe:
    return Recipe(
        name=name, build=build or write(), sources=sources, needs=needs, versions=versions or {}
    )


def ensure(root: Path, *recipes: Recipe, names: list[str] | None = None) -> dict[str, Path]:
    known = {recipe.name: recipe for recipe in recipes}
    return cache.ensure(known, names or list(known), root=root, tell=lambda line: None)


def key(recipe: Recipe) -> str:
    return cache.keys([recipe])[recipe.name]


def test_builds_once(tmp_path: Path) -> None:
    calls = []

    def build(target: Path, found: Found, tell: Tell) -> None:
        calls.append(target)

    first = ensure(tmp_path, make_recipe(build=build))
    second = ensure(tmp_path, make_recipe(build=build))

    assert len(calls) == 1
    assert first == second


def test_a_part_finds_what_it_needs(tmp_path: Path) -> None:
    def build(target: Path, found: Found, tell: Tell) -> None:
        (target / "file").write_text((found["below"] / "file").read_text() + " on it")

    above = make_recipe("above", build, needs=("below",))

    found = ensure(tmp_path, above, make_recipe("below", write("ground")), names=["above"])

    assert (found["above"] / "file").read_text() == "ground on it"


def test_what_only_a_build_needs_is_not_built_for_what_is_there(tmp_path: Path) -> None:
    below = make_recipe("below")
    above = make_recipe("above", needs=("below",))
    built = ensure(tmp_path, below, above)
    (built["below"] / "file").unlink()
    built["below"].rmdir()

    ensure(tmp_path, below, above, names=["above"])

    assert not built["below"].exists()


def test_keys_follow_contents_names_and_modes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    recipe = make_recipe(sources=(source,))

    def changes() -> Iterator[str]:
        yield key(recipe)
        (source / "a").write_text("one")
        yield key(recipe)
        (source / "a").write_text("two")
        yield key(recipe)
        (source / "a").chmod(0o755)
        yield key(recipe)
        (source / "a").rename(source / "b")
        yield key(recipe)

    seen = list(changes())
    assert len(set(seen)) == len(seen)


def test_keys_follow_versions_and_the_keys_of_needs() -> None:
    def above(version: str) -> str:
        below = make_recipe("below", versions={"it": version})
        return cache.keys([below, make_recipe("above", needs=("below",))])["above"]

    assert above("1") == above("1")
    assert above("1") != above("2")


def test_keys_ignore_what_python_leaves_behind(tmp_path: Path) -> None:
    recipe = make_recipe(sources=(tmp_path,))
    before = key(recipe)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x.cpython-311.pyc").write_bytes(b"x")

    assert key(recipe) == before


def test_a_failed_build_leaves_nothing_and_says_which(tmp_path: Path) -> None:
    def build(target: Path, found: Found, tell: Tell) -> None:
        (target / "half").write_text("")
        raise OSError("no space left")

    with pytest.raises(cache.BuildError, match="part could not be built: no space left"):
        ensure(tmp_path, make_recipe(build=build))

    assert not list(tmp_path.rglob("half"))


def test_the_first_error_is_told_not_its_consequences(tmp_path: Path) -> None:
    def build(target: Path, found: Found, tell: Tell) -> None:
        raise OSError("the cause")

    below = make_recipe("below", build)

    with pytest.raises(cache.BuildError, match="below could not be built: the cause"):
        ensure(tmp_path, make_recipe("above", needs=("below",)), below)


def test_builds_again_when_the_sources_changed_meanwhile(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("old")

    def build(target: Path, found: Found, tell: Tell) -> None:
        (target / "file").write_text(source.read_text())
        source.write_text("new")

    recipe = make_recipe(build=build, sources=(source,))
    old = key(recipe)

    found = ensure(tmp_path / "cache", recipe)

    assert (found["part"] / "file").read_text() == "new"
    assert not (tmp_path / "cache" / f"part-{old}").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.region.parts import cache

def build(target, found, tell):
    (target / "half").write_text("")
    os.kill(os.getpid(), signal.SIGKILL)

recipe = cache.Recipe(name="part", build=build)
cache.ensure({"part": recipe}, ["part"], root=Path(sys.argv[1]), tell=print)
"""


def test_a_killed_build_leaves_no_half_part_and_no_lock(tmp_path: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path], check=False, capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL
    assert list((tmp_path / "partial").rglob("half"))
    assert not list(tmp_path.glob("part-*"))

    found = ensure(tmp_path, make_recipe())

    assert sorted(os.listdir(found["part"])) == ["file"]


def test_two_builders_build_once(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()
    calls = []
    told: list[str] = []

    def build(target: Path, found: Found, tell: Tell) -> None:
        calls.append(target)
        begun.set()
        assert go_on.wait(10)

    def tell(line: str) -> None:
        told.append(line)
        if line.startswith("waiting"):
            go_on.set()

    known = {"part": make_recipe(build=build)}

    def run() -> None:
        cache.ensure(known, ["part"], root=tmp_path, tell=tell)

    first, second = threading.Thread(target=run), threading.Thread(target=run)
    first.start()
    assert begun.wait(10)
    second.start()
    first.join(10)
    second.join(10)

    assert len(calls) == 1
    assert "waiting: part is being built" in told


def test_tells_the_time_left_from_the_last_time(tmp_path: Path) -> None:
    told: list[str] = []
    now = 0.0

    def build(target: Path, found: Found, tell: Tell) -> None:
        nonlocal now
        now += 90

    def run(version: str) -> None:
        recipe = make_recipe(build=build, versions={"it": version})
        cache.ensure({"part": recipe}, ["part"], root=tmp_path, tell=told.append, clock=lambda: now)

    run("1")
    run("2")

    assert told[0] == "building part: about 10 s left"
    assert told[1] == "part is built (90 s)"
    assert told[2] == "building part: about 1 min 30 s left"


def test_forgets_old_versions_but_not_recent_ones(tmp_path: Path) -> None:
    old = ensure(tmp_path, make_recipe(versions={"it": "1"}))["part"]
    recent = ensure(tmp_path, make_recipe(versions={"it": "2"}))["part"]
    os.utime(old, (0, 0))

    new = ensure(tmp_path, make_recipe(versions={"it": "3"}))["part"]

    assert [path.exists() for path in (old, recent, new)] == [False, True, True]
