"""The last look after `destroy`: what of the cluster is there, by another way than `inventory`.

`destroy` deletes what `inventory` finds, so `inventory` cannot tell what it overlooks. Here every
service is walked by itself: everything that bears the cluster's tags, its names, or is in one of
its networks; and a filter that a service ignores changes nothing, since all is asked again here.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from clusterous_api import names
from clusterous_cli.aws import errors
from clusterous_cli.cluster import prices
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.tags import belongs_to, is_kept_from, is_ours, tagged, tags_of
from clusterous_cli.plan.kinds import table
from clusterous_cli.plan.kinds.cloud import Cloud
from clusterous_cli.plan.kinds.kind import Item, Kind, Left, Walk
from clusterous_cli.terminal import spell


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is still there, what of it is kept on purpose, and in words where nobody could look."""

    left: tuple[Left, ...] = ()
    unseen: tuple[str, ...] = ()
    kept: tuple[Left, ...] = ()


def look(cloud: Cloud, who: Identity, networks: Iterable[str]) -> Seen:
    """List all that is there of the cluster; *networks* are those that it had."""
    known = tuple(sorted(set(networks)))
    looks = [_looked(kind.noun, _walk(cloud, who, known, kind)) for kind in _walked()]
    with ThreadPoolExecutor(max_workers=len(looks)) as pool:
        parts = list(pool.map(lambda one: one(), looks))
    found = sorted((one for part in parts for one in part.left), key=lambda one: one.kind)
    return Seen(
        left=tuple(one for one in found if not one.kept),
        unseen=tuple(words for part in parts for words in part.unseen),
        kept=tuple(one for one in found if one.kept),
    )


def _looked(kind: str, walked: Callable[[], list[Left]]) -> Callable[[], Seen]:
    """Let one look that is not permitted be no reason to forget what the others see."""

    def looked() -> Seen:
        try:
            return Seen(left=tuple(walked()))
        except errors.Denied as error:
            things = spell.plural(2, kind).removeprefix("2 ")
            return Seen(unseen=(f"could not look for {things}: not permitted ({error.call})",))

    return looked


def kinds() -> int:
    """Return how many kinds of things are looked for."""
    return len(_walked())


def _walked() -> list[Kind]:
    in_ec2 = [kind for kind in table.ALL if kind.walk]
    return [*in_ec2, *(kind for kind in table.ALL if kind.walked)]


def price(left: Iterable[Left]) -> str:
    """Spell what the things cost together; what has no price here is said."""
    things = list(left)
    known = sum(one.hourly for one in things if one.hourly is not None)
    unknown = any(one.hourly is None for one in things)
    if not known:
        return "cost what is not known here" if unknown else "cost nothing"
    return f"cost {'at least ' if unknown else ''}{known:.3f} $/h"


def _walk(
    cloud: Cloud, who: Identity, networks: tuple[str, ...], kind: Kind
) -> Callable[[], list[Left]]:
    factor = prices.FACTORS.get(who.region, 1.0)

    def walked() -> list[Left]:
        found = kind.walked(cloud, who) if kind.walked else _of_ec2(cloud, who, networks, kind)
        return [replace(one, hourly=one.hourly and one.hourly * factor) for one in found]

    return walked


def _of_ec2(cloud: Cloud, who: Identity, networks: tuple[str, ...], kind: Kind) -> list[Left]:
    walk = kind.walk
    assert walk is not None
    filters = [{"Name": f"tag:{names.TAG_CLUSTER}", "Values": [who.name]}, *tagged(who)]
    if walk.placed and networks:
        filters.append({"Name": "vpc-id", "Values": list(networks)})
    if walk.kept:
        filters.append({"Name": f"tag:{names.TAG_KEPT}", "Values": [who.name]})
    items: dict[str, Item] = {}
    for one in filters:
        found = cloud.pages("ec2", walk.action, walk.key, Filters=[one])
        items |= {item[walk.id]: item for item in _flat(walk, found)}
    return [
        _left(kind.noun, walk, item, who)
        for item in items.values()
        if _belongs(item, who, networks, walk) and not walk.gone(item)
    ]


def _flat(walk: Walk, found: list[Any]) -> list[Any]:
    if walk.key == "Reservations":
        return [machine for group in found for machine in group["Instances"]]
    return found


def _belongs(item: Item, who: Identity, networks: tuple[str, ...], walk: Walk) -> bool:
    tags = tags_of(item)
    kept = bool(walk.kept) and is_kept_from(tags, who)
    return kept or belongs_to(tags, who) or item.get("VpcId") in networks


def _left(noun: str, walk: Walk, item: Item, who: Identity) -> Left:
    if walk.kept and is_kept_from(tags_of(item), who):
        id, hourly = item[walk.id], walk.hourly(item)
        return Left(kind=walk.kept, id=id, ours=False, hourly=hourly, kept=True)
    ours = is_ours(item, who)
    return Left(
        kind=noun,
        id=item[walk.id],
        ours=ours,
        hourly=walk.hourly(item),
        says="" if ours else _foreign(belongs_to(tags_of(item), who), walk.says(item)),
    )


def _foreign(named: bool, says: str) -> str:
    where = "bears the cluster's name" if named else "is in its network"
    return f"{where}, but was not made by clusterous" + (f": {says}" if says else "")
