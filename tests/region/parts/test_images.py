"""Images written without an engine: their digests are right, and they are the same each time."""

import gzip
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.region.parts import buildkit, images, release
from tests.region.parts.images import Entry, Image


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def make_image(folder: Path, /, name: str = "docker.io/library/hello:1", **changes: Any) -> Image:
    entries = {
        "bin/hello": Entry(content=b"#!/bin/sh\n"),
        "bin/hi": Entry(link="hello"),
        "tmp": Entry(mode=0o1777),
    }
    layer = images.layer_from_entries(entries, folder / "layer.tar")
    return Image(name=name, layers=(layer,), **changes)


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {
            item.name: file.read() for item in tar if (file := tar.extractfile(item)) is not None
        }


def tree(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def listed(tar: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(tar) as opened:
        return {item.name: item for item in opened}


def test_an_archive_names_everything_by_its_digest(tmp_path: Path) -> None:
    images.write_archive([make_image(tmp_path)], tmp_path / "image.tar")

    held = members((tmp_path / "image.tar").read_bytes())
    [entry] = json.loads(held["manifest.json"])
    config = held[entry["Config"]]
    assert entry["RepoTags"] == ["docker.io/library/hello:1"]
    assert f"{sha256(config)[7:]}.json" == entry["Config"]
    assert [sha256(held[name]) for name in entry["Layers"]] == json.loads(config)["rootfs"][
        "diff_ids"
    ]


def test_images_share_layers_in_an_archive(tmp_path: Path) -> None:
    one = make_image(tmp_path, command=("a",))
    two = Image(name="docker.io/library/other:1", layers=one.layers, command=("b",))

    images.write_archive([one, two], tmp_path / "image.tar")

    with tarfile.open(tmp_path / "image.tar") as tar:
        names = tar.getnames()
    assert len(names) == len(set(names)) == 4


def test_the_same_image_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        images.write_archive([make_image(tmp_path / name)], tmp_path / name / "image.tar")

    first, second = ((tmp_path / name / "image.tar").read_bytes() for name in ("one", "two"))
    assert first == second


def test_a_config_says_how_to_run(tmp_path: Path) -> None:
    image = make_image(
        tmp_path, entrypoint=("/bin/hello",), environment={"A": "b"}, user="65532", folder="/srv"
    )

    config = json.loads(images.config(image))["config"]

    assert config["Entrypoint"] == ["/bin/hello"]
    assert config["Env"] == ["A=b"]
    assert (config["User"], config["WorkingDir"]) == ("65532", "/srv")


def test_a_layer_holds_folders_links_and_modes(tmp_path: Path) -> None:
    [layer] = make_image(tmp_path).layers

    held = listed(layer.tar)

    assert held["bin"].isdir()
    assert held["bin/hello"].mode == 0o755
    assert held["bin/hi"].linkname == "hello"
    assert held["tmp"].mode == 0o1777


def test_a_layer_on_another_holds_what_differs_and_marks_what_is_gone(tmp_path: Path) -> None:
    below = tree(tmp_path / "below", {"same": "s", "old/x": "1", "old/y": "2", "kept/a": "1"})
    above = tree(tmp_path / "above", {"same": "s", "kept/a": "2", "kept/new": "n"})

    layer = images.layer_from_tree(above, tmp_path / "layer.tar", below=below)

    assert set(listed(layer.tar)) == {"kept/a", "kept/new", ".wh.old"}


def test_a_layer_takes_nothing_of_mounted_file_systems(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", {"proc/kcore": "memory", "etc/hosts": "", "run/lock": ""})

    layer = images.layer_from_tree(root, tmp_path / "layer.tar")

    assert set(listed(layer.tar)) == {"etc", "etc/hosts", "proc", "run"}


def test_hard_links_become_files(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", {"one": "content"})
    os.link(root / "one", root / "two")

    layer = images.layer_from_tree(root, tmp_path / "layer.tar")

    assert members(layer.tar.read_bytes()) == {"one": b"content", "two": b"content"}


def test_a_stored_image_can_be_followed_by_its_digests(tmp_path: Path) -> None:
    image = make_image(tmp_path)

    digest = images.store(image, "library/hello", "1", tmp_path / "storage")

    registry = tmp_path / "storage/docker/registry/v2"

    def blob(name: str) -> bytes:
        data = (registry / "blobs/sha256" / name[7:9] / name[7:] / "data").read_bytes()
        assert sha256(data) == name
        return data

    home = registry / "repositories/library/hello"
    assert (home / "_manifests/tags/1/current/link").read_text() == digest
    manifest = json.loads(blob(digest))
    config = json.loads(blob(manifest["config"]["digest"]))
    unpacked = [gzip.decompress(blob(layer["digest"])) for layer in manifest["layers"]]
    assert [sha256(layer) for layer in unpacked] == config["rootfs"]["diff_ids"]
    for descriptor in (manifest["config"], *manifest["layers"]):
        assert len(blob(descriptor["digest"])) == descriptor["size"]
        assert (home / "_layers/sha256" / descriptor["digest"][7:] / "link").exists()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("abc  k3s\ndef  images.tar.zst\n", id="text"),
        pytest.param("abc *k3s\ndef *images.tar.zst\n\n", id="binary"),
    ],
)
def test_reads_published_checksums(text: str) -> None:
    assert release.parse_checksums(text) == {"k3s": "abc", "images.tar.zst": "def"}


def test_a_file_has_an_owner_and_what_its_program_may(tmp_path: Path) -> None:
    known = buildkit.capability(7)
    entries = {
        "bin/map": Entry(content=b"#!/bin/sh\n", capabilities=known),
        "home/user": Entry(owner=1000),
    }

    images.layer_from_entries(entries, tmp_path / "layer.tar")

    with tarfile.open(tmp_path / "layer.tar") as tar:
        found = {item.name: item for item in tar}
    told = found["bin/map"].pax_headers["SCHILY.xattr.security.capability"]
    assert told.encode(errors="surrogateescape") == known
    assert (found["home/user"].uid, found["home/user"].gid) == (1000, 1000)
    assert found["bin/map"].uid == 0
