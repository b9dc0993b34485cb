"""What each store is made of, needs and costs, and where its page is. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from clusterous_cli.cluster.config import ClusterConfig
from clusterous_cli.cluster.file.centrallogging import POOL, CentralLogging, Store
from clusterous_cli.cluster.prices import Prices
from clusterous_cli.program.load import Load

MIB: Final = 1 << 20
# MiB that the pods of each node ask for, and those that are there once whatever the store.
EACH_NODE: Final = 80
SYSLOG: Final = 80
QUEUE: Final = 512  # MiB of a node's disk for what the store does not take just now
LOCAL_PORT: Final = 8081  # as the predecessor's


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A store's page: its Service with the *port*, and who may log in by which key of a Secret."""

    service: str
    port: int
    selector: Mapping[str, str]  # of its pods
    pod_port: int
    user: str
    secret: str
    key: str
    path: str
    authority: str | None = None  # the Secret of whose authority its certificate is; else no TLS


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a store is: its *words*, the MiB of each of its pods, and its page."""

    words: str
    pods: tuple[int, ...] = ()
    page: Page | None = None


STORES: Final[Mapping[Store, Facts]] = {
    Store.LIGHT: Facts(
        words="VictoriaLogs",
        pods=(192,),
        page=Page(
            service="clusterous-logs",
            port=9428,
            selector={"app.kubernetes.io/component": "store"},
            pod_port=9428,
            user="clusterous",
            secret="clusterous-logs-auth",
            key="password",
            path="/select/vmui/",
        ),
    ),
    Store.EFK: Facts(
        words="Elasticsearch and Kibana",
        pods=(2048, 2048, 150),
        page=Page(
            service="clusterous-kb-http",
            port=5601,
            selector={"kibana.k8s.elastic.co/name": "clusterous"},
            pod_port=5601,
            user="elastic",
            secret="clusterous-es-elastic-user",
            key="elastic",
            path="/app/discover",
            authority="clusterous-kb-http-certs-public",
        ),
    ),
    Store.YOURS: Facts(words="the Elasticsearch that there is"),
    Store.OPENSEARCH: Facts(words="the OpenSearch that there is"),
}


def needs(wanted: CentralLogging, config: ClusterConfig, known: Prices) -> list[str]:
    """Say what a store takes of the machines: memory, disk and money."""
    facts = STORES[wanted.store]
    once = sum(facts.pods) + SYSLOG
    own = next((one for one in config.workers if one.name == POOL), None)
    whose = "the pool logging" if own else "the machines that there are"
    lines = [
        f"memory  {_spelled(once)} once and {EACH_NODE} MiB on each node, of {whose}",
        f"disk    {_disk(wanted)}, and up to {QUEUE} MiB on each node while that does not answer",
    ]
    if not wanted.store.ours:
        return [*lines, "money   nothing on the cluster; what the store costs, its owner knows"]
    if own is None:
        share = _share(once, known)
        return [*lines, f"money   nothing of its own{share}"]
    hourly = known.machines.get(own.type)
    price = f"{own.count * hourly:.2f} $/h" if hourly else "the price is not known here"
    return [*lines, f"money   {own.count} {own.type} of the pool logging: {price}"]


def _disk(wanted: CentralLogging) -> str:
    if not wanted.store.ours:
        return f"as {wanted.url} has it"
    return (
        f"{wanted.size} GiB of one machine's own disk, for {wanted.days} days or until it is full"
    )


def _share(mib: int, known: Prices) -> str:
    """Say what part of a usual machine it takes, where that is worth a word."""
    whole, hourly = 8 * 1024, known.machines.get("t3.large")
    part = mib / whole
    if part < 0.1 or not hourly:
        return ""
    return f", but {part:.0%} of a t3.large, which is {hourly:.2f} $/h"


def _spelled(mib: int) -> str:
    return f"{mib / 1024:.1f} GiB" if mib >= 1024 else f"{mib} MiB"


def lacks(wanted: CentralLogging, there: Load, pool: Sequence[str] = ()) -> str:
    """Say why a store finds no room on the nodes that are *there*; nothing if it does.

    It is held to what is promised to nobody, on each node by itself: a pod is on one of them. With
    *pool*, its nodes alone count.
    """
    nodes = [one for one in there.nodes if not pool or one.name in pool]
    free = sorted((one.has.memory - one.promised.memory for one in nodes), reverse=True)
    for mib in sorted(STORES[wanted.store].pods, reverse=True):
        place = next((index for index, room in enumerate(free) if room >= mib * MIB), None)
        if place is None:
            most = max(free, default=0)
            return (
                f"{STORES[wanted.store].words} need {_spelled(mib)} of memory on one machine, and"
                f" the most that one has left is {_spelled(max(most, 0) // MIB)}"
            )
        free[place] -= mib * MIB
    return ""


REFUSED: Final = (
    "Take the light store, which needs a tenth of that (clusterous logging on --light); or one that"
    " you have (`logging: {url: …}` in the cluster file); or give it a machine of its own, as the"
    " pool logging (`pools: {logging: 1}`)."
)


def link(store: Store, port: int, app: str | None, namespace: str = "default") -> str:
    """Return the address of the page behind a local *port*, with what *app* says if it is given."""
    page = STORES[store].page
    assert page is not None, store
    base = f"http://localhost:{port}{page.path}"
    if app is None:
        return base
    if store is Store.LIGHT:
        asked = quote(f'namespace:="{namespace}" app:="{app}"', safe="")
        return f"{base}#/?query={asked}&g0.range_input=1d&g0.relative_time=last_1_day&limit=500"
    asked = quote(f'namespace : "{namespace}" and app : "{app}"', safe="")
    columns = "!(level,component,pod,message)"
    return (
        f"{base}#/?_g=(time:(from:now-1d,to:now))"
        f"&_a=(dataSource:(dataViewId:clusterous,type:dataView),columns:{columns},"
        f"query:(language:kuery,query:'{asked}'),sort:!(!('@timestamp',desc)))"
    )
