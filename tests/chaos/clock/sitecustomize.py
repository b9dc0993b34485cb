"""Put on PYTHONPATH: the wall clock of this process is wrong by what the file $CHAOS_CLOCK says.

Only the wall clock: no kernel lets a monotonic clock jump, and a process that stood still is tried
with SIGSTOP.
"""

import datetime
import os
import time
from typing import Any, Self

_FILE = os.environ.get("CHAOS_CLOCK", "")
_real_time = time.time


def _shift() -> float:
    try:
        with open(_FILE) as file:
            return float(file.read() or 0)
    except (OSError, ValueError):
        return 0.0


class _Shifted(datetime.datetime):
    @classmethod
    def now(cls, tz: Any = None) -> Self:
        return cls.fromtimestamp(_real_time() + _shift(), tz)

    @classmethod
    def utcnow(cls) -> Self:
        return cls.now(datetime.UTC).replace(tzinfo=None)


if _FILE:
    time.time = lambda: _real_time() + _shift()
    datetime.datetime = _Shifted  # type: ignore[misc]  # that is what a shim is for
