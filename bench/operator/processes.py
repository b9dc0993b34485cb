"""What processes have used: CPU time and memory, as the kernel counts them."""

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.operator.errors import BenchError

OWN_PID: Final = os.getpid()
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PROC: Final = Path("/proc")
# Of the line `cpu` in /proc/stat: idle and waiting for the disk are not work.
_IDLE_COLUMNS: Final = (3, 4)
_WORK_COLUMNS: Final = 8  # what guests use is counted as the user's, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """CPU seconds so far, by process and of the whole machine, and when that was."""

    by_name: Mapping[str, float]
    machine: float
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Resident memory of a process, now and at most, in MiB."""

    resident_mib: float
    peak_mib: float


def usage(pids: Mapping[str, int]) -> Usage:
    """Return what these processes have used so far."""
    return Usage(
        by_name={name: cpu_seconds(pid) for name, pid in pids.items()},
        machine=_machine_seconds(),
        at=time.monotonic(),
    )


def spent(before: Usage, after: Usage) -> dict[str, float]:
    """Return the CPU seconds between two readings; `others` is everything else on the machine."""
    ours = {
        name: round(seconds - before.by_name[name], 2)
        for name, seconds in after.by_name.items()
        if name in before.by_name
    }
    others = after.machine - before.machine - sum(ours.values())
    return {**ours, "others": round(max(others, 0.0), 2)}


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process, of all its threads."""
    # The name, in parentheses, may hold blanks; the numbers come after it.
    fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory(pid: int) -> Memory:
    """Return the memory of a process."""
    lines = (_PROC / str(pid) / "status").read_text().splitlines()
    found = dict(line.split(":", 1) for line in lines if ":" in line)
    if "VmRSS" not in found:  # a process that has ended has none
        raise BenchError(f"process {pid} has ended")
    return Memory(resident_mib=_mib(found["VmRSS"]), peak_mib=_mib(found["VmHWM"]))


def _mib(text: str) -> float:
    return round(int(text.split()[0]) / 1024, 1)


def _machine_seconds() -> float:
    first = (_PROC / "stat").read_text().splitlines()[0].split()[1:]
    return work(int(one) for one in first) / _TICKS


def work(columns: Iterable[int]) -> int:
    """Return how many ticks were not idle."""
    counted = list(columns)[:_WORK_COLUMNS]
    return sum(one for index, one in enumerate(counted) if index not in _IDLE_COLUMNS)
