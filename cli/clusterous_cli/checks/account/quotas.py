"""Whether the quotas leave room for the cluster: machines, disks, networks, addresses, gateways."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from clusterous_api.errors import ClusterousError
from clusterous_cli.checks.check import Check, Finding, Mark, Place
from clusterous_cli.cluster.config import ClusterConfig
from clusterous_cli.cluster.tags import is_ours, key_of
from clusterous_cli.plan.kinds.volume import state

COUNTED: Final = ("pending", "running")  # machines that are stopped use up nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """One of AWS's limits, and what it *usual*ly is."""

    what: str
    service: str
    code: str
    usual: int


STANDARD: Final = Quota(
    what="vCPUs of standard machines", service="ec2", code="L-1216C47A", usual=5
)
# By what a type's name begins with; all that is not here is a standard one.
# https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html
FAMILIES: Final[Mapping[str, Quota]] = {
    "g": Quota(what="vCPUs of G and VT machines", service="ec2", code="L-DB2E81BA", usual=0),
    "p": Quota(what="vCPUs of P machines", service="ec2", code="L-417A185B", usual=0),
    "f": Quota(what="vCPUs of F machines", service="ec2", code="L-74FC7D96", usual=0),
    "x": Quota(what="vCPUs of X machines", service="ec2", code="L-7295265B", usual=0),
    "u": Quota(what="vCPUs of high-memory machines", service="ec2", code="L-43DA4232", usual=0),
    "dl": Quota(what="vCPUs of DL machines", service="ec2", code="L-6E869C2A", usual=0),
    "hpc": Quota(what="vCPUs of HPC machines", service="ec2", code="L-F7808C92", usual=0),
    "inf": Quota(what="vCPUs of Inf machines", service="ec2", code="L-1945791B", usual=0),
    "trn": Quota(what="vCPUs of Trn machines", service="ec2", code="L-2C3B7624", usual=0),
}
OTHERWISE: Final = {"vt": "g", "gr": "g"}
NETWORKS: Final = Quota(what="networks (VPCs)", service="vpc", code="L-F678F1CE", usual=5)
ADDRESSES: Final = Quota(what="Elastic IPs", service="ec2", code="L-0263D0A3", usual=5)
STORAGE: Final = Quota(what="GiB of gp3 volumes", service="ebs", code="L-7A658B76", usual=50)
TIB: Final = 1024  # GiB: AWS counts that one in TiB
GATEWAYS: Final = Quota(what="NAT gateways of a zone", service="vpc", code="L-FE5A380F", usual=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """How much of a quota is *used*, and how much more is *wanted*.

    *unsure* says why the account's own value is not known, and AWS's usual one stands in.
    """

    quota: Quota
    region: str
    allowed: int
    used: int
    wanted: int
    unsure: str = ""

    @property
    def fits(self) -> bool:
        """Whether there is room."""
        return self.wanted <= 0 or self.used + self.wanted <= self.allowed

    @property
    def spelled(self) -> str:
        """Spell the figures."""
        of = f"{self.used} of {self.allowed} in use"
        return f"{self.wanted} more {self.quota.what} wanted, {of}" if self.wanted > 0 else of

    @property
    def link(self) -> str:
        """Where the console lets one ask for more of this very quota."""
        console = f"https://{self.region}.console.aws.amazon.com/servicequotas/home"
        return f"{console}/services/{self.quota.service}/quotas/{self.quota.code}"


def judge(rows: Sequence[Row]) -> Finding:
    """The first that does not fit counts, unless it is only AWS's usual figure that says so."""
    short = [row for row in rows if not row.fits]
    sure = [row for row in short if not row.unsure]
    if sure:
        return Finding(
            mark=Mark.FAILURE,
            says="; ".join(row.spelled for row in sure),
            why="AWS would refuse what goes beyond it, when the rest is made already",
            do=f"ask for more ({', '.join(row.link for row in sure)}), or use less",
        )
    unsure = next((row.unsure for row in rows if row.unsure), "")
    says = "; ".join(row.spelled for row in short or rows)
    if short:
        return Finding(
            mark=Mark.WARNING,
            says=f"{says}, as far as AWS's usual quotas go",
            why=f"what your account's are is not known: {unsure}",
            do=f"look yourself: {', '.join(row.link for row in short)}",
        )
    usual = ", by AWS's usual quota (the account's own could not be asked)" if unsure else ""
    return Finding(mark=Mark.OK, says=f"{says}{usual}")


def row(place: Place, quota: Quota, used: int, wanted: int) -> Row:
    """Ask for the account's own value; AWS has none to tell where nobody ever asked for more."""
    asked = {"ServiceCode": quota.service, "QuotaCode": quota.code}
    unsure, answer = "", None
    try:
        answer = place.aws.find("service-quotas", "get_service_quota", **asked)
        answer = answer or place.aws.find(
            "service-quotas", "get_aws_default_service_quota", **asked
        )
    except ClusterousError as error:
        unsure = str(error)
    value = quota.usual if answer is None else int(answer["Quota"]["Value"])
    return Row(
        quota=quota, region=place.aws.region, allowed=value, used=used, wanted=wanted,
        unsure=unsure or ("" if answer else "AWS knows of no such quota here"),
    )  # fmt: skip


# -- machines -----------------------------------------------------------------------------


def family(type: str) -> Quota:
    """Return the quota that machines of a type count for."""
    letters = re.match(r"[a-z]*", type)
    name = letters[0] if letters else ""
    return FAMILIES.get(OTHERWISE.get(name, name), STANDARD)


def look_machines(place: Place) -> tuple[Row, ...]:
    """Count vCPUs by family: of what runs, and of the pools' machines that are not there yet."""
    states = [{"Name": "instance-state-name", "Values": list(COUNTED)}]
    listed = place.aws.pages("ec2", "describe_instances", "Reservations", Filters=states)
    running = [one for group in listed for one in group["Instances"]]
    live = [one for one in running if one["State"]["Name"] in COUNTED]
    paid = [str(one["InstanceType"]) for one in live if one.get("InstanceLifecycle") != "spot"]
    there = [key_of(one, place.who) for one in live]
    new = [pool.type for pool in place.config.pools
           for _ in range(pool.count - there.count(pool.key))]  # fmt: skip
    cores = _cores(place, {*paid, *(pool.type for pool in place.config.pools)})
    families = dict.fromkeys(family(pool.type) for pool in place.config.pools)
    return tuple(row(place, one, _sum(cores, paid, one), _sum(cores, new, one)) for one in families)


def _cores(place: Place, types: Iterable[str]) -> dict[str, int]:
    answer = place.aws.pages(
        "ec2", "describe_instance_types", "InstanceTypes",
        Filters=[{"Name": "instance-type", "Values": sorted(types)}],
    )  # fmt: skip
    return {str(one["InstanceType"]): int(one["VCpuInfo"]["DefaultVCpus"]) for one in answer}


def _sum(cores: Mapping[str, int], types: Iterable[str], quota: Quota) -> int:
    return sum(cores.get(type, 0) for type in types if family(type) == quota)


# -- disks and volumes --------------------------------------------------------------------


def look_disks(place: Place) -> tuple[Row, ...]:
    """Count the GiB of all gp3 volumes, and of the cluster's that are not there yet."""
    of_type = [{"Name": "volume-type", "Values": ["gp3"]}]
    listed = place.aws.pages("ec2", "describe_volumes", "Volumes", Filters=of_type)
    there = [one for one in listed if one["VolumeType"] == "gp3"]
    used = sum(int(one["Size"]) for one in there)
    ours = sum(int(one["Size"]) for one in there if is_ours(one, place.who))
    found = row(place, STORAGE, used, max(0, gigabytes(place.config) - ours))
    return (replace(found, allowed=found.allowed * TIB),)


def gigabytes(config: ClusterConfig) -> int:
    """Return what a cluster's disks and its own volumes take, in GiB."""
    disks = sum(pool.disk * pool.count for pool in config.pools)
    own = config.volume.size or 0 if config.volume.served and config.volume.id is None else 0
    return disks + own + state.SIZE


# -- what a cluster has one of ------------------------------------------------------------


def look_networks(place: Place) -> tuple[Row, ...]:
    """Count the region's networks."""
    listed = place.aws.pages("ec2", "describe_vpcs", "Vpcs")
    return (_one_more(place, NETWORKS, listed),)


def look_addresses(place: Place) -> tuple[Row, ...]:
    """Count the account's own public addresses."""
    return (_one_more(place, ADDRESSES, place.aws.call("ec2", "describe_addresses")["Addresses"]),)


def look_gateways(place: Place) -> tuple[Row, ...]:
    """Count the NAT gateways of the zone that the file names, or of the fullest one."""
    listed = [
        one
        for one in place.aws.pages("ec2", "describe_nat_gateways", "NatGateways")
        if one["State"] in ("pending", "available", "deleting")
    ]
    zones = _zones(place) if len(listed) >= GATEWAYS.usual else {}
    by_zone: dict[str, list[Any]] = {}
    for one in listed:
        by_zone.setdefault(zones.get(one["SubnetId"], ""), []).append(one)
    asked = place.config.zone
    zone = asked if not asked or len(asked) > 1 else f"{place.aws.region}{asked}"
    fullest = max(by_zone.values(), key=len, default=[])
    found = _one_more(place, GATEWAYS, by_zone.get(zone, []) if zone and zones else fullest)
    has_ours = any(is_ours(one, place.who) for one in listed)
    return (replace(found, wanted=0 if has_ours else 1),)


def _zones(place: Place) -> dict[str, str]:
    listed = place.aws.pages("ec2", "describe_subnets", "Subnets")
    return {str(one["SubnetId"]): str(one["AvailabilityZone"]) for one in listed}


def _one_more(place: Place, quota: Quota, there: Sequence[Mapping[str, Any]]) -> Row:
    wanted = 0 if any(is_ours(one, place.who) for one in there) else 1
    return row(place, quota, len(there), wanted)


def _check(name: str, look: Callable[[Place], tuple[Row, ...]]) -> Check:
    return Check(name=name, look=look, judge=judge)


MACHINES: Final = _check("quota: vCPUs", look_machines)
VPCS: Final = _check("quota: networks", look_networks)
ELASTIC_IPS: Final = _check("quota: addresses", look_addresses)
DISKS: Final = _check("quota: disks", look_disks)
NAT_GATEWAYS: Final = _check("quota: NAT gateways", look_gateways)
