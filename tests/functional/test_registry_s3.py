"""A real registry that keeps its layers in the simulated S3: pushed to, redirected, collected."""

import hashlib
import http.client
import io
import json
import os
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from clusterous_cli.images.assembly import pull, references
from clusterous_cli.images.sending import push, saved
from tests import ports, programs
from tests.region.aws import loopback

pytestmark = programs.needs("docker-registry")

BUCKET = "layers-of-everybody"
MIB = 1 << 20
HOST = "registry.example"


@dataclass
class Site:
    """A registry on a bucket, and how its program is called."""

    account: loopback.Account
    address: str
    config: Path
    environment: Mapping[str, str]

    def ask(self, method: str, path: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=120)
        connection.request(method, path)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer

    def collect(self) -> None:
        argv = [str(programs.path("docker-registry")), "garbage-collect", "--delete-untagged"]
        subprocess.run([*argv, self.config], env=self.environment, check=True, capture_output=True)

    @property
    def repository(self) -> push.Repository:
        return push.Repository(
            registry=HOST, name="tool", user="x", password=lambda: "x", address=self.address
        )

    def actions(self) -> list[str]:
        return [call.action for call in self.account.server.log() if call.status < 400]


@pytest.fixture(scope="module")
def account() -> Iterator[loopback.Account]:
    with loopback.account() as running:
        running.client("s3").create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        yield running


@pytest.fixture
def site(
    account: loopback.Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    environment = {**account.environment(), "OTEL_TRACES_EXPORTER": "none"}
    del environment["AWS_CA_BUNDLE"]  # which its library takes with no transport but its own
    for name in ("HTTPS_PROXY", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, environment[name])
    monkeypatch.setenv("CLUSTEROUS_CACHE_HOME", str(tmp_path / "cache"))
    port = ports.free()
    config = tmp_path / "registry.yml"
    config.write_text(json.dumps(settings(account, port)))
    program = str(programs.path("docker-registry"))
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "serve", config], env=environment, stdout=log, stderr=log
        )
    try:
        until_listening(port, process)
        yield Site(account, f"http://127.0.0.1:{port}", config, environment)
    finally:
        process.kill()
        process.wait()


def settings(account: loopback.Account, port: int) -> dict[str, Any]:
    keys = account.server.user_credentials()
    s3 = {
        "accesskey": keys.access_key_id, "secretkey": keys.secret_access_key,
        "region": "eu-west-1", "bucket": BUCKET, "rootdirectory": "/registry",
        # Small, so that a small layer takes the way of a large one.
        "chunksize": 5 * MIB, "multipartcopychunksize": 5 * MIB,
        "multipartcopythresholdsize": 5 * MIB,
    }  # fmt: skip
    return {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"s3": s3, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}", "secret": "the same for all"},
    }


def until_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the registry ended")


@contextmanager
def image(content: bytes) -> Iterator[saved.Saved]:
    """An image as a builder saves it, of one layer with one file."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        add(tar, "file", content)
    layer = plain.getvalue()
    diff_id = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": [diff_id]}}
    with tempfile.TemporaryDirectory() as place:
        archive = Path(place, "image.tar")
        with tarfile.open(archive, "w") as tar:
            add(tar, "manifest.json", json.dumps([{"Config": "c", "Layers": ["l"]}]).encode())
            add(tar, "c", json.dumps(config).encode())
            add(tar, "l", layer)
        yield saved.read(archive)


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def pushed(site: Site, what: saved.Saved, tag: str = "src-1") -> str:
    with tempfile.TemporaryDirectory() as scratch:
        return push.push(what, site.repository, tag, Path(scratch), lambda *told: None)


def pulled(site: Site, folder: Path, tag: str = "src-1") -> bytes:
    wanted = pull.Registry(references.parse(f"{HOST}/tool:{tag}"), {HOST: site.address})
    layer = wanted.image(folder, lambda *told: None).layers[0]
    with tarfile.open(layer.path) as tar:
        file = tar.extractfile("file")
        assert file
        return file.read()


def gone(site: Site, digest: str) -> None:
    """Delete an image and collect, as a cluster does that stops all pushes meanwhile."""
    assert site.ask("DELETE", f"/v2/tool/manifests/{digest}").status == 202
    site.collect()


def test_a_large_layer_is_put_together_in_s3_and_read_from_there(
    site: Site, tmp_path: Path
) -> None:
    content = os.urandom(11 * MIB)
    with image(content) as what:
        pushed(site, what)
    log: Callable[[str], int] = site.actions().count

    document = json.loads(read(site, "/v2/tool/manifests/src-1"))
    layer = document["layers"][0]["digest"]
    answer = site.ask("GET", f"/v2/tool/blobs/{layer}")

    assert log("UploadPartCopy") >= 3
    assert answer.status == 307
    assert urlsplit(answer.headers["Location"]).hostname == f"{BUCKET}.s3.eu-west-1.amazonaws.com"
    assert pulled(site, tmp_path / "blobs") == content


def read(site: Site, path: str) -> bytes:
    connection = http.client.HTTPConnection(urlsplit(site.address).netloc, timeout=120)
    connection.request("GET", path, headers={"Accept": ", ".join(pull.MANIFESTS)})
    text = connection.getresponse().read()
    connection.close()
    return text


def test_what_was_collected_is_sent_again(site: Site, tmp_path: Path) -> None:
    content = os.urandom(MIB)
    with image(content) as what:
        digest = pushed(site, what, "src-2")
        gone(site, digest)
        again = pushed(site, what, "src-2")

    assert again == digest
    assert pulled(site, tmp_path / "blobs", "src-2") == content
