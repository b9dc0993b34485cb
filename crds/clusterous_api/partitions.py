"""The parts that AWS consists of, each with accounts, names and a domain of its own. Pure."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """A part of AWS: its name in ARNs, its domain, and how its regions begin."""

    name: str
    domain: str
    prefix: str


# As botocore's own tables have it, which a test compares; the first whose prefix fits counts.
ALL: Final = (
    Partition(name="aws-cn", domain="amazonaws.com.cn", prefix="cn-"),
    Partition(name="aws-us-gov", domain="amazonaws.com", prefix="us-gov-"),
    Partition(name="aws-iso", domain="c2s.ic.gov", prefix="us-iso-"),
    Partition(name="aws-iso-b", domain="sc2s.sgov.gov", prefix="us-isob-"),
    Partition(name="aws-iso-e", domain="cloud.adc-e.uk", prefix="eu-isoe-"),
    Partition(name="aws-iso-f", domain="csp.hci.ic.gov", prefix="us-isof-"),
    Partition(name="aws-eusc", domain="amazonaws.eu", prefix="eusc-"),
    Partition(name="aws", domain="amazonaws.com", prefix=""),
)


def of(region: str) -> Partition:
    """Return the partition in which a region is."""
    return next(one for one in ALL if region.startswith(one.prefix))
