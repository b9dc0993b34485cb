"""Machines that leave: which ones, and how, when all the rest of the cluster is ready."""

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Final

from clusterous_api import names
from clusterous_cli.cluster.config import ClusterConfig
from clusterous_cli.cluster.payload import RECORD
from clusterous_cli.cluster.record import Node
from clusterous_cli.plan.kinds import machines
from clusterous_cli.plan.kinds.cloud import Site
from clusterous_cli.plan.kinds.kind import Found
from clusterous_cli.plan.kinds.machines import MACHINES
from clusterous_cli.plan.planner import Observed
from clusterous_cli.terminal.lines import Lines

LINE: Final = "machines"
FIXED: Final = (names.ROLE_GATEWAY, names.ROLE_CONTROLLER)

# Lets machines be drained, and yields each as soon as nothing is on it any more.
Drain = Callable[[Sequence[Node], Callable[[str], None]], Iterator[Node]]


def choose(
    observed: Observed,
    config: ClusterConfig,
    *,
    named: Set[str] = frozenset(),
    before: Set[str] = frozenset(),
    ready: Set[str] = frozenset(),
) -> frozenset[str]:
    """Return the ids of the machines that shall leave. Pure.

    Those that were *named*, those that were chosen *before*, and what is too many in its pool: what
    is not *ready* goes first, then the newest.
    """
    counts = {one.key: one.count for one in config.pools}
    chosen: set[str] = set()
    for one in observed.found.values():
        if one.kind is MACHINES and one.value and one.key not in FIXED:
            chosen |= _of(one, counts.get(one.key, 0), named | before, ready)
    return frozenset(chosen)


def _of(one: Found, count: int, asked: Set[str], ready: Set[str]) -> set[str]:
    ids = one.id.split()
    going = asked & set(ids)
    launched = one.value.launched or {}
    newest = sorted(set(ids) - going, key=lambda id: (launched.get(id, ""), id), reverse=True)
    ranked = sorted(newest, key=lambda id: id in ready)  # stable
    more = len(ids) - len(going) - count
    return {*going, *ranked[: max(more, 0)]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """Lets the machines of *nodes* go: drained, each is ended at once.

    *record* is the cluster's record as it is without them.
    """

    site: Site
    nodes: Sequence[Node]
    drain: Drain
    record: bytes
    lines: Lines

    def run(self) -> None:
        """Do it; what was begun before is gone on with."""
        for node in self.drain(self.nodes, self.tell):
            self.site.ec2("terminate_instances", InstanceIds=[node.instance_id])
            self.tell(f"{node.name} is drained, and ends")
        machines.ended(self.site, [one.instance_id for one in self.nodes])
        self.site.s3("put_object", Key=RECORD, Body=self.record)
        gone = ", ".join(one.name for one in self.nodes)
        self.lines.set(LINE, f"{gone} drained and removed", done=True)

    def tell(self, words: str) -> None:
        """Show how far it is."""
        self.lines.set(LINE, words)
