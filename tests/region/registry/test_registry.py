"""ECR and Docker Hub on loopback: the real registry behind our gates, spoken to by real clients."""

import base64
import dataclasses
import hashlib
import http.client
import json
import os
import resource
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.region.internet import tls
from tests.region.parts import images, parts
from tests.region.registry import ecr, hub, kubernetes

pytestmark = pytest.mark.region

HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
TOKEN = "a-good-token"
TYPE = images.MANIFEST_TYPE


@dataclass
class FakeAws:
    """Repositories, and what was pushed to them, in a dict."""

    repositories: dict[str, dict[str, str]] = field(default_factory=dict)
    immutable: set[str] = field(default_factory=set)
    denied: set[str] = field(default_factory=set)

    def ecr_check(self, token: str) -> bool:
        return token == TOKEN

    def ecr_allowed(self, token: str, action: str, repository: str) -> bool:
        return action not in self.denied

    def ecr_repository_exists(self, name: str) -> bool:
        return name in self.repositories

    def ecr_fixed_digest(self, repository: str, tag: str) -> str | None:
        return self.repositories[repository].get(tag) if repository in self.immutable else None

    def ecr_put_image(
        self, repository: str, tag: str | None, digest: str, manifest: bytes, media_type: str
    ) -> None:
        assert digest == images.digest_of(manifest)
        self.repositories[repository][tag or digest] = digest


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        first: dict[str, Any] = json.loads(self.body)["errors"][0]
        return first


@dataclass
class Client:
    """Speaks to one of the registries by its name, though on a port of loopback."""

    port: int
    host: str
    ca: Path
    authorization: str = ""

    def ask(
        self, method: str, path: str, body: object = None, *, chunked: bool = False, kind: str = ""
    ) -> Answer:
        trust = ssl.create_default_context(cafile=self.ca)
        connection = http.client.HTTPSConnection(self.host, self.port, timeout=30)
        wire = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        connection.sock = trust.wrap_socket(wire, server_hostname=self.host)
        headers = {"Host": self.host, "Accept": f"{TYPE}, */*"}
        if self.authorization:
            headers["Authorization"] = self.authorization
        if chunked:
            headers["Transfer-Encoding"] = "chunked"
        if kind:
            headers["Content-Type"] = kind
        try:
            connection.request(method, path, body, headers, encode_chunked=chunked)  # type: ignore[arg-type]
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers.items()), answer.read())
        finally:
            connection.close()


def basic(password: str) -> str:
    return f"Basic {base64.b64encode(f'AWS:{password}'.encode()).decode()}"


@pytest.fixture(scope="session")
def program() -> Path:
    return parts.ensure(["registry"], print).registry


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> tls.Files:
    return tls.write(tmp_path_factory.mktemp("tls"), tls.names("eu-west-1"), ["127.0.0.1"])


@pytest.fixture
def aws() -> FakeAws:
    return FakeAws(repositories={"team/app": {}})


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture
def registry(
    program: Path, files: tls.Files, tmp_path: Path, aws: FakeAws, listening: socket.socket
) -> Iterator[ecr.Ecr]:
    started = ecr.start(listening, tls.context(files), program, tmp_path / "storage", aws)
    yield started
    started.close()


@pytest.fixture
def client(registry: ecr.Ecr, files: tls.Files, listening: socket.socket) -> Client:
    return Client(listening.getsockname()[1], HOST, files.ca, basic(TOKEN))


@pytest.fixture
def image(tmp_path: Path) -> images.Image:
    entries = {"hello": images.Entry(content=b"hello\n", mode=0o644)}
    layer = images.layer_from_entries(entries, tmp_path / "layer.tar")
    return images.Image(name="docker.io/team/app:1", layers=(layer,), command=("/hello",))


def push_manifest(client: Client, repository: str, tag: str, comment: str = "") -> Answer:
    config = json.dumps({"comment": comment}).encode()
    digest = images.digest_of(config)
    started = client.ask("POST", f"/v2/{repository}/blobs/uploads/", b"")
    assert started.status == 202, started.body
    path = started.headers["Location"].removeprefix(f"https://{HOST}")
    assert client.ask("PUT", f"{path}&digest={digest}", config).status == 201
    manifest = {
        "schemaVersion": 2,
        "mediaType": TYPE,
        "config": {"mediaType": images.CONFIG_TYPE, "size": len(config), "digest": digest},
        "layers": [],
    }
    body = json.dumps(manifest).encode()
    return client.ask("PUT", f"/v2/{repository}/manifests/{tag}", body, kind=TYPE)


