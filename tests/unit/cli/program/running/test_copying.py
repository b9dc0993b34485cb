"""Files to and from a container: by the scripts that a container runs, played by this machine."""

import os
import re
import stat
from pathlib import Path

import pytest

from clusterous_api.errors import FailedError, UserError
from clusterous_cli.program.running import copying
from clusterous_cli.program.running.copying import Container, Place
from clusterous_cli.program.running.shells import Inside
from tests import programs

pytestmark = programs.needs("tar", "sha256sum", "tee")

# Runs what comes after --, on this machine, as kubectl has it run in a container.
KUBECTL = '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\n{how}\n'
RUN = 'exec "$@"'


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    become(folder / "kubectl", RUN)
    return folder / "kubectl"


@pytest.fixture(params=["gnu", pytest.param("busybox", marks=programs.needs("busybox"))])
def image(kubectl: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """What a container has: all of this machine, or busybox and nothing else."""
    if request.param == "gnu":
        return
    applets = tmp_path / "applets"
    applets.mkdir()
    for name in ("sh", "cat", "cp", "echo", "mkdir", "mv", "rm", "sha256sum", "tar", "tee", "test"):
        (applets / name).symlink_to(programs.path("busybox") or "")
    become(kubectl, f'PATH={applets}; exec "$@"')


def become(program: Path, how: str) -> None:
    program.write_text(KUBECTL.format(how=how))
    program.chmod(0o755)


CONTAINER = Container(
    inside=Inside(namespace="lab", pod="sim-master-1", container="master"),
    component="master",
    env={},
)


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A container's disk."""
    folder = tmp_path / "there"
    (folder / "out/deep").mkdir(parents=True)
    (folder / "out/a b.txt").write_text("one")
    (folder / "out/deep/run.sh").write_text("two")
    (folder / "out/deep/run.sh").chmod(0o755)
    return folder


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


def silent(text: str) -> None:
    """Nobody listens."""


def files(top: Path) -> dict[str, str]:
    return {str(p.relative_to(top)): p.read_text() for p in top.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x/y", Place(path="x/y")),
        ("./a:b", Place(path="./a:b")),
        ("/abs/a:b", Place(path="/abs/a:b")),
        ("master:/tmp/x", Place(path="/tmp/x", component="master")),
        ("sim/master:x:y", Place(path="x:y", component="master", app="sim")),
        ("lab/sim/master:x", Place(path="x", component="master", app="lab/sim")),
    ],
)
def test_reads_an_end(text: str, expected: Place) -> None:
    assert copying.place(text) == expected


@pytest.mark.parametrize("text", ["master:", ":x", "sim/:x"])
def test_an_end_that_names_nothing_is_told(text: str) -> None:
    with pytest.raises(UserError, match="say COMPONENT:PATH"):
        copying.place(text)


@pytest.mark.parametrize("ends", [("a", "b"), ("m:/a", "w:/b")])
def test_one_end_is_here_and_one_in_a_container(ends: tuple[str, str]) -> None:
    with pytest.raises(UserError, match="One of SRC and DST must be COMPONENT:PATH"):
        copying.ends(*ends)


def test_brings_files_and_folders(image: None, there: Path, here: Path) -> None:
    copying.fetch(CONTAINER, f"{there}/out", f"{here}/", silent)
    copying.fetch(CONTAINER, f"{there}/out/", f"{here}/called", silent)
    copying.fetch(CONTAINER, f"{there}/out/a b.txt", f"{here}", silent)

    whole = {"a b.txt": "one", "deep/run.sh": "two"}
    assert files(here / "out") == files(here / "called") == whole
    assert (here / "a b.txt").read_text() == "one"
    assert os.access(here / "out/deep/run.sh", os.X_OK)
    assert not [one for one in here.iterdir() if one.name.startswith(".")]


def test_sends_files_and_folders(image: None, there: Path, here: Path) -> None:
    (here / "in").mkdir()
    (here / "in/x.ini").write_text("x")
    (here / "in/run.sh").write_text("y")
    (here / "in/run.sh").chmod(0o750)

    copying.send(CONTAINER, f"{here}/in", f"{there}", silent)
    copying.send(CONTAINER, f"{here}/in", f"{there}/called", silent)
    copying.send(CONTAINER, f"{here}/in/x.ini", f"{there}/new/place/", silent)
    copying.send(CONTAINER, f"{here}/in/x.ini", f"{there}/out/a b.txt", silent)

    whole = {"x.ini": "x", "run.sh": "y"}
    assert files(there / "in") == files(there / "called") == whole
    assert (there / "new/place/x.ini").read_text() == "x"
    assert (there / "out/a b.txt").read_text() == "x"
    assert stat.S_IMODE((there / "in/run.sh").stat().st_mode) == 0o750
    assert not [one for one in there.rglob("*") if copying._NEW in one.name]


