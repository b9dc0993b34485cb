"""Snapshots of volumes on EBS: kept on purpose, they outlast the volume and its cluster.

They bear `kept-from` from the beginning and no other tag of a cluster, so that no `destroy` takes
them for its own. One that bears a cluster's tags was made by others, of its disks.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from clusterous_api import names
from clusterous_cli.cluster import prices
from clusterous_cli.cluster.tags import tags_of
from clusterous_cli.plan.kinds.cloud import Cloud, Site
from clusterous_cli.plan.kinds.kind import Found, Item, Kind, Value, Walk

PART: Final = "volume"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot(Value):
    """What EC2 tells of one: *volume* is what it is of, *size* that volume's GiB then.

    *full* is how many bytes of it were in use, where EC2 says so; *system* its file system, where
    that is known.
    """

    volume: str
    size: int
    began: datetime
    state: str
    progress: str = ""
    description: str = ""
    full: int | None = None
    system: str | None = None
    kept: str | None = None


def listed(cloud: Cloud, filter: str, value: str) -> list[Any]:
    """List the account's own snapshots, by one filter; what is not there is no error."""
    which = [{"Name": filter, "Values": [value]}]
    return cloud.pages("ec2", "describe_snapshots", "Snapshots", OwnerIds=["self"], Filters=which)


def read(one: Item) -> Found:
    """Read a snapshot that EC2 lists."""
    tags = tags_of(one)
    value = Snapshot(
        volume=one.get("VolumeId", ""),
        size=one["VolumeSize"],
        began=one["StartTime"],
        state=one["State"],
        progress=one.get("Progress", ""),
        description=one.get("Description", ""),
        full=one.get("FullSnapshotSizeInBytes") or None,
        system=tags.get(names.TAG_FORMATTED),
        kept=tags.get(names.TAG_KEPT),
    )
    return Found(kind=SNAPSHOT, key="", id=one["SnapshotId"], value=value)


def monthly(value: Snapshot) -> float:
    """Return the dollars of us-east-1 that a snapshot costs in a month at most.

    What it shares with others of its volume is billed once, which nothing tells.
    """
    return _most(value.size, value.full)


def _most(size: int, full: int | None) -> float:
    gib = full / (1 << 30) if full else size
    return gib * prices.SNAPSHOT_GIB_MONTH


def remove(to: Site, found: Found) -> None:
    """Delete it; the volume, and its other snapshots, stay."""
    to.ec2("delete_snapshot", SnapshotId=found.id)


def _hourly(item: Item) -> float:
    most = _most(item["VolumeSize"], item.get("FullSnapshotSizeInBytes"))
    return most / prices.HOURS_PER_MONTH


SNAPSHOT: Final = Kind(
    name="snapshot",
    part=PART,
    noun="snapshot",
    walk=Walk(
        action="describe_snapshots",
        key="Snapshots",
        id="SnapshotId",
        hourly=_hourly,
        kept="snapshot",
    ),
)
