"""The volume server's image: packages of Debian in one layer, programs that find what they load."""

import gzip
import hashlib
import http.server
import io
import json
import os
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from clusterous_api.errors import FailedError
from clusterous_cli.images import maker, recipes
from clusterous_cli.images.assembly import debs
from tests import programs
from tests.functional import dockerhub
from tests.functional.test_images_made import made, nothing, opened
from tests.region.parts import cache, volume_image
from tests.unit.cli.images.test_debs import entry, packed

PATH = "debian/pool/main/t/tool/tool_1_amd64.deb"
GANESHA = "usr/lib/x86_64-linux-gnu/ganesha/libfsalvfs.so"
# What keeper.py runs, and what a person wants beside a volume that is ill.
RUN = (
    *("usr/bin/ganesha.nfsd", GANESHA, "usr/sbin/mkfs.xfs", "usr/sbin/xfs_growfs"),
    *("usr/sbin/mkfs.ext4", "usr/sbin/resize2fs", "usr/bin/mount", "usr/bin/chattr"),
    *("usr/sbin/blkid", "usr/sbin/losetup", "usr/sbin/xfs_repair", "usr/sbin/e2fsck"),
)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Debian's pool on loopback: today's, and what is kept of any day."""
    root = tmp_path / "mirror"
    root.mkdir()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    handler = partial(_Quiet, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        base = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(debs, "POOL", f"{base}/pool/{{path}}")
        monkeypatch.setattr(debs, "KEPT", f"{base}/kept/{{archive}}/{{day}}/{{rest}}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield root
        server.shutdown()


def placed(root: Path, where: str) -> str:
    """Put a package there; return the lock of it."""
    content = packed([entry("./sbin/tool", 0o755), entry("./etc/tool.conf")])
    path = root / where
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return f"at 20260101T000000Z\n{hashlib.sha256(content).hexdigest()}  {PATH}\n"


TODAY = f"pool/{PATH}"
KEPT = "kept/debian/20260101T000000Z/pool/main/t/tool/tool_1_amd64.deb"


@pytest.mark.parametrize("where", [TODAY, KEPT], ids=["today's", "an older one"])
def test_a_package_is_fetched_where_it_is_and_once(
    debian: Path, tmp_path: Path, where: str
) -> None:
    lock = placed(debian, where)

    (first,) = debs.fetch(lock, tmp_path / "debs", nothing)
    (debian / where).unlink()
    (again,) = debs.fetch(lock, tmp_path / "debs", nothing)

    assert first == again
    assert set(debs.unpacked(again)) == {"usr/sbin/tool", "etc/tool.conf"}


def test_another_package_than_the_locked_one_is_thrown_away(debian: Path, tmp_path: Path) -> None:
    lock = placed(debian, TODAY)
    (debian / TODAY).write_bytes(b"another")

    with pytest.raises(FailedError, match="another checksum"):
        debs.fetch(lock, tmp_path / "debs", nothing)

    assert list((tmp_path / "debs").iterdir()) == []


def folder_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: str) -> Path:
    folder = dockerhub.tool(tmp_path, monkeypatch)
    (folder / "packages.lock").write_text(lock)
    (folder / "tool.conf").write_text("x = 1\n")
    (folder / "image.toml").write_text(
        f'name = "example.org/tool"\nbase = "{dockerhub.BASE}"\npython = "3.11"\n'
        'debs = "packages.lock"\nfiles = ["tool.conf"]\nfolder = "/app"\nuser = "0:0"\n'
        'entrypoint = ["tool"]\n[links]\n"/etc/mtab" = "/proc/mounts"\n[environment]\n'
    )
    return folder


@programs.needs("docker-registry")
def test_packages_links_and_files_are_one_layer_of_the_same_bytes(
    debian: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(tmp_path, monkeypatch, placed(debian, TODAY))
    with dockerhub.serving(tmp_path, monkeypatch) as site:
        made(site, folder, tmp_path / "one.tar")
        monkeypatch.setenv("CLUSTEROUS_CACHE_HOME", str(tmp_path / "elsewhere"))
        made(site, folder, tmp_path / "two.tar")

    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    files = opened(tmp_path / "one.tar")
    (listed,) = json.loads(files["manifest.json"])
    assert len(listed["Layers"]) == 2
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(files[listed["Layers"][1]]))) as tar:
        inside = {one.name: (one.mode, one.linkname) for one in tar if not one.isdir()}
    assert inside == {
        "app/tool.conf": (0o644, ""),
        "etc/mtab": (0o777, "/proc/mounts"),
        "etc/tool.conf": (0o644, ""),
        "usr/sbin/tool": (0o755, ""),
    }


def test_a_builder_gets_them_as_one_layer_too(
    debian: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = maker.plan(folder_of(tmp_path, monkeypatch, placed(debian, TODAY)))

    assert recipes.containerfile(what.recipe, what.base).splitlines()[1:3] == [
        "ADD root.tar.gz /",
        "COPY app/ /app/",
    ]


def test_the_tag_follows_packages_and_links(
    debian: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = placed(debian, TODAY)
    folder = folder_of(tmp_path, monkeypatch, lock)
    before = maker.plan(folder).tag
    (folder / "packages.lock").write_text(f"{lock}{'b' * 64}  debian/pool/main/b/b_1.deb\n")
    more = maker.plan(folder).tag
    (folder / "packages.lock").write_text(lock)
    text = (folder / "image.toml").read_text()
    (folder / "image.toml").write_text(text.replace("/proc/mounts", "/proc/self/mounts"))

    assert len({before, more, maker.plan(folder).tag}) == 3


def archive() -> Path | None:
    found = cache.default_root().glob(f"volume_image-*/{volume_image.ARCHIVE}")
    return max(found, key=os.path.getmtime, default=None)


@pytest.mark.skipif(os.geteuid() != 0, reason="runs programs of another root")
@pytest.mark.skipif(archive() is None and not os.environ.get("CI"), reason="not made yet")
def test_its_programs_find_all_that_they_load(tmp_path: Path) -> None:
    there = archive()
    assert there
    volume_image.unpack(there, tmp_path)

    argv = ["chroot", str(tmp_path), "ldd", *(f"/{program}" for program in RUN)]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    assert [line for line in said.splitlines() if "not found" in line] == []
    python = [
        "chroot",
        str(tmp_path),
        "python",
        "-c",
        "import sys; sys.path[0] = '/app'; import keeper",
    ]
    subprocess.run(python, check=True)


MADE = """
import sys; sys.path[0] = "/app"
import keeper, pathlib
order, path = keeper.Order(volume="vol-0abc"), pathlib.Path("/disk")
with path.open("wb") as file:
    file.truncate(int(sys.argv[1]))
