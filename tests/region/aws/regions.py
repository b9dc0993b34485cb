"""AWS's regions: those that every account has, and those that one must be enabled for.

Before that, a region answers as if the keys were wrong; a name that is no region's has no address.
https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-regions.html
"""

from __future__ import annotations

import re
from typing import Final

from tests.region.aws.settings import Settings

ALWAYS_ON: Final = frozenset(
    {"us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1"}
    | {"eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1", "eu-north-1"}
    | {"ap-south-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3"}
    | {"ap-southeast-1", "ap-southeast-2"}
)
OPT_IN: Final = frozenset(
    {"af-south-1", "ap-east-1", "ap-east-2", "ap-south-2", "ca-west-1", "mx-central-1"}
    | {"ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ap-southeast-6", "ap-southeast-7"}
    | {"eu-central-2", "eu-south-1", "eu-south-2"}
    | {"il-central-1", "me-central-1", "me-south-1"}
)
_NAMED: Final = re.compile(r"[.-]([a-z]{2}(?:-[a-z]+)+-\d)\.amazonaws\.com\.?$")


def is_one(region: str) -> bool:
    return region in ALWAYS_ON or region in OPT_IN


def is_enabled(settings: Settings, region: str) -> bool:
    return region in ALWAYS_ON or region in settings.regions or region == settings.region


def is_nowhere(host: str) -> bool:
    """Tell whether *host* is a name of AWS in a region that there is not: it does not resolve."""
    found = _NAMED.search(host.lower())
    return found is not None and not is_one(found[1])
