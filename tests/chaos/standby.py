"""Two operators: trouble befalls the leader at each step of a life, and the other takes over."""

import signal
import time
from collections.abc import Callable, Sequence
from typing import Final

from clusterous_api import names
from tests.chaos import faults, invariants, stories
from tests.chaos.invariants import Failover
from tests.chaos.proxy import Write
from tests.chaos.site import Ending, Post, Site
from tests.chaos.stories import STORIES
from tests.chaos.violation import Violation
from tests.cluster.controlplane import ApiError

Trouble = Callable[[Site, Post], float]  # returns when it befell, by the monotonic clock


def without_lease(site: Site, wanted: Ending, *, story: str = "life") -> Sequence[Violation]:
    """Run two operators that do not know of each other: they must want the same."""
    site.man("--lease=off")
    site.man("--lease=off")
    stories.tell(site, STORIES[story].whole)
    site.settle(wanted)
    return ()


def _stand_by(site: Site) -> tuple[Post, Post]:
    """Start one operator, and when it leads another one beside it."""
    first = site.man()
    site.until(lambda _: _leader(site) == first.operator.name, "the first operator's Lease")
    second = site.man()
    site.until(lambda _: second.operator.answers("/readyz"), "the standby")
    return first, second


def _leader(site: Site) -> str:
    """Return who holds the Lease."""
    try:
        body = site.grounds.plane.api("GET", f"{_LEASES.format(site.namespace)}/{names.LEASE}")
    except ApiError:
        return ""
    return str(body["spec"].get("holderIdentity") or "")


_LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"


def _judged(site: Site, most: float = invariants.FAILOVER_SECONDS) -> Sequence[Violation]:
    """Judge who has written, and how soon. What the API server refused was not written; and an
    Event, which only tells of what was, may come late."""
    done = [one.writer for one in site.writes() if _counts(one)]
    late = invariants.in_time(site.failovers, most)
    return [*invariants.one_writer(done, len(site.failovers)), *late]


def _counts(write: Write) -> bool:
    return write.status < 400 and write.call.plural != "events"


def _failover(site: Site, trouble: Trouble, story: str = "life") -> None:
    """Tell a story; at each step trouble befalls the leader, and another must take over."""
    posts = _stand_by(site)
    first, *steps = STORIES[story].whole
    stories.tell(site, (first,))
    for number, step in enumerate(steps):
        leader = posts[number % 2]
        stories.begin(site, step)
        time.sleep(site.rng.uniform(0.0, 0.1))
        began = trouble(site, leader)
        site.until(lambda _, old=leader: _leader(site) not in ("", old.operator.name), "a failover")  # type: ignore[misc]
        site.until(step.reached, f"the end of “{step.name}”")
        site.failovers.append(_measured(site, leader, began))
        _recover(site, leader)
        site.until(lambda _, old=leader: old.operator.answers("/readyz"), "the standby")  # type: ignore[misc]


def _measured(site: Site, old: Post, began: float) -> Failover:
    """Return how long the other one took, by what its proxy noted."""
    theirs = [
        one
        for one in list(site.noted)
        if one.at >= began and one.writer != old.operator.name and one.status < 400
    ]
    held = next(one.at for one in theirs if one.call.plural == "leases")
    wrote = (one.at for one in theirs if one.call.changes(site.namespace) and _counts(one))
    first = next(wrote, None)
    return Failover(held=held - began, wrote=None if first is None else first - began)


def _recover(site: Site, post: Post) -> None:
    """Bring an operator back, whatever befell it."""
    site.trouble(post)
    if post.operator.frozen:
        post.operator.thaw()
        time.sleep(1.0)  # in which it would write, if it did not know better
    elif post.operator.process is None:
        post.operator.start()


def killed(site: Site, wanted: Ending, *, story: str = "life") -> Sequence[Violation]:
    _failover(site, lambda _, post: _ended(post, signal.SIGKILL), story)
    site.settle(wanted)
    return _judged(site)


def ends(site: Site, wanted: Ending) -> Sequence[Violation]:
    _failover(site, lambda _, post: _ended(post, signal.SIGTERM))
    site.settle(wanted)
    return _judged(site, invariants.GOOD_ORDER_SECONDS)


def _ended(post: Post, number: int) -> float:
    began = time.monotonic()
    post.operator.stop(number)
    return began


def frozen(site: Site, wanted: Ending) -> Sequence[Violation]:
    _failover(site, lambda _, post: _frozen(post))
    site.settle(wanted)
    return _judged(site)


def _frozen(post: Post) -> float:
    post.operator.freeze()
    return time.monotonic()


def cut_off(site: Site, wanted: Ending) -> Sequence[Violation]:
    def trouble(site: Site, post: Post) -> float:
        began = time.monotonic()
        site.trouble(post, faults.Partition())
        site.grounds.background.do(post.proxy.cut())
        return began

    _failover(site, trouble)
    site.settle(wanted)
    return _judged(site)


def late(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Keep the leader's writes on their way until another leads; then they arrive."""

    def trouble(site: Site, post: Post) -> float:
        late = faults.Detains(seconds=16.0, namespace=site.namespace)
        site.trouble(post, late)
        site.until(lambda _: late.strikes > 0 or site.is_quiet(), "a write on its way")
        return _frozen(post)

    _failover(site, trouble)
    time.sleep(8.0)  # the last of them
    site.settle(wanted)
    return _judged(site)
