"""`python -m tests.minors`: the tests with a control plane, on other minors of Kubernetes.

The usual minor is tried by `make test`. build/k8s-minors.json says how the others went; the exit
code is 1 when one of them failed.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import click

from tests.region.parts import cache, host, minors, parts

ROOT: Final = Path(__file__).parents[1]
RESULT: Final = ROOT / "build" / "k8s-minors.json"
TESTS: Final = ("tests/cluster", "tests/chaos/test_chaos.py")

Result = dict[str, Any]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", multiple=True, type=click.Choice(minors.MINORS), help="Try this minor.")
@click.argument("tests", nargs=-1)
def main(only: Sequence[str], tests: Sequence[str]) -> None:
    """Run TESTS (default: all that start a control plane) on each minor of Kubernetes."""
    results: dict[str, Result] = {}
    for minor in only or minors.MINORS:
        results[minors.release(minor)] = _tried(minor, tests or TESTS)
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(json.dumps(results, indent=1) + "\n")
    for full, result in results.items():
        _tell(in_words(full, result))
    _tell("see build/k8s-minors.json")
    sys.exit(0 if all(map(is_good, results.values())) else 1)


def _tried(minor: str, tests: Sequence[str]) -> Result:
    full = minors.release(minor)
    try:
        parts.paths(["go", "kubectl", minors.entry(minor)], _tell)
    except (cache.BuildError, host.MissingToolsError) as error:
        _tell(f"Kubernetes {full}: {error}")
        return {**counted(None, 1), "seconds": 0.0}
    _tell(f"Kubernetes {full}: {' '.join(tests)}")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="clusterous-minors-") as scratch:
        report = Path(scratch) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-m", "cluster", f"--junitxml={report}", *tests]
        chosen = {**os.environ, minors.VARIABLE: minor}
        code = subprocess.run(command, cwd=ROOT, env=chosen, check=False).returncode
        result = counted(report.read_text() if report.exists() else None, code)
    return {**result, "seconds": round(time.monotonic() - began, 1)}


def counted(report: str | None, code: int) -> Result:
    """Return how many tests passed and failed by pytest's *report* and exit *code*.

    A run that ended badly without a failed test (nothing collected, interrupted) counts as one.
    """
    suites = [] if report is None else list(ElementTree.fromstring(report).iter("testsuite"))

    def total(name: str) -> int:
        return sum(int(suite.get(name, 0)) for suite in suites)

    failed, skipped = total("failures") + total("errors"), total("skipped")
    passed = max(total("tests") - failed - skipped, 0)
    return {"passed": passed, "failed": max(failed, int(code != 0)), "skipped": skipped}


def is_good(result: Result) -> bool:
    """Tell whether tests were run, and all of them passed."""
    return bool(result["passed"]) and not result["failed"]


def in_words(full: str, result: Result) -> str:
    """Return a line for people."""
    figures = ", ".join(f"{result[key]} {key}" for key in ("passed", "failed", "skipped"))
    verdict = "ok" if is_good(result) else "FAILED"
    return f"Kubernetes {full}: {verdict} ({figures}, {result['seconds']:.0f} s)"


def _tell(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    main()
