"""The operator's wall clock can be set wrong from outside."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ASK = "import datetime, time; print(datetime.datetime.now(datetime.UTC).timestamp(), time.time())"


@pytest.mark.parametrize("shift", ["0", "86400", "-86400"])
def test_a_process_with_the_shim_has_another_time(tmp_path: Path, shift: str) -> None:
    clock = tmp_path / "clock"
    clock.write_text(shift)

    environ = {**os.environ, "PYTHONPATH": str(HERE / "clock"), "CHAOS_CLOCK": str(clock)}
    told = subprocess.run(
        [sys.executable, "-c", ASK], env=environ, capture_output=True, text=True, check=True
    )

    wanted = datetime.now(UTC) + timedelta(seconds=float(shift))
    for seconds in map(float, told.stdout.split()):
        assert abs(datetime.fromtimestamp(seconds, UTC) - wanted) < timedelta(hours=1)
