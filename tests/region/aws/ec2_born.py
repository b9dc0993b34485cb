"""Eventual consistency: an id that was just told is, for a while, not found."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from tests.region.aws import ec2_table
from tests.region.aws.errors import Refusal
from tests.region.aws.request import Answer
from tests.region.aws.world import World

_ID: Final = re.compile(rb">([a-z]+-[0-9a-f]{8,17})<")


def check(world: World, params: Mapping[str, str]) -> None:
    """Raise NotFound for an id in *params* that is younger than the region's consistency."""
    if world.settings.not_found <= 0:
        return
    for value in params.values():
        born = world.born.get(value)
        if born is not None and world.clock() - born < world.settings.not_found:
            raise Refusal(_unknown(value) or "", f"The ID '{value}' does not exist")


def note(world: World, action: str, answer: Answer) -> None:
    if not action.startswith(("Create", "Run", "Allocate")) or not isinstance(answer.body, bytes):
        return
    for match in _ID.finditer(answer.body):
        if _unknown(match[1].decode()):
            world.born.setdefault(match[1].decode(), world.clock())


def _unknown(id: str) -> str | None:
    kind = ec2_table.of_id(id)
    return None if kind is None else kind.unknown
