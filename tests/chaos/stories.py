"""What a user does to an app in the course of its life, step by step.

Each story is first told undisturbed: that says where it ends and how many writes it takes.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from clusterous_api import names
from tests.chaos import asked, history
from tests.chaos.history import APP, World
from tests.chaos.site import Site
from tests.cluster import metricsapi

NAME: Final = "sim"
# How long a pod takes to leave; without that no overlap of old and new would ever be seen.
_LINGER = "700ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something that the user does, and what must come of it before the next."""

    name: str
    act: Callable[[Site], object]
    reached: Callable[[World], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Steps that only prepare, and those that chaos is about.

    *patient*: it waits for the clock most of the time, and is told beside others that do not.
    """

    name: str
    prepare: tuple[Step, ...] = ()
    steps: tuple[Step, ...]
    patient: bool = False

    @property
    def whole(self) -> tuple[Step, ...]:
        """Return all of it."""
        return self.prepare + self.steps


def tell(site: Site, steps: tuple[Step, ...]) -> None:
    """Do the steps, each when the one before has come to its end."""
    for step in steps:
        begin(site, step)
        site.until(step.reached, f"the end of “{step.name}”")


def begin(site: Site, step: Step) -> None:
    """Do what the user does; return when the recorder has seen it, too.

    Until then, what was reached before would be taken for the end of this step.
    """
    answer = step.act(site)
    if isinstance(answer, dict) and "resourceVersion" in answer.get("metadata", {}):
        site.until(_knows(answer), f"the record of “{step.name}”")


def _knows(body: history.Body) -> Callable[[World], bool]:
    kind = APP if body["kind"] == "Scale" else body["kind"]
    version = int(body["metadata"]["resourceVersion"])

    def check(world: World) -> bool:
        found = world.find(kind, body["metadata"]["name"])
        return found is not None and int(found["metadata"]["resourceVersion"]) >= version

    return check


# What is asked for.


def group(site: Site, **more: Any) -> dict[str, Any]:
    """Return a component on the nodes of the site, whose pods take a moment to leave."""
    annotations = {"clusterous.test/linger": _LINGER, **more.pop("annotations", {})}
    template = {"metadata": {"annotations": annotations}}
    return {"placement": {"pool": site.pool}, "template": template, **more}


def spec(site: Site, **more: Any) -> dict[str, Any]:
    """Return the specification that most stories begin with."""
    ports = [{"name": "http", "port": 8080}]
    waits = [{"name": names.MASTER}]
    return {
        "master": group(site, ports=ports),
        "workers": group(site, replicas=2, dependsOn=waits),
        **more,
    }


_EXPOSED: Final = [{"name": "page", "component": names.MASTER, "port": "http"}]


# What is waited for.


def app(world: World) -> history.Body | None:
    """Return the app, if its status is about the newest generation."""
    found = world.find(APP, NAME)
    return found if found is not None and asked.is_told(found) else None


def says(kind: str, value: str = "True") -> Callable[[World], bool]:
    """Return a check of a condition."""

    def check(world: World) -> bool:
        found = app(world)
        return found is not None and history.condition(found, kind).get("status") == value

    return check


def ready(world: World) -> bool:
    """Tell whether the app says that it is ready, and no pod of before is left."""
    return says("Ready")(world) and not any(map(history.is_leaving, world.all("Pod")))


def stopped(world: World) -> bool:
    """Tell whether the app is suspended, and no pod is left."""
    return says("Suspended")(world) and not any(True for _ in world.all("Pod"))


def finished(world: World) -> bool:
    """Tell whether the batch is done, and only the ended pod of the master is left."""
    left = [one for one in world.all("Pod") if one["status"]["phase"] != "Succeeded"]
    return says("Completed")(world) and not left


def again(count: int) -> Callable[[World], bool]:
    """Return a check that the failure policy has started some component so often, and all is well:
    the pods, too, say to which attempt they belong, since a status comes before its deed."""

    def check(world: World) -> bool:
        found = app(world)
        if found is None or not ready(world):
            return False
        attempts = {one["name"]: one.get("policyRestarts", 0) for one in _components(found)}
        return max(attempts.values()) == count and all(
            _attempts(world, component) == {str(number)} for component, number in attempts.items()
        )

    return check


def _attempts(world: World, component: str) -> set[str]:
    found = [one["metadata"].get("annotations") or {} for one in world.pods(NAME, component)]
    return {one.get(names.ANNOTATION_RESTARTS, "0") for one in found}


def _components(found: history.Body) -> list[history.Body]:
    return list(found["status"].get("components") or ())


def ended(world: World) -> bool:
    """Tell whether the status says that the failure policy has ended the app."""
    found = app(world)
    if found is None or not says("Stalled")(world):
        return False
    return bool(history.condition(found, "Completed").get("reason") == "FailurePolicy")


def given_up(world: World) -> bool:
    """Tell whether the failure policy has ended the app, and no pod is left."""
    return ended(world) and not any(True for _ in world.all("Pod"))


def cleared(world: World) -> bool:
    """Tell whether of a batch that is done nothing is left but its data."""
    return says("Completed")(world) and not _is_left(world, history.CHILDREN)


def gone(world: World) -> bool:
    """Tell whether nothing is left of the app but its data."""
    return not _is_left(world, (APP, *history.CHILDREN))


def _is_left(world: World, kinds: Iterable[str]) -> bool:
    return any(True for kind in kinds for _ in world.all(kind))


def at_once(world: World) -> bool:
    """Do not wait."""
    return True


def _change(name: str, reached: Callable[[World], bool], **spec: Any) -> Step:
    return Step(name=name, act=lambda site: site.lab.change(NAME, **spec), reached=reached)


def _scale(count: int) -> Step:
    def act(site: Site) -> object:
        return site.lab.patch("clusterousapps", f"{NAME}/scale", {"spec": {"replicas": count}})

    return Step(name=f"scale to {count}", act=act, reached=ready)


def _again(site: Site) -> object:
    """Delete the app, and make another one of its name as soon as that can be had."""
    site.lab.delete("clusterousapps", NAME)
    return site.lab.create(NAME, **spec(site, image="example.org/sim:3"))


def _end_master(site: Site) -> object:
    """Let the batch's master end with code 0."""
    (pod,) = site.world().pods(NAME, names.MASTER)
    done = {"metadata": {"annotations": {"clusterous.test/hold": None}}}
    return site.lab.patch("pods", pod["metadata"]["name"], done)


def _batch(site: Site, **more: Any) -> object:
    """Make a batch whose master runs until it is told to end."""
    hold = {"annotations": {"clusterous.test/hold": "true"}}
    batch = spec(site, run="Batch", **more)
    return site.lab.create(NAME, **{**batch, "master": {**batch["master"], **group(site, **hold)}})


def _batch_with_policy(site: Site) -> object:
    """A Job itself gives up at the first failure; what happens then is the policy's."""
    return _batch(site, batch={"backoffLimit": 0}, failurePolicy=_policy(_GROUP_AGAIN))


# Failures.

_GROUP_AGAIN: Final = {"action": "RestartGroup", "exitCodes": [3]}
_APP_AGAIN: Final = {"action": "RestartApp", "exitCodes": [3]}
_APP_AGAIN_FOR_MEMORY: Final = {"action": "RestartApp", "reasons": ["OOMKilled"]}


def _policy(*rules: Mapping[str, Any], most: int = 2) -> dict[str, Any]:
    return {"maxRestarts": most, "rules": list(rules)}


def _create_with_policy(*rules: Mapping[str, Any], most: int = 2) -> Step:
    def act(site: Site) -> object:
        return site.lab.create(NAME, **spec(site, failurePolicy=_policy(*rules, most=most)))

    return Step(name="create", act=act, reached=ready)


def _fail(component: str, reached: Callable[[World], bool], **how: str) -> Step:
    """Let the program of one pod end badly. The pod may soon be gone: nobody waits for its record,
    and what is to be reached must not be so already."""

    marks = {f"clusterous.test/{key.replace('_', '-')}": value for key, value in how.items()}

    def act(site: Site) -> None:
        site.lab.patch("pods", _one_of(site, component), {"metadata": {"annotations": marks}})

    return Step(name=f"a pod of {component} fails", act=act, reached=reached)


def _one_of(site: Site, component: str) -> str:
    pods = site.world().pods(NAME, component)
    return str(next(one for one in pods if not history.is_leaving(one))["metadata"]["name"])


def _evict(site: Site) -> None:
    """End a worker as a kubelet does that runs out of memory: the failed pod stays."""
    status = {"status": {"phase": "Failed", "reason": "Evicted"}}
    site.lab.patch("pods", f"{_one_of(site, names.WORKERS)}/status", status)


_BADLY: Final = {"exit_code": "3"}
_OUT_OF_MEMORY: Final = {"exit_code": "137", "exit_reason": "OOMKilled"}

# Rest.


def _create_restless(site: Site) -> object:
    return site.lab.create(NAME, **spec(site, idle={"afterSeconds": 30, "cpu": "100m"}))


def use(site: Site, cpu: str, *, but: int = 0) -> None:
    """Let the metrics API say of each pod, but of so many, that it uses so much."""
    for pod in list(site.world().all("Pod"))[but:]:
        metricsapi.tell(site.grounds.plane, site.namespace, pod["metadata"]["name"], cpu)


def _resume(site: Site) -> object:
    body = {"metadata": {"annotations": {names.ANNOTATION_RESUME: "1"}}}
    return site.lab.patch("clusterousapps", NAME, body)


def awake(world: World) -> bool:
    """Tell whether the app is ready, and not suspended any more."""
    return ready(world) and says("Suspended", "False")(world)


def _create_with_database(site: Site) -> object:
    database = {"name": "db", **group(site, ports=[{"name": "sql", "port": 5432}])}
    return site.lab.create(NAME, **spec(site, components=[database]))


CREATE: Final = Step(
    name="create", act=lambda site: site.lab.create(NAME, **spec(site)), reached=ready
)
UPDATE: Final = _change("update the image", ready, image="example.org/sim:2")
SCALE_UP: Final = _scale(4)
SCALE_DOWN: Final = _scale(1)
SUSPEND: Final = _change("suspend", stopped, suspend=True)
RESUME: Final = _change("resume", ready, suspend=False)
DELETE: Final = Step(
    name="delete", act=lambda site: site.lab.delete("clusterousapps", NAME), reached=gone
)

STORIES: Final = {
    story.name: story
    for story in (
        Story(name="create", steps=(CREATE,)),
        Story(name="update", prepare=(CREATE,), steps=(UPDATE,)),
        Story(name="scale", prepare=(CREATE,), steps=(SCALE_UP, SCALE_DOWN)),
        Story(name="suspend", prepare=(CREATE,), steps=(SUSPEND, RESUME)),
        Story(
            name="delete",
            prepare=(CREATE,),
            steps=(_change("update the image", at_once, image="example.org/sim:2"), DELETE),
        ),
        Story(
            name="replace",
            prepare=(CREATE,),
            steps=(Step(name="delete and make again", act=_again, reached=ready),),
        ),
        Story(
            name="batch",
            steps=(
                Step(name="create", act=_batch, reached=ready),
                Step(name="let the master end", act=_end_master, reached=finished),
            ),
        ),
        Story(
            name="remove",
            prepare=(Step(name="create", act=_create_with_database, reached=ready),),
            steps=(_change("remove a component", ready, components=None),),
        ),
        Story(
            name="restart",
            prepare=(_create_with_policy(_GROUP_AGAIN, _APP_AGAIN_FOR_MEMORY),),
            steps=(
                _fail(names.WORKERS, again(1), **_BADLY),
                _fail(names.MASTER, again(2), **_OUT_OF_MEMORY),
            ),
        ),
        Story(
            name="fail",
            prepare=(
                _create_with_policy(_APP_AGAIN, most=1),
                _fail(names.WORKERS, again(1), **_BADLY),
            ),
            steps=(
                _fail(names.MASTER, given_up, **_BADLY),
                _change("change the spec", ready, image="example.org/sim:2"),
            ),
        ),
        Story(
            name="evict",
            prepare=(_create_with_policy({"action": "Fail", "reasons": ["Evicted"]}),),
            steps=(
                Step(name="a worker is evicted", act=_evict, reached=ended),
                _change("change the spec at once", ready, image="example.org/sim:2"),
            ),
        ),
        Story(
            name="retry",
            prepare=(Step(name="create", act=_batch_with_policy, reached=ready),),
            steps=(
                _fail(names.MASTER, again(1), **_BADLY),
                Step(name="let the master end", act=_end_master, reached=finished),
            ),
        ),
        Story(
            name="ttl",
            prepare=(
                Step(
                    name="create",
                    act=lambda site: _batch(site, batch={"ttlSecondsAfterFinished": 2}),
                    reached=ready,
                ),
            ),
            steps=(
                Step(name="let the master end", act=_end_master, reached=cleared),
                _change("change what it does not run", cleared, expose=_EXPOSED),
                _change("change what it runs", ready, image="example.org/sim:2"),
            ),
        ),
        Story(
            name="idle",
            prepare=(Step(name="create", act=_create_restless, reached=ready),),
            steps=(
                Step(name="do little", act=lambda site: use(site, "2m"), reached=stopped),
                Step(name="resume", act=_resume, reached=awake),
            ),
            patient=True,
        ),
        Story(name="short", steps=(CREATE, UPDATE)),
        Story(
            name="life",
            steps=(CREATE, UPDATE, SCALE_UP, SCALE_DOWN, SUSPEND, RESUME),
        ),
    )
}
# Those in which the operator is killed at every write.
KILLED_IN: Final = (
    "create",
    "update",
    "scale",
    "suspend",
    "delete",
    "replace",
    "batch",
    "remove",
    "restart",
    "fail",
    "evict",
    "retry",
    "ttl",
    "idle",
)
