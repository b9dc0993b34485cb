"""Images made of a folder: by us from a real registry and locked wheels, or by a real buildah."""

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from clusterous_api.errors import FailedError, UserError
from clusterous_cli.images import maker
from clusterous_cli.images.assembly import archives, pull, references
from tests import programs
from tests.functional import dockerhub
from tests.functional.dockerhub import Site
from tests.region.parts import cache, operator_image

BASE = "docker.io/library/python:3.11-slim"
IN_PYTHON_OF_THE_IMAGE = sys.version_info[:2] == (3, 11)
needs_registry = programs.needs("docker-registry")
pytestmark = needs_registry


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with dockerhub.serving(tmp_path, monkeypatch) as served:
        yield served


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return dockerhub.tool(tmp_path, monkeypatch)


def nothing(name: str, have: int, total: int) -> None:
    """Show no progress."""


def made(site: Site, folder: Path, target: Path) -> maker.Plan:
    what = maker.plan(folder)
    maker.assemble(what, what.reference, target, lambda line: None, nothing, site.hosts)
    return what


def opened(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {one.name: read(tar, one) for one in tar if one.isfile()}


def read(tar: tarfile.TarFile, one: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(one)
    assert file
    return file.read()


def in_json(files: Mapping[str, bytes], digest: str) -> Any:
    return json.loads(files[f"blobs/sha256/{digest.removeprefix('sha256:')}"])


def layer_files(files: Mapping[str, bytes], listed: str) -> dict[str, bytes]:
    return plain(gzip.decompress(files[listed]))


def plain(layer: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        return {one.name: read(tar, one) for one in tar if one.isfile()}


def test_an_image_of_any_folder_is_made_of_the_base_and_one_layer(
    site: Site, folder: Path, tmp_path: Path
) -> None:
    what = made(site, folder, tmp_path / "image.tar")

    files = opened(tmp_path / "image.tar")
    (listed,) = json.loads(files["manifest.json"])
    assert listed["RepoTags"] == [what.reference] == [archives.name_in(tmp_path / "image.tar")]
    manifest = in_json(files, json.loads(files["index.json"])["manifests"][0]["digest"])
    config = in_json(files, manifest["config"]["digest"])
    assert len(manifest["layers"]) == len(config["rootfs"]["diff_ids"]) == 2
    assert config["config"] | {"Env": sorted(config["config"]["Env"])} == {
        "Env": ["LANG=C", "PATH=/usr/local/bin", "PYTHONPATH=/opt/tool"],
        "User": "1000",
        "Entrypoint": ["python", "-m", "shout"],
        "Cmd": None,
        "WorkingDir": "/",
    }
    inside = layer_files(files, listed["Layers"][-1])
    assert inside["opt/tool/shout/fast.so"] == b"\x7fELF"
    assert "opt/tool/clusterous_api/clusterousapps.yaml" in inside
    assert "opt/tool/clusterous_api/names.py" in inside
    assert not [path for path in inside if path.endswith("/scripts/shout")]


def test_every_part_of_an_archive_is_what_its_name_says(
    site: Site, folder: Path, tmp_path: Path
) -> None:
    made(site, folder, tmp_path / "image.tar")

    files = opened(tmp_path / "image.tar")
    (listed,) = json.loads(files["manifest.json"])
    config = json.loads(files[listed["Config"]])
    digests = [hashlib.sha256(gzip.decompress(files[one])) for one in listed["Layers"]]
    assert [f"sha256:{one.hexdigest()}" for one in digests] == config["rootfs"]["diff_ids"]
    for name, content in files.items():
        if name.startswith("blobs/"):
            assert name.endswith(hashlib.sha256(content).hexdigest())


def test_the_same_folder_gives_the_same_bytes(
    site: Site, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(site, folder, tmp_path / "one.tar")
    monkeypatch.setenv("CLUSTEROUS_CACHE_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("PYTHONHASHSEED", "77")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    before = os.umask(0o077)
    made(site, folder, tmp_path / "two.tar")
    os.umask(before)

    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


@pytest.mark.skipif(not IN_PYTHON_OF_THE_IMAGE, reason="needs the image's own Python")
def test_python_compiles_nothing_anew_where_the_layer_lies(
    site: Site, folder: Path, tmp_path: Path
) -> None:
    made(site, folder, tmp_path / "image.tar")
    files = opened(tmp_path / "image.tar")
    (listed,) = json.loads(files["manifest.json"])
    for path, content in layer_files(files, listed["Layers"][-1]).items():
        place = tmp_path / "root" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        os.utime(place, (0, 0))  # as the layer has it

    argv = [sys.executable, "-v", "-c", "import shout, clusterous_api.names"]
    where = {"PYTHONPATH": str(tmp_path / "root/opt/tool"), "PYTHONDONTWRITEBYTECODE": "1"}
    said = subprocess.run(argv, env=where, capture_output=True, text=True, check=True).stderr

    ours = [
        line for line in said.splitlines() if "code object from" in line and "/opt/tool/" in line
    ]
    assert len(ours) == 3
    assert all("__pycache__" in line for line in ours)


def test_what_is_not_the_digests_is_thrown_away(site: Site, folder: Path, tmp_path: Path) -> None:
    for blob in (site.storage / "docker/registry/v2/blobs").glob("sha256/*/*/data"):
        content = blob.read_bytes()
        if content[:2] == b"\x1f\x8b":
            blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    with pytest.raises(FailedError, match="not what its name says"):
        made(site, folder, tmp_path / "image.tar")

    assert not (tmp_path / "image.tar").exists()
    assert not list((tmp_path / "cache/blobs").glob("*.part"))


def test_a_part_that_was_spoilt_here_is_fetched_anew(
    site: Site, folder: Path, tmp_path: Path
) -> None:
    made(site, folder, tmp_path / "one.tar")
    for blob in (tmp_path / "cache/blobs").iterdir():
        blob.write_bytes(b"?" * blob.stat().st_size)

    made(site, folder, tmp_path / "two.tar")

    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_a_wheel_that_the_lock_does_not_know_is_refused(
    site: Site, folder: Path, tmp_path: Path
) -> None:
    (folder / "requirements.lock").write_text(f"shout==1.0 --hash=sha256:{'0' * 64}\n")

    with pytest.raises(FailedError, match=r"(?s)requirements\.lock.*HASHES"):
        made(site, folder, tmp_path / "image.tar")


def test_an_image_that_is_not_there_is_told(site: Site) -> None:
    wanted = pull.Registry(references.parse("python:3.99"), site.hosts)

    with pytest.raises(UserError, match=r"library/python:3.99 cannot be read \(404\)"):
        wanted.manifest()


def test_an_image_of_nobodys_repository_is_told(site: Site) -> None:
    wanted = pull.Registry(references.parse("nobody/nothing"), site.hosts)

    with pytest.raises(UserError, match=r"nobody/nothing cannot be read \(401\).*docker save"):
        wanted.manifest()


def test_the_tag_changes_with_what_the_image_is_made_of(folder: Path) -> None:
    before = maker.plan(folder).tag
    text = (folder / "image.toml").read_text()
    (folder / "image.toml").write_text(text.replace('user = "1000"', 'user = "1001"'))
    other = maker.plan(folder).tag
    (folder / "image.toml").write_text(text)
    (folder / "requirements.lock").write_text("shout==1.1 --hash=sha256:00\n")

    assert len({before, other, maker.plan(folder).tag}) == 3
    (folder / "requirements.lock").write_text("")
    assert maker.plan(folder).tag != before


def hub_of_the_region() -> Path | None:
    return next(iter(sorted(cache.default_root().glob("hub-*"))), None)


@programs.needs("buildah")
@pytest.mark.skipif(os.geteuid() != 0, reason="buildah asks for root here")
@pytest.mark.skipif(hub_of_the_region() is None and not os.environ.get("CI"), reason="no base yet")
def test_a_builder_makes_it_where_there_is_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, program = hub_of_the_region(), programs.path("docker-registry")
    assert storage
    assert program
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CLUSTEROUS_BUILDER", "buildah")
    told: list[str] = []
    with operator_image.serving(Path(program), storage) as address:
        settings = f'[[registry]]\nprefix="docker.io"\nlocation="{address}"\ninsecure=true\n'
        (tmp_path / "registries.conf").write_text(settings)
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "registries.conf"))

        what = maker.plan(folder)
        maker.make(what, what.reference, tmp_path / "image.tar", told.append, nothing)

    assert not [line for line in told if "going on without" in line]
    assert archives.name_in(tmp_path / "image.tar") == what.reference
    files = opened(tmp_path / "image.tar")
    (listed,) = json.loads(files["manifest.json"])
    stored = {path: text for one in listed["Layers"] for path, text in plain(files[one]).items()}
    bytecode = stored["opt/tool/clusterous_api/__pycache__/names.cpython-311.pyc"]
    assert bytecode[4:8] == b"\x01\0\0\0"  # by hash, and unchecked: PEP 552


def test_a_builder_that_fails_does_not_end_it(
    site: Site, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/docker").write_text(
        '#!/bin/sh\n[ "$1" = version ] || { echo no space; exit 1; }\n'
    )
    (tmp_path / "bin/docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("CLUSTEROUS_BUILDER", "docker")
    told: list[str] = []

    maker.make(maker.plan(folder), "example.org/tool:1", tmp_path / "i.tar", told.append, nothing)

    assert archives.name_in(tmp_path / "i.tar") == "example.org/tool:1"
    assert any("no space" in line and "going on without it" in line for line in told)
