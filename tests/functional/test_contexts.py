"""What real builders read of a folder, compared with the copy that ours hands them."""

import io
import json
import os
import shutil
import socketserver
import stat
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clusterous_cli.images import builder
from clusterous_cli.images.context import ignore, taken, tree
from clusterous_cli.images.context.taken import Source
from tests import programs


class Daemon(socketserver.ThreadingUnixStreamServer):
    """As much of docker's daemon as its client needs to send a context."""

    daemon_threads = True
    contexts: ClassVar[list[bytes]] = []

    def get_request(self) -> tuple[Any, Any]:
        return super().get_request()[0], ("client", 0)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _say(self, body: bytes) -> None:
        self.send_response(200)
        for name, value in (("Api-Version", "1.45"), ("Ostype", "linux"), ("Builder-Version", "1")):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self._say(b"")

    def do_GET(self) -> None:
        self._say(b"{}")

    def do_POST(self) -> None:
        sent = b""
        while size := int(self.rfile.readline(), 16):
            sent += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        Daemon.contexts.append(sent)
        self._say(b'{"stream":"done"}\n')


@pytest.fixture(scope="module")
def docker() -> Iterator[dict[str, str]]:
    """The environment in which docker's client speaks to a daemon that only listens."""
    # A socket's path is short.
    with tempfile.TemporaryDirectory() as place, Daemon(f"{place}/s", Handler) as daemon:
        thread = threading.Thread(target=daemon.serve_forever)
        thread.start()
        yield {
            "DOCKER_HOST": f"unix://{place}/s",
            "DOCKER_BUILDKIT": "0",
            "PATH": os.environ["PATH"],
            "HOME": place,
        }
        daemon.shutdown()
        thread.join()


def sent_by_docker(folder: Path, environment: dict[str, str]) -> set[str]:
    """Return what docker's own client reads of *folder*: files and links."""
    argv = [str(programs.path("docker")), "build", "-f", folder / "Dockerfile", folder]
    subprocess.run(argv, env=environment, check=True, capture_output=True)
    with tarfile.open(fileobj=io.BytesIO(Daemon.contexts.pop())) as tar:
        return {one.name for one in tar if not one.isdir()}


