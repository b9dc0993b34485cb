"""Whose credentials these are, and whether they last as long as a create may take."""

from datetime import datetime
from typing import Final

from clusterous_cli.checks.check import Approach, Check, Finding, Mark
from clusterous_cli.terminal import spell

# Network, NAT gateway and machines, each as slow as create has patience for.
ENOUGH_SECONDS: Final = 30 * 60
# Where nothing gives new keys when these end; all others renew them by themselves.
FIXED: Final = ("env", "explicit", "shared-credentials-file", "config-file")
LOG_IN: Final = "log in again first (`aws sso login`, `aws login`, or as you did before)"


def judge(approach: Approach) -> Finding:
    """Warn where a create would be cut short, which it survives: the same command goes on."""
    trouble = approach.trouble
    if trouble and trouble.about == CHECK.name:
        return Finding(mark=Mark.FAILURE, says=trouble.says)
    if trouble:
        return Finding(
            mark=Mark.UNKNOWN, says="nobody could be asked whose they are", why=trouble.says
        )
    if approach.ends is not None:
        return _ending(approach, approach.ends)
    if approach.temporary:
        return Finding(
            mark=Mark.UNKNOWN,
            says=f"{approach.arn}, until nobody knows when",
            why="they are temporary, and where they came from does not tell their end"
            " (AWS_CREDENTIAL_EXPIRATION would)",
        )
    return Finding(mark=Mark.OK, says=f"{approach.arn}, without an end")


def _ending(approach: Approach, ends: datetime) -> Finding:
    left = (ends - approach.now).total_seconds()
    valid = f"{approach.arn}, valid for {spell.duration(max(left, 0))}"
    if approach.method not in FIXED:
        return Finding(mark=Mark.OK, says=f"{valid}, then renewed as long as your login lasts")
    if left >= ENOUGH_SECONDS:
        return Finding(mark=Mark.OK, says=valid)
    return Finding(
        mark=Mark.WARNING,
        says=valid,
        why=f"a create may take up to {spell.duration(ENOUGH_SECONDS)}, and stops where they end",
        do=f"{LOG_IN}; a create that stopped goes on by the same command",
    )


CHECK: Final = Check(
    name="credentials", look=lambda place: place.approach, judge=judge, remote=False
)
