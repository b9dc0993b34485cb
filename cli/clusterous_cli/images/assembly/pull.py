"""Reads images from registries by the OCI distribution API, as everybody may, each blob checked.

Specification: https://github.com/opencontainers/distribution-spec; tokens are fetched as Docker's
and GitHub's registries ask for them (https://distribution.github.io/distribution/spec/auth/token).
"""

import hashlib
import json
import re
import urllib.error
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

from clusterous_api.errors import FailedError, TransientError, UserError
from clusterous_cli.images.assembly.archives import Blob, Image
from clusterous_cli.images.assembly.references import HUB, Reference
from clusterous_cli.system import download
from clusterous_cli.system.download import Progress

# Docker Hub's API does not answer under the name that images bear.
API: Final = {HUB: "registry-1.docker.io"}
INDICES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
ACCEPT: Final = ", ".join((*MANIFESTS, *INDICES))
PLATFORM: Final = ("linux", "amd64")
# A manifest is a page of text; what is larger is no manifest.
MOST: Final = 4 << 20
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(slots=True)
class Registry:
    """One repository of a registry; *hosts* may name another address (a URL) for a registry.

    *private* are headers that prove who we are; without any, we are everybody. An *authority* is
    trusted beside those that are.
    """

    reference: Reference
    hosts: Mapping[str, str] = field(default_factory=dict)
    private: Mapping[str, str] = field(default_factory=dict, repr=False)
    authority: str = field(default="", repr=False)

    def image(self, folder: Path, tell: Progress) -> Image:
        """Fetch the image for our nodes into *folder*, or take from there what it has."""
        digest, manifest = self.manifest()
        parsed = _parsed(manifest, str(self.reference))
        folder.mkdir(parents=True, exist_ok=True)
        wanted = [parsed["config"], *parsed["layers"]]
        config, *layers = (self._blob(one, folder, tell) for one in wanted)
        return Image(
            name=str(self.reference),
            digest=digest,
            manifest=manifest,
            media_type=str(parsed["mediaType"]),
            config=config,
            layers=tuple(layers),
        )

    def digest(self) -> str:
        """Return what the name stands for now: the digest of an index, or of a manifest."""
        return self._document(self.reference.version)[0]

    def manifest(self) -> tuple[str, bytes]:
        """Return digest and text of the manifest for our nodes."""
        digest, text = self._document(self.reference.version)
        parsed = _parsed(text, str(self.reference))
        if parsed.get("mediaType") in INDICES or "manifests" in parsed:
            return self._document(_of_platform(parsed, str(self.reference)))
        return digest, text

    def _document(self, version: str) -> tuple[str, bytes]:
        with self._open(f"manifests/{version}", {"Accept": ACCEPT}) as answer:
            text: bytes = answer.read(MOST + 1)
        digest = f"sha256:{hashlib.sha256(text).hexdigest()}"
        if len(text) > MOST or (_DIGEST.fullmatch(version) and digest != version):
            raise FailedError(
                f"{self.reference.registry} did not send what it was asked for ({version} of"
                f" {self.reference.name}); nothing of it was used."
            )
        return digest, text

    def _blob(self, described: Mapping[str, Any], folder: Path, tell: Progress) -> Blob:
        digest, size = str(described["digest"]), int(described["size"])
        if not _DIGEST.fullmatch(digest):
            raise FailedError(f"{self.reference} names a part {digest[:80]!r}, which is no digest.")
        sha256 = digest.removeprefix("sha256:")
        path = download.kept(
            folder / sha256, sha256, partial(self._fetch, digest, tell), "is not what its name says"
        )
        return Blob(path=path, digest=digest, size=size, media_type=str(described["mediaType"]))

    def _fetch(self, digest: str, tell: Progress, part: Path) -> str:
        self._open(f"blobs/{digest}", {}, method="HEAD").close()  # gets the token
        name = self.reference.repository.rpartition("/")[2]
        url = self._url(f"blobs/{digest}")
        download.fetch(url, part, partial(tell, name), self.private, self.authority)
        return url

    def _url(self, what: str) -> str:
        registry = self.reference.registry
        base = self.hosts.get(registry) or f"https://{API.get(registry, registry)}"
        return f"{base}/v2/{self.reference.repository}/{what}"

    def _open(self, what: str, headers: Mapping[str, str], method: str = "GET") -> Any:
        url = self._url(what)
        try:
            return self._try(url, headers, method)
        except urllib.error.HTTPError as error:
            if error.code in (401, 403, 404):
                raise self._refused(error.code) from error
            raise TransientError(f"{url} answered {error.code}; try again later.") from error
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise TransientError(f"{url} cannot be reached: {reason}.") from error

    def _try(self, url: str, headers: Mapping[str, str], method: str) -> Any:
        try:
            return self._opened(url, headers, method)
        except urllib.error.HTTPError as error:
            asked = challenge(error.headers.get("WWW-Authenticate") or "")
            if error.code != 401 or not asked.get("realm"):
                raise
            self.private = {"Authorization": f"Bearer {self._token(asked)}"}
            return self._opened(url, headers, method)

    def _opened(self, url: str, headers: Mapping[str, str], method: str) -> Any:
        return download.opened(url, headers, self.private, method, authority=self.authority)

    def _token(self, asked: Mapping[str, str]) -> str:
        scope = f"repository:{self.reference.repository}:pull"
        wanted = {"service": asked.get("service", ""), "scope": scope}
        realm = asked["realm"]
        if not realm.startswith("https://"):
            raise FailedError(f"{self.reference.registry} wants a token from {realm}: not by TLS.")
        query = urllib.parse.urlencode({key: value for key, value in wanted.items() if value})
        with download.opened(f"{realm}?{query}", {}) as answer:
            said = json.loads(answer.read(MOST))
        return str(said.get("token") or said.get("access_token"))

    def _refused(self, status: int) -> UserError:
        return UserError(
            f"{self.reference} cannot be read ({status}): it does not exist, or not for everybody."
            " An image of a private registry can be given as a file: docker save -o FILE IMAGE"
        )


def challenge(header: str) -> dict[str, str]:
    """Read `Bearer realm="…",service="…"`; anything else is no way for us."""
    scheme, _, rest = header.partition(" ")
    return dict(re.findall(r'(\w+)="([^"]*)"', rest)) if scheme.lower() == "bearer" else {}


def _parsed(text: bytes, name: str) -> dict[str, Any]:
    try:
        parsed = json.loads(text)
        kind = parsed.setdefault("mediaType", MANIFESTS[0])
    except (ValueError, AttributeError) as error:
        raise FailedError(f"What the registry says of {name} cannot be read: {error}") from error
    if kind in MANIFESTS and {"config", "layers"} <= set(parsed):
        return dict(parsed)
    if kind in INDICES or "manifests" in parsed:
        return dict(parsed)
    raise FailedError(f"{name} is of a kind that is not known here: {kind}.")


def _of_platform(index: Mapping[str, Any], name: str) -> str:
    for one in index["manifests"]:
        platform = one.get("platform") or {}
        if (platform.get("os"), platform.get("architecture")) == PLATFORM:
            return str(one["digest"])
    raise UserError(f"{name} has no image for {'/'.join(PLATFORM)}, which the nodes are.")
