"""The disk of a store, which is a machine's own: where it is, and whether that machine is gone."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from clusterous_cli.cluster.file.centrallogging import NAMESPACE
from clusterous_cli.reach.kube import Api, Object

_CLAIMS: Final = f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims"
_PODS: Final = f"/api/v1/namespaces/{NAMESPACE}/pods"
_HOSTNAME: Final = "kubernetes.io/hostname"


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A claim of the store, and the one node that its volume is on."""

    claim: str
    node: str


def read(volumes: Iterable[Object]) -> list[Disk]:
    """Return the disks of the store, by the volumes that are tied to a node."""
    found = []
    for one in volumes:
        spec = one.get("spec") or {}
        claim = spec.get("claimRef") or {}
        node = _node(spec)
        if claim.get("namespace") == NAMESPACE and node:
            found.append(Disk(claim=str(claim["name"]), node=node))
    return sorted(found, key=lambda disk: disk.claim)


def _node(spec: Object) -> str:
    terms = spec.get("nodeAffinity", {}).get("required", {}).get("nodeSelectorTerms", ())
    for term in terms:
        for one in term.get("matchExpressions", ()):
            if one.get("key") == _HOSTNAME and len(one.get("values", ())) == 1:
                return str(one["values"][0])
    return ""


def lost(disks: Iterable[Disk], nodes: Collection[str]) -> list[Disk]:
    """Return the disks whose machine is no more: a pod that wants one waits for ever."""
    return [one for one in disks if one.node not in nodes]


def words(disks: Iterable[Disk], leaving: Collection[str]) -> str:
    """Say what goes with machines that are leaving; nothing where no store is there."""
    there = sorted({one.node for one in disks if one.node in leaving})
    if not there:
        return ""
    return (
        f"The store of central logging is on {', '.join(there)}: what was collected goes with its"
        " disk. `clusterous logging export --all --to FOLDER` keeps it, and `clusterous logging on`"
        " begins anew afterwards."
    )


# -- acting ---------------------------------------------------------------------------------


def ask(api: Api) -> list[Disk]:
    """Ask which disks the store has."""
    return read(api.items("/api/v1/persistentvolumes"))


def begin_anew(api: Api) -> list[Disk]:
    """Let go of disks that are lost with their machines, so that the store can begin anew."""
    nodes = {one["metadata"]["name"] for one in api.items("/api/v1/nodes")}
    gone = lost(ask(api), nodes)
    for one in gone:
        api.delete(f"{_CLAIMS}/{one.claim}")
    claims = {one.claim for one in gone}
    # A claim comes anew with its pod, which must be another one for that.
    for pod in api.items(_PODS) if gone else ():
        if claims & set(_claimed(pod)):
            api.delete(f"{_PODS}/{pod['metadata']['name']}")
    return gone


def _claimed(pod: Object) -> Iterable[str]:
    for one in pod.get("spec", {}).get("volumes", ()):
        if claim := one.get("persistentVolumeClaim"):
            yield str(claim["claimName"])
