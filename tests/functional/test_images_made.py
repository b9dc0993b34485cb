"""Images made of a folder: by us from a real registry and locked wheels, or by a real buildah."""

import gzip
import hashlib
import io
import json
import os
import socket
import ssl
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from clusterous_api.errors import FailedError, UserError
from clusterous_cli.images import maker
from clusterous_cli.images.assembly import archives, pull, references
from tests import programs
from tests.region.parts import cache, images, operator_image
from tests.region.registry import hub
from tests.region.registry.readonly import ReadOnly

BASE = "docker.io/library/python:3.11-slim"
OPERATOR = operator_image.FOLDER
IN_PYTHON_OF_THE_IMAGE = sys.version_info[:2] == (3, 11)
needs_registry = programs.needs("docker-registry")
pytestmark = needs_registry


@dataclass
class Site:
    """A "Docker Hub" on loopback, with its token service."""

    storage: Path
    hosts: Mapping[str, str]
    gate: hub.Gate


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLUSTEROUS_CACHE_HOME", str(tmp_path / "cache"))
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(secure)
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"https://localhost:{listening.getsockname()[1]}"
    storage = tmp_path / "hub"
    program = programs.path("docker-registry")
    assert program
    gate = hub.Gate(storage=storage, realm=f"{url}/token")
    serving = ReadOnly(gate, "hub", listening, secure, Path(program), storage)
    store(storage, tmp_path / "base.tar")
    yield Site(storage=storage, hosts={references.HUB: url}, gate=gate)
    serving.close()


def store(storage: Path, tar: Path) -> None:
    """Put a small base image there: whoever makes an image on it runs nothing of it."""
    entry = images.Entry(content=b"not run", mode=0o755)
    layer = images.layer_from_entries({"usr/local/bin/python": entry}, tar)
    environment = {"PATH": "/usr/local/bin", "LANG": "C.UTF-8"}
    image = images.Image(name=BASE, layers=(layer,), command=("python3",), environment=environment)
    images.store(image, "library/python", "3.11-slim", storage)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another image than the operator's: one wheel, one package of ours."""
    wheel = make_wheel(tmp_path / "index")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    place = tmp_path / "images" / "tool"
    place.mkdir(parents=True)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (place / "requirements.lock").write_text(f"shout==1.0 --hash=sha256:{digest}\n")
    (place / "image.toml").write_text(
        f'name = "example.org/tool"\nbase = "{BASE}"\npython = "3.11"\n'
        'packages = ["clusterous_api"]\nlock = "requirements.lock"\nfolder = "/opt/tool"\n'
        'user = "1000"\nentrypoint = ["python", "-m", "shout"]\n'
        '[environment]\nLANG = "C"\nPYTHONPATH = "/opt/tool"\n'
    )
    return place


def make_wheel(folder: Path) -> Path:
    """Write a wheel with a module, data of its platform, and a script that is left out."""
    folder.mkdir()
    path = folder / "shout-1.0-cp311-cp311-manylinux_2_17_x86_64.whl"
    card = "Metadata-Version: 2.1\nName: shout\nVersion: 1.0\n"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("shout/__init__.py", "WORDS = {'a', 'b', 'c'} & {'a'}\n")
        packed.writestr("shout/__main__.py", "print('HELLO')\n")
        packed.writestr("shout/broken.py", "this is no Python\n")
        packed.writestr("shout-1.0.data/platlib/shout/fast.so", b"\x7fELF")
        packed.writestr("shout-1.0.data/scripts/shout", "#!python\n")
        packed.writestr("shout-1.0.dist-info/METADATA", card)
        packed.writestr(
            "shout-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nTag: cp311-cp311-manylinux_2_17_x86_64\n",
        )
        packed.writestr("shout-1.0.dist-info/RECORD", "")
    return path


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
    monkeypatch.setattr(pull, "API", {})
    monkeypatch.setitem(
        pull.API, references.HUB, site.hosts[references.HUB].removeprefix("https://")
    )
    told: list[str] = []

    maker.make(maker.plan(folder), "example.org/tool:1", tmp_path / "i.tar", told.append, nothing)

    assert archives.name_in(tmp_path / "i.tar") == "example.org/tool:1"
    assert any("no space" in line and "going on without it" in line for line in told)
