"""Whether AWS can be reached at all."""

from typing import Final

from clusterous_cli.checks.check import Approach, Check, Finding, Mark


def judge(approach: Approach) -> Finding:
    """That AWS says no is an answer; that it says nothing is none."""
    trouble = approach.trouble
    if trouble and trouble.about == CHECK.name:
        return Finding(mark=Mark.FAILURE, says=trouble.says)
    return Finding(mark=Mark.OK, says="AWS answers")


CHECK: Final = Check(
    name="connection", look=lambda place: place.approach, judge=judge, remote=False
)
