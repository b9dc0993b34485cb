"""The page on the operator names the figures that it serves, and no others."""

import asyncio
import re
from pathlib import Path

from clusterous_operator.client import cluster
from clusterous_operator.client.login import connection
from clusterous_operator.controller.runtime import Machine
from clusterous_operator.controller.settings import Settings
from clusterous_operator.status import figures

PAGE = (Path(__file__).parents[2] / "docs" / "operator.md").read_text()


async def text() -> bytes:
    machine = Machine(Settings(), cluster.Cluster(connection), lambda: 0.0)
    return machine.metrics.text() + b"".join(figures.Text().pieces())


def served() -> set[str]:
    found = re.findall(r"^# TYPE (\S+) ", asyncio.run(text()).decode(), re.M)
    return {one for one in found if not one.startswith("process_") and not one.endswith("_created")}


def test_every_figure_is_explained_and_every_explained_one_is_served() -> None:
    table = PAGE.split("## Figures")[1]
    told = set(
        re.findall(r"`((?:controller_runtime|workqueue|leader|rest|clusterous)_\w+)`", table)
    )

    assert told == served()
