"""Names of images: registry, repository, tag, digest, as docker and Kubernetes read them."""

import re
from dataclasses import dataclass
from typing import Final

from clusterous_api.errors import UserError

HUB: Final = "docker.io"
_NAME: Final = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_TAG: Final = r"\w[\w.-]{0,127}"
_OWN: Final = re.compile(rf"(?P<name>{_NAME})(?::(?P<tag>{_TAG}))?", re.ASCII)
_WHOLE: Final = re.compile(
    rf"(?P<repository>{_NAME}(?:/{_NAME})*)"
    rf"(?::(?P<tag>{_TAG}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_HOST: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]+)?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A name, taken apart; without a tag or a digest it means `latest`."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"

    @property
    def name(self) -> str:
        """Return it without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def version(self) -> str:
        """Return what a registry is asked for: the digest before the tag."""
        return self.digest or self.tag or "latest"


def parse(text: str) -> Reference:
    """Take a name apart; what has no registry is Docker Hub's."""
    first, slash, rest = text.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        first, rest = HUB, text
    found = _WHOLE.fullmatch(rest)
    if not found or not _HOST.fullmatch(first):
        raise UserError(
            f"{text!r} is no name of an image, such as ghcr.io/clusterous/clusterous-operator:2.0.0"
        )
    repository = found["repository"]
    if first == HUB and "/" not in repository:
        repository = f"library/{repository}"
    return Reference(
        registry=first, repository=repository, tag=found["tag"], digest=found["digest"]
    )


def own(text: str) -> tuple[str, str | None] | None:
    """Take apart NAME or NAME:TAG, as people call what they build; None if it is neither."""
    found = _OWN.fullmatch(text)
    return (found["name"], found["tag"]) if found else None


def split(text: str) -> tuple[str, str]:
    """Return repository and tag of an image's full name."""
    reference = parse(text)
    return reference.name, reference.tag or "latest"
