"""Whether a zone of the region has all types of machines."""

from dataclasses import dataclass
from typing import Final

from clusterous_cli.checks.check import Check, Finding, Mark, Place
from clusterous_cli.plan import design


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The types, and the zone that a plan would choose for them."""

    types: tuple[str, ...]
    zone: str


def look(place: Place) -> Facts:
    """Choose the zone as a plan of a new cluster does, which refuses what no zone has."""
    types = tuple(sorted({pool.type for pool in place.config.pools}))
    return Facts(types=types, zone=design.zone_for(place.aws, place.config, (), None))


def judge(facts: Facts) -> Finding:
    """All others are refused by who looked."""
    return Finding(mark=Mark.OK, says=f"{', '.join(facts.types)} in {facts.zone}")


CHECK: Final = Check(name="machine types", look=look, judge=judge, drawn=True)
