"""Fetching released files from a server on the loopback that breaks off, lies, or is not there."""

import hashlib
import http.server
import os
import re
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from clusterous_api.errors import FailedError, TransientError, UserError
from clusterous_cli.boot import releases
from clusterous_cli.boot.releases import Artifact

CONTENT = os.urandom(3 << 20)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Site:
    """What the server does, and what it was asked."""

    port: int = 0
    content: bytes = CONTENT
    break_off_after: int | None = None
    ranges: list[str | None] = field(default_factory=list)

    @property
    def artifact(self) -> Artifact:
        base = f"https://localhost:{self.port}"
        return Artifact(name="k3s", release="v1", url=f"{base}/k3s", checksums=f"{base}/sums.txt")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def do_GET(self) -> None:
        if self.path == "/sums.txt":
            self._answer(200, f"{SHA256}  k3s\n{'0' * 64}  other\n".encode())
        elif self.path == "/k3s":
            self._file()
        else:
            self._answer(404, b"")

    def _file(self) -> None:
        asked = self.headers["Range"]
        self.site.ranges.append(asked)
        begin = int(re.sub(r"\D", "", asked)) if asked else 0
        if begin >= len(self.site.content):
            self._answer(416, b"")
            return
        self._answer(206 if asked else 200, self.site.content[begin:])

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        stop, self.site.break_off_after = self.site.break_off_after, None
        self.wfile.write(body if stop is None or status not in (200, 206) else body[:stop])
        if stop is not None:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("CLUSTEROUS_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    what = Site()
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), type("OfSite", (Handler,), {"site": what})
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    what.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield what
    server.shutdown()
    thread.join()
    server.server_close()


def nothing(name: str, have: int, total: int) -> None:
    """Show no progress."""


def test_a_file_is_fetched_once_and_checked(site: Site) -> None:
    seen: list[tuple[int, int]] = []
    sha256 = releases.checksum(site.artifact)

    path = releases.fetched(site.artifact, sha256, lambda name, *bytes: seen.append(bytes))
    again = releases.fetched(site.artifact, sha256, nothing)

    assert sha256 == SHA256
    assert path == again
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert site.ranges == [None]


def test_what_broke_off_goes_on_from_there(site: Site) -> None:
    site.break_off_after = 1_500_000

    path = releases.fetched(site.artifact, SHA256, nothing)

    assert path.read_bytes() == CONTENT
    assert site.ranges == [None, "bytes=1500000-"]


def test_what_another_process_began_goes_on_from_there(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "cache/releases/v1"
    folder.mkdir(parents=True)
    (folder / "k3s.part").write_bytes(CONTENT[:1000])

    path = releases.fetched(site.artifact, SHA256, nothing)

    assert path.read_bytes() == CONTENT
    assert site.ranges == ["bytes=1000-"]


def test_a_part_that_is_whole_is_taken(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "cache/releases/v1"
    folder.mkdir(parents=True)
    (folder / "k3s.part").write_bytes(CONTENT)

    assert releases.fetched(site.artifact, SHA256, nothing).read_bytes() == CONTENT


def test_another_checksum_is_refused_and_nothing_of_it_kept(site: Site, tmp_path: Path) -> None:
    site.content = CONTENT[:-1] + b"\0\0"

    with pytest.raises(FailedError, match="does not have its published checksum"):
        releases.fetched(site.artifact, SHA256, nothing)

    assert list((tmp_path / "cache").rglob("k3s*")) == []


def test_a_changed_file_in_the_cache_is_fetched_anew(site: Site, tmp_path: Path) -> None:
    releases.fetched(site.artifact, SHA256, nothing).write_bytes(b"changed")

    assert releases.fetched(site.artifact, SHA256, nothing).read_bytes() == CONTENT


def test_an_unknown_authority_is_no_way_in(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")

    with pytest.raises(TransientError, match="certificate verify failed"):
        releases.fetched(site.artifact, SHA256, nothing)

    assert site.ranges == []


def test_no_network_says_what_was_wanted_and_what_to_check(site: Site) -> None:
    nobody = Artifact(
        name="k3s", release="v1", url="https://localhost:1/k3s", checksums="https://localhost:1/s"
    )

    with pytest.raises(TransientError) as told:
        releases.checksum(nobody)

    assert "https://localhost:1/s cannot be reached" in str(told.value)
    assert "check the network or a proxy" in str(told.value)
    assert told.value.exit_code == 75


def test_a_version_that_does_not_exist_is_the_users_to_mend(site: Site) -> None:
    missing = Artifact(
        name="k3s", release="v9", url=f"https://localhost:{site.port}/none", checksums="-"
    )

    with pytest.raises(UserError, match=r"does not exist \(404\)\. Is the version right"):
        releases.fetched(missing, SHA256, nothing)


def test_what_two_want_at_once_is_fetched_once(site: Site) -> None:
    begun = threading.Barrier(2)
    got: list[Path] = []

    def fetch() -> None:
        begun.wait()
        got.append(releases.fetched(site.artifact, SHA256, nothing))

    both = [threading.Thread(target=fetch) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()

    assert [path.read_bytes() == CONTENT for path in got] == [True, True]
    assert site.ranges == [None]


def test_a_version_that_is_fetched_pushes_out_what_is_long_out_of_use(site: Site) -> None:
    old = releases.cache() / "v0" / "k3s"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"old")
    os.utime(old, (0, 0))

    releases.fetched(site.artifact, SHA256, nothing)

    assert not old.exists()
