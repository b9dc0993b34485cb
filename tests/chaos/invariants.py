"""What must hold at every moment, whatever goes wrong; judged by the history of the API server.

Each rule is shown every change in the order in which the store took it, and the world right after
it. Nothing here believes the operator: its status is one of the things that are judged. Pure.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from clusterous_api import names
from tests.chaos import asked, history
from tests.chaos.asked import Rests, components, desired, surge
from tests.chaos.decisions import BeginsNotAgain, IdleIsTrue, RestartsAreCounted
from tests.chaos.history import APP, CLAIM, DELETED, VOLUME, Body, Moment, World
from tests.chaos.violation import Rule, Violation, of_app

FAILOVER_SECONDS = 15.0
GOOD_ORDER_SECONDS = 5.0  # where the leader gives the Lease up itself


def check(moments: Iterable[Moment], *, stale: bool = False) -> list[Violation]:
    """Return every violation, each once per rule and subject.

    *stale* is for runs in which lists lie about the present: a claim then only has to have been
    true at some time since its generation, not since the operator last said otherwise.
    """
    rules: list[Rule] = [
        PodsAreBounded(),
        OneMaster(),
        DataStays(),
        ReadyIsTrue(stale=stale),
        StatusGoesForward(),
        BeginsNotAgain(),
        RestartsAreCounted(),
        IdleIsTrue(),
    ]
    world = World()
    found: dict[tuple[str, str], Violation] = {}
    for moment in sorted(moments, key=lambda one: one.version):
        world.take(moment)
        for rule in rules:
            for violation in rule.look(world, moment):
                found.setdefault((violation.rule, violation.subject), violation)
    return list(found.values())


# The rules.


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What an app asked for, and why it has come to rest nevertheless, if it has."""

    app: Body
    rests: str

    @property
    def key(self) -> tuple[object, ...]:
        """Return what tells it from what was asked for before."""
        return self.app["metadata"]["uid"], self.app["spec"], self.rests

    def most(self, component: str) -> int | None:
        """Return how many pods there may be; None where only the cluster knows."""
        if self.rests:
            return 0
        count = desired(self.app, component)
        return None if count is None else count + surge(self.app, component, count)


@dataclass(slots=True)
class PodsAreBounded:
    """Never more pods of a component than it asks for, and what an update may add.

    What it asked for before counts, too, until the operator says that the newest is reached: to
    scale down takes a moment. An app that has ended, or is suspended for being idle, may have none
    once it had none. And a pod that its ReplicaSet has been told to remove does not count: the
    Deployment controller makes the next one as soon as it has said so.
    """

    _allowed: dict[str, list[_Wanted]] = field(default_factory=dict)  # by name, oldest first
    _rests: Rests = field(default_factory=Rests)

    def look(self, world: World, moment: Moment) -> Iterable[Violation]:
        """Count the pods of all apps."""
        if moment.kind == APP:
            self._remember(world, moment)
        if moment.kind != "Pod":
            return
        for app, versions in self._allowed.items():
            for component in {name for one in versions for name in components(one.app)}:
                yield from self._count(world, moment, app, component, versions)
            if versions[-1:] and versions[-1].rests and _is_empty(world, app):
                del versions[:-1]

    def _remember(self, world: World, moment: Moment) -> None:
        app = moment.body
        name = app["metadata"]["name"]
        self._rests.take(moment)
        known = self._allowed.setdefault(name, [])
        if moment.type == DELETED:
            return  # its pods go with it, and may not become more
        wanted = _Wanted(app=app, rests=self._rests.of(app))
        if not known or known[-1].key != wanted.key:
            known.append(wanted)
        if _is_empty(world, name) if wanted.rests else _is_reached(app):
            del known[:-1]

    def _count(
        self, world: World, moment: Moment, app: str, component: str, versions: Sequence[_Wanted]
    ) -> Iterable[Violation]:
        bounds = [one.most(component) for one in versions]
        if None in bounds:
            return
        most = max(one for one in bounds if one is not None)
        pods = [one for one in world.pods(app, component) if not history.is_leaving(one)]
        count = _wanted_by_somebody(world, pods)
        if count > most:
            yield Violation(
                rule="more pods than asked for",
                subject=f"{app}-{component}",
                version=moment.version,
                what=f"{count} pods, at most {most} may be: {_names(pods)}",
            )


