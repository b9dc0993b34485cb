"""Whether the cluster's range of addresses is free: of pods, of services, and of other networks."""

import ipaddress
from dataclasses import dataclass
from typing import Final

from clusterous_cli.checks.check import Check, Finding, Mark, Place
from clusterous_cli.cluster.config import overlaps
from clusterous_cli.cluster.tags import is_ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The range, why it does not hold so many workers, and others' networks, by id."""

    cidr: str
    too_many: str
    others: tuple[tuple[str, str], ...]


def look(place: Place) -> Facts:
    """List the ranges of the region's other networks."""
    listed = place.aws.pages("ec2", "describe_vpcs", "Vpcs")
    others = [
        (str(one["VpcId"]), str(block["CidrBlock"]))
        for one in listed
        if not is_ours(one, place.who)
        for block in one.get("CidrBlockAssociationSet") or [{"CidrBlock": one["CidrBlock"]}]
    ]
    return Facts(
        cidr=place.config.cidr, too_many=place.config.too_many(), others=tuple(sorted(others))
    )


def judge(facts: Facts) -> Finding:
    """Others' networks may have the same range, as long as nobody wants to join the two.

    Nor does it matter what ranges this machine's networks have: nothing is reached but the
    gateway, at its public address.
    """
    network = ipaddress.IPv4Network(facts.cidr)
    if wrong := overlaps(network):
        return Finding(
            mark=Mark.FAILURE, says=wrong[0], do="take another network.cidr, such as 10.40.0.0/16"
        )
    if facts.too_many:
        return Finding(mark=Mark.FAILURE, says=facts.too_many, do="take a larger network.cidr")
    same = [id for id, block in facts.others if network.overlaps(ipaddress.IPv4Network(block))]
    also = f", also in {', '.join(same)}: fine, but these can never be peered" if same else ""
    return Finding(mark=Mark.OK, says=f"{facts.cidr}{also}")


CHECK: Final = Check(name="address range", look=look, judge=judge, drawn=True)
