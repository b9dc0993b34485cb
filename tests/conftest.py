"""What holds for all tests: no verdict depends on how busy the machine is; who runs beside whom."""

import gc
from functools import cache
from typing import Any

import pytest
from botocore import useragent
from botocore.loaders import JSONFileLoader
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# A command has a session of its own, as its process has, and reads what AWS's services are anew: a
# third of the time of tests that run many commands in one process.
READ: dict[str, Any] = {}
_load_file = JSONFileLoader.load_file


def load_file(self: JSONFileLoader, file_path: str) -> Any:
    """Read a description once a process."""
    if file_path not in READ:
        READ[file_path] = _load_file(self, file_path)
    return READ[file_path]


JSONFileLoader.load_file = load_file
# Each call tells botocore's, Python's and the system's names and versions, and cleans each anew.
useragent.sanitize_user_agent_string_component = cache(
    useragent.sanitize_user_agent_string_component
)

# What one worker of `pytest -n` runs in a row: the tests of one cluster; what brings up regions of
# its own; one control plane for all that need one; and what opens ports of fixed numbers on this
# machine. The rows that take longest come first, for they are given out in this order. Machines
# boot in two of them, and in no third: two processors are too few, and boots take too long.
ROWS = {
    "tests/region/test_cluster": "cluster",
    "tests/chaos/": "plane",
    "tests/cluster/": "plane",
    "tests/region/test_lifecycle": "region",
    "tests/region/test_machines": "region",
    "tests/region/test_net_": "region",
    "tests/region/test_story": "region",
    "tests/region/test_volume": "region",
    "tests/functional/test_first_try": "laptop",
    "tests/functional/test_kubeconfig": "laptop",
    "tests/functional/test_logs": "laptop",
    "tests/functional/test_montecarlo_story": "laptop",
    "tests/functional/test_run": "laptop",
    "tests/functional/test_ssh": "laptop",
    "tests/functional/test_create_destroy": "account",
}
ORDER = tuple(dict.fromkeys(ROWS.values()))


def row(nodeid: str) -> str:
    """Return the row of a test; mostly it is its file's own."""
    return next((name for start, name in ROWS.items() if nodeid.startswith(start)), _file(nodeid))


def _file(nodeid: str) -> str:
    return nodeid.split("::", 1)[0]


def pytest_configure(config: pytest.Config) -> None:
    """Keep the order of the rows: that with the most tests is not that which takes longest."""
    config.option.loadscopereorder = False


def pytest_collection_finish() -> None:
    """Take what was loaded for the tests for what stays: Python then looks only at what came later.

    https://docs.python.org/3/library/gc.html#gc.freeze
    """
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest rows first, and leave what is in them as it is."""
    place = {name: number for number, name in enumerate(ORDER)}
    items.sort(key=lambda item: place.get(row(item.nodeid), len(place)))


class Rows(LoadScopeScheduling):
    """Gives whole rows to workers, in the order of the tests.

    The mark xdist_group would say the same, but does not reach the scheduler with pytest 9.2
    (https://github.com/pytest-dev/pytest-xdist/issues/1386).
    """

    def _split_scope(self, nodeid: str) -> str:
        return row(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Rows:
    """Take our rows for any `pytest -n`."""
    return Rows(config, log)
