"""What a release is made of, as CycloneDX 1.6: the image's parts, and what the wheel asks for."""

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/clusterous/clusterous")


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A distribution of PyPI; its *sha256* is known of the very wheel that is in the image."""

    name: str
    version: str
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The image below ours."""

    name: str
    tag: str
    digest: str


def spelled(
    version: str, base: Base, inside: Sequence[Library], asked: Sequence[Library], epoch: int
) -> str:
    """Spell it; the same parts give the same text. *asked* come from the index at installation."""
    ours = Component(
        name="clusterous",
        version=version,
        type=ComponentType.APPLICATION,
        bom_ref="clusterous",
        purl=PackageURL("pypi", None, "clusterous", version),
    )
    image = Component(
        name="clusterous-operator",
        version=version,
        type=ComponentType.CONTAINER,
        bom_ref="clusterous-operator",
    )
    below, within = _base(base), [_library(one, "operator") for one in inside]
    needed = [_library(one, "command line", ComponentScope.OPTIONAL) for one in asked]
    bom = Bom(
        serial_number=uuid.uuid5(NAMESPACE, _all(version, base, [*inside, *asked])),
        metadata=BomMetaData(component=ours, timestamp=datetime.fromtimestamp(epoch, UTC)),
        components=[image, below, *within, *needed],
    )
    bom.register_dependency(ours, [image, *needed])
    bom.register_dependency(image, [below, *within])
    return JsonV1Dot6(bom).output_as_string(indent=1) + "\n"


def _library(
    one: Library, where: str, scope: ComponentScope = ComponentScope.REQUIRED
) -> Component:
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=one.sha256)] if one.sha256 else []
    return Component(
        name=one.name,
        version=one.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{where}: {one.name}",
        purl=PackageURL("pypi", None, one.name, one.version),
        hashes=hashes,
        scope=scope,
    )


def _base(base: Base) -> Component:
    place = {"repository_url": base.name, "tag": base.tag}
    name = base.name.rpartition("/")[2]
    return Component(
        name=base.name,
        version=base.tag,
        type=ComponentType.CONTAINER,
        bom_ref="base",
        purl=PackageURL("oci", None, name, base.digest, place),
    )


def _all(version: str, base: Base, libraries: Iterable[Library]) -> str:
    digest = hashlib.sha256(repr((version, base, list(libraries))).encode())
    return digest.hexdigest()
