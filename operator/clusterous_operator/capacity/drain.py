"""Which pods go first when there are to be fewer: those that do least. Pure."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from clusterous_operator.cache.observed import Pod

# What Kubernetes reads before it chooses. Any value below the others' 0 does.
IDLE_COST = -100


def costs(pods: Iterable[Pod], cpu: Mapping[str, Decimal] | None, keep: int) -> dict[str, int]:
    """Return the pods whose deletion cost must change before all but *keep* of them are ended.

    Pods that are not ready go before all others anyway. Where a program minds the costs itself, or
    where the figures are not complete, nothing changes.
    """
    ready = [one for one in pods if one.ready and not one.ended and not one.deleting]
    if cpu is None or any(one.name not in cpu or one.cost not in (0, IDLE_COST) for one in ready):
        return {}
    order = sorted(ready, key=lambda one: (cpu[one.name], one.name))
    leaving = max(0, len(order) - keep)
    wanted = {one.name: IDLE_COST if place < leaving else 0 for place, one in enumerate(order)}
    return {one.name: wanted[one.name] for one in ready if one.cost != wanted[one.name]}
