"""Whether the region is there, and the account has it enabled."""

from dataclasses import dataclass
from typing import Final

from clusterous_cli.checks.check import Check, Finding, Mark, Place, Trouble

ENABLE: Final = "enable it (console: Account, AWS Regions; some minutes), or take another region"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The region, and AWS's word for whether the account has it."""

    region: str
    status: str = ""
    trouble: Trouble | None = None


def look(place: Place) -> Facts:
    """Ask EC2 about the region, unless the first call has told it."""
    approach = place.approach
    if approach.trouble or place.cloud is None:
        return Facts(region=approach.region, trouble=approach.trouble)
    answer = place.aws.call(
        "ec2", "describe_regions", RegionNames=[approach.region], AllRegions=True
    )
    listed = [str(one.get("OptInStatus", "")) for one in answer["Regions"]]
    return Facts(region=approach.region, status=next(iter(listed), ""))


def judge(facts: Facts) -> Finding:
    """Judge by AWS's own word."""
    trouble = facts.trouble
    if trouble and trouble.about == CHECK.name:
        return Finding(mark=Mark.FAILURE, says=trouble.says)
    if trouble:
        return Finding(
            mark=Mark.UNKNOWN,
            says=f"whether {facts.region or 'it'} is enabled could not be asked",
            why=trouble.says,
        )
    if facts.status == "not-opted-in":
        return Finding(
            mark=Mark.FAILURE, says=f"{facts.region} is not enabled in your account", do=ENABLE
        )
    return Finding(mark=Mark.OK, says=f"{facts.region}, enabled")


CHECK: Final = Check(name="region", look=look, judge=judge, remote=False)
