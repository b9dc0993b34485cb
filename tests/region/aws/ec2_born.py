"""Eventual consistency: an id that was just told is, for a while, not found."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from tests.region.aws.errors import Refusal
from tests.region.aws.request import Answer
from tests.region.aws.world import World

_KINDS: Final = {
    "i": "InvalidInstanceID.NotFound",
    "vpc": "InvalidVpcID.NotFound",
    "subnet": "InvalidSubnetID.NotFound",
    "sg": "InvalidGroup.NotFound",
    "igw": "InvalidInternetGatewayID.NotFound",
    "rtb": "InvalidRouteTableID.NotFound",
    "nat": "NatGatewayNotFound",
    "vol": "InvalidVolume.NotFound",
    "eipalloc": "InvalidAllocationID.NotFound",
    "eni": "InvalidNetworkInterfaceID.NotFound",
    "vpce": "InvalidVpcEndpointId.NotFound",
}
_ID: Final = re.compile(rb">((?:" + "|".join(_KINDS).encode() + rb")-[0-9a-f]{8,17})<")


def check(world: World, params: Mapping[str, str]) -> None:
    """Raise NotFound for an id in *params* that is younger than the region's consistency."""
    if world.settings.not_found <= 0:
        return
    for value in params.values():
        born = world.born.get(value)
        if born is not None and world.clock() - born < world.settings.not_found:
            code = _KINDS[value.partition("-")[0]]
            raise Refusal(code, f"The ID '{value}' does not exist")


def note(world: World, action: str, answer: Answer) -> None:
    if not action.startswith(("Create", "Run", "Allocate")) or not isinstance(answer.body, bytes):
        return
    for match in _ID.finditer(answer.body):
        world.born.setdefault(match[1].decode(), world.clock())
