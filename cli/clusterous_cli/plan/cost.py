"""What a cluster costs per hour, by the prices that are known; what has none is said. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from clusterous_cli.cluster import prices
from clusterous_cli.cluster.config import ClusterConfig
from clusterous_cli.cluster.prices import Prices
from clusterous_cli.plan.kinds import table
from clusterous_cli.plan.kinds.kind import Price

# Storage by use (EFS, S3) and traffic are billed as they come and not in this sum.
NOT_COUNTED: Final = "data on the volume and traffic come on top"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Dollars per hour by the prices *known*; *unknown* names what has no price there."""

    hourly: float
    known: Prices
    unknown: tuple[str, ...] = ()

    @property
    def monthly(self) -> float:
        """Return the dollars per month of running all the time."""
        return self.hourly * prices.HOURS_PER_MONTH

    def spelled(self) -> str:
        """Spell the price, and honestly what it leaves out."""
        more = f" plus {', '.join(self.unknown)} (price not known here)" if self.unknown else ""
        return f"{self.hourly:.2f} $/h{more}"


def of(config: ClusterConfig, region: str, known: Prices | None = None) -> Cost:
    """Return what the running cluster costs: by the table, unless better prices are *known*."""
    known = known or prices.listed(region)
    kinds = [(kind.bill, kind.billed(config)) for kind in table.ALL if kind.bill]
    return summed((bill(value, known) for bill, values in kinds for value in values), known)


def summed(parts: Iterable[Price], known: Prices) -> Cost:
    """Add up what things cost."""
    listed = list(parts)
    unknown = [f"{count} {what}" for what, count in _unknown(listed).items() if count]
    hourly = sum(part.hourly for part in listed)
    return Cost(hourly=hourly, known=known, unknown=(*known.unsure, *unknown))


def _unknown(parts: Iterable[Price]) -> dict[str, int]:
    missing: dict[str, int] = {}
    for part in parts:
        for what, count in (part.unknown or {}).items():
            missing[what] = missing.get(what, 0) + count
    return missing
