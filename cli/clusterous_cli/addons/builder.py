"""The builder of images on the cluster: BuildKit, from the first build until it is idle. Pure.

It is in no table of the controller's: whoever builds brings it (images/remote), as a Job that ends
by itself. It runs as user 1000, without any right of the machine's. Beyond what every pod may it
makes a user namespace of its own: neither seccomp's filter nor AppArmor's may be before it, and the
image's `newuidmap` may gain what its file says (docs/adr/0027-builds-on-the-cluster.md).

Build steps are in the pod's network and see its processes, as BuildKit cannot give them a /proc of
their own there. So nothing here listens, no token of Kubernetes is mounted, and who holds a
password is no process that a step may look into.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from clusterous_api import names, quantity
from clusterous_cli.addons.addon import Manifest
from clusterous_cli.cluster.file import registry

# Upstream's rootless one. `make pins` writes its digest.
IMAGE: Final = "docker.io/moby/buildkit:v0.34.2-rootless"
SPACE: Final = "clusterous-builder"
NAME: Final = "builder"
LABELS: Final = {"app.kubernetes.io/name": NAME}
USER: Final = 1000
# In seconds.
IDLE: Final = 600
FORGET: Final = 30
# What the image has as its own volume: mounted, it is ours, and has bounds.
STATE: Final = "/home/user/.local/share/buildkit"
# Contexts, and what is lent to the pod: the image has no rsync, and trusts no company.
WORK: Final = "/work"
TOOLS: Final = f"{WORK}/tools"
TRUSTED: Final = f"{TOOLS}/ca.pem"
# Whose time says when something was built last.
USED: Final = f"{WORK}/used"
# In memory, of each build its own folder: what it may read and write in the registry.
SECRETS: Final = "/run/secrets/builder"

MIB: Final = 1 << 20
GIB: Final = 1 << 30
TOLERATED: Final = (names.CONTROL_PLANE_TAINT, names.MASTER_TAINT)
MEMORY: Final = (GIB // 2, 4 * GIB)
DISK: Final = (2 * GIB, 40 * GIB)
# Of what a builder may fill, so much is kept as a cache; all that is more goes after a build.
KEPT: Final = 0.6

# What a step leaves running holds the step's output, for whose end runc waits: it is ended when the
# step's first process is gone, by whose session it is known.
RUNC: Final = f"""\
#!/bin/sh
run= pids=$(mktemp -u {WORK}/step.XXXXXX)
for word; do
    shift
    [ "$word" != run ] || {{ run=yes; set -- "$@" run --pid-file "$pids"; continue; }}
    set -- "$@" "$word"
