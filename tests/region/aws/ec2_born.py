"""Eventual consistency: an id that was just told is, for a while, not found."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

from tests.region.aws import ec2_table
from tests.region.aws.errors import Refusal
from tests.region.aws.request import Answer
from tests.region.aws.world import World

_NOBODYS: Final = "0" * 17
_ID: Final = re.compile(rb">([a-z]+-[0-9a-f]{8,17})<")


def seen(world: World, params: Mapping[str, str]) -> dict[str, str]:
    """Return *params* as AWS sees them where an id is younger than the region's consistency.

    A filter by such an id finds nothing; anywhere else it is NotFound.
    """
    if world.settings.not_found <= 0:
        return dict(params)
    found = {}
    for name, value in params.items():
        is_young = world.clock() - world.born.get(value, -math.inf) < world.settings.not_found
        if is_young and not name.startswith("Filter."):
            raise Refusal(_unknown(value) or "", f"The ID '{value}' does not exist")
        found[name] = f"{value.partition('-')[0]}-{_NOBODYS}" if is_young else value
    return found


def note(world: World, action: str, answer: Answer) -> None:
    if not action.startswith(("Create", "Run", "Allocate")) or not isinstance(answer.body, bytes):
        return
    for match in _ID.finditer(answer.body):
        if _unknown(match[1].decode()):
            world.born.setdefault(match[1].decode(), world.clock())


def _unknown(id: str) -> str | None:
    kind = ec2_table.of_id(id)
    return None if kind is None else kind.unknown
