"""Base images of a region: they trust its authority, and are otherwise what was built."""

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.region.parts import images
from tests.region.parts.images import Entry, Image
from tests.region.registry import trust

PLACE = "docker/registry/v2"


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    made = tmp_path / "storage"
    entries = {trust.BUNDLE: Entry(content=b"the world's"), "bin/true": Entry(content=b"")}
    layer = images.layer_from_entries(entries, tmp_path / "layer.tar")
    image = Image(name="base", layers=(layer,), environment={"PYTHON_VERSION": "3.11"})
    images.store(image, "library/python", "3.11-slim", made)
    images.store(image, "library/debian", "bookworm-slim", made)
    return made


def manifest(storage: Path, name: str, tag: str) -> dict[str, Any]:
    link = storage / PLACE / f"repositories/{name}/_manifests/tags/{tag}/current/link"
    return read(storage, link.read_text())


def read(storage: Path, digest: str) -> dict[str, Any]:
    content = images.blob(storage / PLACE, digest).read_bytes()
    assert images.digest_of(content) == digest
    found: dict[str, Any] = json.loads(content)
    return found


def files(storage: Path, digest: str) -> dict[str, bytes]:
    packed = images.blob(storage / PLACE, digest).read_bytes()
    assert images.digest_of(packed) == digest
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed))) as tar:
        return {one.name: file.read() for one in tar if (file := tar.extractfile(one))}


def test_pythons_image_trusts_the_region_by_a_layer_more(storage: Path, tmp_path: Path) -> None:
    before = manifest(storage, "library/python", "3.11-slim")

    trust.extend([storage], tmp_path / "hub", b"the region's", b"the world's and the region's")

    after = manifest(tmp_path / "hub", "library/python", "3.11-slim")
    *kept, added = after["layers"]
    config = read(tmp_path / "hub", after["config"]["digest"])
    assert kept == before["layers"]
    assert files(tmp_path / "hub", kept[0]["digest"])[trust.BUNDLE] == b"the world's"
    assert files(tmp_path / "hub", added["digest"]) == {
        trust.BUNDLE: b"the world's and the region's",
        trust.ADDED: b"the region's",
    }
    assert len(config["rootfs"]["diff_ids"]) == 2
    assert "PYTHON_VERSION=3.11" in config["config"]["Env"]


def test_an_image_without_authorities_and_what_was_built_stay_as_they_are(
    storage: Path, tmp_path: Path
) -> None:
    before = [manifest(storage, "library/debian", "bookworm-slim")]
    built = {path: path.read_bytes() for path in storage.rglob("*") if path.is_file()}

    trust.extend([storage], tmp_path / "hub", b"the region's", b"both")

    assert [manifest(tmp_path / "hub", "library/debian", "bookworm-slim")] == before
    assert {path: path.read_bytes() for path in storage.rglob("*") if path.is_file()} == built


def test_storages_become_one(storage: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    layer = images.layer_from_entries({"java": Entry(content=b"java")}, tmp_path / "java.tar")
    images.store(Image(name="java", layers=(layer,)), "library/java", "17", other)

    trust.extend([storage, other], tmp_path / "hub", b"the region's", b"both")

    [layer_of_java] = manifest(tmp_path / "hub", "library/java", "17")["layers"]
    assert files(tmp_path / "hub", layer_of_java["digest"]) == {"java": b"java"}
    assert len(manifest(tmp_path / "hub", "library/python", "3.11-slim")["layers"]) == 2


def test_storages_may_have_layers_in_common(storage: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    entries = {trust.BUNDLE: Entry(content=b"the world's"), "bin/true": Entry(content=b"")}
    layer = images.layer_from_entries(entries, tmp_path / "again.tar")
    images.store(Image(name="more", layers=(layer,)), "library/more", "1", other)

    trust.extend([storage, other], tmp_path / "hub", b"the region's", b"both")

    [common] = manifest(tmp_path / "hub", "library/more", "1")["layers"]
    assert common == manifest(tmp_path / "hub", "library/python", "3.11-slim")["layers"][0]
