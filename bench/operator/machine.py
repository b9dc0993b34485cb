"""The machine and the programs on which figures were measured: without them, they say little."""

import os
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import Any, Final

from bench.operator.testbed import ROOT

_MODULES: Final = {
    "kubernetes": "k8s.io/kubernetes",
    "kine": "github.com/k3s-io/kine",
    "kwok": "sigs.k8s.io/kwok",
}
_GO_MOD: Final = ROOT / "tests" / "region" / "parts" / "go" / "go.mod"


def description() -> dict[str, Any]:
    """Return what a reader must know to compare."""
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "cpu": _first(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo")),
        "memory_gib": round(int(_first(r"MemTotal:\s*(\d+)", Path("/proc/meminfo"))) / 2**20, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "commit": _commit(),
        "load": [round(one, 2) for one in os.getloadavg()],
        **{name: _first(rf"{module} (v\S+)", _GO_MOD) for name, module in _MODULES.items()},
    }


def now() -> str:
    """Return the time, as results tell it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _first(pattern: str, path: Path) -> str:
    found = re.search(pattern, path.read_text())
    return found.group(1).strip() if found else "0"


def _commit() -> str:
    """Return the commit; with a plus where something was changed since."""
    words = ("git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--abbrev=12")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
