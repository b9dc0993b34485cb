"""Two candidates never both may write, whatever their clocks and the network do."""

import random
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterous_operator.leaderelection import lease
from clusterous_operator.leaderelection.lease import Claim, Hold, Seen, Terms, Wait

TERMS = Terms(duration=10, renew=2.5, margin=2)
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def claim(holder: str = "a", version: int = 1, renewed: str = "r1", transitions: int = 0) -> Claim:
    return Claim(
        namespace="system",
        name="lease",
        version=version,
        holder=holder,
        renewed=renewed,
        duration=10,
        transitions=transitions,
    )


@pytest.mark.parametrize(
    ("seen", "sent", "now", "step"),
    [
        pytest.param(Seen(claim=None, since=0), None, 0, Hold(over=None), id="there is none"),
        pytest.param(
            Seen(claim=claim(""), since=0), None, 0, Hold(over=claim("")), id="it was released"
        ),
        pytest.param(
            Seen(claim=claim("b"), since=5), None, 9, Wait(seconds=6), id="another holds it"
        ),
        pytest.param(
            Seen(claim=claim("b"), since=5), None, 15, Hold(over=claim("b")), id="it has run out"
        ),
        pytest.param(Seen(claim=claim(), since=5), 5, 6, Wait(seconds=1.5), id="it is ours"),
        pytest.param(Seen(claim=claim(), since=5), 5, 7.5, Hold(over=claim()), id="to be renewed"),
        pytest.param(
            Seen(claim=claim(), since=5),
            None,
            5,
            Hold(over=claim()),
            id="it is of our predecessor in this pod",
        ),
    ],
)
def test_decides(seen: Seen, sent: float | None, now: float, step: lease.Step) -> None:
    assert lease.decide("a", seen, sent, now, TERMS) == step


@pytest.mark.parametrize(
    ("seen", "sent", "until"),
    [
        pytest.param(Seen(claim=claim(), since=0), 4.0, 12.0, id="ours"),
        pytest.param(Seen(claim=claim("b"), since=0), 4.0, float("-inf"), id="another's"),
        pytest.param(Seen(claim=claim(), since=0), None, float("-inf"), id="not renewed yet"),
        pytest.param(None, None, float("-inf"), id="nothing seen"),
    ],
)
def test_writes_only_until(seen: Seen | None, sent: float | None, until: float) -> None:
    assert lease.deadline("a", seen, sent, TERMS) == until


def test_the_terms_as_they_ship_leave_time_for_a_lost_renewal_and_a_late_request() -> None:
    terms = Terms()

    assert terms == Terms(duration=10.0, renew=2.0, margin=2.0, retry=0.5, nap=1.0)
    assert terms.renew * 2 < terms.duration - terms.margin


def test_what_says_the_same_has_said_it_since_then() -> None:
    first = lease.see(None, claim("b"), 3)

    touched = lease.see(first, claim("b", version=2), 8)
    renewed = lease.see(touched, claim("b", version=3, renewed="r2"), 9)

    assert touched.since == 3
    assert renewed.since == 9


def test_a_late_answer_does_not_bring_an_old_holder_back() -> None:
    seen = lease.see(None, claim("b", version=7), 3)

    assert lease.see(seen, claim("a", version=6), 4) == seen


def test_counts_who_followed_whom() -> None:
    over = claim("b", transitions=4)

    assert lease.held("a", over, NOW, TERMS)["leaseTransitions"] == 5
    assert "leaseTransitions" not in lease.held("b", over, NOW, TERMS)
    assert lease.held("a", None, NOW, TERMS)["leaseTransitions"] == 0


class Server:
    """Keeps the Lease, and refuses what was meant for another version of it."""

    def __init__(self) -> None:
        self.claim: Claim | None = None

    def hold(self, me: str, over: Claim | None, renewed: str) -> Claim | None:
        current = None if self.claim is None else self.claim.version
        if (None if over is None else over.version) != current:
            return None
        self.claim = claim(me, (current or 0) + 1, renewed)
        return self.claim


class Candidate:
    """An operator with a clock of its own, which may be stopped, and a slow network."""

    def __init__(self, me: str, server: Server, offset: float) -> None:
        self.me, self.server, self.offset = me, server, offset
        self.seen: Seen | None = None
        self.sent: float | None = None
        self.answer: tuple[float, Callable[[], None]] | None = None

    def may_write(self, time: float) -> bool:
        return lease.deadline(self.me, self.seen, self.sent, TERMS) > time + self.offset

    def look(self, time: float) -> None:
        self.seen = lease.see(self.seen, self.server.claim, time + self.offset)

    def step(self, time: float, delay: float, is_lost: bool) -> None:
        now = time + self.offset
        if self.answer is not None:
            due, take = self.answer
            if time < due:
                return
            self.answer = None
            take()
        if self.seen is None:
            self.look(time)
        assert self.seen is not None
        step = lease.decide(self.me, self.seen, self.sent, now, TERMS)
        if isinstance(step, Wait):
            return
        made = self.server.hold(self.me, step.over, f"{self.me} {time}")

        def take() -> None:
            if is_lost or made is None:
                self.look(time + delay)
                return
            self.sent = now
            self.seen = lease.see(self.seen, made, time + delay + self.offset)

        self.answer = (time + delay, take)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_never_two_may_write_and_a_dead_holder_is_followed_in_time(seed: int) -> None:
    chance = random.Random(seed)
    server = Server()
    alive = [Candidate(name, server, chance.uniform(-1e6, 1e6)) for name in "abc"]
    nobody_since = 0.0

    for tick in range(1, 800):
        time = tick * 0.1
        for one in alive:
            if chance.random() < 0.7:  # the watch is late now and then
                one.look(time)
            if chance.random() < 0.9:  # and so is the process
                one.step(time, chance.uniform(0, 2.4), chance.random() < 0.05)
        writers = [one for one in alive if one.may_write(time)]
        assert len(writers) <= 1
        if writers:
            nobody_since = time
            if len(alive) > 1 and chance.random() < 0.005:
                alive.remove(writers[0])
        assert round(time - nobody_since, 6) <= 15  # tenths are no whole numbers to a machine
