"""The web sites that Clusterous needs, by their real names: releases, packages, what is my address.

`releases`, `index` and `pool` decide what there is to fetch; `handler` serves it as the real ones
do, with ranges, and with GitHub's redirect to another host.
"""

import hashlib
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import BinaryIO, Final, Protocol
from urllib.parse import unquote, urlsplit

GITHUB: Final = "github.com"
GITHUB_FILES: Final = "objects.githubusercontent.com"
DEBIAN: Final = "deb.debian.org"
PYPI: Final = "pypi.org"
PYPI_FILES: Final = "files.pythonhosted.org"
KUBERNETES: Final = "artifacts.k8s.io"
CHECK_IP: Final = "checkip.amazonaws.com"
PROVIDER_VERSION: Final = "v1.35.0"

_CHUNK: Final = 1 << 20
# A wheel, or a source distribution; its name, and the version behind it.
_DISTRIBUTION: Final = re.compile(r"^([A-Za-z0-9_.-]+?)-\d[^-]*(?:-.+\.whl|\.tar\.gz)$")
_RANGE: Final = re.compile(r"^bytes=(\d*)-(\d*)$")


class Parts(Protocol):
    """The release files that were built for the region."""

    @property
    def k3s(self) -> Path: ...
    @property
    def airgap(self) -> Path: ...
    @property
    def ecr_credential_provider(self) -> Path: ...
    @property
    def operator_image(self) -> Path: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """A file of SHA-256 sums: of *files* by the names that it lists; unnamed is a bare sum."""

    files: Mapping[str, Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of HTML that says where files are, with their sums."""

    files: Mapping[str, Path]


Content = Path | Sum | Page


def releases(parts: Parts, k3s_version: str, clusterous_version: str) -> dict[str, Content]:
    """Answer what there is to fetch, by host and path."""
    k3s = f"{GITHUB}/k3s-io/k3s/releases/download/{k3s_version}"
    airgap = "k3s-airgap-images-amd64.tar.zst"
    own = f"{GITHUB}/clusterous/clusterous/releases/download/v{clusterous_version}"
    operator = f"clusterous-operator-{clusterous_version}-amd64.tar"
    provider = (
        f"{KUBERNETES}/binaries/cloud-provider-aws/{PROVIDER_VERSION}/linux/amd64"
        "/ecr-credential-provider-linux-amd64"
    )
    return {
        f"{k3s}/k3s": parts.k3s,
        f"{k3s}/{airgap}": parts.airgap,
        f"{k3s}/sha256sum-amd64.txt": Sum(files={"k3s": parts.k3s, airgap: parts.airgap}),
        provider: parts.ecr_credential_provider,
        f"{provider}.sha256": Sum(files={"": parts.ecr_credential_provider}),
        f"{own}/{operator}": parts.operator_image,
        f"{own}/SHA256SUMS": Sum(files={operator: parts.operator_image}),
    }


def index(*folders: Path) -> dict[str, Content]:
    """Answer the part of the Python Package Index that has what lies in *folders* (PEP 503)."""
    files: dict[str, Content] = {}
    pages: dict[str, dict[str, Path]] = {}
    for one in sorted(path for folder in folders for path in folder.iterdir()):
        if found := _DISTRIBUTION.match(one.name):
            place = f"{PYPI_FILES}/{one.name}"
            files[place] = one
            pages.setdefault(re.sub(r"[-_.]+", "-", found[1]).lower(), {})[f"https://{place}"] = one
    names = {f"{PYPI}/simple/{name}/": Page(files=links) for name, links in pages.items()}
    return {**files, **names}


def pool(debs: Path) -> dict[str, Content]:
    """Answer the part of Debian's archives that lies in *debs*, each package at its place there."""
    return {f"{DEBIAN}/{one.relative_to(debs)}": one for one in sorted(debs.rglob("*.deb"))}


def of_ours(contents: Mapping[str, Content]) -> list[str]:
    """Answer what a release of ours is made of: where none is published, it is not there."""
    return [place for place in contents if place.startswith(f"{GITHUB}/clusterous/")]


@dataclass(slots=True)
class Sums:
    """SHA-256 of files, each read once: the first who asks waits."""

    known: dict[Path, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def text(self, content: Sum) -> bytes:
        lines = (f"{self.of(path)}  {name}".rstrip() for name, path in content.files.items())
        return ("\n".join(lines) + "\n").encode()

    def page(self, content: Page) -> bytes:
        links = (
            f'<a href="{url}#sha256={self.of(path)}">{path.name}</a>'
            for url, path in content.files.items()
        )
        return f"<!DOCTYPE html><html><body>{' '.join(links)}</body></html>\n".encode()

    def of(self, path: Path) -> str:
        with self.lock:
            if path not in self.known:
                with path.open("rb") as file:
                    self.known[path] = hashlib.file_digest(file, "sha256").hexdigest()
            return self.known[path]


def span(header: str | None, size: int) -> tuple[int, int] | None:
    """Answer the first byte and the number of bytes that a Range *header* asks for.

    None is a range that cannot be satisfied; what is no range of bytes means the whole.
    """
    asked = _RANGE.match(header or "")
    if not asked or asked.group(0) == "bytes=-":
        return 0, size
    first, last = asked.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    return (start, end - start) if start < end else None


def handler(contents: Mapping[str, Content]) -> type[BaseHTTPRequestHandler]:
    """Answer a handler class that serves *contents*."""
    sums = Sums()

    class Site(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "region"

        def do_GET(self) -> None:
            host = (self.headers.get("Host") or "").partition(":")[0].lower()
            path = unquote(urlsplit(self.path).path)
            if host == CHECK_IP:
                self._say(f"{self.client_address[0]}\n".encode())
            elif host == GITHUB and f"{host}{path}" in contents:
                self._redirect(f"https://{GITHUB_FILES}{urlsplit(self.path).path}")
            else:
                name = GITHUB if host == GITHUB_FILES else host
                self._give(contents.get(f"{name}{path}"))

        do_HEAD = do_GET

        def _give(self, content: Content | None) -> None:
            if isinstance(content, Sum):
                self._say(sums.text(content))
            elif isinstance(content, Page):
                self._say(sums.page(content), kind="text/html")
            elif content is None or not content.is_file():
                self._say(b"Not Found\n", HTTPStatus.NOT_FOUND)
            else:
                with content.open("rb") as file:
                    self._stream(file, content.stat().st_size)

        def _say(
            self, body: bytes, status: HTTPStatus = HTTPStatus.OK, kind: str = "text/plain"
        ) -> None:
            self._head(status, len(body), kind)
            if self.command != "HEAD":
                self.wfile.write(body)

        def _redirect(self, where: str) -> None:
            self.send_response(HTTPStatus.FOUND)
            self.send_header("Location", where)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _stream(self, file: BinaryIO, size: int) -> None:
            part = span(self.headers.get("Range"), size)
            if part is None:
                self._head(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, 0, "text/plain")
                return
            start, count = part
            status = HTTPStatus.OK if count == size else HTTPStatus.PARTIAL_CONTENT
            extra = {} if count == size else {"Content-Range": _range(start, count, size)}
            self._head(status, count, "application/octet-stream", extra)
            if self.command != "HEAD":
                _copy(file, start, count, self.wfile.write)

        def _head(
            self, status: HTTPStatus, length: int, kind: str, extra: Mapping[str, str] | None = None
        ) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(length))
            self.send_header("Accept-Ranges", "bytes")
            for name, value in (extra or {}).items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the region's log is for what goes wrong."""

    return Site


def _range(start: int, count: int, size: int) -> str:
    return f"bytes {start}-{start + count - 1}/{size}"


def _copy(file: BinaryIO, start: int, count: int, write: Callable[[bytes], object]) -> None:
    file.seek(start)
    while count > 0 and (piece := file.read(min(_CHUNK, count))):
        write(piece)
        count -= len(piece)
