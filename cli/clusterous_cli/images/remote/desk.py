"""Has a builder on the cluster: begins it where there is none, and waits until it builds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from clusterous_api.errors import FailedError
from clusterous_cli.addons import builder
from clusterous_cli.cluster.file import registry
from clusterous_cli.images.remote import scripts
from clusterous_cli.reach import kube, session, ssh
from clusterous_cli.reach.kube import Api, Object
from clusterous_cli.reach.session import Session
from clusterous_cli.system import pins, shell, wait
from clusterous_cli.system.wait import Pauses

Tell = Callable[[str], None]

JOBS: Final = f"/apis/batch/v1/namespaces/{builder.SPACE}/jobs/{builder.NAME}"
PODS: Final = kube.pods_path(builder.SPACE, builder.LABELS)
# In seconds: its image has some 100 MB.
PATIENCE: Final = 600.0
# So much of what a builder said is shown, where it does not begin to build.
LINES: Final = 8
# What a pod waits for in vain, however long.
STUCK: Final = ("InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError")


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A builder that builds; *has_rsync* if it takes copies by that."""

    session: Session
    pod: str
    has_rsync: bool

    def run(self, line: str, *, stdin: str | None = None, timeout: float = 120) -> str:
        """Have the controller's shell run a *line*, and return what it said."""
        argv = ssh.argv(self.session.access, ssh.CONTROLLER, line)
        return shell.run(argv, stdin=stdin, timeout=timeout)


def begun(on: Session, tell: Tell, pauses: Pauses | None = None) -> Desk:
    """Return a builder of the cluster, started if need be."""
    pauses = pauses or Pauses()
    api = session.api_of(on.cluster)
    tell("looking for the cluster's builder")
    pod = wait.until(
        lambda: _running(on, api, tell, pauses),
        "The start of the cluster's builder",
        pauses,
        timeout=PATIENCE,
        longest=2.0,
    )
    try:
        return _lent(on, pod, tell, pauses)
    except FailedError as error:
        place = f"/api/v1/namespaces/{builder.SPACE}/pods/{pod}/log"
        said = api.text(place, {"tailLines": str(LINES)}).splitlines()
        raise FailedError("\n    ".join([str(error), *said])) from error


def _running(on: Session, api: Api, tell: Tell, pauses: Pauses) -> str | None:
    """Return the name of the builder's pod if it runs; start one where there is none."""
    job = api.find(JOBS)
    if job is not None and has_ended(job):
        api.delete(f"{JOBS}?propagationPolicy=Background")
        gone = "The end of the builder before"
        wait.until(lambda: api.find(JOBS) is None or None, gone, pauses, timeout=60)
        job = None
    if job is None:
        tell("starting a builder on the cluster")
        with_registry = on.cluster.registry == registry.HOST
        for manifest in wanted(api.items("/api/v1/nodes"), with_registry=with_registry):
            job, _ = api.apply(manifest)
    assert job is not None
    return running([pod for pod in api.items(PODS) if is_of(pod, job)], tell)


def wanted(nodes: list[Object], *, with_registry: bool = False) -> list[Object]:
    """Return a builder's objects, as these *nodes* can have one."""
    room = builder.room(nodes)
    if room is None:
        raise FailedError(
            "No machine of the cluster can take a builder now: none is ready, or all are kept for"
            " something else by taints. `clusterous status` shows them."
        )
    image = pins.read().pinned(builder.IMAGE)
    return builder.manifests(room, image, with_registry=with_registry)


# -- pure: what Kubernetes says of it -----------------------------------------------------


def has_ended(job: Mapping[str, Any]) -> bool:
    """Whether a Job is over, or on its way out."""
    conditions = job.get("status", {}).get("conditions") or ()
    ended = any(
        one["type"] in ("Complete", "Failed") and one["status"] == "True" for one in conditions
    )
    return ended or "deletionTimestamp" in job["metadata"]


def is_of(pod: Mapping[str, Any], job: Mapping[str, Any]) -> bool:
    """Whether a pod is of this very Job, and not of one of its name before."""
    owners = pod["metadata"].get("ownerReferences") or ()
    return job["metadata"].get("uid") in [owner["uid"] for owner in owners]


def running(pods: list[Object], tell: Tell) -> str | None:
    """Return the name of the builder's pod once it runs; tell what it waits for."""
    alive = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    for pod in alive:
        if pod.get("status", {}).get("phase") == "Running":
            return str(pod["metadata"]["name"])
    for pod in alive:
        if words := trouble(pod):
            raise FailedError(f"The cluster's builder does not start: {words}")
        if words := waiting(pod):
            tell(f"waiting for the cluster's builder: {words}")
    return None


def trouble(pod: Mapping[str, Any]) -> str:
    """Return why a pod failed, or never starts; one that ended by itself was idle."""
    status = pod.get("status", {})
    for reason, words in _states(pod, "waiting"):
        if reason in STUCK:
            return f"{reason}: {words}"
    if status.get("phase") != "Failed":
        return ""
    told = [f"{status.get('reason', '')}: {status['message']}"] if status.get("message") else []
    return "; ".join([*told, *(reason for reason, _ in _states(pod, "terminated"))]) or "it ended"


def waiting(pod: Mapping[str, Any]) -> str:
    """Return what a pod waits for."""
    for reason, words in _states(pod, "waiting"):
        return f"{reason}: {words}" if words else reason
    for one in pod.get("status", {}).get("conditions") or ():
        if one["type"] == "PodScheduled" and one["status"] == "False":
            return str(one.get("message") or one.get("reason"))
    return ""


def _states(pod: Mapping[str, Any], kind: str) -> list[tuple[str, str]]:
    states = (one.get("state") or {} for one in pod["status"].get("containerStatuses") or ())
    found = [state[kind] for state in states if kind in state]
    return [(str(one.get("reason", "")), str(one.get("message", ""))) for one in found]


# -- what it is lent ----------------------------------------------------------------------


def _lent(on: Session, pod: str, tell: Tell, pauses: Pauses) -> Desk:
    """Wait until it builds; what it is lent is of the controller as it is now."""
    desk = Desk(session=on, pod=pod, has_rsync=True)

    def lent() -> str | None:
        try:
            return desk.run(scripts.lend(pod))
        except shell.CommandFailed as error:
            words = error.said.splitlines() or ["it took nothing"]
            tell(f"waiting for the cluster's builder: {words[-1]}")
            return None

    said = wait.until(lent, "What the builder is lent", pauses, timeout=60)
    has_rsync = scripts.WITHOUT not in said.split()
    if not has_rsync:
        tell("the controller has no rsync: each folder is sent as a whole")

    def builds() -> bool | None:
        argv = ssh.argv(on.access, ssh.CONTROLLER, scripts.ready(pod))
        status, _, words = shell.outcome(argv, timeout=60)
        if status != 0 and words.strip():
            tell(f"waiting for the cluster's builder: {words.strip().splitlines()[-1]}")
        return True if status == 0 else None

    wait.until(builds, "The start of BuildKit", pauses, timeout=120, longest=2.0)
    return replace(desk, has_rsync=has_rsync)


def ended(on: Session) -> str:
    """Return why the builder is not there any more; nothing if it is."""
    api = session.api_of(on.cluster)
    job = api.find(JOBS)
    pods = [] if job is None else [pod for pod in api.items(PODS) if is_of(pod, job)]
    if not pods:
        return "it is gone"
    return "; ".join(words for pod in pods if (words := trouble(pod)))
