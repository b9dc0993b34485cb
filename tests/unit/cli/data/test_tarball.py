"""What comes home by tar, of whatever programs made on the volume."""

import io
import tarfile
from pathlib import Path

import pytest

from clusterous_cli.data import tarball


def archive(*entries: tarfile.TarInfo) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as made:
        for entry in entries:
            made.addfile(entry)
    return io.BytesIO(stream.getvalue())


def link(name: str, target: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    return entry


def folder(name: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    return entry


@pytest.mark.parametrize(
    ("target", "is_kept"),
    [
        ("deep/down/top/../..", False),  # `top` leads up: two more steps are out of here
        ("deep/down/top/..", False),
        ("../secret", False),
        ("deep/down", True),
        ("./deep/./down", True),
    ],
)
def test_no_chain_of_links_leads_out(tmp_path: Path, target: str, is_kept: bool) -> None:
    home = tmp_path / "results"
    home.mkdir()
    (tmp_path / "secret").write_text("mine")
    stream = archive(
        folder("deep"), folder("deep/down"), link("deep/down/top", "../.."), link("way", target)
    )

    left = tarball.unpack(stream, home)

    assert (home / "way").is_symlink() is is_kept
    assert [one.path for one in left] == ([] if is_kept else ["way"])


def test_a_file_of_any_year_arrives(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("late")
    entry.mtime = 10**30

    tarball.unpack(archive(entry), tmp_path)

    assert (tmp_path / "late").is_file()


Wanted = tuple[str, bytes, str]


def packed(*entries: Wanted) -> io.BytesIO:
    """An archive of entries: a name, a kind, and what a link leads to or a file holds."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as made:
        for name, kind, content in entries:
            entry = tarfile.TarInfo(name)
            entry.type = kind
            if kind == tarfile.REGTYPE:
                entry.size = len(content)
                made.addfile(entry, io.BytesIO(content.encode()))
            else:
                entry.linkname = content
                made.addfile(entry)
    stream.seek(0)
    return stream


FILE, LINK, HARD, FOLDER = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([("../evil", FILE, "x")], id="above"),
        pytest.param([("/evil", FILE, "x")], id="absolute"),
        pytest.param([("d", LINK, ".."), ("d/evil", FILE, "x")], id="by a link"),
        pytest.param(
            [("d", LINK, "."), ("d/e", LINK, ".."), ("d/e/evil", FILE, "x")], id="by two links"
        ),
        pytest.param(
            [("d", LINK, "."), ("d/e", LINK, ".."), ("e/evil", FILE, "x")], id="by another's name"
        ),
        pytest.param([("d", LINK, "."), ("d/e", LINK, ".."), ("e/sub", FOLDER, "")], id="a folder"),
        pytest.param([("x", HARD, "../secret")], id="a hard link above"),
        pytest.param([("x", HARD, "a/../../secret")], id="a hard link above by a folder"),
    ],
)
def test_nothing_comes_from_or_goes_outside_of_the_folder(
    tmp_path: Path, entries: list[Wanted]
) -> None:
    (tmp_path / "secret").write_text("of mine")
    folder = tmp_path / "got"
    folder.mkdir()

    tarball.unpack(packed(*entries), folder)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["got", "secret"]
    held = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert "of mine" not in [path.read_text() for path in held]


def test_a_link_where_a_folder_comes_makes_way(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "got").mkdir()
    (tmp_path / "got/run").symlink_to(tmp_path / "other")

    tarball.unpack(packed(("run/deep/x", FILE, "x")), tmp_path / "got")

    assert list((tmp_path / "other").iterdir()) == []
    assert (tmp_path / "got/run/deep/x").read_text() == "x"


def test_a_folder_that_is_itself_a_link_is_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "got").symlink_to(tmp_path / "disk")

    tarball.unpack(packed((".", FOLDER, ""), ("x", FILE, "x")), tmp_path / "got")

    assert (tmp_path / "got").is_symlink()
    assert (tmp_path / "disk/x").read_text() == "x"
