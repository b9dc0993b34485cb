"""The demo waits as long as its program gets on, and no longer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.region import demo, region


class Clock:
    now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += 60 * seconds


def progress(*done: int) -> Iterator[dict[str, Any] | None]:
    """The page as it is seen once a minute; it stays as it was in the end."""
    for number in (*done, *[done[-1]] * 1000):
        yield None if number < 0 else {"done": number, "jobs": 9, "pi": None, "workers": {}}


def follow(
    seen: Iterator[dict[str, Any] | None], tmp_path: Path, patch: pytest.MonkeyPatch
) -> float:
    """Follow until all 9 jobs are done; return the minutes that it took."""
    clock = Clock()
    patch.setattr(demo, "_progress", lambda story: next(seen))
    (tmp_path / "connect.log").write_text("the tunnel's words")
    story = demo.Story(region=region.Region("demo"), folder=tmp_path, tell=lambda line: None)
    demo._follow(
        story,
        until=lambda now: now["done"] >= 9,
        patience=420,
        clock=lambda: clock.now,
        sleep=clock.sleep,
    )
    return clock.now / 60


def test_slowness_alone_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = [number for job in range(10) for number in [job] * 5]

    assert follow(progress(*slow), tmp_path, monkeypatch) == 45


def test_a_page_that_is_away_for_a_while_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert follow(progress(-1, -1, 3, -1, -1, -1, 9), tmp_path, monkeypatch) == 6


@pytest.mark.parametrize("seen", [(-1,), (0,), (3, 5, 5), (3, 5, 3)])
def test_what_does_not_get_on_is_given_up(
    seen: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(demo.StoryError, match=r"did not get on in 420 s(?s:.*)the tunnel's words"):
        follow(progress(*seen), tmp_path, monkeypatch)