def test_asks_for_a_password(client: Client) -> None:
    client.authorization = ""

    answer = client.ask("GET", "/v2/")

    assert answer.status == 401
    challenge = answer.headers["Www-Authenticate"]
    assert challenge == f'Basic realm="https://{HOST}/",service="ecr.amazonaws.com"'


def test_says_that_a_token_has_expired(client: Client) -> None:
    client.authorization = basic("an-old-token")

    answer = client.ask("GET", "/v2/")

    assert answer.status == 403
    assert "has expired" in answer.error["message"]


def test_lets_a_good_token_in(client: Client) -> None:
    assert client.ask("GET", "/v2/").status == 200


def test_refuses_a_repository_that_was_not_created(client: Client) -> None:
    answer = client.ask("POST", "/v2/other/blobs/uploads/", b"")

    assert answer.status == 404
    assert answer.error == {
        "code": "NAME_UNKNOWN",
        "message": "The repository with name 'other' does not exist "
        "in the registry with id '123456789012'",
    }


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        pytest.param("GET", "/v2/team/app/manifests/1", "BatchGetImage", id="pull"),
        pytest.param("PUT", "/v2/team/app/manifests/1", "PutImage", id="push"),
        pytest.param("POST", "/v2/team/app/blobs/uploads/", "InitiateLayerUpload", id="upload"),
    ],
)
def test_refuses_what_policies_do_not_allow(
    client: Client, aws: FakeAws, method: str, path: str, action: str
) -> None:
    aws.denied.add(action)

    answer = client.ask(method, path, None if method == "GET" else b"{}")

    assert answer.status == 403
    assert answer.error["code"] == "DENIED"
    assert f"ecr:{action}" in answer.error["message"]


def test_reports_a_push(client: Client, aws: FakeAws) -> None:
    answer = push_manifest(client, "team/app", "1")

    assert answer.status == 201
    assert aws.repositories["team/app"] == {"1": answer.headers["Docker-Content-Digest"]}


def test_an_immutable_tag_keeps_its_image(client: Client, aws: FakeAws) -> None:
    aws.immutable.add("team/app")
    push_manifest(client, "team/app", "1", "first")

    again = push_manifest(client, "team/app", "1", "first")
    other = push_manifest(client, "team/app", "1", "second")

    assert again.status == 201
    assert other.status == 400
    assert other.error["code"] == "TAG_INVALID"


def test_mounts_nothing_from_other_repositories(client: Client, aws: FakeAws) -> None:
    aws.repositories["second"] = {}
    push_manifest(client, "team/app", "1")
    digest = images.digest_of(json.dumps({"comment": ""}).encode())

    mounted = client.ask("POST", f"/v2/second/blobs/uploads/?mount={digest}&from=team/app", b"")

    assert mounted.status == 202


def test_forgets_what_was_deleted(client: Client, registry: ecr.Ecr) -> None:
    digest = push_manifest(client, "team/app", "1").headers["Docker-Content-Digest"]
    assert client.ask("GET", "/v2/team/app/manifests/1").status == 200

    registry.delete("team/app", digest, "1")
    registry.delete("team/app", digest, None)

    assert client.ask("GET", "/v2/team/app/manifests/1").status == 404
    assert client.ask("GET", f"/v2/team/app/manifests/{digest}").status == 404


def test_layers_stream_through_without_being_gathered(client: Client) -> None:
    piece = os.urandom(1 << 20)
    count = 192
    digest = hashlib.sha256()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def pieces() -> Iterator[bytes]:
        for _ in range(count):
            digest.update(piece)
            yield piece

    start = client.ask("POST", "/v2/team/app/blobs/uploads/", b"").headers["Location"]
    path = start.removeprefix(f"https://{HOST}")
    patched = client.ask("PATCH", path, pieces(), chunked=True)
    assert patched.status == 202
    end = patched.headers["Location"].removeprefix(f"https://{HOST}")
    put = client.ask("PUT", f"{end}&digest=sha256:{digest.hexdigest()}", b"")

    assert put.status == 201
    head = client.ask("HEAD", f"/v2/team/app/blobs/sha256:{digest.hexdigest()}")
    assert head.headers["Content-Length"] == str(count << 20)
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mib < count / 3


