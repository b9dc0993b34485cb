"""Which service, region and bucket a host name of AWS means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tests.region.aws import regions
from tests.region.aws.errors import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """*signing* is the service's name in a signature; *region* is None for a global S3 host."""

    service: str
    region: str | None
    protocol: Protocol
    signing: str
    bucket: str | None = None


_REGION: Final = r"(?P<region>[a-z]{2}(?:-[a-z]+)+-\d)"
_S3: Final = re.compile(rf"^(?:(?P<bucket>.+)\.)?s3(?:[.-]{_REGION})?\.amazonaws\.com$")
_REGIONAL: Final = re.compile(rf"^(?P<name>(?:api\.)?[a-z0-9-]+)\.{_REGION}\.amazonaws\.com$")

_SERVICES: Final = {
    "ec2": ("ec2", Protocol.EC2, "ec2"),
    "sts": ("sts", Protocol.QUERY, "sts"),
    "iam": ("iam", Protocol.QUERY, "iam"),
    "elasticfilesystem": ("efs", Protocol.REST_JSON, "elasticfilesystem"),
    "elasticloadbalancing": ("elb", Protocol.QUERY, "elasticloadbalancing"),
    "api.ecr": ("ecr", Protocol.JSON, "ecr"),
    "ecr": ("ecr", Protocol.JSON, "ecr"),
    "ssm": ("ssm", Protocol.JSON, "ssm"),
    "servicequotas": ("servicequotas", Protocol.JSON, "servicequotas"),
    "api.pricing": ("pricing", Protocol.JSON, "pricing"),
    "pricing": ("pricing", Protocol.JSON, "pricing"),
}
_GLOBAL: Final = {"iam.amazonaws.com": "iam", "sts.amazonaws.com": "sts"}


def resolve(host: str) -> Target | None:
    """Return what *host* (without a port) serves, or None if it is no host of the region."""
    name = host.lower().rstrip(".")
    if regions.is_nowhere(name):
        return None
    if name in _GLOBAL:
        return _target(_GLOBAL[name], "us-east-1")
    if found := _S3.match(name):
        return Target(
            service="s3",
            region=found["region"],
            protocol=Protocol.S3,
            signing="s3",
            bucket=found["bucket"],
        )
    found = _REGIONAL.match(name)
    if found and found["name"] in _SERVICES:
        return _target(found["name"], found["region"])
    return None


def _target(name: str, region: str) -> Target:
    service, protocol, signing = _SERVICES[name]
    return Target(service=service, region=region, protocol=protocol, signing=signing)