def test_a_folder_that_is_there_is_added_to(image: None, there: Path, here: Path) -> None:
    (there / "out/last").symlink_to("a b.txt")
    (here / "out").mkdir()
    (here / "out/mine").write_text("mine")

    copying.fetch(CONTAINER, f"{there}/out", f"{here}/", silent)
    copying.fetch(CONTAINER, f"{there}/out", f"{here}/", silent)
    copying.send(CONTAINER, f"{here}/out", f"{there}/", silent)
    copying.send(CONTAINER, f"{here}/out", f"{there}/", silent)

    whole = {"a b.txt": "one", "deep/run.sh": "two", "mine": "mine", "last": "one"}
    assert files(here / "out") == files(there / "out") == whole


@pytest.mark.parametrize(
    "how",
    [
        pytest.param('"$@" | head -c 9000', id="cut-in-the-archive"),
        pytest.param('"$@" | head -c 10250', id="cut-in-the-sum"),
        pytest.param('"$@" | tr o 0', id="another-content"),
        pytest.param('"$@" >/dev/null', id="nothing-came"),
    ],
)
def test_what_did_not_come_whole_is_put_nowhere(
    kubectl: Path, there: Path, here: Path, how: str
) -> None:
    (here / "out").write_text("before")
    become(kubectl, how)

    with pytest.raises(FailedError, match="cut short: less came than was sent"):
        copying.fetch(CONTAINER, f"{there}/out", f"{here}/out", silent)

    assert files(here) == {"out": "before"}
    assert [one.name for one in here.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        pytest.param('head -c 10 | "$@"', "Not copied|cut short", id="cut"),
        pytest.param('tr q 0 | "$@"', "cut short", id="another-content"),
        pytest.param("cat >/dev/null", "cut short", id="nothing-said"),
    ],
)
def test_what_did_not_arrive_whole_is_put_nowhere(
    kubectl: Path, there: Path, here: Path, how: str, said: str
) -> None:
    (here / "x").write_text("quick")
    become(kubectl, f'case "$*" in *"rm -rf"*tee*|*tee*) {how} ;; *) exec "$@" ;; esac')
    before = files(there)

    with pytest.raises(FailedError, match=said):
        copying.send(CONTAINER, f"{here}/x", f"{there}/out/a b.txt", silent)

    assert files(there) == before


def test_an_image_without_what_copying_needs_is_told_with_the_way_around(
    kubectl: Path, there: Path, here: Path
) -> None:
    (here / "x").write_text("x")
    scratch = 'echo "exec: \\"sh\\": executable file not found in \\$PATH: unknown" >&2; exit 126'

    for how, lacks in ((scratch, "shell"), ("echo tar >&2; exit 69", "tar")):
        become(kubectl, how)
        for go in (
            lambda: copying.fetch(CONTAINER, f"{there}/out", f"{here}/", silent),
            lambda: copying.send(CONTAINER, f"{here}/x", f"{there}/", silent),
        ):
            with pytest.raises(UserError, match=f"has no {lacks}, which copying needs") as caught:
                go()
            assert "/home/data" in str(caught.value)


def test_a_container_looks_for_what_it_needs(
    kubectl: Path, there: Path, here: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("sh", "tee", "cat"):
        (bare / name).symlink_to(f"/bin/{name}" if name != "tee" else "/usr/bin/tee")
    become(kubectl, f'PATH={bare}; exec "$@"')

    with pytest.raises(UserError, match="The image of master has no tar"):
        copying.fetch(CONTAINER, f"{there}/out", f"{here}/", silent)


def test_what_is_not_there_is_told(kubectl: Path, there: Path, here: Path) -> None:
    with pytest.raises(UserError, match=re.escape("There is no /no such in master (sim-master-1)")):
        copying.fetch(CONTAINER, "/no such", f"{here}/", silent)


def test_a_file_takes_no_folders_place(kubectl: Path, there: Path, here: Path) -> None:
    (here / "x/a b.txt").mkdir(parents=True)

    with pytest.raises(UserError, match="is a folder; it is not replaced by a file"):
        copying.fetch(CONTAINER, f"{there}/out/a b.txt", f"{here}/x", silent)


def test_how_far_it_is_is_told(kubectl: Path, there: Path, here: Path) -> None:
    (there / "big").write_bytes(bytes(3 << 20))
    told: list[str] = []

    copying.fetch(CONTAINER, f"{there}/big", f"{here}/", told.append)
    copying.send(CONTAINER, f"{here}/big", f"{there}/again", told.append)

    assert told == ["1 MiB", "2 MiB", "3 MiB"] * 2