def test_buildah_pushes_and_pulls(
    client: Client, aws: FakeAws, image: images.Image, tmp_path: Path
) -> None:
    images.write_archive([image], tmp_path / "image.tar")
    policy = tmp_path / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')

    def buildah(*arguments: str) -> None:
        storage = ["--storage-driver=vfs", f"--root={tmp_path}/root", f"--runroot={tmp_path}/run"]
        trust = [f"--signature-policy={policy}", "--tls-verify=false", f"--creds=AWS:{TOKEN}"]
        verb, *rest = arguments
        subprocess.run(["buildah", *storage, verb, *trust, *rest], check=True, capture_output=True)

    there = f"docker://127.0.0.1:{client.port}/team/app:2"
    buildah("pull", f"docker-archive:{tmp_path}/image.tar")
    buildah("push", "docker.io/team/app:1", there)
    buildah("pull", "--policy=always", there)

    assert set(aws.repositories["team/app"]) == {"2"}


@pytest.fixture
def docker_hub(
    program: Path, files: tls.Files, tmp_path: Path, image: images.Image, listening: socket.socket
) -> Iterator[Client]:
    storage = tmp_path / "hub"
    images.store(image, "library/hello", "latest", storage)
    started = hub.start(listening, tls.context(files), program, storage)
    yield Client(listening.getsockname()[1], "registry-1.docker.io", files.ca)
    started.close()


def with_token(client: Client) -> Client:
    auth = Client(client.port, "auth.docker.io", client.ca)
    token = json.loads(auth.ask("GET", "/token?service=registry.docker.io").body)["token"]
    return dataclasses.replace(client, authorization=f"Bearer {token}")


def test_the_hub_sends_to_its_token_service(docker_hub: Client) -> None:
    answer = docker_hub.ask("GET", "/v2/library/hello/manifests/latest")

    assert answer.status == 401
    assert 'realm="https://auth.docker.io/token"' in answer.headers["WWW-Authenticate"]
    assert 'scope="repository:library/hello:pull"' in answer.headers["WWW-Authenticate"]


def test_the_hub_serves_a_stored_image_whole(docker_hub: Client, image: images.Image) -> None:
    client = with_token(docker_hub)

    manifest = json.loads(client.ask("GET", "/v2/library/hello/manifests/latest").body)
    blobs = [manifest["config"], *manifest["layers"]]

    for blob in blobs:
        answer = client.ask("GET", f"/v2/library/hello/blobs/{blob['digest']}")
        assert images.digest_of(answer.body) == blob["digest"]
        assert len(answer.body) == blob["size"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("GET", "/v2/library/nothing/manifests/latest", id="unknown"),
        pytest.param("GET", "/v2/../../manifests/latest", id="outside"),
        pytest.param("POST", "/v2/library/hello/blobs/uploads/", id="push"),
        pytest.param("DELETE", "/v2/library/hello/manifests/latest", id="delete"),
    ],
)
def test_the_hub_refuses(docker_hub: Client, method: str, path: str) -> None:
    answer = with_token(docker_hub).ask(method, path, None if method == "GET" else b"")

    assert answer.status == 401
    assert "insufficient_scope" in answer.headers["WWW-Authenticate"]


def test_registry_k8s_io_lets_everybody_read_and_nobody_write(
    program: Path, files: tls.Files, tmp_path: Path, listening: socket.socket, image: images.Image
) -> None:
    storage = tmp_path / "kubernetes"
    digest = images.store(image, "provider-aws/program", "v1", storage)
    started = kubernetes.start(listening, tls.context(files), program, storage)
    client = Client(port=listening.getsockname()[1], host="registry.k8s.io", ca=files.ca)

    found = client.ask("GET", "/v2/provider-aws/program/manifests/v1")
    refused = client.ask("POST", "/v2/provider-aws/program/blobs/uploads/", b"")
    started.close()

    assert (found.status, images.digest_of(found.body)) == (200, digest)
    assert refused.status == 405