done
[ -n "$run" ] || exec buildkit-runc "$@"
exec 3<&0
buildkit-runc "$@" <&3 3<&- &
runc=$!
while kill -0 $runc; do
    sleep 1
    first=$(cat "$pids")
    [ ! -e "/proc/$first" ] || continue
    for stat in /proc/[0-9]*/stat; do
        read -r said <"$stat" || continue
        set -- ${{said##*) }}
        [ "$4" != "$first" ] || {{ one=${{stat#/proc/}}; kill -9 "${{one%/stat}}"; }}
    done
done </dev/null >/dev/null 2>&1 3<&- &
wait $runc
status=$?
rm -f "$pids"
exit $status
"""
# BuildKit is begun again when it ends: a step may end all that runs as its user, and then nothing
# tidies up. What has the first number of a pod cannot be ended from within.
MAIN: Final = f"""\
trap 'exit 0' TERM INT
cat >{WORK}/runc <<'END'
{RUNC}END
chmod 755 {WORK}/runc
touch {USED}
while :; do
    rm -rf {SECRETS}/*
    rootlesskit buildkitd --oci-worker-no-process-sandbox --oci-worker-binary={WORK}/runc \
        --oci-worker-gc-keepstorage="$2" &
    daemon=$!
    while kill -0 $daemon 2>/dev/null; do
        sleep 2 &
        wait $!
        [ $(($(date +%s) - $(stat -c %Y {USED}))) -lt "$1" ] || exit 0
    done
    sleep 1
done
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How much a builder may use, in bytes, and whether only the controller can give it."""

    memory: int
    disk: int
    on_controller: bool


def room(nodes: Iterable[Mapping[str, Any]]) -> Room | None:
    """Return what the *nodes* have for a builder: half of the smallest that may take it.

    The controller does so only where no other node can, since what it runs is everybody's. None if
    no node can.
    """
    fitting = [node for node in nodes if _fits(node)]
    others = [node for node in fitting if not _is_controller(node)]
    if not fitting:
        return None
    chosen = others or fitting
    return Room(
        memory=_half(chosen, "memory", *MEMORY),
        disk=_half(chosen, "ephemeral-storage", *DISK),
        on_controller=not others,
    )


def _fits(node: Mapping[str, Any]) -> bool:
    """Whether it may go there: our own taints say what nodes are for, and are passed over."""
    spec, status = node.get("spec") or {}, node["status"]
    taints = [one for one in spec.get("taints") or () if one.get("effect") != "PreferNoSchedule"]
    ready = {one["type"]: one["status"] for one in status.get("conditions") or ()}
    return (
        ready.get("Ready") == "True"
        and not spec.get("unschedulable")
        and all(one["key"] in TOLERATED for one in taints)
    )


def _is_controller(node: Mapping[str, Any]) -> bool:
    return names.LABEL_CONTROL_PLANE in (node["metadata"].get("labels") or {})


def _half(nodes: Iterable[Mapping[str, Any]], resource: str, least: int, most: int) -> int:
    told = (quantity.amounts(node["status"].get("allocatable")) for node in nodes)
    smallest = min(amounts.get(resource, Decimal(most)) for amounts in told)
    whole = int(smallest / 2) // MIB * MIB
    return max(least, min(most, whole))


def manifests(where: Room, image: str, *, with_registry: bool = False) -> list[Manifest]:
    """Return all objects of a builder; the last is the Job. It knows the cluster's own registry."""
    return [_namespace(), _policy(), job(where, image, with_registry=with_registry)]


def _namespace() -> Manifest:
    labels = {"pod-security.kubernetes.io/enforce": "privileged"}  # of seccomp's filter, no more
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": SPACE, "labels": labels},
    }


def _policy() -> Manifest:
    """Let nobody in: what a build step leaves listening is for nobody."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": NAME, "namespace": SPACE},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": []},
    }


def job(where: Room, image: str, *, with_registry: bool = False) -> Manifest:
    """Return the Job, which forgets itself."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": NAME, "namespace": SPACE, "labels": LABELS},
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": FORGET,
            "template": {"metadata": {"labels": LABELS}, "spec": _pod(where, image, with_registry)},
        },
    }


def _pod(where: Room, image: str, with_registry: bool) -> dict[str, Any]:
    # No DNS knows it, and to builders it is the one that takes pushes.
    aliases = [{"ip": registry.WRITE, "hostnames": [registry.NAME]}]
    return {
        **({"hostAliases": aliases} if with_registry else {}),
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 5,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
        **_home(where),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "Unconfined"},
            "appArmorProfile": {"type": "Unconfined"},
        },
        "containers": [_container(where, image)],
        "volumes": [
            {"name": "state", "emptyDir": {"sizeLimit": str(where.disk)}},
            {"name": "work", "emptyDir": {"sizeLimit": str(where.disk)}},
            {"name": "secrets", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        ],
    }


def _home(where: Room) -> dict[str, Any]:
    tolerations = [{"key": key, "operator": "Exists"} for key in TOLERATED]
    if where.on_controller:
        return {"tolerations": tolerations}
    elsewhere = {"key": names.LABEL_CONTROL_PLANE, "operator": "DoesNotExist"}
    terms = [{"matchExpressions": [elsewhere]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return {"tolerations": tolerations, "affinity": {"nodeAffinity": required}}


def _container(where: Room, image: str) -> dict[str, Any]:
    kept = f"{int(where.disk * KEPT) // 10**6}"
    return {
        "name": NAME,
        "image": image,
        # A $ that is doubled is one, and nothing that Kubernetes would put in.
        "command": ["sh", "-c", MAIN.replace("$", "$$"), "builder", str(IDLE), f"{kept},0,{kept}"],
        "env": [{"name": "SSL_CERT_FILE", "value": TRUSTED}],
        # It asks for nothing, so that it finds room where programs fill all nodes; it gets what
        # they leave, and is the first to go where memory is short.
        "resources": {
            "requests": {"cpu": "0", "memory": "0"},
            "limits": {"memory": str(where.memory)},
        },
        "volumeMounts": [
            {"name": "state", "mountPath": STATE},
            {"name": "work", "mountPath": WORK},
            {"name": "secrets", "mountPath": SECRETS},
        ],
    }
