"""Looking for a cluster in all regions of the account, where nothing says in which one it is."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from clusterous_api import names
from clusterous_api.errors import ClusterousError
from clusterous_cli.aws.client import Aws

PARALLEL: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """The regions that have a network of that name, and those that could not be asked."""

    found: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()


def search(cloud: Aws, name: str) -> Search:
    """Look for the network of the cluster *name* in each enabled region; one call each."""
    try:
        listed = cloud.call("ec2", "describe_regions")["Regions"]
    except ClusterousError:
        return Search(unseen=("all other regions",))
    regions = [str(one["RegionName"]) for one in listed]
    with ThreadPoolExecutor(max_workers=PARALLEL) as pool:
        answers = list(pool.map(lambda region: _has(cloud.elsewhere(region), name), regions))
    return Search(found=_those(regions, answers, True), unseen=_those(regions, answers, None))


def _has(cloud: Aws, name: str) -> bool | None:
    """Whether the region has it; None where that cannot be asked."""
    wanted = [{"Name": f"tag:{names.TAG_CLUSTER}", "Values": [name]}]
    try:
        return bool(cloud.pages("ec2", "describe_vpcs", "Vpcs", Filters=wanted))
    except ClusterousError:
        return None


def _those(
    regions: Sequence[str], answers: Sequence[bool | None], wanted: bool | None
) -> tuple[str, ...]:
    return tuple(one for one, has in zip(regions, answers, strict=True) if has is wanted)
