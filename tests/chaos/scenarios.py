"""Everything that goes wrong beside death at a write: a story, and the trouble it meets.

A scenario ends well if the story ends as the undisturbed one did, and no rule was broken.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from tests.chaos import children, faults, lifetime, nodes, standby, stories
from tests.chaos.calls import Fault
from tests.chaos.site import Ending, Site
from tests.chaos.stories import STORIES
from tests.chaos.violation import Violation

Play = Callable[[Site, Ending], Sequence[Violation]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A story with trouble. *alone*: the trouble is everybody's, so that nothing runs beside it."""

    name: str
    play: Play
    story: str = "life"
    alone: bool = False
    stale: bool = False
    slow: bool = False  # waits for time-outs of minutes; started first


def _told(
    name: str, play: Callable[..., Sequence[Violation]], story: str, **more: bool
) -> Scenario:
    """Return a scenario of which another story than the usual one is told."""
    return Scenario(name=name, play=partial(play, story=story), story=story, **more)


def _weather(
    name: str, make: Callable[[Site], Sequence[Fault]], story: str = "life", **more: bool
) -> Scenario:
    """Return a scenario in which faults go on while the story is told."""

    def play(site: Site, wanted: Ending) -> Sequence[Violation]:
        brewed = make(site)
        post = site.man(faults=brewed)
        stories.tell(site, STORIES[story].whole)
        for fault in brewed:
            fault.active = False
        site.trouble(post)
        site.settle(wanted)
        return ()

    return Scenario(name=name, play=play, story=story, **more)


def _refusals(code: int, reason: str, retry_after: int = 0) -> Callable[[Site], Sequence[Fault]]:
    return lambda site: [
        faults.Refuses(site.rng, code=code, reason=reason, retry_after=retry_after)
    ]


def _conflicts(site: Site) -> Sequence[Fault]:
    return [faults.Refuses(site.rng, code=409, reason="Conflict", which=faults.writes, share=0.4)]


def _everything(site: Site) -> Sequence[Fault]:
    rng = site.rng
    return [
        faults.Slow(rng, most=0.3),
        faults.Refuses(rng, code=500, reason="InternalError", share=0.1),
        faults.Refuses(rng, code=429, reason="TooManyRequests", share=0.1, retry_after=1),
        faults.Refuses(rng, code=409, reason="Conflict", which=faults.writes, share=0.1),
        faults.LosesAnswers(rng, which=faults.writes, share=0.1),
        faults.FailsAfterwards(rng, share=0.1),
        faults.Reorders(rng, seconds=0.2),
        faults.Repeats(),
        faults.Replays(rng, share=0.2),
        faults.Expires(rng, share=0.1, most=4.0),
        faults.Cuts(rng, least=1.0, most=4.0),
    ]


SCENARIOS: Final = (
    Scenario(name="leader-killed", play=standby.killed, slow=True),
    Scenario(name="leader-ends", play=standby.ends),
    Scenario(name="leader-frozen", play=standby.frozen, slow=True),
    Scenario(name="leader-cut-off", play=standby.cut_off, slow=True),
    Scenario(name="leader-late", play=standby.late, slow=True),
    Scenario(name="watches-silent", play=lifetime.watches_fall_silent, story="short", slow=True),
    _weather(
        "answers-late",
        lambda site: [
            faults.Hangs(site.rng, which=faults.reads, times=1),
            faults.Hangs(site.rng, which=lambda call: call.changes(site.namespace), times=3),
        ],
        story="short",
        slow=True,
    ),
    Scenario(name="nodes-vanish", play=nodes.vanish, story="create", slow=True),
    Scenario(name="children-deleted", play=children.deleted, story="create", slow=True),
    Scenario(name="killed-at-each-write", play=lifetime.killed_at_each_write, slow=True),
    Scenario(name="usage-in-doubt", play=lifetime.usage_is_in_doubt, story="idle", slow=True),
    # What the operator decides by itself, in bad company.
    _told("failing-under-another-leader", standby.killed, "restart", slow=True),
    _told("failing-under-two", standby.without_lease, "restart"),
    _told("failing-killed-at-each-write", lifetime.killed_at_each_write, "fail", slow=True),
    _told("failing-from-stale-lists", lifetime.begins_from_stale_lists, "fail", stale=True),
    _told("cleared-from-stale-lists", lifetime.begins_from_stale_lists, "ttl", stale=True),
    _weather("failing-in-everything", _everything, story="restart"),
    _weather("ended-in-everything", _everything, story="fail"),
    _weather("cleared-in-everything", _everything, story="ttl"),
    _weather("everything", _everything, slow=True),
    _weather("everything-shortly", _everything, story="short"),
    _weather("watches-cut", lambda site: [faults.Cuts(site.rng)]),
    _weather("watches-expire", lambda site: [faults.Expires(site.rng)]),
    _weather("events-repeated", lambda site: [faults.Repeats()]),
    _weather("events-reordered", lambda site: [faults.Reorders(site.rng)]),
    _weather("events-replayed", lambda site: [faults.Replays(site.rng)]),
    _weather("events-late", lambda site: [faults.Lags(seconds=1.5)]),
    Scenario(name="lists-stale", play=lifetime.begins_from_stale_lists, stale=True),
    _weather("answers-409", _conflicts),
    _weather("answers-429", _refusals(429, "TooManyRequests", retry_after=1)),
    _weather("answers-500", _refusals(500, "InternalError")),
    _weather("answers-503", _refusals(503, "ServiceUnavailable")),
    _weather("answers-lost", lambda site: [faults.LosesAnswers(site.rng)]),
    _weather("done-but-500", lambda site: [faults.FailsAfterwards(site.rng)]),
    _weather("answers-slow", lambda site: [faults.Slow(site.rng)]),
    Scenario(name="tokens-expire", play=lifetime.tokens_expire),
    Scenario(name="partitioned", play=lifetime.cut_off),
    Scenario(name="rolling-restart", play=lifetime.ended_in_good_order),
    Scenario(name="frozen", play=lifetime.frozen),
    Scenario(name="clock-jumps", play=lifetime.clock_jumps),
    Scenario(name="children-edited", play=children.edited, story="create"),
    Scenario(name="children-orphaned", play=children.orphaned, story="create"),
    Scenario(name="name-taken", play=children.name_taken, story="create"),
    Scenario(name="filling", play=nodes.filled, story="create"),
    Scenario(name="two-operators", play=standby.without_lease),
    Scenario(name="apiserver-restarts", play=lifetime.apiserver_crashes, alone=True),
)
