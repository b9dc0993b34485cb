"""Contexts: which files a builder gets, what the tag knows of them, and ignore files."""

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterous_api.errors import FailedError, UserError
from clusterous_cli.images.context import ignore, recipe, taken, tree
from clusterous_cli.images.context.taken import Source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    (made / "src").mkdir(parents=True)
    (made / "Containerfile").write_text("FROM scratch\n")
    (made / "src/a.py").write_text("a")
    (made / "src/b.py").write_text("b")
    return made


def tag(folder: Path, **arguments: str) -> str:
    return taken.tag(Source(folder=folder, arguments=arguments))


# -- the tag ------------------------------------------------------------------------------


def test_the_tag_is_the_same_for_the_same_content(folder: Path) -> None:
    first = tag(folder)
    (folder / "src/a.py").unlink()
    (folder / "src/a.py").write_text("a")
    os.utime(folder / "src/b.py", (0, 0))

    assert tag(folder) == first
    assert first.startswith("src-")


@pytest.mark.parametrize(
    "change", ["bytes", "mode", "as whom", "name", "link", "recipe", "empty", "split"]
)
def test_the_tag_changes_with_the_content(folder: Path, change: str) -> None:
    first = tag(folder)
    file = folder / "src/a.py"
    match change:
        case "bytes":
            file.write_text("c")
        case "mode":
            file.chmod(0o755)
        case "as whom":
            file.chmod(0o755)
            first = tag(folder)
            file.chmod(0o4755)
        case "name":
            file.rename(folder / "src/c.py")
        case "link":
            file.unlink()
            file.symlink_to("b.py")
        case "recipe":
            (folder / "Containerfile").write_text("FROM other\n")
        case "empty":
            (folder / "empty").mkdir()
        case "split":
            file.write_text("a4:fileb")

    assert tag(folder) != first


def test_the_tag_does_not_know_the_umask(folder: Path) -> None:
    tags = set()
    for files, folders in ((0o644, 0o755), (0o664, 0o2775), (0o600, 0o700)):
        for path in folder.rglob("*"):
            path.chmod(folders if path.is_dir() else files)
        tags.add(tag(folder))

    assert len(tags) == 1


def test_the_tag_knows_all_that_a_build_is_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tag(folder)
    with_argument = tag(folder, VERSION="1")
    monkeypatch.setattr(taken, "ASKED", ("--platform", "linux/arm64"))

    assert len({first, with_argument, tag(folder, VERSION="2"), tag(folder)}) == 4


def test_what_is_no_utf_8_has_a_tag_too(folder: Path) -> None:
    (folder / os.fsdecode(b"src/\xff")).write_text("x")

    assert len({tag(folder), tag(folder, WHO="M\udcfcller"), tag(folder, WHO="Muller")}) == 3


def test_ignored_files_do_not_count(folder: Path) -> None:
    (folder / ".dockerignore").write_text("*.log\n")
    first = tag(folder)
    (folder / "x.log").write_text("noise")

    assert tag(folder) == first


def test_two_ignore_files_that_do_the_same_are_the_same(folder: Path) -> None:
    (folder / "x.log").write_text("noise")
    (folder / ".dockerignore").write_text("*.log\n")
    first = tag(folder)
    (folder / ".dockerignore").write_text("# noise\nx.log\n")

    assert tag(folder) == first


@pytest.mark.parametrize(
    ("texts", "left"),
    [
        pytest.param({".dockerignore": "src/b.py"}, ["src/a.py"], id="docker's"),
        pytest.param(
            {".dockerignore": "src", ".containerignore": "src/a.py"}, ["src/b.py"], id="podman's"
        ),
        pytest.param(
            {
                ".dockerignore": "src",
                ".containerignore": "src",
                "Containerfile.dockerignore": "src/a.py",
            },
            ["src/b.py"],
            id="the recipe's",
        ),
        pytest.param(
            {"Dockerfile.dockerignore": "src"}, ["src/a.py", "src/b.py"], id="another recipe's"
        ),
    ],
)
def test_one_ignore_file_counts_and_none_is_in_the_copy(
    folder: Path, tmp_path: Path, texts: dict[str, str], left: list[str]
) -> None:
    for name, text in texts.items():
        (folder / name).write_text(text)

    with taken.copy(Source(folder=folder), tmp_path) as copied:
        found = sorted(
            str(one.relative_to(copied.context))
            for one in copied.context.rglob("*")
            if one.is_file()
        )

    assert found == ["Containerfile", *left]


# -- the copy -----------------------------------------------------------------------------