NAMES = st.sampled_from(["a", "b", "ab", "c.py", "d e", "+", "ü"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
PIECES = st.sampled_from(["a", "b", "*", "**", "?", "a*", "*.py", "[a-b]", "[^a]", r"\+", "d e"])
PATTERNS = st.lists(PIECES, min_size=1, max_size=3).map("/".join)
# The old client looks for what is kept only below folders that such a line names literally.
KEPT = PATHS.map(lambda path: f"!{path}")
SPELLED = st.tuples(st.sampled_from(["", "/", "./", " "]), PATTERNS, st.sampled_from(["", "/"]))
LINES = st.lists(st.one_of(SPELLED.map("".join), KEPT, st.just("# a")), max_size=4)


@programs.needs("docker")
@given(st.lists(PATHS, max_size=12), LINES)
@settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_ignore_files_are_read_as_docker_reads_them(
    docker: dict[str, str], tmp_path: Path, paths: list[str], lines: list[str]
) -> None:
    folder = tmp_path / "folder"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path in paths:
        place = folder / path
        if not any((folder / up).is_file() for up in (path.split("/")[0], *place.parents)):
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists():
                place.write_text(path)
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (folder / ".dockerignore").write_text("\n".join(lines))

    ours = {path for path in taken.files(folder) if not (folder / path).is_dir()}

    always = {"Dockerfile", ".dockerignore"}  # which the daemon needs, and we give apart
    assert ours - always == sent_by_docker(folder, docker) - always


@programs.needs("buildah")
@pytest.mark.parametrize("other", ["**\n", "a\n"])
def test_a_builder_gets_what_was_hashed(tmp_path: Path, other: str) -> None:
    folder = tmp_path / "folder"
    (folder / "deep/er").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "Containerfile").write_text("FROM scratch\nCOPY . /in/\n")
    for path, text in {
        "a": "a",
        "deep/er/ü": "u",
        ".hidden": "",
        "x.log": "",
        "keep.log": "",
    }.items():
        (folder / path).write_text(text)
    (folder / "a").chmod(0o700)
    (folder / ".hidden").chmod(0o600)
    (folder / "deep/link").symlink_to("../a")
    (folder / "nowhere").symlink_to("/not/there")
    # Only this one counts, whichever of them a builder knows.
    (folder / "Containerfile.dockerignore").write_text("*.log\n!keep.log\nContainerfile\n")
    for name in (".dockerignore", ".containerignore"):
        (folder / name).write_text(other)
    with_ = builder.find(
        {"XDG_CACHE_HOME": str(tmp_path / "cache"), "CLUSTEROUS_BUILDER": "buildah"}
    )

    with taken.copy(Source(folder=folder), tmp_path) as copy:
        builder.build(with_, "x:1", copy.context, copy.recipe, lambda line: None, copy.asked)
        expected = tree.entries(copy.context, tree.paths(copy.context, ignore.Rules()))
    builder.save(with_, "x:1", tmp_path / "image.tar", lambda line: None)
    builder.tidy(with_)

    assert read(tmp_path / "image.tar") == {
        (one.path, stat.S_IMODE(one.mode), round(one.when / 10**9))
        for one in expected
        if not stat.S_ISLNK(one.mode)
    }
    assert {one.path for one in expected} == {
        *("a", ".hidden", "deep", "deep/er", "deep/er/ü", "deep/link"),
        *("empty", "keep.log", "nowhere"),
    }


def read(archive: Path) -> set[tuple[str, int, int]]:
    """Return path, mode and time of all that is in `/in` of the image but links."""
    return {
        (one.name.removeprefix("in/"), stat.S_IMODE(one.mode), int(one.mtime))
        for one, _ in inside(archive)
        if not one.issym()
    }


def inside(archive: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    """Return all that is below `/in` of the image, with the contents of files."""
    found = []
    with tarfile.open(archive) as tar:
        listed = tar.extractfile("manifest.json")
        assert listed
        for name in json.load(listed)[0]["Layers"]:
            layer = tar.extractfile(name)
            assert layer
            with tarfile.open(fileobj=io.BytesIO(layer.read())) as files:
                for one in files:
                    file = files.extractfile(one) if one.isfile() else None
                    one.name = one.name.rstrip("/")
                    found.append((one, file.read() if file else b""))
    return [(one, content) for one, content in found if one.name.startswith("in/")]


def grow(chance: Random, folder: Path) -> None:
    """Make a folder of a few things out of a few, so that some folders are the same.

    Nothing is setuid: buildah drops that, docker and BuildKit keep it, and the tag knows it.
    """
    folder.mkdir()
    (folder / "Containerfile").write_text("FROM scratch\n")
    rules = chance.choice(["", "", "log\n", "# all but one\n**\n!a"])
    if rules:
        (folder / chance.choice([".dockerignore", ".containerignore"])).write_text(rules)
    if chance.random() < 0.5:
        (folder / "log").write_text(str(chance.random()))
    for name in chance.sample(["a", "b", "c"], chance.randrange(3)):
        place = folder / name
        match chance.randrange(4):
            case 0:
                place.symlink_to(chance.choice(["a", "b"]))
            case 1:
                place.mkdir(mode=chance.choice([0o700, 0o755]))
                (place / "f").write_text(chance.choice(["", "x"]))
            case _:
                place.write_text(chance.choice(["x", "y"]))
                place.chmod(chance.choice([0o600, 0o644, 0o664, 0o700, 0o755]))
                os.utime(place, (chance.randrange(9), chance.randrange(9)))


@programs.needs("buildah")
@pytest.mark.parametrize("seed", [1, 2])
def test_tags_are_equal_when_what_a_builder_makes_of_the_folders_is(
    tmp_path: Path, seed: int
) -> None:
    chance, big, tags = Random(seed), tmp_path / "big", {}
    big.mkdir()
    for number in range(60):
        grow(chance, folder := tmp_path / str(number))
        with taken.copy(Source(folder=folder), tmp_path) as copy:
            tags[str(number)] = copy.tag
            copy.context.rename(big / str(number))
    recipe = tmp_path / "Containerfile"
    recipe.write_text("FROM scratch\nCOPY . /in/\n")
    with_ = builder.find(
        {"XDG_CACHE_HOME": str(tmp_path / "cache"), "CLUSTEROUS_BUILDER": "buildah"}
    )

    builder.build(with_, "x:1", big, recipe, lambda line: None)
    builder.save(with_, "x:1", tmp_path / "image.tar", lambda line: None)
    builder.tidy(with_)

    made: dict[str, set[object]] = {number: set() for number in tags}
    for one, content in inside(tmp_path / "image.tar"):
        number, _, path = one.name.removeprefix("in/").partition("/")
        if path:
            what = (path, one.type, one.mode, one.linkname, content)
            made[number].add(what if one.issym() else (*what, one.mtime))
    pairs = list(combinations(tags, 2))
    same = [pair for pair in pairs if tags[pair[0]] == tags[pair[1]]]
    assert same == [pair for pair in pairs if made[pair[0]] == made[pair[1]]]
    assert 10 < len(same) < len(pairs) / 2
