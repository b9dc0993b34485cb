"""`python -m tests.mutants.warm`: pytest with all that others wrote already loaded; it forks.

It stands in a copy of the checkout. A line of JSON in: which tests, and how many seconds they may
take, of CPU and by the clock. A line out: what pytest said, and which test it was that failed.
Modules of ours are loaded by each fork anew, so that a fault in them counts.
"""

import importlib
import json
import os
import resource
import select
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final

import pytest

OTHERS: Final = (
    "boto3", "botocore.stub", "click.testing", "cryptography.x509", "hypothesis.strategies", "kopf",
    "moto.server", "prometheus_client", "rich.console", "trustme", "xdist.scheduler", "yaml",
)  # fmt: skip
FLAGS: Final = (
    "-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0",
    "-W", "ignore::pytest.PytestAssertRewriteWarning",  # what is loaded already is not ours
)  # fmt: skip


class First:
    """Remembers the first test that failed, or the file that could not be loaded."""

    def __init__(self) -> None:
        self.failed = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Look at a test's report."""
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Look at a file's report."""
        if report.failed and not self.failed:
            self.failed = report.nodeid


def answer(tests: list[str], cpu: float, wall: float) -> dict[str, Any]:
    """Run *tests* in a fork of this process, and end whatever it leaves running."""
    began = time.monotonic()
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        _be_tested(tests, cpu, writer)
    os.close(writer)
    try:
        ready, _, _ = select.select([reader], [], [], wall)
        said = os.read(reader, 65536) if ready else b""
    finally:
        os.close(reader)
        os.killpg(child, signal.SIGKILL)
        used = os.wait4(child, 0)[2]
        shutil.rmtree(".hypothesis", ignore_errors=True)  # or one fault's examples try the next
    result = json.loads(said) if said else {"code": None, "failed": "takes for ever"}
    spent = used.ru_utime + used.ru_stime
    return {**result, "cpu": round(spent, 2), "seconds": round(time.monotonic() - began, 2)}


def _be_tested(tests: list[str], seconds: float, writer: int) -> None:
    os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 1))
    with open(os.devnull, "r+b") as nothing, open("mutants.log", "wb") as log:
        os.dup2(nothing.fileno(), 0)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    first = First()
    try:
        code = int(pytest.main([*FLAGS, *tests], plugins=[first]))
        os.write(writer, json.dumps({"code": code, "failed": first.failed}).encode())
    finally:
        os._exit(0)  # whatever happens, a child never goes on as its parent


def _end(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Answer questions until there are no more."""
    signal.signal(signal.SIGTERM, _end)
    sys.path.insert(0, str(Path.cwd()))
    for name in OTHERS:
        importlib.import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(answer(**asked)), flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
