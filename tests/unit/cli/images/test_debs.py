"""Debian's packages, taken apart without dpkg."""

import io
import tarfile
from pathlib import Path

import pytest

from clusterous_api.errors import FailedError
from clusterous_cli.images.assembly import debs
from clusterous_cli.images.assembly.layers import Node
from release import debs as locking

SUM = "a" * 64


def packed(entries: list[tarfile.TarInfo], content: bytes = b"x") -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as tar:
        for entry in entries:
            entry.size = len(content) if entry.isreg() else 0
            tar.addfile(entry, io.BytesIO(content))
    parts = (
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", b"odd"),
        ("data.tar.xz", data.getvalue()),
    )
    return b"!<arch>\n" + b"".join(_member(name, text) for name, text in parts)


def _member(name: str, content: bytes) -> bytes:
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
    return header + content + b"\n" * (len(content) % 2)


def entry(name: str, mode: int = 0o644, **more: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode = mode
    for key, value in more.items():
        setattr(info, key, value)
    return info


def unpacked(folder: Path, *entries: tarfile.TarInfo) -> dict[str, Node]:
    path = folder / "x.deb"
    path.write_bytes(packed(list(entries)))
    return debs.unpacked(path)


def test_files_lie_where_debian_12_has_them_with_nobodys_rights(tmp_path: Path) -> None:
    found = unpacked(
        tmp_path,
        entry("./sbin", type=tarfile.DIRTYPE),
        entry("./sbin/mkfs.xfs", 0o755),
        entry("./sbin/mkfs.ext4", 0o755, type=tarfile.LNKTYPE, linkname="./sbin/mkfs.xfs"),
        entry("./bin/mount", 0o4755),
        entry("./lib/x86_64-linux-gnu/a.so", type=tarfile.SYMTYPE, linkname="a.so.1"),
        entry("./etc/libaudit.conf"),
        entry("./usr/share/doc/a/copyright"),
        entry("./usr/share/doc/a/changelog.gz"),
        entry("./usr/share/man/man8/mount.8.gz"),
    )

    assert found == {
        "usr/sbin/mkfs.xfs": Node(content=b"x", mode=0o755),
        "usr/sbin/mkfs.ext4": Node(content=b"x", mode=0o755),
        "usr/bin/mount": Node(content=b"x", mode=0o755),
        "usr/lib/x86_64-linux-gnu/a.so": Node(mode=0o777, link="a.so.1"),
        "etc/libaudit.conf": Node(content=b"x"),
        "usr/share/doc/a/copyright": Node(content=b"x"),
    }


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        pytest.param(entry("../etc/passwd"), "would leave its folder", id="above"),
        pytest.param(entry("/etc/passwd"), "would leave its folder", id="from the root"),
        pytest.param(entry("./dev/x", type=tarfile.CHRTYPE), "neither file nor link", id="device"),
    ],
)
def test_what_no_package_should_hold_is_refused(
    tmp_path: Path, bad: tarfile.TarInfo, says: str
) -> None:
    with pytest.raises(FailedError, match=says):
        unpacked(tmp_path, bad)


def test_what_is_no_package_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.deb").write_bytes(b"<html>")

    with pytest.raises(FailedError, match=r"x\.deb is no package"):
        debs.unpacked(tmp_path / "x.deb")


def test_a_package_has_a_place_for_today_and_one_for_ever() -> None:
    text = f"# words\nat 20260101T000000Z\n{SUM}  debian-security/pool/updates/main/a/a_1%2b1.deb\n"

    day, (package,) = debs.locked(text)

    assert package.urls(day) == (
        "https://deb.debian.org/debian-security/pool/updates/main/a/a_1%2b1.deb",
        "https://snapshot.debian.org/archive/debian-security/20260101T000000Z/"
        "pool/updates/main/a/a_1%2b1.deb",
    )


@pytest.mark.parametrize(
    "line", [f"{SUM} debian/pool/a.deb", f"{SUM}  ../pool/a.deb", "x  debian/pool/a.deb"]
)
def test_a_lock_of_another_form_is_no_lock(line: str) -> None:
    with pytest.raises(ValueError, match="no lock"):
        debs.locked(f"at 20260101T000000Z\n{line}\n")


def test_the_lock_names_all_that_is_wanted_and_reads_as_one() -> None:
    _, packages = debs.locked(locking.LOCK.read_text())

    assert sorted(one.filename.partition("_")[0] for one in packages) == sorted(locking.WANTED)


def test_another_day_is_no_other_image() -> None:
    text = locking.LOCK.read_text()
    other = text.replace("at 20", "at 19")

    assert text != other
    assert debs.digest(text) == debs.digest(other)
    assert debs.digest(text) != debs.digest("\n".join(text.splitlines()[:-1]))


def test_what_apt_does_not_know_is_told() -> None:
    with pytest.raises(ValueError, match="named 0"):
        locking.lock("E: Unable to locate package", "20260101T000000Z")
