"""What a cluster costs per hour, from a small dated table; what the table lacks is said. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from clusterous_cli.cluster import prices
from clusterous_cli.cluster.config import ClusterConfig, Pool

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
    pools = (config.gateway, config.controller, config.workers)
    factor = prices.FACTORS.get(region)
    unknown = [] if factor else [f"the difference of {region} to us-east-1"]
    unknown += _unknown(pools)
    machines = sum(prices.MACHINES.get(pool.type, 0.0) * pool.count for pool in pools)
    disks = sum(pool.disk * pool.count for pool in pools)
    storage = disks * prices.DISK_GIB_MONTH / prices.HOURS_PER_MONTH
    # The gateway and NAT each hold a public address.
    network = prices.NAT_GATEWAY + 2 * prices.PUBLIC_ADDRESS
    return Cost(hourly=(machines + storage + network) * (factor or 1.0), unknown=tuple(unknown))


def _unknown(pools: Iterable[Pool]) -> list[str]:
    missing = {pool.type: 0 for pool in pools if pool.type not in prices.MACHINES}
    for pool in pools:
        if pool.type in missing:
            missing[pool.type] += pool.count
    return [f"{count} {type}" for type, count in missing.items() if count]
