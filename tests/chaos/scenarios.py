"""Everything that goes wrong beside death: each scenario tells a story in bad weather or worse.

A scenario ends well if the story ends as the undisturbed one did, and no rule was broken.
"""

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from clusterous_api import names
from tests.chaos import faults, history, invariants, stories
from tests.chaos.calls import Fault
from tests.chaos.history import APP, World
from tests.chaos.invariants import Violation
from tests.chaos.site import Post, Site, StuckError
from tests.chaos.stories import NAME, STORIES
from tests.cluster.controlplane import ApiError

Ending = Mapping[str, Any]
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


def _weather(
    name: str, make: Callable[[Site], Sequence[Fault]], story: str = "life", **more: bool
) -> Scenario:
    """Return a scenario in which faults go on while the story is told."""

    def play(site: Site, wanted: Ending) -> Sequence[Violation]:
        brewed = make(site)
        post = site.man(faults=brewed)
        stories.tell(site, STORIES[story].prepare + STORIES[story].steps)
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


# Trouble that is more than weather.


def _stale_lists(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Restart the operator before each step, and let it begin from lists that are a step old."""
    stale = faults.StaleLists()
    lag = faults.Lags(seconds=1.0)
    post = site.man(faults=(stale, lag))
    steps = STORIES["life"].steps
    stories.tell(site, steps[:1])
    stale.serving = True
    for step in steps[1:]:
        post.operator.kill()
        stories.tell(site, (step,))
        stale.serving = False
        stale.forget()
        post.operator.kill()  # it lists the present; that is what the next one is shown
        site.until(lambda _: post.operator.answers("/readyz"), "the restart")
        stale.serving = True
    site.settle(wanted)
    return ()


def _silenced(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Let all watches fall silent before the user changes something."""
    silence = faults.Silences()
    site.man(faults=(silence,))
    first, *rest = STORIES["short"].steps
    stories.tell(site, (first,))
    site.wait_quiet()
    for step in rest:
        silence.silence()
        stories.tell(site, (step,))
    site.settle(wanted)
    return ()


def _killed_each(site: Site, wanted: Ending) -> Sequence[Violation]:
    post = site.man()
    kills = faults.KillsEach(namespace=site.namespace, times=60, kill=post.operator.kill)
    site.trouble(post, kills)
    stories.tell(site, STORIES["life"].steps)
    site.trouble(post)
    site.settle(wanted)
    return ()


def _tokens_expire(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Refuse the token before each step; the new one lies in the file a moment later."""
    post = site.man()
    tokens = faults.Tokens(post.operator.token)
    site.trouble(post, tokens)
    for step in STORIES["life"].steps:
        stories.tell(site, (step,))
        refused, renewed = tokens.strikes, site.grounds.token()
        tokens.current = renewed
        site.grounds.background.do(post.proxy.cut())
        site.until(lambda _, refused=refused: tokens.strikes > refused, "a refusal")  # type: ignore[misc]
        post.operator.token = renewed
        post.operator.write_kubeconfig()
    site.settle(wanted)
    return ()


def _partitioned(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Cut the operator off while the user goes on."""
    post = site.man()
    steps = STORIES["life"].steps
    stories.tell(site, steps[:1])
    for step in steps[1:]:
        partition = faults.Partition()
        site.trouble(post, partition)
        site.grounds.background.do(post.proxy.cut())
        stories.begin(site, step)
        time.sleep(2.0)
        site.trouble(post)
        site.until(step.reached, f"the end of “{step.name}” after the partition")
    site.settle(wanted)
    return ()


def _rolling_restart(site: Site, wanted: Ending) -> Sequence[Violation]:
    """End the operator in good order right after each step was asked for."""
    post = site.man()
    for step in STORIES["life"].steps:
        # Before it has begun to work, Python ends as any program does, by the signal.
        site.until(lambda _: post.operator.answers("/readyz"), "the operator")
        stories.begin(site, step)
        time.sleep(site.rng.uniform(0.0, 0.5))
        if (code := post.operator.stop()) != 0:
            raise StuckError(f"the operator ended with code {code} when it was told to end")
        post.operator.start()
        site.until(step.reached, f"the end of “{step.name}”")
    site.settle(wanted)
    return ()


def _frozen(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Let the operator stand still while the user goes on; then let it wake up in another world."""
    post = site.man()
    steps = STORIES["life"].steps
    stories.tell(site, steps[:1])
    for step in steps[1:]:
        stories.begin(site, step)
        time.sleep(site.rng.uniform(0.0, 0.2))
        post.operator.freeze()
        time.sleep(3.0)
        post.operator.thaw()
        site.until(step.reached, f"the end of “{step.name}”")
    site.settle(wanted)
    return ()


def _clock_jumps(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Let its clock jump by a day, forward and back, at each step."""
    post = site.man()
    for number, step in enumerate(STORIES["life"].steps):
        post.operator.shift_clock((86_400.0, -86_400.0, 0.0)[number % 3])
        stories.tell(site, (step,))
    site.settle(wanted)
    return ()


def _apiserver_restarts(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Crash the API server in the midst of each step."""
    site.man()
    for step in STORIES["life"].steps:
        stories.begin(site, step)
        time.sleep(site.rng.uniform(0.1, 0.8))
        site.grounds.plane.restart_apiserver()
        site.until(step.reached, f"the end of “{step.name}”")
    site.settle(wanted)
    return ()


# Children.


def _uid(world: World, kind: str, name: str) -> str:
    found = world.find(kind, name)
    return "" if found is None else str(found["metadata"]["uid"])


_PLURALS: Final = {"Deployment": "deployments", "Service": "services", "Pod": "pods"}
_CHILDREN: Final = tuple(
    (kind, f"{NAME}-{component}")
    for kind, component in (
        ("Deployment", names.MASTER),
        ("Deployment", names.WORKERS),
        ("Service", names.MASTER),
    )
)


def _children_deleted(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Delete each child in each way, and each component's pods."""
    site.man()
    stories.tell(site, STORIES["create"].steps)
    for policy in ("Background", "Foreground", "Orphan"):
        for kind, name in _CHILDREN:
            before = _uid(site.world(), kind, name)
            path = site.lab.path(_PLURALS[kind], name)
            site.grounds.plane.api("DELETE", path, {"propagationPolicy": policy})

            def renewed(
                world: World, kind: str = kind, name: str = name, before: str = before
            ) -> bool:
                return _uid(world, kind, name) not in ("", before)

            site.until(renewed, f"another {kind} {name} after deletion ({policy})")
            site.settle(wanted)
    for pod in list(site.world().all("Pod")):
        site.lab.delete("pods", pod["metadata"]["name"])
    site.settle(wanted)
    return ()


# Nothing that makes more pods: that would be the editor's doing, and break a rule.
_EDITS: Final[Sequence[tuple[str, str, Mapping[str, Any]]]] = (
    ("deployments", "sim-workers", {"spec": {"replicas": 0}}),
    (
        "deployments",
        "sim-workers",
        {"spec": {"template": {"spec": {"containers": [{"name": "workers", "image": "evil:1"}]}}}},
    ),
    ("deployments", "sim-workers", {"metadata": {"labels": {names.LABEL_COMPONENT: "other"}}}),
    ("deployments", "sim-master", {"metadata": {"labels": {names.LABEL_APP: "other"}}}),
    ("deployments", "sim-master", {"metadata": {"labels": {names.LABEL_APP: None}}}),
    ("services", "sim-master", {"spec": {"selector": {names.LABEL_APP: "other"}}}),
    ("services", "sim-master", {"metadata": {"labels": None}}),
)


def _children_edited(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Edit children by hand, labels included, by which the operator finds them."""
    site.man()
    stories.tell(site, STORIES["create"].steps)
    for plural, name, change in _EDITS:
        body = site.lab.patch(plural, name, change)
        edited = int(body["metadata"]["resourceVersion"])
        kind = "Deployment" if plural == "deployments" else "Service"

        def mended(world: World, kind: str = kind, name: str = name, edited: int = edited) -> bool:
            found = world.find(kind, name)
            return found is not None and int(found["metadata"]["resourceVersion"]) > edited

        site.until(mended, f"a change of {name} after {change}")
        site.settle(wanted)
    return ()


def _children_orphaned(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Delete the app, keep its children; an app of the same name takes them over, pods and all."""
    site.man()
    stories.tell(site, STORIES["create"].steps)
    before = sorted(one["metadata"]["uid"] for one in site.world().all("Pod"))
    path = site.lab.path("clusterousapps", NAME)
    site.grounds.plane.api("DELETE", path, {"propagationPolicy": "Orphan"})
    site.until(lambda world: world.find(APP, NAME) is None, "the end of the app")
    stories.tell(site, STORIES["create"].steps)
    site.settle(wanted)
    after = sorted(one["metadata"]["uid"] for one in site.world().all("Pod"))
    if before != after:
        return [_broken("pods restarted", NAME, "orphans were taken over by making them anew")]
    return ()


def _name_taken(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Have others' objects under the names of ours: they stay as they are, until they are gone."""
    labels = {"theirs": "yes"}
    pod = {"containers": [{"name": "x", "image": "theirs:1"}]}
    template = {"metadata": {"labels": labels}, "spec": pod}
    theirs = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    service = {"selector": labels, "ports": [{"port": 99}]}
    made = []
    for plural, body in (("deployments", theirs), ("services", service)):
        object = {"metadata": {"name": f"{NAME}-master"}, "spec": body}
        made.append((plural, site.grounds.plane.api("POST", site.lab.path(plural), object)))
    site.man()
    site.lab.create(NAME, **stories.spec(site))
    site.until(stories.says("Stalled"), "Stalled, because names are taken")
    found: list[Violation] = []
    for plural, before in made:
        name = before["metadata"]["name"]
        now = site.lab.get(plural, name)
        if now["spec"] != before["spec"] or names.LABEL_APP in now["metadata"].get("labels", {}):
            found.append(_broken("others' objects changed", f"{plural} {name}", str(now["spec"])))
        site.lab.delete(plural, name)
    site.until(stories.ready, "the app, when the names are free")
    site.settle(wanted)
    return found


def _broken(rule: str, subject: str, what: str) -> Violation:
    return Violation(rule=rule, subject=subject, version=0, what=what)


# Nodes.


def _nodes_vanish(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Lose one node as a power cut does, then have another deleted."""
    site.pool = site.namespace
    for number in range(3):
        site.lab.add_node(f"{site.namespace}-{number}", site.pool)
    site.man()
    stories.tell(site, STORIES["create"].steps)
    here = site.wait_quiet()

    lost = _node_of_master(site.world())
    site.grounds.plane.lose_node(lost)
    site.until(_runs_elsewhere(lost), "pods on other nodes", 180)
    _give_up(site, lost)
    site.settle(here)

    deleted = _node_of_master(site.world())
    _give_up(site, deleted)
    site.settle(here)
    return ()


def _node_of_master(world: World) -> str:
    (pod,) = [one for one in world.pods(NAME, names.MASTER) if not history.is_leaving(one)]
    return str(pod["spec"]["nodeName"])


def _runs_elsewhere(node: str) -> Callable[[World], bool]:
    def check(world: World) -> bool:
        pods = [one for one in world.all("Pod") if not history.is_leaving(one)]
        placed = all(one["spec"].get("nodeName") not in (None, node) for one in pods)
        return placed and stories.says("Ready")(world)

    return check


def _give_up(site: Site, node: str) -> None:
    """Remove a node and its pods, as a cloud's node controller does with a terminated machine."""
    site.grounds.plane.delete_node(node)
    site.lab.nodes.remove(node)
    for pod in list(site.world().all("Pod")):
        if pod["spec"].get("nodeName") == node:
            path = site.lab.path("pods", pod["metadata"]["name"])
            try:
                site.grounds.plane.api("DELETE", path, {"gracePeriodSeconds": 0})
            except ApiError as error:
                if error.status != 404:
                    raise


def _filling(site: Site, wanted: Ending) -> Sequence[Violation]:
    """Fill nodes that come and go, while the operator is killed now and then."""
    site.pool = site.namespace
    site.lab.add_node(f"{site.namespace}-0", site.pool)
    post = site.man()
    cpu = {"resources": {"requests": {"cpu": "1"}}}
    site.lab.create(NAME, workers=stories.group(site, **cpu))

    def workers(count: int) -> Callable[[World], bool]:
        told = f"{count}/{count}"
        return lambda world: (stories.app(world) or {}).get("status", {}).get("workers") == told

    site.until(workers(4), "four workers on one node")
    site.lab.add_node(f"{site.namespace}-1", site.pool)
    post.operator.kill()
    site.until(workers(8), "eight workers on two nodes")
    _give_up(site, f"{site.namespace}-0")
    post.operator.kill()
    site.until(workers(4), "four workers on what is left")
    site.until(stories.ready, "Ready")
    return ()


# Two operators.


def _two_without_lease(site: Site, wanted: Ending) -> Sequence[Violation]:
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


def _leader_killed(site: Site, wanted: Ending) -> Sequence[Violation]:
    count = _failover(site, lambda _, post: _ignored(post.operator.stop(signal.SIGKILL)))
    site.settle(wanted)
    return _turns(site, count)


def _leader_ends(site: Site, wanted: Ending) -> Sequence[Violation]:
    count = _failover(site, lambda _, post: _ignored(post.operator.stop(signal.SIGTERM)))
    site.settle(wanted)
    return _turns(site, count)


def _leader_frozen(site: Site, wanted: Ending) -> Sequence[Violation]:
    count = _failover(site, lambda _, post: post.operator.freeze())
    site.settle(wanted)
    return _turns(site, count)


def _leader_cut_off(site: Site, wanted: Ending) -> Sequence[Violation]:
    def trouble(site: Site, post: Post) -> None:
        site.trouble(post, faults.Partition())
        site.grounds.background.do(post.proxy.cut())

    count = _failover(site, trouble)
    site.settle(wanted)
    return _turns(site, count)


def _leader_late(site: Site, wanted: Ending) -> Sequence[Violation]:
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


SCENARIOS: Final = (
    Scenario(name="leader-killed", play=_leader_killed, slow=True),
    Scenario(name="leader-ends", play=_leader_ends),
    Scenario(name="leader-frozen", play=_leader_frozen, slow=True),
    Scenario(name="leader-cut-off", play=_leader_cut_off, slow=True),
    Scenario(name="leader-late", play=_leader_late, slow=True),
    Scenario(name="watches-silent", play=_silenced, story="short", slow=True),
    _weather(
        "answers-late",
        lambda site: [
            faults.Hangs(site.rng, which=faults.reads, times=1),
            faults.Hangs(site.rng, which=lambda call: call.changes(site.namespace), times=3),
        ],
        story="short",
        slow=True,
    ),
    Scenario(name="nodes-vanish", play=_nodes_vanish, story="create", slow=True),
    Scenario(name="children-deleted", play=_children_deleted, story="create", slow=True),
    Scenario(name="killed-at-each-write", play=_killed_each, slow=True),
    _weather("everything", _everything, slow=True),
    _weather("everything-shortly", _everything, story="short"),
    _weather("watches-cut", lambda site: [faults.Cuts(site.rng)]),
    _weather("watches-expire", lambda site: [faults.Expires(site.rng)]),
    _weather("events-repeated", lambda site: [faults.Repeats()]),
    _weather("events-reordered", lambda site: [faults.Reorders(site.rng)]),
    _weather("events-replayed", lambda site: [faults.Replays(site.rng)]),
    _weather("events-late", lambda site: [faults.Lags(seconds=1.5)]),
    Scenario(name="lists-stale", play=_stale_lists, stale=True),
    _weather("answers-409", _conflicts),
    _weather("answers-429", _refusals(429, "TooManyRequests", retry_after=1)),
    _weather("answers-500", _refusals(500, "InternalError")),
    _weather("answers-503", _refusals(503, "ServiceUnavailable")),
    _weather("answers-lost", lambda site: [faults.LosesAnswers(site.rng)]),
    _weather("done-but-500", lambda site: [faults.FailsAfterwards(site.rng)]),
    _weather("answers-slow", lambda site: [faults.Slow(site.rng)]),
    Scenario(name="tokens-expire", play=_tokens_expire),
    Scenario(name="partitioned", play=_partitioned),
    Scenario(name="rolling-restart", play=_rolling_restart),
    Scenario(name="frozen", play=_frozen),
    Scenario(name="clock-jumps", play=_clock_jumps),
    Scenario(name="children-edited", play=_children_edited, story="create"),
    Scenario(name="children-orphaned", play=_children_orphaned, story="create"),
    Scenario(name="name-taken", play=_name_taken, story="create"),
    Scenario(name="filling", play=_filling, story="create"),
    Scenario(name="two-operators", play=_two_without_lease),
    Scenario(name="apiserver-restarts", play=_apiserver_restarts, alone=True),
)

__all__ = ["SCENARIOS", "Scenario", "invariants"]
