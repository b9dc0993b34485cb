"""The first call to AWS, and which check it is that its failure is a matter of."""

from datetime import UTC, datetime

from clusterous_api.errors import ClusterousError, UserError
from clusterous_cli.aws import errors
from clusterous_cli.aws.client import Aws
from clusterous_cli.checks.check import Approach, Trouble


def reach(cloud: Aws) -> Approach:
    """Ask AWS who we are; that it refuses is an answer, too."""
    now = datetime.now(UTC)
    try:
        who, keys = cloud.identity, cloud.keys
    except ClusterousError as error:
        return refused(error, cloud.region)
    return Approach(
        now=now, region=cloud.region, account=str(who["Account"]), arn=str(who["Arn"]),
        method=keys.method, temporary=keys.temporary, ends=keys.ends, skew=cloud.skew,
    )  # fmt: skip


def refused(error: ClusterousError, region: str = "") -> Approach:
    """Return an approach that has failed."""
    trouble = Trouble(about=_about(error), says=str(error))
    return Approach(now=datetime.now(UTC), region=region, trouble=trouble)


def _about(error: ClusterousError) -> str:
    match error:
        case errors.WrongClock():
            return "clock"
        case errors.NoRegion():
            return "region"
        case UserError():
            return "credentials"
        case _:
            return "connection"
