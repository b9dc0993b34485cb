"""What exists of a cluster: asked of AWS by tag, by name and by network, all at once."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from clusterous_cli.cluster.identity import Identity
from clusterous_cli.plan.kinds import table
from clusterous_cli.plan.kinds.cloud import Cloud
from clusterous_cli.plan.kinds.kind import Found, Scope
from clusterous_cli.plan.kinds.machines import MACHINES, split
from clusterous_cli.plan.kinds.network import VPC
from clusterous_cli.plan.planner import Observed


def take(cloud: Cloud, who: Identity, *, deep: bool = False) -> tuple[Found, ...]:
    """Find everything of the cluster; *deep* also what others put into its network."""
    assert VPC.look is not None
    vpcs = VPC.look(Scope(cloud=cloud, who=who))
    networks = tuple(found.id for found in vpcs if found.kind is VPC)
    looks = _looks(deep)
    scope = Scope(cloud=cloud, who=who, networks=networks)
    with ThreadPoolExecutor(max_workers=len(looks)) as pool:
        rest = pool.map(lambda look: look(scope), looks)
        return (*vpcs, *(found for part in rest for found in part))


def _looks(deep: bool) -> list[Callable[[Scope], list[Found]]]:
    usual = [kind.look for kind in table.ALL if kind is not VPC and kind.look]
    return [*usual, *(kind.deep for kind in table.ALL if deep and kind.deep)]


def index(
    found: Iterable[Found],
    failed: frozenset[str] = frozenset(),
    leaving: frozenset[str] = frozenset(),
) -> Observed:
    """Give each key its one thing; copies made by lost answers, and *failed* machines, are surplus.

    Machines that are *leaving* are none that the cluster has.

    Of two networks the one in use is kept; things in the other one count as surplus too.
    """
    things = [one for one in found if one.ours and one.key]
    home = _home(things)
    kept: dict[str, Found] = {}
    surplus: list[Found] = []
    going: list[Found] = []
    for one in sorted(things, key=_preference, reverse=True):
        if one.kind is MACHINES:
            healthy, broken = split(one, failed)
            surplus += [broken] if broken else []
            stays, goes = split(healthy, leaving) if healthy else (None, None)
            going += [goes] if goes else []
            if stays is not None:
                kept[one.key] = stays
        elif one.key in kept or one.vpc not in ("", home):
            if one.kind.duplicated:
                surplus.append(one)
        elif not one.broken:
            kept[one.key] = one
        else:
            surplus.append(one)
    return Observed(found=kept, surplus=tuple(surplus), leaving=tuple(going))


def _home(things: Iterable[Found]) -> str:
    """Return the network that most other things are in."""
    vpcs = sorted(one.id for one in things if one.kind is VPC)
    uses = {vpc: sum(one.vpc == vpc for one in things) for vpc in vpcs}
    return max(vpcs, key=lambda vpc: uses[vpc], default="")


def _preference(one: Found) -> tuple[int, str]:
    return (one.uses, one.id)
