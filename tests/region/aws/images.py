"""The machine images of the region, and the public SSM parameters that name them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

_X86: Final = "x86_64"
_ARM: Final = "arm64"
_DEB_ARCH: Final = {_X86: "amd64", _ARM: "arm64"}
_MADE: Final = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """*parameters* are the names under which the publisher offers the newest such image."""

    name: str
    description: str
    owner: str
    architecture: str
    root_device: str
    parameters: tuple[str, ...]
    size: int = 8

    def id(self, region: str) -> str:
        """The same image has another id in each region, as on AWS."""
        return "ami-" + hashlib.sha256(f"{region}/{self.name}".encode()).hexdigest()[:17]


def _amazon(architecture: str) -> Image:
    prefix = "/aws/service/ami-amazon-linux-latest"
    kinds = ("al2023-ami-kernel-default", "al2023-ami-kernel-6.1")
    return Image(
        name=f"al2023-ami-2023.9.20261103.0-kernel-6.1-{architecture}",
        description=f"Amazon Linux 2023 AMI 2023.9.20261103.0 {architecture} HVM kernel-6.1",
        owner="137112412989",
        architecture=architecture,
        root_device="/dev/xvda",
        parameters=tuple(f"{prefix}/{kind}-{architecture}" for kind in kinds),
    )


def _ubuntu(release: str, codename: str, volume: str, architecture: str) -> Image:
    arch = _DEB_ARCH[architecture]
    prefix = "/aws/service/canonical/ubuntu/server"
    return Image(
        name=f"ubuntu/images/hvm-ssd-gp3/ubuntu-{codename}-{release}-{arch}-server-20261028",
        description=f"Canonical, Ubuntu, {release}, {arch} {codename} image",
        owner="099720109477",
        architecture=architecture,
        root_device="/dev/sda1",
        parameters=tuple(
            f"{prefix}/{name}/stable/current/{arch}/hvm/{volume}/ami-id"
            for name in (release, codename)
        ),
    )


def _debian(architecture: str) -> Image:
    arch = _DEB_ARCH[architecture]
    return Image(
        name=f"debian-12-{arch}-20261027-2276",
        description="Debian 12 (20261027-2276)",
        owner="136693071363",
        architecture=architecture,
        root_device="/dev/xvda",
        parameters=(
            f"/aws/service/debian/release/12/latest/{arch}",
            f"/aws/service/debian/release/bookworm/latest/{arch}",
        ),
    )


def _large(architecture: str) -> Image:
    """An image that nobody finds by a parameter, on a larger disk than most."""
    return Image(
        name=f"Deep Learning Base AMI with Single CUDA (Amazon Linux 2023) {architecture} 20261101",
        description="Supported EC2 instances: G4dn, G5, G6, P4d, P5",
        owner="898082745236",
        architecture=architecture,
        root_device="/dev/xvda",
        parameters=(),
        size=35,
    )


IMAGES: Final = tuple(
    image
    for architecture in (_X86, _ARM)
    for image in (
        _amazon(architecture),
        _ubuntu("24.04", "noble", "ebs-gp3", architecture),
        _ubuntu("22.04", "jammy", "ebs-gp2", architecture),
        _debian(architecture),
        _large(architecture),
    )
)


def public_parameters(region: str) -> Mapping[str, str]:
    return {name: image.id(region) for image in IMAGES for name in image.parameters}


def size(region: str, image_id: str) -> int:
    """Return the GiB of the image's snapshot: no root volume may be smaller."""
    return next((image.size for image in IMAGES if image.id(region) == image_id), 8)


def described(region: str) -> Iterator[dict[str, Any]]:
    """Yield what moto wants to know of each image."""
    for image in IMAGES:
        yield {
            "ami_id": image.id(region),
            "name": image.name,
            "description": image.description,
            "owner_id": image.owner,
            "owner_alias": "amazon",
            "public": True,
            "virtualization_type": "hvm",
            "architecture": image.architecture,
            "state": "available",
            "creation_date": _MADE,
            "image_type": "machine",
            "image_location": f"{image.owner}/{image.name}",
            "hypervisor": "xen",
            "root_device_type": "ebs",
            "root_device_name": image.root_device,
            "sriov": "simple",
            "region_name": region,
        }