def _is_empty(world: World, app: str) -> bool:
    """Tell whether no pod of an app is left that could do anything."""
    return not any(
        (one["metadata"].get("labels") or {}).get(names.LABEL_APP) == app
        and one.get("status", {}).get("phase") not in ("Succeeded", "Failed")
        for one in world.all("Pod")
    )


def _wanted_by_somebody(world: World, pods: Iterable[Body]) -> int:
    """Count pods, of each ReplicaSet no more than it is to have."""
    sets = {one["metadata"]["uid"]: one for one in world.all("ReplicaSet")}
    counts = Counter(history.owner(one) for one in pods)
    return sum(
        min(count, sets[uid]["spec"].get("replicas", 1)) if uid in sets else count
        for uid, count in counts.items()
    )


def _is_reached(app: Body) -> bool:
    """Tell whether the status says that what is asked for now is what is there."""
    if not asked.is_told(app):
        return False
    return any(
        history.condition(app, kind).get("status") == "True"
        and history.condition(app, kind).get("observedGeneration") == app["metadata"]["generation"]
        for kind in ("Ready", "Suspended", "Completed")
    )


class OneMaster:
    """Never two masters that run at the same time.

    Kubernetes itself replaces a pod that is leaving (deleted by hand, or on a lost node) before it
    is gone. So two pods of one ReplicaSet count only while neither of them leaves; two that belong
    to different owners were made by what the operator did, and count as long as they run.
    """

    def look(self, world: World, moment: Moment) -> Iterable[Violation]:
        """Look for a pair, whenever a pod changes."""
        if moment.kind != "Pod" or moment.type == DELETED:
            return
        labels = moment.body["metadata"].get("labels") or {}
        if labels.get(names.LABEL_COMPONENT) != names.MASTER:
            return
        app = labels[names.LABEL_APP]
        pods = world.pods(app, names.MASTER)
        running = [one for one in pods if one.get("status", {}).get("phase") == "Running"]
        staying = [one for one in running if not history.is_leaving(one)]
        owners = {history.owner(one) for one in running}
        if len(staying) > 1 or len(owners) > 1:
            yield Violation(
                rule="two masters",
                subject=str(app),
                version=moment.version,
                what=f"these run at once: {_names(running)}",
            )


@dataclass(slots=True)
class DataStays:
    """No claim and no volume is ever removed or replaced; all pods of an app mount the same."""

    _claims: dict[str, str] = field(default_factory=dict)  # uid by name
    _mounted: dict[str, str] = field(default_factory=dict)  # claim by app

    def look(self, world: World, moment: Moment) -> Iterable[Violation]:
        """Look at claims, volumes, and what pods mount."""
        if moment.kind in (CLAIM, VOLUME):
            yield from self._of_data(moment)
        elif moment.kind == "Pod" and moment.type != DELETED:
            yield from self._of_pod(moment)

    def _of_data(self, moment: Moment) -> Iterable[Violation]:
        metadata = moment.body["metadata"]
        if moment.type == DELETED or history.is_leaving(moment.body):
            yield self._lost(moment, "it was deleted")
        elif self._claims.setdefault("/".join(moment.key), metadata["uid"]) != metadata["uid"]:
            yield self._lost(moment, "another took its place")
        elif moment.body.get("status", {}).get("phase") in ("Lost", "Failed", "Released"):
            yield self._lost(moment, f"it is {moment.body['status']['phase']}")

    def _of_pod(self, moment: Moment) -> Iterable[Violation]:
        app = (moment.body["metadata"].get("labels") or {}).get(names.LABEL_APP)
        for volume in moment.body["spec"].get("volumes") or () if app else ():
            claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            if volume["name"] != names.VOLUME_NAME or claim is None:
                continue
            if self._mounted.setdefault(str(app), claim) != claim:
                yield self._lost(moment, f"it mounts {claim}, not {self._mounted[str(app)]}")

    def _lost(self, moment: Moment, what: str) -> Violation:
        kind, name = moment.key
        return Violation(
            rule="data lost", subject=f"{kind} {name}", version=moment.version, what=what
        )


