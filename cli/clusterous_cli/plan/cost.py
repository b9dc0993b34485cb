"""What a cluster costs per hour, from a small dated table; what the table lacks is said. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from clusterous_cli.cluster import prices
from clusterous_cli.cluster.config import ClusterConfig
from clusterous_cli.plan.kinds import table
from clusterous_cli.plan.kinds.kind import Price

# Storage by use (EFS, S3) and traffic are billed as they come and not in this sum.
NOT_COUNTED: Final = "data on the volume and traffic come on top"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Dollars per hour; *unknown* names what has no price in the table."""

    hourly: float
    unknown: tuple[str, ...] = ()

    @property
    def monthly(self) -> float:
        """Return the dollars per month of running all the time."""
        return self.hourly * prices.HOURS_PER_MONTH

    def spelled(self) -> str:
        """Spell the price, and honestly what it leaves out."""
        more = f" plus {', '.join(self.unknown)} (price not known here)" if self.unknown else ""
        return f"{self.hourly:.2f} $/h{more}"


def of(config: ClusterConfig, region: str) -> Cost:
    """Return what the running cluster costs."""
    factor = prices.FACTORS.get(region)
    parts = [price for kind in table.ALL for price in kind.price(config)]
    unknown = [] if factor else [f"the difference of {region} to us-east-1"]
    unknown += [f"{count} {what}" for what, count in _unknown(parts).items() if count]
    hourly = sum(part.hourly for part in parts) * (factor or 1.0)
    return Cost(hourly=hourly, unknown=tuple(unknown))


def _unknown(parts: Iterable[Price]) -> dict[str, int]:
    missing: dict[str, int] = {}
    for part in parts:
        for what, count in (part.unknown or {}).items():
            missing[what] = missing.get(what, 0) + count
    return missing
