"""What holds for all tests: no verdict depends on how busy the machine is; who runs beside whom."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

HERE = Path(__file__).parent
# What one worker runs in a row: one region at a time, since some tests compare the whole machine
# before and after; and one control plane for all that need one.
ROWS = {
    "region/test_cluster": "region",
    "region/test_lifecycle": "region",
    "region/test_machines": "region",
    "region/test_net_": "region",
    "region/test_story": "region",
    "cluster/": "plane",
    "chaos/": "plane",
}


def row(path: str) -> str:
    """Return the row of a test file, by its path below this folder; mostly it is the file's own."""
    return next((name for start, name in ROWS.items() if path.startswith(start)), path)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test its row, for `pytest -n`."""
    for item in items:
        path = item.path.relative_to(HERE).as_posix()
        item.add_marker(pytest.mark.xdist_group(row(path)))
