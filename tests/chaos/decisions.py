"""What must hold of that which the operator decides by itself: an end, a restart, a rest. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from clusterous_api import names
from tests.chaos import asked, history
from tests.chaos.asked import Rests
from tests.chaos.history import APP, DELETED, FIGURES, Body, Moment, World
from tests.chaos.violation import Violation, of_app

_WORKLOADS = ("Deployment", "Job")
_CLEARED = (*_WORKLOADS, "Service", "Pod")
_CPU = "50m"  # of an app that does not say otherwise
# A time in the status is cut down to whole seconds, and what is seen is seen a little late.
_SLACK_SECONDS = 2.0


@dataclass(slots=True)
class BeginsNotAgain:
    """What has ended, or was suspended for being idle, stays so until it is asked for more.

    Ended: a batch that is done or has failed, and what the failure policy has ended. Of what was
    cleared away after that nothing comes back, either.
    """

    _rests: Rests = field(default_factory=Rests)
    _running: set[str] = field(default_factory=set)  # workloads that are told to run, by uid
    _cleared: set[str] = field(default_factory=set)  # apps of which only the data is left, by uid

    def look(self, world: World, moment: Moment) -> Iterable[Violation]:
        """Compare what the status said before with what it says, and with what is told to run."""
        if moment.kind == APP:
            yield from self._of_app(moment)
        if moment.kind in _CLEARED:
            yield from self._of_child(world, moment)

    def _of_app(self, moment: Moment) -> Iterable[Violation]:
        app = moment.body
        why = self._rests.of(app)
        self._rests.take(moment)
        if not self._rests.of(app):
            self._cleared.discard(app["metadata"]["uid"])
        if why and moment.type != DELETED and asked.is_told(app) and asked.rest(app) is None:
            yield _again(app, moment, f"its status does not tell of it any more ({why})")

    def _of_child(self, world: World, moment: Moment) -> Iterable[Violation]:
        name = (moment.body["metadata"].get("labels") or {}).get(names.LABEL_APP)
        app = None if name is None else world.find(APP, name)
        begins = moment.kind in _WORKLOADS and self._begins(moment)
        why = "" if app is None else self._rests.of(app)
        if app is None or not why:
            return
        child = f"{moment.kind} {moment.body['metadata']['name']}"
        if begins:
            yield _again(app, moment, f"{child} was told to run ({why})")
        elif moment.type == "ADDED" and app["metadata"]["uid"] in self._cleared:
            yield _again(app, moment, f"{child} came back after all was cleared away")
        if not any(True for kind in _CLEARED for _ in world.all(kind)):
            self._cleared.add(app["metadata"]["uid"])

    def _begins(self, moment: Moment) -> bool:
        """Tell whether a workload is told to run that was not before."""
        uid = moment.body["metadata"]["uid"]
        was = uid in self._running
        if moment.type != DELETED and _is_to_run(moment.kind, moment.body):
            self._running.add(uid)
            return not was
        self._running.discard(uid)
        return False


def _is_to_run(kind: str, body: Body) -> bool:
    spec = body["spec"]
    if history.is_leaving(body):
        return False
    if kind == "Deployment":
        return bool(spec.get("replicas", 1))
    found = (body.get("status") or {}).get("conditions") or ()
    ended = ("Complete", "Failed", "SuccessCriteriaMet", "FailureTarget")
    return not spec.get("suspend") and not any(
        one["type"] in ended and one["status"] == "True" for one in found
    )


def _again(app: Body, moment: Moment, what: str) -> Violation:
    return of_app("began again", app, moment, what)


Counts = dict[str, int]


@dataclass(slots=True)
class _Life:
    """The restarts of an app from its beginning until its policy has ended it."""

    told: Counts = field(default_factory=dict)  # by component, as the status has them
    done: Counts = field(default_factory=dict)  # by component, as the workloads have them
    failed: set[tuple[str, int]] = field(default_factory=set)  # whose pods, of which attempts
    is_over: bool = False

    def has_failed(self) -> bool:
        """Tell whether a pod has failed that belongs to the attempt that its component is at."""
        return any(self.told.get(component, 0) == number for component, number in self.failed)


@dataclass(slots=True)
class RestartsAreCounted:
    """The failure policy's restarts: never fewer than before, never more than maxRestarts, and
    neither a restart nor the end without a failure of the attempt before it.

    The status tells of each before it is done: else an operator that dies in between would count it
    twice, or not at all. The counts begin anew only when the policy has ended the app, and it was
    asked for something else since.
    """

    _rests: Rests = field(default_factory=Rests)
    _lives: dict[str, _Life] = field(default_factory=dict)  # by the app's uid
    _number: dict[str, int] = field(default_factory=dict)  # of each workload, by uid
    _fallen: set[str] = field(default_factory=set)  # the pods whose failure was seen, by uid

    def look(self, world: World, moment: Moment) -> Iterable[Violation]:
        """Look at what the app says, at what its workloads are told, and at how pods failed."""
        if moment.type == DELETED:
            return
        if moment.kind == APP:
            yield from self._of_app(moment)
            return
        labels = moment.body["metadata"].get("labels") or {}
        app = world.find(APP, labels.get(names.LABEL_APP, ""))
        if app is None:
            return
        life = self._lives.setdefault(app["metadata"]["uid"], _Life())
        component = str(labels.get(names.LABEL_COMPONENT))
        if moment.kind == "Pod":
            self._of_pod(life, component, moment.body)
        elif moment.kind in _WORKLOADS:
            yield from self._of_workload(life, app, component, moment)

    def _of_app(self, moment: Moment) -> Iterable[Violation]:
        app = moment.body
        self._rests.take(moment)
        life = self._lives.setdefault(app["metadata"]["uid"], _Life())
        if life.is_over and not self._rests.of(app):
            life = self._lives[app["metadata"]["uid"]] = _Life()
        if not asked.is_told(app):
            return
        status = app["status"]
        counts = {
            one["name"]: one.get("policyRestarts", 0) for one in status.get("components") or ()
        }
        for what in _wrong(app, life, counts):
            yield _miscounted(app, moment, what)
        if counts and status.get("restarts", 0) != max(counts.values()):
            yield _miscounted(app, moment, f"it tells of {status.get('restarts', 0)}, not {counts}")
        life.told |= counts
        if self._rests.of(app) == "FailurePolicy" and not life.is_over:
            life.is_over = True
            if not life.has_failed():
                yield _miscounted(app, moment, "the policy ended it, and no pod had failed")

    def _of_workload(
        self, life: _Life, app: Body, component: str, moment: Moment
    ) -> Iterable[Violation]:
        uid, number = moment.body["metadata"]["uid"], _attempt(moment.body["spec"]["template"])
        if self._number.get(uid) == number:
            return  # what is merely still there from before is no deed
        self._number[uid] = number
        before, life.done[component] = life.done.get(component, 0), number
        told = life.told.get(component, 0)
        child = f"{moment.kind} {moment.body['metadata']['name']}"
        if number < before:
            yield _miscounted(app, moment, f"{child} is at restart {number} after {before}")
        if number > told:
            yield _miscounted(app, moment, f"{child} is at restart {number}, {told} are told")

    def _of_pod(self, life: _Life, component: str, pod: Body) -> None:
        uid = pod["metadata"]["uid"]
        if _has_failed(pod) and uid not in self._fallen:
            self._fallen.add(uid)
            life.failed.add((component, _attempt(pod)))


def _wrong(app: Body, life: _Life, counts: Counts) -> Iterable[str]:
    """Say what is wrong with the counts that the status tells now."""
    most = (app["spec"].get("failurePolicy") or {}).get("maxRestarts", 0)
    highest = max(life.told.values(), default=0)
    for component, count in counts.items():
        before = life.told.get(component, 0)
        if count < before:
            yield f"{component} is at restart {count} after {before}"
        if before < count and count > most:
            yield f"{component} is at restart {count} of {most}"
        # By a failure of its own, or with all others by one of theirs.
        own = (component, count - 1) in life.failed
        if before < count and not own and not (count == highest + 1 and life.has_failed()):
            yield f"{component} is at restart {count}, and nothing of the attempt before has failed"


def _miscounted(app: Body, moment: Moment, what: str) -> Violation:
    return of_app("restarts miscounted", app, moment, what)


def _attempt(body: Body) -> int:
    """Return the attempt of a pod or a template."""
    annotations = (body.get("metadata") or {}).get("annotations") or {}
    return int(annotations.get(names.ANNOTATION_RESTARTS, "0"))


def _has_failed(pod: Body) -> bool:
    """Tell whether something of a pod has failed, or the cluster takes it away."""
    status = pod.get("status") or {}
    is_ending = "deletionTimestamp" in pod["metadata"]
    if is_ending and any(
        one.get("type") == "DisruptionTarget" and one.get("status") == "True"
        for one in status.get("conditions") or ()
    ):
        return True
    return status.get("phase") == "Failed" or any(
        ((one.get(state) or {}).get("terminated") or {}).get("exitCode")
        for one in status.get("containerStatuses") or ()
        for state in ("state", "lastState")
    )


@dataclass(slots=True)
class IdleIsTrue:
    """Suspended for being idle is only what was: all running pods had figures, which together were
    below what the app says, and from then on it took as long as it says.

    The time counts from when that was so and the operator did not say otherwise. The figures are
    asked for now and then, so that a short rise in between may go unseen.
    """

    _since: dict[str, float] = field(default_factory=dict)  # when it was first so, by uid
    _asleep: set[str] = field(default_factory=set)

    def look(self, world: World, moment: Moment) -> Iterable[Violation]:
        """Look at figures and pods, and at what the app says."""
        if moment.kind == APP:
            yield from self._of_app(moment)
        if moment.kind in (APP, "Pod", FIGURES):
            for app in world.all(APP):
                if _uses_little(world, app):
                    self._since.setdefault(app["metadata"]["uid"], moment.at)

    def _of_app(self, moment: Moment) -> Iterable[Violation]:
        app = moment.body
        uid = app["metadata"]["uid"]
        told: Mapping[str, object] = (app.get("status") or {}).get("idle") or {}
        if not told.get("suspended"):
            self._asleep.discard(uid)
            if not told.get("since"):
                self._since.pop(uid, None)
        elif uid not in self._asleep:
            self._asleep.add(uid)
            yield from self._judge(app, moment)

    def _judge(self, app: Body, moment: Moment) -> Iterable[Violation]:
        least = (app["spec"].get("idle") or {}).get("afterSeconds", 0)
        since = self._since.pop(app["metadata"]["uid"], None)
        lasted = 0.0 if since is None else moment.at - since
        if since is None or lasted < least - _SLACK_SECONDS:
            what = f"it used little for {lasted:.1f} s at most, not for {least} s"
            yield of_app("falsely idle", app, moment, what)


def _uses_little(world: World, app: Body) -> bool:
    wanted = app["spec"].get("idle")
    if wanted is None:
        return False
    labels = {names.LABEL_APP: app["metadata"]["name"]}.items()
    pods = [
        one
        for one in world.all("Pod")
        if labels <= (one["metadata"].get("labels") or {}).items() and history.is_ready(one)
    ]
    if not pods:
        return False
    figures = [world.find(FIGURES, one["metadata"]["name"]) for one in pods]
    used = [_used(one) for one in figures if one is not None]
    return len(used) == len(pods) and sum(used) < _cpu(wanted.get("cpu", _CPU))


def _used(figure: Body) -> Decimal:
    return sum((_cpu(one["usage"]["cpu"]) for one in figure["containers"]), Decimal(0))


def _cpu(text: object) -> Decimal:
    said = str(text)
    return Decimal(said.removesuffix("m")) / (1000 if said.endswith("m") else 1)
