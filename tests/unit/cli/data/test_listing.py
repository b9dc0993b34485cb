"""What is read of what the volume says of itself."""

from datetime import UTC, datetime

import pytest

from clusterous_cli.data import listing
from clusterous_cli.data.listing import Usage

TIME = datetime(2026, 11, 30, 9, tzinfo=UTC)


def said(*fields: str) -> str:
    return "".join(f"{one}\0" for one in fields)


def test_reads_each_thing_whatever_it_is_called() -> None:
    at = f"{int(TIME.timestamp())}.1234567890"
    text = said("f", "12", "644", "0", at, "new\nline", "") + said(
        "l", "4", "777", "1000", at, "latest", "run 42"
    )
    text += said("d", "4096", "1777", "0", at, "in", "")

    found = listing.entries(text)

    assert [(one.name, one.kind) for one in found] == [
        ("in", "folder"),
        ("latest", "link"),
        ("new\nline", "file"),
    ]
    assert found[1].as_data() == {
        "name": "latest",
        "kind": "link",
        "bytes": 4,
        "mode": "777",
        "owner": 1000,
        "changed": "2026-11-30T09:00:00Z",
        "target": "run 42",
    }
    assert "target" not in found[2].as_data()


def test_nothing_is_there() -> None:
    assert listing.entries("") == []


def test_the_largest_is_told_first() -> None:
    text = said("10\t/home/data/a", "2048\t/home/data/b c", "2058\t/home/data/")
    text += "  1B-blocks      Avail\n21474836480 1073741824\n"

    found = listing.usage(text, "/home/data/")

    assert found.parts == (("b c", 2048), ("a", 10))
    assert (found.total, found.size, found.free) == (2058, 20 << 30, 1 << 30)
    assert found.table("/home/data/").splitlines() == [
        "  2 KiB   b c",
        "  10 B    a",
        "2 KiB in /home/data/; 1.0 GiB of 20.0 GiB free on the volume",
    ]


def test_of_a_file_the_whole_is_told() -> None:
    found = listing.usage("4096\t/home/data/in/x\0 1B-blocks Avail\n10 5\n", "/home/data/in/x")

    assert found == Usage(parts=(), total=4096, size=10, free=5)
    assert found.as_data()["volume"] == {"size": 10, "free": 5}


def test_a_volume_that_cannot_be_measured_is_told_as_far_as_it_can() -> None:
    assert listing.usage("10\t/home/data\0", "/home/data/").size == 0


@pytest.mark.parametrize(
    ("seconds", "year"), [("-99999999999999", 1), ("-86400", 1969), ("0", 1970), ("9" * 18, 9999)]
)
def test_a_file_may_be_of_any_year(seconds: str, year: int) -> None:
    (found,) = listing.entries(said("f", "1", "644", "0", f"{seconds}.0", "old", ""))

    assert found.changed.year == year
