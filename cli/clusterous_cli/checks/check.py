"""What a check is: facts that somebody fetches, and a judgement over them, which ends in words."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from clusterous_cli.cluster.config import ClusterConfig
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.plan.kinds.cloud import Cloud


class Mark(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    UNKNOWN = "not known"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The answer of a check: what is, why that matters or is not known, and what to *do*."""

    mark: Mark
    says: str
    why: str = ""
    do: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why there is no way to AWS, and which check that is a matter of."""

    about: str
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Approach:
    """The first call to AWS: who we are, by which keys and until when, and how the clocks differ.

    *method* is where the keys come from, in botocore's words; *skew* how many seconds this machine
    is ahead of AWS.
    """

    now: datetime
    region: str = ""
    account: str = ""
    arn: str = ""
    method: str = ""
    temporary: bool = False
    ends: datetime | None = None
    skew: float = 0.0
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where is looked: the account, unless there is no way to it, and for which cluster.

    Who is *thorough* also asks what decides nothing, such as versions.
    """

    approach: Approach
    cloud: Cloud | None
    config: ClusterConfig
    thorough: bool = True

    @property
    def aws(self) -> Cloud:
        """The account, for checks that are only asked where there is a way to it."""
        assert self.cloud is not None
        return self.cloud

    @property
    def who(self) -> Identity:
        """The cluster that is wanted."""
        return Identity(
            name=self.config.name, account=self.approach.account, region=self.aws.region
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Check:
    """One thing that must be so: *look* fetches facts, *judge* knows nothing else than them.

    One that is *remote* asks AWS; one that is *drawn* is judged alike when a plan is drawn.
    """

    name: str
    look: Callable[[Place], Any]
    judge: Callable[[Any], Finding]
    remote: bool = True
    drawn: bool = False
