"""Two operators: trouble befalls the leader at each step of a life, and the other takes over."""

import signal
import time
from collections.abc import Callable, Sequence
from typing import Final

from clusterous_api import names
from tests.chaos import faults, invariants, stories
from tests.chaos.invariants import Violation
from tests.chaos.site import Ending, Post, Site
from tests.chaos.stories import STORIES
from tests.cluster.controlplane import ApiError


def without_lease(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Run two operators that do not know of each other: they must want the same."""
    site.man("--lease=off")
    site.man("--lease=off")
    stories.tell(site, STORIES["life"].steps)
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


def _turns(site: Site, failovers: int) -> Sequence[Violation]:
    """Judge who has written. What the API server refused was not written; and an Event, which
    only tells of what was, may come late."""
    done = [one.writer for one in site.writes() if one.status < 400 and one.call.plural != "events"]
    return invariants.one_writer(done, failovers)


def _failover(site: Site, trouble: Callable[[Site, Post], None]) -> int:
    """Tell a life; at each step trouble befalls the leader, and another must take over."""
    posts = _stand_by(site)
    steps = STORIES["life"].steps
    stories.tell(site, steps[:1])
    for number, step in enumerate(steps[1:]):
        leader = posts[number % 2]
        stories.begin(site, step)
        time.sleep(site.rng.uniform(0.0, 0.1))
        trouble(site, leader)
        site.until(lambda _, old=leader: _leader(site) not in ("", old.operator.name), "a failover")  # type: ignore[misc]
        site.until(step.reached, f"the end of “{step.name}”")
        _recover(site, leader)
        site.until(lambda _, old=leader: old.operator.answers("/readyz"), "the standby")  # type: ignore[misc]
    return len(steps) - 1


def _recover(site: Site, post: Post) -> None:
    """Bring an operator back, whatever befell it."""
    site.trouble(post)
    if post.operator.frozen:
        post.operator.thaw()
        time.sleep(1.0)  # in which it would write, if it did not know better
    elif post.operator.process is None:
        post.operator.start()


def killed(site: Site, wanted: Ending) -> Sequence[Violation]:
    count = _failover(site, lambda _, post: _ignored(post.operator.stop(signal.SIGKILL)))
    site.settle(wanted)
    return _turns(site, count)


def ends(site: Site, wanted: Ending) -> Sequence[Violation]:
    count = _failover(site, lambda _, post: _ignored(post.operator.stop(signal.SIGTERM)))
    site.settle(wanted)
    return _turns(site, count)


def frozen(site: Site, wanted: Ending) -> Sequence[Violation]:
    count = _failover(site, lambda _, post: post.operator.freeze())
    site.settle(wanted)
    return _turns(site, count)


def cut_off(site: Site, wanted: Ending) -> Sequence[Violation]:
    def trouble(site: Site, post: Post) -> None:
        site.trouble(post, faults.Partition())
        site.grounds.background.do(post.proxy.cut())

    count = _failover(site, trouble)
    site.settle(wanted)
    return _turns(site, count)


def late(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Keep the leader's writes on their way until another leads; then they arrive."""

    def trouble(site: Site, post: Post) -> None:
        late = faults.Detains(seconds=16.0, namespace=site.namespace)
        site.trouble(post, late)
        site.until(lambda _: late.strikes > 0 or site.is_quiet(), "a write on its way")
        post.operator.freeze()

    count = _failover(site, trouble)
    time.sleep(8.0)  # the last of them
    site.settle(wanted)
    return _turns(site, count)


def _ignored(_: object) -> None:
    """Return nothing."""
