"""Whether this machine's clock is AWS's, by which signatures are made."""

from typing import Final

from clusterous_cli.checks.check import Approach, Check, Finding, Mark
from clusterous_cli.terminal import spell

# AWS refuses what was signed more than five minutes away, and an answer has been on its way.
MOST_SECONDS: Final = 240.0
MUCH_SECONDS: Final = 60.0
SET_IT: Final = "set the clock (Linux: timedatectl set-ntp true)"


def judge(approach: Approach) -> Finding:
    """Warn before AWS refuses."""
    trouble = approach.trouble
    if trouble and trouble.about == CHECK.name:
        return Finding(mark=Mark.FAILURE, says=trouble.says)
    if trouble:
        return Finding(mark=Mark.UNKNOWN, says="AWS gave no time to compare with", why=trouble.says)
    off = abs(approach.skew)
    way = "ahead of" if approach.skew > 0 else "behind"
    if off <= MUCH_SECONDS:
        return Finding(mark=Mark.OK, says="as AWS's")
    says = f"this machine's is {spell.duration(off)} {way} AWS's"
    if off <= MOST_SECONDS:
        return Finding(
            mark=Mark.WARNING, says=says, why="from 5 min on AWS refuses what is signed", do=SET_IT
        )
    return Finding(
        mark=Mark.FAILURE, says=says, why="AWS refuses what it signs, now or soon", do=SET_IT
    )


CHECK: Final = Check(name="clock", look=lambda place: place.approach, judge=judge, remote=False)
