"""When the controller counts as away, and what is told of it."""

from datetime import UTC, datetime

import pytest

from clusterous_cli.cluster.records.away import Away, Seen, away

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
AT_TEN = datetime(2026, 11, 29, 10, 0, tzinfo=UTC)
TOLD = "2026-11-29T10:00:00Z"
BY_USER = "User initiated (2026-11-29 10:00:00 GMT)"


@pytest.mark.parametrize(
    ("living", "ended", "heard", "said"),
    [
        ([Seen(id="i-1", state="running")], [], {"i-1": "2026-11-29T11:55:00Z"}, None),
        ([Seen(id="i-1", state="pending")], [], {}, None),
        # A new one that has said nothing yet, beside what the one before said.
        ([Seen(id="i-2", state="running")], [], {"i-1": TOLD}, None),
        (
            [Seen(id="i-1", state="running")],
            [],
            {"i-1": TOLD},
            Away(state="silent", id="i-1", heard=AT_TEN),
        ),
        (
            [Seen(id="i-1", state="stopped", why="by hand", changed=BY_USER)],
            [],
            {"i-1": TOLD},
            Away(state="stopped", id="i-1", why="by hand", since=AT_TEN, heard=AT_TEN),
        ),
        (
            [],
            [Seen(id="i-2", state="terminated", changed=BY_USER), Seen(id="i-1", state="x")],
            {"i-2": TOLD, "i-1": "2026-11-28T10:00:00Z"},
            Away(state="terminated", id="i-2", since=AT_TEN, heard=AT_TEN),
        ),
        ([], [], {"i-1": TOLD}, Away(state="gone", heard=AT_TEN)),
        ([], [], {}, Away(state="gone")),
    ],
)
def test_a_controller_is_away(
    living: list[Seen], ended: list[Seen], heard: dict[str, str], said: Away | None
) -> None:
    assert away(living, ended, heard, NOW) == said
