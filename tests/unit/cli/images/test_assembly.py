"""Names of images and what registries say, taken apart."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from clusterous_api.errors import UserError
from clusterous_cli.images.assembly import archives, pull, references
from clusterous_cli.system.pins import Pins

DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        pytest.param("python", "docker.io/library/python", id="the hub's own"),
        pytest.param("python:3.11-slim", "docker.io/library/python:3.11-slim", id="with a tag"),
        pytest.param("rancher/k3s:v1", "docker.io/rancher/k3s:v1", id="somebody's on the hub"),
        pytest.param("ghcr.io/a/b/c:1", "ghcr.io/a/b/c:1", id="another registry"),
        pytest.param("localhost:5000/x", "localhost:5000/x", id="a port"),
        pytest.param(f"quay.io/a/b:1@{DIGEST}", f"quay.io/a/b:1@{DIGEST}", id="tag and digest"),
    ],
)
def test_a_name_is_taken_apart(text: str, whole: str) -> None:
    reference = references.parse(text)

    assert str(reference) == whole
    assert references.parse(whole) == reference


@pytest.mark.parametrize(
    "text", ["", "Upper/case", "a b", "x@sha256:1", "../x", "ghcr.io/", "-o/x.y"]
)
def test_what_is_no_name_is_told(text: str) -> None:
    with pytest.raises(UserError, match="is no name of an image"):
        references.parse(text)


def test_a_digest_goes_before_a_tag() -> None:
    assert references.parse(f"a/b:1@{DIGEST}").version == DIGEST
    assert references.parse("a/b:1").version == "1"
    assert references.parse("a/b").version == "latest"


def test_a_registrys_challenge_is_read() -> None:
    header = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io"'

    assert pull.challenge(header)["realm"] == "https://auth.docker.io/token"
    assert pull.challenge('Basic realm="x"') == {}


def test_only_what_was_fetched_is_pinned() -> None:
    pins = Pins(images={"docker.io/library/python:3.11-slim": DIGEST})

    assert pins.pinned("docker.io/library/python:3.11-slim").endswith(f"@{DIGEST}")
    assert pins.pinned("docker.io/library/debian:12") == "docker.io/library/debian:12"


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        pytest.param([], "holds 0 names", id="no image"),
        pytest.param([{"RepoTags": ["a:1", "b:1"]}], "holds 2 names", id="two names"),
        pytest.param([{"RepoTags": None}], "holds 0 names", id="without a name"),
        pytest.param({"x": 1}, "is no archive of an image", id="something else"),
    ],
)
def test_an_archive_has_to_name_one_image(entries: object, says: str, tmp_path: Path) -> None:
    content = json.dumps(entries).encode()
    info = tarfile.TarInfo("manifest.json")
    info.size = len(content)
    with tarfile.open(tmp_path / "image.tar", "w") as tar:
        tar.addfile(info, io.BytesIO(content))

    with pytest.raises(UserError, match=says):
        archives.name_in(tmp_path / "image.tar")


def test_a_file_that_is_no_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("hello")

    for path in (tmp_path / "x", tmp_path / "missing"):
        with pytest.raises(UserError, match="is no archive of an image"):
            archives.name_in(path)