def test_the_copy_has_the_tag_and_what_all_may_read(folder: Path, tmp_path: Path) -> None:
    (folder / ".dockerignore").write_text("Containerfile\n*.log\n")
    (folder / "x.log").write_text("noise")
    (folder / "src/a.py").chmod(0o600)
    (folder / "src/run").symlink_to("/etc/passwd")
    (folder / "src/b.py").chmod(0o700)

    with taken.copy(Source(folder=folder), tmp_path) as copied:
        modes = {
            str(path.relative_to(copied.context)): stat.S_IMODE(path.lstat().st_mode)
            for path in copied.context.rglob("*")
            if not path.is_symlink()
        }
        link = os.readlink(copied.context / "src/run")
        text = copied.recipe.read_text()

    assert copied.tag == tag(folder)
    assert modes == {"src": 0o755, "src/a.py": 0o644, "src/b.py": 0o755}
    assert (link, text) == ("/etc/passwd", "FROM scratch\n")
    assert not copied.context.exists()


def test_what_is_no_file_is_left_where_it_is(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(folder / "pipe")

    with taken.copy(Source(folder=folder), tmp_path) as copied:
        assert not (copied.context / "pipe").exists()


def test_files_of_the_same_size_and_time_have_other_times_in_the_copy(
    folder: Path, tmp_path: Path
) -> None:
    times = set()
    for text in ("A=1", "A=2", "A=1"):
        (folder / "src/a.py").write_text(text)
        os.utime(folder / "src/a.py", (0, 0))
        with taken.copy(Source(folder=folder), tmp_path) as copied:
            times.add((text, (copied.context / "src/a.py").stat().st_mtime_ns))

    assert len(times) == len({when for _, when in times}) == 2


@pytest.mark.parametrize("change", ["bytes", "gone", "new", "rules", "folder"])
def test_what_changes_while_it_is_read_is_read_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    done: list[Path] = []

    def copyfile(source: Path, target: Path, **more: bool) -> None:
        shutil.copyfile(source, target, **more)
        if not done:
            done.append(source)
            match change:
                case "bytes":
                    (folder / "src/a.py").write_text("changed")
                case "gone":
                    (folder / "src/b.py").unlink()
                case "new":
                    (folder / "src/c.py").write_text("c")
                case "rules":
                    (folder / ".dockerignore").write_text("src/a.py")
                case "folder":
                    (folder / "src/b.py").unlink()
                    (folder / "src/b.py").mkdir()

    monkeypatch.setattr(tree.shutil, "copyfile", _bound(shutil.copyfile, copyfile))

    with taken.copy(Source(folder=folder), tmp_path) as copied:
        again = taken.tag(Source(folder=folder))
        content = (copied.context / "src/a.py").exists()

    assert copied.tag == again
    assert content is (change != "rules")


def _bound(real: Callable[..., object], play: Callable[..., None]) -> Callable[..., None]:
    """Return *play*, in which the real function is still to be had."""

    def played(source: Path, target: Path, **more: bool) -> None:
        tree.shutil.copyfile = real  # type: ignore[assignment]
        try:
            play(source, target, **more)
        finally:
            tree.shutil.copyfile = played  # type: ignore[assignment]

    return played


def test_a_folder_that_never_rests_is_not_built(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = tree.copy

    def meanwhile(*given: object) -> list[tree.Entry]:
        made = copied(*given)  # type: ignore[arg-type]
        text = (folder / "src/a.py").read_text()
        (folder / "src/a.py").write_text(f"{text}.")
        return made

    monkeypatch.setattr(tree, "copy", meanwhile)

    with (
        pytest.raises(FailedError, match="changed each time that it was read"),
        taken.copy(Source(folder=folder), tmp_path),
    ):
        pass
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]


NAMES = st.sampled_from(["a", "b", "c.py", "d e", "ü", ".h"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
FILES = st.dictionaries(PATHS, st.tuples(st.binary(max_size=3), st.sampled_from([0o644, 0o755])))


def lay(folder: Path, files: dict[str, tuple[bytes, int]]) -> None:
    """Lay *files* into *folder*, as far as none is another's folder."""
    folder.mkdir()
    for path, (content, mode) in sorted(files.items()):
        if all(up not in files for up in ("/".join(path.split("/")[:n]) for n in (1, 2))):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
            (folder / path).chmod(mode)
        elif "/" not in path:
            (folder / path).write_bytes(content)
            (folder / path).chmod(mode)


@given(FILES, FILES)
@settings(max_examples=60, deadline=None)
def test_tags_are_equal_when_what_builders_read_is(
    tmp_path_factory: pytest.TempPathFactory,
    one: dict[str, tuple[bytes, int]],
    other: dict[str, tuple[bytes, int]],
) -> None:
    place = tmp_path_factory.mktemp("folders")
    seen, tags = [], []
    for name, files in (("one", one), ("other", other)):
        lay(place / name, files)
        (place / name / "Containerfile").write_text("FROM scratch\n")
        with taken.copy(Source(folder=place / name), place) as copied:
            seen.append(
                {
                    str(path.relative_to(copied.context)): (
                        path.is_dir() or path.read_bytes(),
                        stat.S_IMODE(path.stat().st_mode),
                    )
                    for path in copied.context.rglob("*")
                }
            )
            tags.append(copied.tag)
    shutil.rmtree(place)

    assert (tags[0] == tags[1]) is (seen[0] == seen[1])


# -- ignore files -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "path", "is_ignored"),
    [
        pytest.param("a.py", "a.py", True, id="exact"),
        pytest.param("a.py", "src/a.py", False, id="only-at-the-top"),
        pytest.param("**/a.py", "src/deep/a.py", True, id="anywhere"),
        pytest.param("**/a.py", "a.py", True, id="anywhere-is-also-the-top"),
        pytest.param("**/a.py", "ba.py", False, id="anywhere-is-a-whole-name"),
        pytest.param("**a.py", "src/ba.py", True, id="two-stars-without-a-slash"),
        pytest.param("src", "src/deep/a.py", True, id="folder"),
        pytest.param("src/", "src/a.py", True, id="folder-with-slash"),
        pytest.param("/src", "src/a.py", True, id="leading-slash"),
        pytest.param("./src/../src", "src/a.py", True, id="dots"),
        pytest.param("*.py", "src/a.py", False, id="star-stays-in-its-segment"),
        pytest.param("*/*.py", "src/a.py", True, id="two-segments"),
        pytest.param("src/?.py", "src/a.py", True, id="question-mark"),
        pytest.param("src/[a-c].py", "src/b.py", True, id="class"),
        pytest.param("src/[^a-c].py", "src/b.py", False, id="negated-class"),
        pytest.param("src/[!a].py", "src/b.py", False, id="no-exclamation-in-a-class"),
        pytest.param("*\n!src", "src/a.py", False, id="exception"),
        pytest.param("*\n! src", "src/a.py", False, id="exception-with-space"),
        pytest.param("*\n!src\nsrc/b.py", "src/b.py", True, id="last-wins"),
        pytest.param("**\n!./keep", "keep/x", False, id="exception-with-a-dot"),
        pytest.param("**\n!**/*.py", "deep/x.py", False, id="exception-anywhere"),
        pytest.param("# a.py\n\n", "a.py", False, id="comment"),
        pytest.param(" # a\n", "# a", True, id="no-comment"),
        pytest.param("\N{ZERO WIDTH NO-BREAK SPACE}a", "a", True, id="mark-of-order"),
        pytest.param("a\r\n", "a", True, id="of-windows"),
        pytest.param("a+b.txt", "aab.txt", False, id="no-regex"),
        pytest.param(r"a\*", "a*", True, id="escaped"),
        pytest.param("src/**", "src/deep/x", True, id="everything-below"),
        pytest.param("src/**", "src", False, id="not-the-folder-itself"),
        pytest.param("src/**/x", "src/x", True, id="none-between"),
        pytest.param("a**", "ab/c", True, id="prefix"),
        pytest.param("é?", "éü", True, id="letters-of-all-kinds"),
    ],
)
def test_reads_ignore_files(rules: str, path: str, is_ignored: bool) -> None:
    assert ignore.read(rules, "x").ignore(path) is is_ignored


@pytest.mark.parametrize("line", ["[z-a]", "[", "[]a]", "[a", "a\\", "!", "! ", "[-a]"])
def test_refuses_a_wrong_pattern(line: str) -> None:
    with pytest.raises(UserError, match=r"x/\.dockerignore has a"):
        ignore.read(f"ok\n{line}\n", "x/.dockerignore")


# -- recipes ------------------------------------------------------------------------------


def test_prefers_a_containerfile(folder: Path) -> None:
    (folder / "Dockerfile").write_text("FROM x\n")

    assert recipe.find(folder).name == "Containerfile"


def test_says_that_there_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither Containerfile nor Dockerfile"):
        recipe.find(tmp_path)
    with pytest.raises(UserError, match="There is no folder"):
        recipe.find(tmp_path / "nowhere")


def test_a_python_program_needs_no_recipe(folder: Path, tmp_path: Path) -> None:
    (folder / "Containerfile").unlink()
    (folder / "requirements.txt").write_text("numpy\n")
    found = recipe.find(folder)
    before = tag(folder)

    with taken.copy(Source(folder=folder), tmp_path) as copied:
        given = copied.recipe.read_text()
        inside = (copied.context / "Containerfile").exists()
    written = recipe.write(folder)

    assert found.is_default
    assert "FROM docker.io/library/python:" in found.words
    assert (given, inside) == (found.content.decode(), False)
    assert written.read_text() == given
    assert not recipe.find(folder).is_default
    assert tag(folder) != before  # the file is in the image now
    with pytest.raises(UserError, match="is there already"):
        recipe.write(folder)
