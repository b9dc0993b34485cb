"""What a site does not give whole is asked for again, and never without end."""

import hashlib
import os
import ssl
import threading
from collections.abc import Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from clusterous_api.errors import TransientError
from clusterous_cli.system import download

WHOLE = b"0123456789" * 10


class Site(ThreadingHTTPServer):
    """A site that fails at its first answers, each time in the way that it is told."""

    daemon_threads = True
    failures: list[str]
    asked = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.failures = []


class Answer(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.asked += 1
        way = self.server.failures.pop(0) if self.server.failures else ""
        begin = int(self.headers.get("Range", "bytes=0-")[6:-1])
        body = WHOLE[begin:]
        if way in ("503", "404"):
            self.send_error(int(way))
            return
        if way == "cut":
            body = body[: len(body) // 2]
        if way != "silence":
            self.send_response(206 if begin else 200)
            self.send_header("Content-Length", str(len(WHOLE) - begin))
            self.end_headers()
            self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *words: Any) -> None:
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


def got(way: str, site: Site, folder: Path) -> bytes:
    """Get the file as a text that is read, or as a file that is fetched."""
    url = f"http://127.0.0.1:{site.server_address[1]}/file"
    if way == "read":
        return download.read(url)
    download.fetch(url, folder / "part", lambda have, total: None)
    return (folder / "part").read_bytes()


@pytest.mark.parametrize("way", ["read", "fetch"])
@pytest.mark.parametrize("failure", ["503", "cut", "silence"])
def test_what_breaks_off_is_asked_for_again(
    way: str, failure: str, site: Site, tmp_path: Path
) -> None:
    site.failures = [failure] * (download.TRIES - 1)

    assert got(way, site, tmp_path) == WHOLE
    assert site.asked == download.TRIES


@pytest.mark.parametrize("way", ["read", "fetch"])
def test_a_site_that_fails_for_good_ends_it(way: str, site: Site, tmp_path: Path) -> None:
    site.failures = ["503"] * 9

    with pytest.raises(TransientError, match="answered 503; try again later"):
        got(way, site, tmp_path)

    assert site.asked == download.TRIES


def test_what_is_not_there_is_asked_for_once(site: Site, tmp_path: Path) -> None:
    site.failures = ["404"] * 9

    with pytest.raises(download.Missing):
        got("read", site, tmp_path)

    assert site.asked == 1


def test_what_nobody_has_used_for_long_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTEROUS_CACHE_HOME", str(tmp_path))
    places = ("releases/v1/k3s", "releases/v1/.k3s.lock", "releases/v2/k3s", "blobs/a", "other/x")
    for place in places:
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(WHOLE)
        os.utime(path, (0, 0))
    sum = hashlib.sha256(WHOLE).hexdigest()

    def nowhere(part: Path) -> str:
        raise AssertionError("it is there")

    download.kept(tmp_path / "releases/v2/k3s", sum, nowhere, "")
    download.tidy()

    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"releases/v1/.k3s.lock", "releases/v2/k3s", "other/x"}


def test_what_two_ask_for_at_once_is_got_once(tmp_path: Path) -> None:
    target = tmp_path / "blobs/a"
    sum = hashlib.sha256(WHOLE).hexdigest()
    asked: list[Path] = []

    def get(part: Path) -> str:
        asked.append(part)
        if len(asked) == 1:
            other.append(pool.submit(download.kept, target, sum, get, "is another"))
            futures.wait(other, timeout=0.2)
        part.write_bytes(WHOLE)
        return "there"

    other: list[futures.Future[Path]] = []
    with futures.ThreadPoolExecutor() as pool:
        assert download.kept(target, sum, get, "is another") == target
        assert other[0].result() == target
    assert len(asked) == 1
    assert target.read_bytes() == WHOLE


def test_what_is_trusted_is_read_once_and_anew_when_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted = tmp_path / "trusted.pem"
    trustme.CA().cert_pem.write_to_path(trusted)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(trusted))
    first = download.trust()
    assert download.trust() is first

    another = trustme.CA()
    another.cert_pem.write_to_path(trusted)
    os.utime(trusted, ns=(1, 1))

    der = ssl.PEM_cert_to_DER_cert(another.cert_pem.bytes().decode())
    assert der in download.trust().get_ca_certs(binary_form=True)
    assert der not in first.get_ca_certs(binary_form=True)
