"""The web sites of the region, asked over TLS as a laptop asks them."""

import hashlib
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.region.internet import server, sites, tls

K3S = "/k3s-io/k3s/releases/download/v1.35.4%2Bk3s1"
PACKAGE = "debian/pool/main/e/e2fsprogs/e2fsprogs_1.47.0-2+b2_amd64.deb"


@dataclass
class Built:
    k3s: Path
    airgap: Path
    ecr_credential_provider: Path
    operator_image: Path


@dataclass
class Web:
    """All the sites on one loopback port."""

    port: int
    ca: Path

    def ask(
        self, host: str, path: str, method: str = "GET", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        trust = ssl.create_default_context(cafile=self.ca)
        wire = trust.wrap_socket(
            socket.create_connection(("127.0.0.1", self.port), timeout=5), server_hostname=host
        )
        connection = HTTPSConnection(host)
        connection.sock = wire
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        found = answer.status, dict(answer.getheaders()), answer.read()
        connection.close()
        return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("built")
    made = {}
    for name in Built.__annotations__:
        made[name] = folder / name
        made[name].write_bytes(name.encode() * 1000)
    return Built(**made)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, built: Built) -> Iterator[Web]:
    files = tls.write(tmp_path_factory.mktemp("tls"), tls.names("eu-west-1"), ["192.0.2.40"])
    wheels = tmp_path_factory.mktemp("wheels")
    (wheels / "prometheus_client-1.0-py3-none-any.whl").write_bytes(b"wheel")
    more = tmp_path_factory.mktemp("more")
    (more / "prometheus_client-2.0-cp311-cp311-manylinux_2_28_x86_64.whl").write_bytes(b"two")
    (more / "a-b.c-1.2.tar.gz").write_bytes(b"source")
    package = tmp_path_factory.mktemp("debs") / PACKAGE
    package.parent.mkdir(parents=True)
    package.write_bytes(b"package")
    contents = {
        **sites.releases(built, "v1.35.4+k3s1", "2.0.0.dev0"),
        **sites.index(wheels, more),
        **sites.pool(package.parents[5]),
    }
    listener = socket.create_server(("127.0.0.1", 0))
    running = server.serve([(listener, tls.context(files))], sites.handler(contents), "sites")
    yield Web(port=listener.getsockname()[1], ca=files.ca)
    server.stop(running)


def test_a_wheel_is_found_by_its_name_and_has_its_sum(web: Web) -> None:
    status, headers, page = web.ask("pypi.org", "/simple/prometheus-client/")
    found = re.search(rb'href="https://([^/]+)(/[^#]+)#sha256=([0-9a-f]{64})"', page)

    assert (status, headers["Content-Type"]) == (200, "text/html")
    assert found
    host, path, sha256 = (part.decode() for part in found.groups())
    assert hashlib.sha256(web.ask(host, path)[2]).hexdigest() == sha256
    assert web.ask("pypi.org", "/simple/nothing/")[0] == 404


def test_the_index_has_every_version_of_a_name_and_sources_too(web: Web) -> None:
    page = web.ask("pypi.org", "/simple/prometheus-client/")[2]
    source = web.ask("pypi.org", "/simple/a-b-c/")[2]

    assert sorted(re.findall(rb">prometheus_client-(\d)\.0-", page)) == [b"1", b"2"]
    assert b">a-b.c-1.2.tar.gz<" in source


def test_a_package_is_where_debian_has_it(web: Web) -> None:
    found = web.ask("deb.debian.org", f"/{PACKAGE.replace('+', '%2b')}")

    assert (found[0], found[2]) == (200, b"package")
    assert web.ask("snapshot.debian.org", f"/archive/{PACKAGE}")[0] == 404


def test_a_release_can_be_withdrawn(built: Built) -> None:
    contents = sites.releases(built, "v1.35.4+k3s1", "2.0.0.dev0")

    assert [place.rpartition("/")[2] for place in sites.of_ours(contents)] == [
        "clusterous-operator-2.0.0.dev0-amd64.tar",
        "SHA256SUMS",
    ]


def test_a_release_is_fetched_through_githubs_redirect(web: Web, built: Built) -> None:
    status, headers, _ = web.ask("github.com", f"{K3S}/k3s")
    where = urlsplit(headers["Location"])

    answer = web.ask(where.netloc, where.path)

    assert status == 302
    assert (answer[0], answer[2]) == (200, built.k3s.read_bytes())


def test_the_sums_are_those_of_the_files(web: Web, built: Built) -> None:
    *_, listed = web.ask("objects.githubusercontent.com", f"{K3S}/sha256sum-amd64.txt")
    *_, bare = web.ask(
        "artifacts.k8s.io",
        "/binaries/cloud-provider-aws/v1.35.0/linux/amd64"
        "/ecr-credential-provider-linux-amd64.sha256",
    )

    def digest(path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()

    assert listed.decode().split() == [
        digest(built.k3s),
        "k3s",
        digest(built.airgap),
        "k3s-airgap-images-amd64.tar.zst",
    ]
    assert bare.decode().strip() == digest(built.ecr_credential_provider)


def test_head_tells_the_length_and_sends_nothing(web: Web, built: Built) -> None:
    status, headers, body = web.ask("objects.githubusercontent.com", f"{K3S}/k3s", "HEAD")

    assert (status, headers["Content-Length"], body) == (200, str(built.k3s.stat().st_size), b"")


def test_a_download_resumes(web: Web, built: Built) -> None:
    whole = built.k3s.read_bytes()

    status, headers, body = web.ask(
        "objects.githubusercontent.com", f"{K3S}/k3s", Range="bytes=100-"
    )

    assert (status, body) == (206, whole[100:])
    assert headers["Content-Range"] == f"bytes 100-{len(whole) - 1}/{len(whole)}"


def test_checkip_answers_the_callers_address(web: Web) -> None:
    assert web.ask("checkip.amazonaws.com", "/")[2] == b"127.0.0.1\n"


def test_what_is_not_released_is_not_found(web: Web) -> None:
    assert web.ask("github.com", "/k3s-io/k3s/releases/download/v9/k3s")[0] == 404


@pytest.mark.parametrize(
    "name",
    [
        "ec2.eu-west-1.amazonaws.com",
        "bucket-1.s3.eu-west-1.amazonaws.com",
        "api.ecr.eu-west-1.amazonaws.com",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
        "iam.amazonaws.com",
        "registry-1.docker.io",
        "auth.docker.io",
    ],
)
def test_the_certificate_is_good_for_every_service(web: Web, name: str) -> None:
    assert web.ask(name, "/")[0] == 404


def test_the_certificate_is_good_for_nobody_else(web: Web) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        web.ask("example.org", "/")


@given(size=st.integers(1, 50), first=st.integers(0, 60), last=st.integers(0, 60))
def test_a_range_is_a_slice(size: int, first: int, last: int) -> None:
    data = bytes(range(size))

    found = sites.span(f"bytes={first}-{last}", size)

    if found is None:
        assert data[first : last + 1] == b""
    else:
        start, count = found
        assert data[start : start + count] == data[first : last + 1]


@pytest.mark.parametrize(
    ("header", "found"),
    [
        pytest.param(None, (0, 10), id="none"),
        pytest.param("bytes=-3", (7, 3), id="the-last"),
        pytest.param("bytes=-30", (0, 10), id="more-than-there-is"),
        pytest.param("bytes=10-", None, id="past-the-end"),
        pytest.param("lines=1-2", (0, 10), id="other-unit"),
    ],
)
def test_ranges_by_their_ends(header: str | None, found: tuple[int, int] | None) -> None:
    assert sites.span(header, 10) == found
