"""What nodes run, fetched from its publishers: k3s, its images, the registry plug-in, our operator.

Everything lands in a cache of the laptop, checked against the published checksums; the nodes get it
from the cluster's bucket and never from the internet.
"""

import hashlib
import os
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from clusterous_api.errors import FailedError, TransientError, UserError

ECR_PROVIDER: Final = "v1.35.0"
CHUNK: Final = 1 << 20
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One published file, and where its publisher says what its checksum is."""

    name: str
    release: str
    url: str
    checksums: str

    @property
    def published_name(self) -> str:
        """Return the file's name as the publisher spells it."""
        return self.url.rsplit("/", 1)[-1]


def artifacts(k3s: str, ours: str) -> tuple[Artifact, ...]:
    """List what a cluster with these versions is made of."""
    base = f"https://github.com/k3s-io/k3s/releases/download/{quote(k3s, safe='')}"
    plugin = (
        f"https://artifacts.k8s.io/binaries/cloud-provider-aws/{ECR_PROVIDER}/linux/amd64"
        "/ecr-credential-provider-linux-amd64"
    )
    operator = (
        f"https://github.com/clusterous/clusterous/releases/download/v{ours}"
        f"/clusterous-operator-{ours}-amd64.tar"
    )
    sums = f"{base}/sha256sum-amd64.txt"
    images = f"{base}/k3s-airgap-images-amd64.tar.zst"
    return (
        Artifact(name="k3s", release=k3s, url=f"{base}/k3s", checksums=sums),
        Artifact(name="images", release=k3s, url=images, checksums=sums),
        Artifact(
            name="ecr-credential-provider",
            release=ECR_PROVIDER,
            url=plugin,
            checksums=f"{plugin}.sha256",
        ),
        Artifact(name="operator", release=f"v{ours}", url=operator, checksums=f"{operator}.sha256"),
    )


def cache() -> Path:
    """Return the folder of downloaded releases."""
    base = os.environ.get("CLUSTEROUS_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache" / "clusterous") / "releases"


def checksum(artifact: Artifact) -> str:
    """Return the published SHA-256 of the file."""
    folder = cache() / artifact.release
    kept = folder / artifact.checksums.rsplit("/", 1)[-1]
    if not kept.exists():
        text = _read(artifact.checksums).decode("ascii", "replace")
        parse_checksum(text, artifact)
        folder.mkdir(parents=True, exist_ok=True)
        _place(kept, text.encode())
    return parse_checksum(kept.read_text(), artifact)


def parse_checksum(text: str, artifact: Artifact) -> str:
    """Find the file's checksum: the publisher writes `HASH  NAME` lines, or the hash alone."""
    for line in text.splitlines():
        words = line.split()
        named = (
            len(words) == 1 or words[-1].lstrip("*").rsplit("/", 1)[-1] == artifact.published_name
        )
        if words and named and re.fullmatch(r"[0-9a-f]{64}", words[0]):
            return words[0]
    raise FailedError(f"{artifact.checksums} names no checksum of {artifact.published_name}.")


def fetched(artifact: Artifact, sha256: str, progress: Progress) -> Path:
    """Return the path of the file, downloaded if the cache lacks it."""
    folder = cache() / artifact.release
    target = folder / artifact.published_name
    if target.exists() and _digest(target) == sha256:
        return target
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{artifact.published_name}.part"
    for attempt in range(3):
        try:
            _download(artifact, part, progress)
            break
        except TransientError:
            if attempt == 2:
                raise
    if _digest(part) != sha256:
        part.unlink()
        raise FailedError(
            f"{artifact.url} does not have its published checksum {sha256}; it was thrown away."
            " Try again; if it stays so, somebody changed the file on its way."
        )
    part.replace(target)
    return target


def _download(artifact: Artifact, part: Path, progress: Progress) -> None:
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with _open(artifact.url, headers) as answer:
        resumed = answer.status == 206
        have = have if resumed else 0
        total = have + int(answer.headers.get("Content-Length") or 0)
        with part.open("ab" if resumed else "wb") as file:
            _copy(artifact, answer, file, have, total, progress)


def _copy(
    artifact: Artifact, answer: Any, file: Any, have: int, total: int, progress: Progress
) -> None:
    try:
        while chunk := answer.read(CHUNK):
            file.write(chunk)
            have += len(chunk)
            progress(artifact.name, have, total)
    except (OSError, HTTPException) as error:
        raise TransientError(f"The download of {artifact.url} broke off: {error}") from error
    if have < total:
        raise TransientError(f"The download of {artifact.url} broke off at {have} of {total}.")


def _read(url: str) -> bytes:
    with _open(url, {}) as answer:
        try:
            content: bytes = answer.read()
        except (OSError, HTTPException) as error:
            raise TransientError(f"The download of {url} broke off: {error}") from error
        return content


def _open(url: str, headers: Mapping[str, str]) -> Any:
    request = urllib.request.Request(url, headers={"User-Agent": "clusterous", **headers})
    try:
        return urllib.request.urlopen(request, timeout=30, context=trust())
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the part is whole already
            return urllib.request.urlopen(_again(url), timeout=30, context=trust())
        if error.code in (403, 404, 410):
            raise UserError(
                f"{url} does not exist ({error.code}). Is the version right?"
            ) from error
        raise TransientError(f"{url} answered {error.code}; try again later.") from error
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise TransientError(
            f"{url} cannot be reached: {reason}. The first cluster needs it; check the network or"
            " a proxy (HTTPS_PROXY) and try again."
        ) from error


def _again(url: str) -> urllib.request.Request:
    return urllib.request.Request(url, headers={"User-Agent": "clusterous"})


def trust() -> ssl.SSLContext:
    """Trust the system's authorities, and those that the usual variables name."""
    context = ssl.create_default_context()
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        path = os.environ.get(name)
        if path and Path(path).is_file():
            context.load_verify_locations(cafile=path)
    return context


def caller_address() -> str:
    """Return the address that AWS sees us come from."""
    text = _read("https://checkip.amazonaws.com/").decode("ascii", "replace").strip()
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", text):
        raise FailedError(
            f"checkip.amazonaws.com answered {text[:80]!r}, which is no IPv4 address. Name the"
            " addresses that may use SSH in the cluster file: gateway.allow: [203.0.113.7/32]"
        )
    return text


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _place(target: Path, content: bytes) -> None:
    fresh = target.with_name(f"{target.name}.{os.getpid()}.new")
    fresh.write_bytes(content)
    fresh.replace(target)
