"""What a test may change about the simulated AWS: durations, quotas, capacity, permissions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

ADMINISTRATOR: Final[Mapping[str, Any]] = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Durations are seconds; a limit of 0 means that nothing of the kind may be made."""

    account: str = "123456789012"
    region: str = "eu-west-1"
    # Those that the account has enabled; all others need to be opted in to.
    regions: tuple[str, ...] = ("eu-west-1",)
    user: str = "you"
    user_policy: Mapping[str, Any] = field(default_factory=lambda: dict(ADMINISTRATOR))

    # Timed states.
    pending: float = 1.0
    stopping: float = 1.0
    stop_limit: float = 60.0
    shutting_down: float = 1.0
    status_checks: float = 2.0
    nat_pending: float = 2.0
    nat_deleting: float = 2.0
    eip_release_lag: float = 0.0
    volume_creating: float = 0.5
    volume_attaching: float = 1.0
    volume_detaching: float = 1.0
    volume_modifying: float = 0.5
    volume_optimizing: float = 1.0
    snapshot_pending: float = 1.0
    efs_creating: float = 1.0
    efs_deleting: float = 0.5
    mount_target_creating: float = 1.5
    mount_target_deleting: float = 1.0
    balancer_deleting: float = 1.0

    # Eventual consistency; off unless a test asks for it.
    not_found: float = 0.0
    profile_delay: float = 0.0

    # Quotas and capacity.
    eip_limit: int = 5
    vpc_limit: int = 5
    nat_limit: int = 5
    vcpu_limit: int = 256
    gp3_tib_limit: int = 50
    volume_modifications_a_day: int = 4
    snapshot_interval: float = 15.0
    capacity: Mapping[str, int] = field(default_factory=dict)

    page_size: int = 0
    credential_seconds: float = 6 * 3600
    clock_skew: float = 900
    first_public_ip: str = "198.51.100.10"
    last_public_ip: str = "198.51.100.250"


# AWS promises no durations; these are what people see of it. As there, an id is not found
# at first (https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html), a profile
# not known, and an address held for a moment longer than its gateway.
AS_SLOW_AS_AWS: Final = Settings(
    pending=15.0,
    stopping=30.0,
    shutting_down=45.0,
    status_checks=120.0,
    nat_pending=90.0,
    nat_deleting=60.0,
    eip_release_lag=10.0,
    volume_creating=3.0,
    volume_attaching=5.0,
    volume_detaching=5.0,
    volume_modifying=5.0,
    volume_optimizing=600.0,
    snapshot_pending=60.0,
    efs_creating=10.0,
    efs_deleting=10.0,
    mount_target_creating=90.0,
    mount_target_deleting=30.0,
    balancer_deleting=60.0,
    not_found=2.0,
    profile_delay=10.0,
)


def changed(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """Return *settings* with *changes*; a name that is no setting is a KeyError."""
    known = {each.name for each in dataclasses.fields(Settings)}
    unknown = set(changes) - known
    if unknown:
        raise KeyError(f"no such setting: {', '.join(sorted(unknown))}")
    return dataclasses.replace(settings, **changes)
