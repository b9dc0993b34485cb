"""All checks. A new one is a module in this room, and a line here."""

from typing import Final

from clusterous_cli.checks import image, offers, ranges, tools
from clusterous_cli.checks.account import (
    clock,
    connection,
    credentials,
    permissions,
    quotas,
    region,
)
from clusterous_cli.checks.check import Check

ALL: Final[tuple[Check, ...]] = (
    connection.CHECK,
    credentials.CHECK,
    clock.CHECK,
    region.CHECK,
    permissions.CHECK,
    quotas.MACHINES,
    quotas.DISKS,
    quotas.VPCS,
    quotas.ELASTIC_IPS,
    quotas.NAT_GATEWAYS,
    offers.CHECK,
    image.CHECK,
    ranges.CHECK,
    tools.CHECK,
)