@dataclass(slots=True)
class _Evidence:
    """What was seen to be true for one generation of an app."""

    key: tuple[str, int] = ("", 0)  # uid and generation
    workloads: set[str] = field(default_factory=set)
    pods: set[str] = field(default_factory=set)


@dataclass(slots=True)
class ReadyIsTrue:
    """Ready=True for a generation needs a moment at which it was: every workload of that
    generation's image complete by its controller's word, and as many ready pods of that image.

    The moment must lie after the generation began and, unless lists are *stale*, not before the
    operator last said that the app is not ready. A batch that is done stays so as long as it is to
    run the same, also when all its objects were cleared away: there the moment is its Jobs' end.
    """

    stale: bool = False
    _evidence: dict[str, _Evidence] = field(default_factory=dict)
    _done: set[tuple[str, str]] = field(default_factory=set)  # uid, and what it was to run

    def look(self, world: World, moment: Moment) -> Iterable[Violation]:
        """Collect evidence at each moment; ask for it at each claim."""
        if moment.kind == APP and moment.type == DELETED:
            self._evidence.pop(moment.body["metadata"]["name"], None)
            return
        claim = moment.kind == APP and self._claims(moment.body)
        for app in world.all(APP):
            self._collect(world, app, fresh=moment.kind == APP and not claim and not self.stale)
        if claim:
            yield from self._judge(moment)

    def _claims(self, app: Body) -> bool:
        ready = history.condition(app, "Ready")
        return ready.get("status") == "True" and asked.is_told(app)

    def _collect(self, world: World, app: Body, *, fresh: bool) -> None:
        metadata = app["metadata"]
        key = (metadata["uid"], metadata["generation"])
        known = self._evidence.get(metadata["name"])
        if known is None or known.key != key or fresh:
            known = self._evidence[metadata["name"]] = _Evidence(key=key)
        if asked.is_batch(app) and _is_done(world, app):
            self._done.add((metadata["uid"], asked.run(app)))
        for component in components(app):
            if component not in known.workloads and _is_complete(world, app, component):
                known.workloads.add(component)
            if component not in known.pods and _has_pods(world, app, component):
                known.pods.add(component)

    def _judge(self, moment: Moment) -> Iterable[Violation]:
        app = moment.body
        known = self._evidence[app["metadata"]["name"]]
        if history.condition(app, "Ready").get("reason") == "Completed":
            if (known.key[0], asked.run(app)) not in self._done:
                what = f"no Job of generation {known.key[1]} was done"
                yield of_app("false Ready", app, moment, what)
            return
        for what, seen in (("workload", known.workloads), ("pods", known.pods)):
            missing = set(components(app)) - seen
            if missing:
                whose = "/".join(sorted(missing))
                told = f"the {what} of {whose} were not as generation {known.key[1]} asks for"
                yield of_app("false Ready", app, moment, told)


def _is_done(world: World, app: Body) -> bool:
    """Tell whether those have ended well whose end makes a batch, with the image that it asks
    for."""
    named, any_one = asked.counted(app)
    jobs = [world.find("Job", names.child(app["metadata"]["name"], one)) for one in named]
    done = [
        job is not None and _is_of(app, one, job["spec"]["template"]) and _has_ended(job)
        for one, job in zip(named, jobs, strict=True)
    ]
    return any(done) if any_one else all(done)


def _has_ended(job: Body) -> bool:
    """Tell whether a Job has ended well."""
    return any(
        one["type"] in ("Complete", "SuccessCriteriaMet") and one["status"] == "True"
        for one in job.get("status", {}).get("conditions") or ()
    )


def _is_complete(world: World, app: Body, component: str) -> bool:
    name = names.child(app["metadata"]["name"], component)
    job = world.find("Job", name)
    if job is not None:
        return _job_is_complete(app, component, job)
    child = world.find("Deployment", name)
    count = desired(app, component)
    if child is None or not _is_of(app, component, child["spec"]["template"]):
        return False
    status = child.get("status", {})
    replicas = child["spec"]["replicas"]
    if count is not None and replicas != count:
        return False
    settled = status.get("observedGeneration", 0) >= child["metadata"]["generation"]
    ready = min(status.get("updatedReplicas", 0), status.get("readyReplicas", 0))
    return bool(settled and ready >= replicas)


