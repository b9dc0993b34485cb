"""Archives that builders write: each kind is read, and what is not right is refused."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from clusterous_api.errors import FailedError
from clusterous_cli.images.assembly.archives import LAYER_TYPE
from clusterous_cli.images.sending import saved

LAYER = b"a layer, " * 1000
DIFF_ID = f"sha256:{hashlib.sha256(LAYER).hexdigest()}"


def config(arch: str = "amd64", *diff_ids: str) -> bytes:
    layers = {"type": "layers", "diff_ids": list(diff_ids or (DIFF_ID,))}
    return json.dumps({"os": "linux", "architecture": arch, "rootfs": layers}).encode()


def listed(*entries: tuple[str, list[str]]) -> bytes:
    return json.dumps([{"Config": name, "Layers": layers} for name, layers in entries]).encode()


def written(path: Path, files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for name, to in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, to
            tar.addfile(info)
    return path


def blob(content: bytes) -> tuple[str, bytes]:
    return f"blobs/sha256/{hashlib.sha256(content).hexdigest()}", content


def described(content: bytes, **more: Any) -> dict[str, Any]:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return {"digest": digest, "size": len(content), **more}


def layout(arch: str = "amd64", layer: bytes = LAYER) -> dict[str, bytes]:
    """An image in OCI's layout as BuildKit writes it, with an attestation beside it."""
    told = config(arch)
    manifest = json.dumps({"config": described(told), "layers": [described(layer)]}).encode()
    other = json.dumps({"config": described(b"{}"), "layers": []}).encode()
    nowhere = {"os": "unknown", "architecture": "unknown"}
    platform = {"os": "linux", "architecture": arch}
    inner = json.dumps(
        {
            "manifests": [
                described(other, platform=nowhere),
                described(manifest, platform=platform),
            ]
        }
    ).encode()
    index = json.dumps({"manifests": [described(inner)]}).encode()
    parts = (told, manifest, other, inner, layer, b"{}")
    return {"index.json": index, **dict(blob(part) for part in parts)}


@pytest.mark.parametrize(
    ("files", "links"),
    [
        pytest.param(
            {"manifest.json": listed(("c", ["1/l"])), "c": config(), "1/l": LAYER},
            {}, id="docker and podman",
        ),
        pytest.param(
            {"manifest.json": listed(("c", ["2/l"])), "c": config(), "1/l": LAYER},
            {"2/l": "../1/l"}, id="docker, of a layer that is there twice",
        ),
        pytest.param(
            {
                "manifest.json": listed(("arm", ["x"]), ("amd", ["l"])),
                "arm": config("arm64"), "amd": config(), "x": b"x", "l": gzip.compress(LAYER),
            },
            {}, id="docker with containerd's store: packed, several platforms",
        ),
        pytest.param(layout(), {}, id="OCI's layout"),
        pytest.param(layout(layer=gzip.compress(LAYER)), {}, id="OCI's layout, packed"),
    ],
)  # fmt: skip
def test_archives_of_all_builders_are_read(
    tmp_path: Path, files: dict[str, bytes], links: dict[str, str]
) -> None:
    image = saved.read(written(tmp_path / "image.tar", files, links))
    (layer,) = image.layers
    packed = image.pack(layer, tmp_path)

    assert json.loads(image.config)["architecture"] == "amd64"
    assert layer.diff_id == DIFF_ID
    content = packed.path.read_bytes()
    assert packed.described == {**described(content), "mediaType": LAYER_TYPE}
    assert gzip.decompress(content) == LAYER


def test_a_layer_is_packed_to_the_same_bytes_each_time(tmp_path: Path) -> None:
    image = saved.read(written(tmp_path / "image.tar", layout()))
    places = [tmp_path / "one", tmp_path / "two"]
    for place in places:
        place.mkdir()

    digests = {image.pack(image.layers[0], place).digest for place in places}

    assert len(digests) == 1


def test_a_layer_that_only_newer_programs_unpack_stays_as_it_is(tmp_path: Path) -> None:
    packed = b"\x28\xb5\x2f\xfd and so on"
    image = saved.read(written(tmp_path / "image.tar", layout(layer=packed)))

    made = image.pack(image.layers[0], tmp_path)

    assert made.path.read_bytes() == packed
    assert made.media_type.endswith("+zstd")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        pytest.param({"readme": b"hello"}, "is no image", id="no image"),
        pytest.param({"manifest.json": b"[]"}, "an empty list", id="no image in the list"),
        pytest.param({"manifest.json": b"{"}, "is no image", id="cut short"),
        pytest.param(
            {"manifest.json": listed(("c", ["a", "b"])), "c": config()}, "is no image",
            id="layers that nobody knows",
        ),
        pytest.param(layout("arm64"), "made an image for linux/arm64", id="for other machines"),
    ],
)  # fmt: skip
def test_what_is_no_image_for_our_nodes_is_refused(
    tmp_path: Path, files: dict[str, bytes], words: str
) -> None:
    with pytest.raises(FailedError, match=words):
        saved.read(written(tmp_path / "image.tar", files))


@pytest.mark.parametrize(
    "layer", [b"another", gzip.compress(b"another")], ids=["as it is", "packed"]
)
def test_a_layer_that_was_changed_is_not_pushed(tmp_path: Path, layer: bytes) -> None:
    files = {"manifest.json": listed(("c", ["l"])), "c": config(), "l": layer}
    image = saved.read(written(tmp_path / "image.tar", files))

    with pytest.raises(FailedError, match="is not what it is called"):
        image.pack(image.layers[0], tmp_path)
