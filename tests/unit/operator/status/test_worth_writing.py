"""Few status writes: at once what is waited for, counts once a second, the last state always."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterous_operator.status import appstatus
from clusterous_operator.status.appstatus import COUNTS_SECONDS


def made(ready: str = "False", count: int = 0, generation: int = 1, **more: Any) -> dict[str, Any]:
    conditions = [
        {"type": "Ready", "status": ready, "message": f"{count} of 4 ready"},
        {"type": "MasterReady", "status": "True" if count else "False"},
    ]
    return {
        "observedGeneration": generation,
        "conditions": conditions,
        "components": [{"name": "workers", "ready": count}],
        **more,
    }


@pytest.mark.parametrize(
    ("before", "wanted", "elapsed", "expected"),
    [
        pytest.param({}, made(), 0.0, True, id="the first"),
        pytest.param(made(), made(), 99.0, False, id="the same"),
        pytest.param(made(), made(ready="True", count=4), 0.0, True, id="ready"),
        pytest.param(made(ready="True"), made(), 0.0, True, id="not ready any more"),
        pytest.param(made(), made(generation=2), 0.0, True, id="a change was seen"),
        pytest.param(made(), made(count=1), 0.2, False, id="a count"),
        pytest.param(made(), made(count=1), COUNTS_SECONDS, True, id="a count, a second later"),
        pytest.param(made(), made(restarts=1), 0.0, True, id="the failure policy acted"),
        pytest.param(
            made(idle={"suspended": False}),
            made(idle={"suspended": True}),
            0.0,
            True,
            id="suspended for being idle",
        ),
        pytest.param(
            made(idle={"since": "1"}), made(idle={"since": "2"}), 0.0, False, id="idle since"
        ),
    ],
)
def test_worth_writing(
    before: dict[str, Any], wanted: dict[str, Any], elapsed: float, expected: bool
) -> None:
    assert appstatus.worth_writing(before, wanted, elapsed) is expected


@dataclass
class Desk:
    """What the reconcile does with the answer: write, or look again when the second is over."""

    written: dict[str, Any] = field(default_factory=dict)
    at: float = float("-inf")
    again: float | None = None
    times: list[float] = field(default_factory=list)

    def look(self, now: float, wanted: dict[str, Any]) -> None:
        self.again = None
        elapsed = now - self.at
        if appstatus.worth_writing(self.written, wanted, elapsed):
            self.written, self.at = wanted, now
            self.times.append(now)
        elif wanted != self.written:
            self.again = now + max(COUNTS_SECONDS - elapsed, 1e-6)  # a clock has no finer step

    def wait(self, until: float, current: dict[str, Any]) -> None:
        while self.again is not None and self.again <= until:
            self.look(self.again, current)


states = st.builds(
    made,
    ready=st.sampled_from(["True", "False"]),
    count=st.integers(0, 4),
    generation=st.integers(1, 3),
)


@given(st.lists(st.tuples(st.floats(0.001, 3.0), states), min_size=1, max_size=40))
def test_the_last_state_is_always_written(changes: list[tuple[float, dict[str, Any]]]) -> None:
    desk, now = Desk(), 0.0
    current: dict[str, Any] = {}
    for pause, wanted in changes:
        desk.wait(now + pause, current)
        now, current = now + pause, wanted
        desk.look(now, current)
    desk.wait(now + COUNTS_SECONDS + 0.001, current)

    assert desk.written == current


@given(st.lists(st.integers(0, 4), min_size=1, max_size=200))
def test_counts_alone_are_written_once_a_second_at_most(counts: list[int]) -> None:
    desk = Desk()
    for number, count in enumerate(counts):
        desk.look(number / 20, made(count=count))

    assert all(
        later - earlier >= COUNTS_SECONDS - 1e-9
        for earlier, later in zip(desk.times, desk.times[1:], strict=False)
    )
