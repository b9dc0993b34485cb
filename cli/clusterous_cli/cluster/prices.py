"""What AWS asks for things, on demand, in dollars: a small dated table, and prices of one region.

AWS's bill may differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

DATE: Final = "2026-02"
# https://aws.amazon.com/ec2/pricing/on-demand/; us-east-1. Other regions by the factor below.
MACHINES: Final[Mapping[str, float]] = {
    "t3.nano": 0.0052, "t3.micro": 0.0104, "t3.small": 0.0208, "t3.medium": 0.0416,
    "t3.large": 0.0832, "t3.xlarge": 0.1664, "t3.2xlarge": 0.3328,
    "t3a.small": 0.0188, "t3a.medium": 0.0376, "t3a.large": 0.0752, "t3a.xlarge": 0.1504,
    "m6i.large": 0.096, "m6i.xlarge": 0.192, "m6i.2xlarge": 0.384, "m6i.4xlarge": 0.768,
    "m7i.large": 0.1008, "m7i.xlarge": 0.2016, "m7i.2xlarge": 0.4032, "m7i.4xlarge": 0.8064,
    "c6i.large": 0.085, "c6i.xlarge": 0.17, "c6i.2xlarge": 0.34, "c6i.4xlarge": 0.68,
    "c7i.large": 0.08925, "c7i.xlarge": 0.1785, "c7i.2xlarge": 0.357, "c7i.4xlarge": 0.714,
    "r6i.large": 0.126, "r6i.xlarge": 0.252, "r7i.large": 0.1323, "r7i.xlarge": 0.2646,
}  # fmt: skip
# How much more than us-east-1 the machines of a region cost; rounded, t3 and m families.
FACTORS: Final[Mapping[str, float]] = {
    "us-east-1": 1.0, "us-east-2": 1.0, "us-west-2": 1.0, "us-west-1": 1.19,
    "ca-central-1": 1.11, "eu-west-1": 1.10, "eu-west-2": 1.13, "eu-west-3": 1.13,
    "eu-central-1": 1.15, "eu-north-1": 1.04, "ap-southeast-1": 1.27, "ap-southeast-2": 1.27,
    "ap-northeast-1": 1.31, "ap-south-1": 1.08, "sa-east-1": 1.61,
}  # fmt: skip
NAT_GATEWAY: Final = 0.045
PUBLIC_ADDRESS: Final = 0.005
DISK_GIB_MONTH: Final = 0.08
# What gp3 has more than at no price: operations a second, and MiB a second.
DISK_IOPS_FREE: Final = 3000
DISK_IOPS_MONTH: Final = 0.005
DISK_MIB_FREE: Final = 125
DISK_MIB_MONTH: Final = 0.04
SNAPSHOT_GIB_MONTH: Final = 0.05
EFS_GIB_MONTH: Final = 0.30
HOURS_PER_MONTH: Final = 730


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Prices in one region, in dollars; of *machines*, *nat* and *address* an hour's, of disks a
    month's: of a GiB, and of what gp3 has more than at no price, an operation and a MiB a second.

    *of* is whose prices of when these are, *why* no newer ones, and *unsure* what may differ.
    """

    machines: Mapping[str, float]
    nat: float
    address: float
    gib: float
    iops: float
    mib: float
    of: str
    why: str = ""
    unsure: tuple[str, ...] = ()

    def gp3(self, size: int, iops: int | None, throughput: int | None) -> float:
        """Return the dollars of a month for so many GiB, operations a second, and MiB a second."""
        more = max(0, (iops or 0) - DISK_IOPS_FREE)
        faster = max(0, (throughput or 0) - DISK_MIB_FREE)
        return size * self.gib + more * self.iops + faster * self.mib

    @property
    def spelled(self) -> str:
        """Say whose prices these are."""
        more = f" ({self.why})" if self.why else ""
        return f"{self.of}{more}; what AWS bills may differ"


def listed(region: str, why: str = "") -> Prices:
    """Return what the table says of a region; *why* nothing better is known."""
    known = FACTORS.get(region)
    factor = known or 1.0
    return Prices(
        machines={type: hourly * factor for type, hourly in MACHINES.items()},
        nat=NAT_GATEWAY * factor,
        address=PUBLIC_ADDRESS * factor,
        gib=DISK_GIB_MONTH * factor,
        iops=DISK_IOPS_MONTH * factor,
        mib=DISK_MIB_MONTH * factor,
        of=f"list prices of {DATE}, from a table",
        why=why,
        unsure=() if known else (f"the difference of {region} to us-east-1",),
    )


# What the table has before a region's own factor.
TABLE: Final = listed("us-east-1")
