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