def _job_is_complete(app: Body, component: str, job: Body) -> bool:
    if not _is_of(app, component, job["spec"]["template"]):
        return False
    status = job.get("status", {})
    count = job["spec"].get("parallelism", 1)
    good = status.get("ready", 0) + status.get("succeeded", 0)
    return bool(_has_ended(job) or good >= count)


def _has_pods(world: World, app: Body, component: str) -> bool:
    count = desired(app, component)
    name = names.child(app["metadata"]["name"], component)
    if count is None:
        child = world.find("Deployment", name)
        count = 0 if child is None else child["spec"]["replicas"]
    wanted = names.selector(app["metadata"]["name"], component).items()
    good = [
        pod
        for pod in world.all("Pod")
        if wanted <= (pod["metadata"].get("labels") or {}).items()
        and _is_of(app, component, pod)
        and (history.is_ready(pod) or pod.get("status", {}).get("phase") == "Succeeded")
    ]
    return len(good) >= count


def _is_of(app: Body, component: str, template: Body) -> bool:
    """Tell whether a pod, or a template, has the image that the app asks for now."""
    wanted = asked.image(app, component)
    return any(one["image"] == wanted for one in template["spec"]["containers"])


@dataclass(slots=True)
class StatusGoesForward:
    """observedGeneration never goes back, and is never ahead of the generation."""

    _seen: dict[str, int] = field(default_factory=dict)  # by uid

    def look(self, world: World, moment: Moment) -> Iterable[Violation]:
        """Compare with the last one."""
        if moment.kind != APP or moment.type == DELETED:
            return
        metadata = moment.body["metadata"]
        told = moment.body.get("status", {}).get("observedGeneration", 0)
        before = self._seen.get(metadata["uid"], 0)
        self._seen[metadata["uid"]] = max(told, before)
        if not before <= told <= metadata["generation"]:
            yield Violation(
                rule="status goes back",
                subject=metadata["name"],
                version=moment.version,
                what=f"observedGeneration {told} after {before}, of {metadata['generation']}",
            )


def _names(pods: Iterable[Body]) -> str:
    return ", ".join(
        f"{one['metadata']['name']}{' (leaving)' if history.is_leaving(one) else ''}"
        for one in pods
    )


# Two operators.


def one_writer(writers: Sequence[str], failovers: int) -> list[Violation]:
    """Return a violation if *writers*, one a write, took turns more often than there were
    failovers: two then wrote at the same time."""
    turns = [
        (number, before, after)
        for number, (before, after) in enumerate(itertools.pairwise(writers), 1)
        if before != after
    ]
    if len(turns) <= failovers:
        return []
    told = ", ".join(f"{before}→{after} at write {number}" for number, before, after in turns)
    return [
        Violation(
            rule="two writers",
            subject="the operators",
            version=0,
            what=f"{len(turns)} turns with {failovers} failovers: {told}",
        )
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failover:
    """How long after a leader's trouble, in seconds, another one held the Lease, and wrote for the
    first time; None where there was nothing left to write."""

    held: float
    wrote: float | None = None


def in_time(failovers: Iterable[Failover], most: float = FAILOVER_SECONDS) -> list[Violation]:
    """Return a violation for each failover that took longer than *most*."""
    return [
        Violation(
            rule="failover too slow",
            subject="the operators",
            version=0,
            what=f"the Lease had another holder after {one.held:.1f} s, not {most} s",
        )
        for one in failovers
        if one.held > most
    ]


def leftovers(world: World) -> list[Violation]:
    """Return what a deleted app left behind beside its data."""
    return [
        Violation(
            rule="left behind",
            subject=f"{kind} {body['metadata']['name']}",
            version=int(body["metadata"]["resourceVersion"]),
            what="it is still there after its app was deleted",
        )
        for kind in (APP, *history.CHILDREN)
        for body in world.all(kind)
    ]
