"""Carries checks out, side by side, and gives each that fails to answer an answer."""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final

from clusterous_api.errors import ClusterousError, UserError
from clusterous_cli.aws import errors
from clusterous_cli.checks import table
from clusterous_cli.checks.check import Check, Finding, Mark, Place

# No check is worth a longer wait: AWS answers these calls within one or two.
SECONDS: Final = 20.0


class Examination:
    """Checks under way. The threads are none that the process waits for at its end."""

    def __init__(self, place: Place, checks: Sequence[Check] = table.ALL) -> None:
        self._findings: dict[str, Finding] = {}
        self._bugs: list[Exception] = []
        self._checks = checks
        self._until = time.monotonic() + SECONDS
        self._threads = [
            threading.Thread(target=self._carry_out, args=(check, place), daemon=True)
            for check in checks
        ]
        for thread in self._threads:
            thread.start()

    def _carry_out(self, check: Check, place: Place) -> None:
        try:
            self._findings[check.name] = answer(check, place)
        except Exception as error:  # for who waits: a thread would only print it
            self._bugs.append(error)

    def findings(self) -> dict[str, Finding]:
        """Wait for the answers, in the order of the table."""
        for thread in self._threads:
            thread.join(max(0.0, self._until - time.monotonic()))
        if self._bugs:
            raise self._bugs[0]
        late = Finding(
            mark=Mark.UNKNOWN, says="not looked at", why=f"no answer within {SECONDS:.0f} s"
        )
        return {check.name: self._findings.get(check.name, late) for check in self._checks}


def answer(check: Check, place: Place) -> Finding:
    """Look, and judge; what cannot be asked is not known, and never a failure by itself."""
    trouble = place.approach.trouble
    if check.remote and (trouble or place.cloud is None):
        about = f"there is no way to AWS: see {trouble.about}" if trouble else "nobody asked"
        return Finding(mark=Mark.UNKNOWN, says="not looked at", why=about)
    try:
        facts = check.look(place)
    except errors.Denied as error:
        return Finding(mark=Mark.UNKNOWN, says=f"could not be asked: {error.call}", why=str(error))
    except UserError as error:
        return Finding(mark=Mark.FAILURE, says=str(error))
    except ClusterousError as error:
        return Finding(mark=Mark.UNKNOWN, says="could not be asked", why=str(error))
    return check.judge(facts)


def failures(findings: Mapping[str, Finding]) -> list[str]:
    """Name the checks that failed."""
    return [name for name, one in findings.items() if one.mark is Mark.FAILURE]
