"""Where a cluster is placed."""

import pytest

from clusterous_api.errors import UserError
from clusterous_cli.plan import design

TYPES = {"t3.large", "t3.nano"}
ZONES = ("us-west-2-lax-1a", "us-west-2b", "us-west-2c", "us-west-2-wl1-las-wlz-1")
OFFERED = [(type, zone) for type in sorted(TYPES) for zone in ZONES]


def test_a_cluster_goes_into_no_local_zone_by_itself() -> None:
    assert design.choose_zone(None, "us-west-2", TYPES, OFFERED) == "us-west-2b"


def test_a_zone_that_is_asked_for_is_taken() -> None:
    assert design.choose_zone("c", "us-west-2", TYPES, OFFERED) == "us-west-2c"


def test_where_only_local_zones_have_all_that_is_told() -> None:
    local = [pair for pair in OFFERED if "-lax-" in pair[1]]

    with pytest.raises(UserError, match="No zone of us-west-2 has all of"):
        design.choose_zone(None, "us-west-2", TYPES, local)
