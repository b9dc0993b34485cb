"""Where helm is, and what the charts render to."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import programs

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "clusterous"
LOGGING = ROOT / "charts" / "clusterous-logging"


def helm() -> str:
    """Return the path of helm; without it, skip where that is allowed."""
    program = os.environ.get("HELM") or programs.path("helm")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("helm is not there, and CI must not do without it")
        pytest.skip("helm is neither on PATH nor in the parts cache; `make test` puts it there")
    return program


def render(
    *values: str, chart: Path = CHART, namespace: str = "clusterous-system"
) -> list[dict[str, Any]]:
    """Return what a chart makes with these values (`key=value`)."""
    chosen = [word for value in values for word in ("--set", value)]
    command = [helm(), "template", chart.name, str(chart), "-n", namespace, *chosen]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return [one for one in yaml.safe_load_all(done.stdout) if one]
