"""The example as real processes: master and workers are killed, the answer stays the same."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import ports

IMAGE = Path(__file__).parents[2] / "examples/montecarlo/image"
JOBS, SAMPLES = 40, 100_000

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def go(module: str, *options: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", f"montecarlo.{module}", *options]
        env = {**os.environ, "PYTHONPATH": str(IMAGE), "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True)
        running.append(process)
        return process

    yield go
    for process in running:
        process.kill()
        process.communicate()


def done_at(port: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/progress") as answer:
            return int(json.load(answer)["done"])
    except urllib.error.URLError:
        return -1


def test_killed_master_and_killed_worker_change_nothing(start: Start, tmp_path: Path) -> None:
    port = str(ports.free())
    master = ("--folder", str(tmp_path), "--port", port, "--jobs", str(JOBS))
    options = (*master, "--samples", str(SAMPLES), "--lease", "1")
    first = start("master", *options)
    doomed = start("worker", "--master", f"127.0.0.1:{port}")
    while done_at(port) < 5:
        pass
    doomed.kill()
    start("worker", "--master", f"127.0.0.1:{port}")
    first.kill()
    first.wait()
    assert not (tmp_path / "result.json").exists()

    second = start("master", *options)
    output, _ = second.communicate(timeout=60)

    result = json.loads((tmp_path / "result.json").read_text())
    assert "going on" in output
    assert (result["jobs"], result["points"]) == (JOBS, JOBS * SAMPLES)
    assert abs(result["pi"] - 3.14159265) < 4 * result["error"]
    assert result["hits"] == 3_141_404  # what one process gets, without any accident
