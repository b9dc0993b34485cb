"""The table of volumes, line for line."""

from datetime import UTC, datetime, timedelta

from clusterous_cli.output import volumes
from clusterous_cli.plan.kinds.kind import Found
from clusterous_cli.plan.kinds.machines import STATE
from clusterous_cli.plan.kinds.volume import ebs
from clusterous_cli.plan.volumes.stock import GIB, State, Stock, Thing, Type

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
ZONE = "eu-west-1a"


def thing(id: str, type: Type, state: State, days: int = 3, **more: object) -> Thing:
    usual = {"cluster": "reef", "size": 20 * GIB, "monthly": 1.76}
    return Thing(
        id=id, type=type, state=state, since=NOW - timedelta(days=days),
        found=Found(kind=ebs.GIVEN, key="", id=id), **{**usual, **more},  # type: ignore[arg-type]
    )  # fmt: skip


STOCK = Stock(
    things=(
        thing("vol-1", Type.EBS, State.IN_USE, user="reef", zone=ZONE),
        thing("vol-2", Type.EBS, State.OWNED, role=STATE, zone=ZONE, size=8 * GIB, monthly=0.7),
        thing("fs-1", Type.EFS, State.KEPT, days=9, cluster="coral", size=5 << 20, monthly=0),
        thing("snap-1", Type.SNAPSHOT, State.KEPT, days=2, of="vol-1", says="before", monthly=1.1),
    )
)


def test_a_person_sees_what_there_is_and_what_the_kept_costs() -> None:
    said = volumes.stock_table(STOCK, NOW)

    assert said == "\n".join(
        [
            "  id       what                          size       zone         of      since"
            "     state            $ a month",
            "  vol-1    ebs                           20.0 GiB   eu-west-1a   reef    3 d 0 h"
            "   in use by reef   1.76",
            "  vol-2    ebs, the controller's state   8.0 GiB    eu-west-1a   reef    3 d 0 h"
            "   not in use       0.70",
            "  fs-1     efs                           5 MiB      -            coral   9 d 0 h"
            "   kept             0.00",
            "  snap-1   of vol-1                      20.0 GiB   -            reef    2 d 0 h"
            "   kept: before     at most 1.10",
            "  2 kept, at most 1.10 $ a month (list prices of 2026-02)",
        ]
    )


def test_a_program_gets_bytes_seconds_and_times() -> None:
    data = volumes.stock_data(STOCK, "eu-west-1", "1", NOW)["volumes"][3]

    assert data == {
        "id": "snap-1", "type": "snapshot", "role": "volume", "cluster": "reef", "state": "kept",
        "used_by": None, "size": 20 * GIB, "zone": None, "since": "2026-11-27T12:00:00+00:00",
        "age_seconds": 172800, "monthly": 1.1, "of": "vol-1", "description": "before",
    }  # fmt: skip


def test_what_is_deleted_and_what_stays_is_said() -> None:
    volume, copy = STOCK.things[0], STOCK.things[3]

    said = volumes.removal_words(volume, [copy], "eu-west-1 (account 1)", NOW)

    assert said == (
        "This deletes the volume vol-1 in eu-west-1 (account 1): 20.0 GiB, eu-west-1a, of reef,"
        " made 3 d 0 h ago, with all that is on it. Its snapshot stays: snap-1, at most 1.10 $ a"
        " month."
    )
