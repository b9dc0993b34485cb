"""The demo waits as long as its program gets on, and no longer."""

import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.region import demo, places, region


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


class Laptop:
    """A region of a laptop alone, on which each command is this script."""

    def __init__(self, folder: Path, script: str) -> None:
        self.folder, self.script = folder, script
        self.places = places.Places(name="nowhere")

    def laptop_popen(self, argv: Sequence[str], **options: Any) -> "subprocess.Popen[Any]":
        return subprocess.Popen(["sh", "-c", self.script, "sh", *argv], **options)

    def laptop_run(self, argv: Sequence[str], **options: Any) -> "subprocess.CompletedProcess[Any]":
        return subprocess.run(["sh", "-c", self.script, "sh", *argv], check=False, **options)


def at(folder: Path, script: str) -> demo.Story:
    laptop: Any = Laptop(folder, script)
    return demo.Story(region=laptop, folder=folder, tell=lambda line: None)


def test_what_may_do_better_the_next_time_is_typed_again(tmp_path: Path) -> None:
    count = "echo >>count; [ $(wc -l <count) -ge 3 ] || exit 75"
    others = "echo >>count; exit 1"

    assert at(tmp_path, count).type("clusterous", "create") == 0
    (tmp_path / "count").unlink()
    with pytest.raises(demo.StoryError, match="exit code 1"):
        at(tmp_path, others).type("clusterous", "create")

    assert (tmp_path / "count").read_text() == "\n"


def test_connect_is_typed_again_where_it_gave_up(tmp_path: Path) -> None:
    story = at(tmp_path, "echo it gave up; exit 1")
    connect = demo.Connect(story)

    for _ in range(2):
        connect.look(story)
        assert connect.process is not None
        connect.process.wait(20)

    assert (tmp_path / "connect.log").read_text() == "it gave up\n" * 2
    connect.end()


def test_a_busy_api_server_does_not_end_the_look_for_a_lost_machine(tmp_path: Path) -> None:
    lost = demo.Lost("i-0123456789abcdef0")

    lost.look(at(tmp_path, "exit 1"))
    assert lost.seconds == {}
    lost.look(at(tmp_path, "echo Node ip-10-0-0-7-99999999"))

    assert lost.seconds.keys() == {"Node", "Pod"}


def test_a_slow_computation_leaves_patience_for_what_comes_after_it(tmp_path: Path) -> None:
    lost = demo.Lost("i-0123456789abcdef0", began=time.monotonic() - 10_000)

    lost.wait(at(tmp_path, "echo none"))

    assert lost.is_forgotten


def test_a_story_that_failed_leaves_what_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "CHECKOUT", tmp_path)
    monkeypatch.setattr(demo, "EVIDENCE", tmp_path / "evidence")
    (tmp_path / "connect.log").write_text("the tunnel's words")

    demo._keep_evidence(at(tmp_path, 'echo "$*"'))

    kept = {one.name for one in (tmp_path / "evidence").iterdir()}
    assert kept == {"connect.log", "status.txt", "objects.txt", "events.txt", "operator.txt"}
    assert "clusterous status" in (tmp_path / "evidence/status.txt").read_text()


def test_what_is_asked_slowly_is_asked_seldom() -> None:
    now = 0.0
    slept: list[float] = []
    rest = demo.Rest(clock=lambda: now, sleep=slept.append)

    for seconds in (0.1, 12.0, 0.2):
        now += seconds
        rest.take()

    assert slept == [1.0, 24.0, 1.0]
