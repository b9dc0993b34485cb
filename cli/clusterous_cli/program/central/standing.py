"""How central logging stands, by its objects on the cluster. Pure, but for the asking."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final

from clusterous_cli.cluster.file.centrallogging import NAMESPACE
from clusterous_cli.reach.kube import Api, Object, readiness

GIB: Final = 1 << 30
KINDS: Final = ("statefulsets", "deployments", "daemonsets")
WORDS: Final = {
    "store": "store",
    "page": "page",
    "collector": "collectors",
    "syslog": "syslog",
}
# What is of Elastic's operator bears labels of its own.
OF_ELASTIC: Final = {
    "elasticsearch.k8s.elastic.co/cluster-name": "store",
    "kibana.k8s.elastic.co/name": "page",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One thing that runs for it; *ready* of *wanted* pods, without nodes that are *away*."""

    name: str
    ready: int
    wanted: int
    away: tuple[str, ...] = ()

    @property
    def is_ready(self) -> bool:
        """Whether all of it is there."""
        return 0 < self.wanted <= self.ready

    @property
    def words(self) -> str:
        """Say how many there are, and where none can be now."""
        if not self.away:
            return f"{self.ready} of {self.wanted}"
        return (
            f"{self.ready} of {self.wanted}; no answer from {', '.join(self.away)}: what is said"
            " there comes when there is one"
        )


def away(nodes: Iterable[Object]) -> list[str]:
    """Return the nodes on which nothing can be ready: what runs on each node does there, too.

    Kubernetes counts their pods as wanted and as not ready
    (https://kubernetes.io/docs/concepts/architecture/nodes/#node-heartbeats).
    """
    return sorted(one["metadata"]["name"] for one in nodes if readiness(one) != "True")


def read(workloads: Iterable[Object], gone: Collection[str] = ()) -> tuple[Part, ...]:
    """Return what runs, by what it is for; of what is on each node, without the nodes *gone*."""
    found: dict[str, Part] = {}
    for one in workloads:
        name = _component(one["metadata"].get("labels") or {})
        if name in WORDS:
            status, spec = one.get("status") or {}, one.get("spec") or {}
            wanted = status.get("desiredNumberScheduled", spec.get("replicas", 1))
            ready = status.get("numberReady", status.get("readyReplicas", 0))
            part = Part(name=name, ready=int(ready or 0), wanted=int(wanted or 0))
            found[name] = _without(part, gone) if "desiredNumberScheduled" in status else part
    return tuple(found[name] for name in WORDS if name in found)


def _without(part: Part, gone: Collection[str]) -> Part:
    """Ask of the nodes that answer alone; a pod elsewhere may count as ready for a moment yet."""
    wanted = max(part.wanted - len(gone), 0)
    return Part(
        name=part.name, ready=min(part.ready, wanted), wanted=wanted, away=tuple(sorted(gone))
    )


def _component(labels: dict[str, str]) -> str:
    own = next((part for key, part in OF_ELASTIC.items() if key in labels), None)
    return own or labels.get("app.kubernetes.io/component", "")


def missing(parts: Iterable[Part], *, ours: bool) -> str:
    """Say what is not ready yet; nothing if all is."""
    there = {one.name: one for one in parts}
    expected = ("store", "collector") if ours else ("collector",)
    for name in (*expected, *(one for one in there if one not in expected)):
        part = there.get(name)
        if part is None:
            return (
                f"the {WORDS[name]} are still to come" if name == "collector" else f"{name} starts"
            )
        if not part.is_ready:
            return f"{WORDS[name]}: {part.ready} of {part.wanted} ready"
    return ""


def data(parts: Iterable[Part]) -> dict[str, Any]:
    """For -o json."""
    return {
        WORDS[one.name]: {"ready": one.ready, "wanted": one.wanted}
        | ({"away": list(one.away)} if one.away else {})
        for one in parts
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """What the light store holds, and what it may; in bytes."""

    used: int
    most: int
    is_full: bool

    @property
    def words(self) -> str:
        """Say how full it is, and what to do where it takes nothing more."""
        share = f"{self.used / GIB:.1f} of {self.most / GIB:.0f} GiB"
        if not self.is_full:
            return share
        return (
            f"{share}; store full: it takes nothing more, and what comes waits on the nodes' disks."
            " Make room on its machine, keep fewer days (logging: {days: …}), or begin anew:"
            " clusterous logging off, then on"
        )


def disk(metrics: str) -> Disk | None:
    """Read what the light store says of itself; None where it says nothing of the kind.

    Of its disk it fills no more than it was told; the two newest days it never drops for that.
    """
    found: dict[str, float] = {}
    for line in metrics.splitlines():
        name, _, value = line.partition(" ")
        if name.startswith("vl_") and re.fullmatch(r"[0-9.e+]+", value):
            name = name.partition("{")[0]
            found[name] = found.get(name, 0.0) + float(value)
    if "vl_data_size_bytes" not in found:
        return None
    used = int(found["vl_data_size_bytes"])
    free = int(found.get("vl_free_disk_space_bytes", 0))
    return Disk(
        used=used,
        most=int(found.get("vl_max_disk_space_usage_bytes") or used + free),
        is_full=bool(found.get("vl_storage_is_read_only")),
    )


def ask(api: Api) -> tuple[Part, ...]:
    """Ask what runs."""
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}"
    there = [one for kind in KINDS for one in api.items(f"{path}/{kind}")]
    return read(there, away(api.items("/api/v1/nodes")) if there else ())
