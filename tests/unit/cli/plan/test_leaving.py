"""Which machines leave."""

from collections.abc import Mapping
from typing import Any

import pytest

from clusterous_cli.cluster import config
from clusterous_cli.plan.kinds.kind import Found
from clusterous_cli.plan.kinds.machines import MACHINES, Machines
from clusterous_cli.plan.machines import leaving
from clusterous_cli.plan.planner import Observed

REEF = "name: reef\npools:\n  cpu: {count}\n  big: 1\n"


def there(**pools: str) -> Observed:
    """Machines by pool; each was launched after the one before it."""
    found = {}
    for pool, ids in pools.items():
        key = config.pool_key(pool)
        launched = {id: f"2026-11-29T10:{n:02}" for n, id in enumerate(ids.split())}
        value = Machines(count=len(launched), type="t3.large", pool=pool, launched=launched)
        found[key] = Found(kind=MACHINES, key=key, id=ids, value=value)
    return Observed(found=found)


SEEN = there(controller="i-0", cpu="i-1 i-2 i-3", big="i-4")


@pytest.mark.parametrize(
    ("count", "asked", "going"),
    [
        pytest.param(3, {}, "", id="as wanted"),
        pytest.param(2, {"ready": {"i-1", "i-2", "i-3"}}, "i-3", id="the newest"),
        pytest.param(2, {"ready": {"i-2", "i-3"}}, "i-1", id="what is not ready before it"),
        pytest.param(0, {}, "i-1 i-2 i-3", id="all"),
        pytest.param(2, {"before": {"i-1"}}, "i-1", id="who was chosen before"),
        pytest.param(2, {"named": {"i-2"}}, "i-2", id="who was named"),
        pytest.param(1, {"named": {"i-2"}}, "i-2 i-3", id="who was named, and one more"),
        pytest.param(3, {"named": {"i-2"}}, "i-2", id="to be replaced"),
        pytest.param(3, {"named": {"i-9"}}, "", id="nobody is called so"),
        pytest.param(3, {"named": {"i-0"}}, "", id="never the controller"),
    ],
)
def test_who_leaves(count: int, asked: Mapping[str, Any], going: str) -> None:
    wanted = config.parse(REEF.format(count=count))

    assert leaving.choose(SEEN, wanted, **asked) == set(going.split())


def test_a_pool_that_the_file_has_no_more_leaves() -> None:
    wanted = config.parse("name: reef\npools: {cpu: 3}\n")

    assert leaving.choose(SEEN, wanted) == {"i-4"}
