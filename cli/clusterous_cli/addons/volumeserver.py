"""The volume server: it makes, mounts and grows the shared EBS volume on the controller, and serves
it to the other nodes over NFS. What it does there is in images/volume/keeper.py.

It is a static pod: it has to be there before Kubernetes' own state is looked at, and whatever the
scheduler thinks. k3s reads its manifest from PODS. Its image comes by the boot archive alone, so it
is never pulled; a kubelet that makes room leaves it alone, for addons.sh pins it.

Between the machine and the pod there are two files:

- ORDER, which the machine's boot writes (`order` spells it) and may write anew at any time: the
  volume's id, whether it was given by id, and whether it is marked as formatted. The volume of an
  order that says neither is formatted when it is blank, and then not served until it says marked.
- STATUS, one line of JSON for the node's report: volume, phase (waiting, made, mounted, serving,
  refused), made (it has a file system: time to mark it), size and free in bytes, reason (one of
  REASONS, with refused; what is damaged has a newest snapshot), error (a sentence).

`/home/data` of the machine is the volume, once that is mounted; before, nobody can write there.
"""

from collections.abc import Mapping
from typing import Any, Final

from clusterous_cli.addons.addon import CONFINED, Addon, Manifest, Mark, Setting
from clusterous_cli.addons.rollout import State
from clusterous_cli.boot.bootstrap import FACTS, VOLUME_ORDER, VOLUME_STATUS

NAME: Final = "clusterous-volume"
PODS: Final = "/var/lib/rancher/k3s/agent/pod-manifests"
ORDER: Final = VOLUME_ORDER
STATUS: Final = VOLUME_STATUS
RUN: Final = STATUS.rpartition("/")[0]
STATE: Final = "/var/lib/clusterous/volume"
HOME: Final = "/home"
REASONS: Final = (
    *("order", "twice", "serial", "place", "partitioned", "foreign", "blank", "not blank"),
    *("damaged", "unreadable", "failed"),
)
# Where it says nothing more, what people read of its phases.
PHASES: Final = {
    "waiting": "waits for its volume",
    "made": "has a new file system, which is being marked",
    "mounted": "starts to serve",
}
# Of what is refused for these, a snapshot is the way back.
LOST: Final = ("damaged", "unreadable")
# What a server of files needs who acts as the user that asks; the last opens files by handle.
CAPABILITIES: Final = (
    *("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETUID", "SETGID"),
    "DAC_READ_SEARCH",
)


def state(view: Mapping[str, Any], gib: int) -> State:
    """Return how far the volume is, by what the controller sees; its file system fills *gib*."""
    told = view.get("volume")
    if not told:
        return State(ready=False, words="waits for the volume server")
    phase, words = told["phase"], PHASES.get(told["phase"], told["phase"])
    if phase != "serving":
        return State(ready=False, words=told["error"] or words)
    # An older server tells only of the file system, which needs far less than a tenth for itself.
    filled = told.get("filled", told["size"] / 0.9)
    if filled < gib << 30:
        return State(ready=False, words=told["error"] or "its file system grows")
    return State(ready=True, words="ready")


def refusal(view: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what is said of a volume that is not taken as it is."""
    told: Mapping[str, Any] = view.get("volume") or {}
    return told if told.get("phase") == "refused" else None


def order(volume: str, *, given: bool, marked: bool) -> str:
    """Spell which volume a controller has to serve."""
    words = {True: "yes", False: "no"}
    return f"id={volume}\ngiven={words[given]}\nmarked={words[marked]}\n"


def pod(image: str, mark: Mark) -> Manifest:
    """Return the static pod, of the image of this full name."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": NAME,
            "namespace": "kube-system",
            "labels": {"app.kubernetes.io/name": NAME},
            "annotations": dict(mark),
        },
        "spec": {
            "hostNetwork": True,
            "priorityClassName": "system-node-critical",
            "terminationGracePeriodSeconds": 10,
            "tolerations": [{"operator": "Exists"}],
            "containers": [_keeper(image), _server(image)],
            "volumes": [
                _host("devices", "/dev", "Directory"),
                _host("facts", FACTS),
                _host("home", HOME),
                _host("run", RUN),
                _host("state", STATE),
                {"name": "tmp", "emptyDir": {}},
            ],
        },
    }


def _host(name: str, path: str, kind: str = "DirectoryOrCreate") -> dict[str, Any]:
    return {"name": name, "hostPath": {"path": path, "type": kind}}


def _container(name: str, image: str, argument: str) -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "Never",
        "args": [argument],
        # Else a file of the machine's own /dev, which one of the two may not write to.
        "terminationMessagePath": "/tmp/ended",
    }


def _keeper(image: str) -> dict[str, Any]:
    return {
        **_container("keeper", image, "keep"),
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
        # Kubernetes lets nobody else mount what others are to see.
        "securityContext": {"privileged": True, "readOnlyRootFilesystem": True},
        "volumeMounts": [
            _at("devices", "/dev"),
            {**_at("facts", FACTS), "readOnly": True},
            {**_at("home", HOME), "mountPropagation": "Bidirectional"},
            {**_at("state", STATE), "mountPropagation": "Bidirectional"},
            _at("run", RUN),
            _at("tmp", "/tmp"),
        ],
    }


def _server(image: str) -> dict[str, Any]:
    return {
        **_container("server", image, "serve"),
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        "securityContext": {
            **CONFINED,
            "capabilities": {**CONFINED["capabilities"], "add": list(CAPABILITIES)},
        },
        "volumeMounts": [
            # To look at: of which device a mount is. To open one it has no right.
            {**_at("devices", "/dev"), "readOnly": True},
            {**_at("home", HOME), "mountPropagation": "HostToContainer"},
            {**_at("state", STATE), "mountPropagation": "HostToContainer"},
            {**_at("run", RUN), "readOnly": True},
            _at("tmp", "/tmp"),
        ],
    }


def _at(volume: str, path: str) -> dict[str, Any]:
    return {"name": volume, "mountPath": path}


def manifests(setting: Setting, mark: Mark) -> list[Manifest]:
    """Return its pod."""
    return [pod(setting.volume_server, mark)]


ADDON: Final = Addon(
    name="volume-server",
    noun="volume server",
    manifests=manifests,
    images=("volume",),
    wanted=lambda config: config.volume.served,
    # It is no workload that rolls out: create waits until the volume is served.
    awaited=False,
    folder="pods",
)