assert keeper.step(order, keeper.probe(order, path)) is keeper.Step.MAKE
keeper._write(path, keeper.BEGUN, keeper.witness(order))
keeper.run("mkfs.xfs", "-q", "-K", str(path))
cut = keeper.probe(order, path)
assert cut.begun and cut.tags["TYPE"] == "xfs", cut
with path.open("r+b") as file:
    file.truncate(2 * int(sys.argv[1]))
grown = keeper.probe(order, path)
assert keeper.step(order, grown) is keeper.Step.AGAIN, grown
keeper.make(order, path, again=True)
assert keeper.step(order, keeper.probe(order, path)) is keeper.Step.WAIT
marked = keeper.Order(volume="vol-0abc", marked=True)
keeper._write(path, 0, bytes(65536))
try:
    keeper.step(marked, keeper.probe(marked, path))
except keeper.RefusedError as error:
    assert error.reason == "damaged"
else:
    raise AssertionError("a superblock that is gone was taken for something")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="runs programs of another root")
@pytest.mark.skipif(archive() is None and not os.environ.get("CI"), reason="not made yet")
@pytest.mark.parametrize("gib", [1, 20, 1000])
def test_mkfs_leaves_the_witness_that_it_was_begun(tmp_path: Path, gib: int) -> None:
    there = archive()
    assert there
    volume_image.unpack(there, tmp_path)
    shutil.rmtree(tmp_path / "app")  # the keeper of today, whenever its programs were put together
    shutil.copytree(volume_image.FOLDER, tmp_path / "app")

    subprocess.run(["chroot", str(tmp_path), "python", "-c", MADE, str(gib << 30)], check=True)
