"""What nodes run, fetched from its publishers: k3s, its images, the registry plug-in, our operator.

Everything lands in a cache of the laptop, checked against pinned or published checksums; the nodes
get it from the cluster's bucket and never from the internet.
"""

import os
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import quote

from clusterous_api.errors import FailedError
from clusterous_cli.system import download, pins
from clusterous_cli.system.download import Progress

ECR_PROVIDER: Final = "v1.35.0"


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


def artifacts(k3s: str) -> tuple[Artifact, ...]:
    """List what a cluster of this version is made of, beside what is ours."""
    base = f"https://github.com/k3s-io/k3s/releases/download/{quote(k3s, safe='')}"
    plugin = (
        f"https://artifacts.k8s.io/binaries/cloud-provider-aws/{ECR_PROVIDER}/linux/amd64"
        "/ecr-credential-provider-linux-amd64"
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
    )


def operator(version: str) -> Artifact:
    """Return the archive of the operator's image of a release, which need not exist."""
    base = f"https://github.com/clusterous/clusterous/releases/download/v{version}"
    url = f"{base}/clusterous-operator-{version}-amd64.tar"
    return Artifact(name="operator", release=f"v{version}", url=url, checksums=f"{base}/SHA256SUMS")


def cache() -> Path:
    """Return the folder of downloaded releases."""
    return download.cache() / "releases"


def checksum(artifact: Artifact) -> str:
    """Return the SHA-256 of the file: the pinned one, or what its publisher says."""
    return pins.read().files.get(artifact.url) or published(artifact)


def published(artifact: Artifact) -> str:
    """Return what the publisher says is the SHA-256 of the file."""
    folder = cache() / artifact.release
    kept = folder / artifact.checksums.rsplit("/", 1)[-1]
    if not kept.exists():
        text = download.read(artifact.checksums).decode("ascii", "replace")
        parse_checksum(text, artifact)
        folder.mkdir(parents=True, exist_ok=True)
        _place(kept, text.encode())
    return parse_checksum(download.used(kept).read_text(), artifact)


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
    """Return the path of the file, downloaded if the cache lacks it; once, whoever else asks."""
    target = cache() / artifact.release / artifact.published_name

    def get(part: Path) -> str:
        download.fetch(artifact.url, part, partial(progress, artifact.name))
        download.tidy()
        return artifact.url

    wrong = f"does not have its published checksum {sha256}"
    return download.kept(target, sha256, get, wrong)


def caller_address() -> str:
    """Return the address that AWS sees us come from."""
    text = download.read("https://checkip.amazonaws.com/").decode("ascii", "replace").strip()
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", text):
        raise FailedError(
            f"checkip.amazonaws.com answered {text[:80]!r}, which is no IPv4 address. Name the"
            " addresses that may use SSH in the cluster file: gateway.allow: [203.0.113.7/32]"
        )
    return text


def _place(target: Path, content: bytes) -> None:
    fresh = target.with_name(f"{target.name}.{os.getpid()}.new")
    fresh.write_bytes(content)
    fresh.replace(target)
