"""Which node is of which pool: a table in the bucket, by which the controller labels the nodes.

What a kubelet says of its own node need not be true, and tags of machines the controller cannot
read. So whoever starts machines writes it down; a line is NODE INSTANCE POOL.
"""

import re
from dataclasses import dataclass
from typing import Final

from clusterous_api.errors import TransientError
from clusterous_cli.cluster.addresses import node_name
from clusterous_cli.cluster.payload import HOMES as KEY
from clusterous_cli.cluster.tags import tagged
from clusterous_cli.plan.kinds.cloud import Site
from clusterous_cli.plan.kinds.files import CLOSED
from clusterous_cli.plan.kinds.kind import (
    Found,
    Id,
    Item,
    Kind,
    Ref,
    Resource,
    Scope,
    Step,
    Value,
    Wish,
)
from clusterous_cli.plan.kinds.machines import PART, pool_of

OLDER: Final = (
    "the controller was made by an older clusterous, which knows of no pools: it calls every new"
    " node `worker`, and what asks for another pool waits for ever. In a cluster that is created"
    " anew pools are known"
)
LINE: Final = re.compile(r"[a-z0-9.-]+ (i-[0-9a-f]+) ([a-z0-9-]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Homes(Value):
    """The machines of each pool that has any, as the plan knows them: by their ids."""

    pools: tuple[Id, ...]


def _want(wish: Wish) -> list[Resource]:
    pools = [one for one in wish.config.agents if one.count]
    if not pools:
        return []
    value = Homes(pools=tuple(Ref(one.key) for one in pools))
    return [Resource(kind=HOMES, key="homes", value=value, needs=CLOSED)]


def look(at: Scope) -> list[Found]:
    """Read what the controller was told."""
    text = at.told(KEY)
    if text is None:
        return []
    told: dict[str, list[str]] = {}
    for line in text.splitlines():
        if read := LINE.fullmatch(line):
            told.setdefault(read[2], []).append(read[1])
    value = Homes(pools=tuple(sorted(" ".join(sorted(ids)) for ids in told.values())))
    return [Found(kind=HOMES, key="homes", id=KEY, value=value)]


def _differ(wanted: Homes, there: Homes) -> tuple[str, ...]:
    """Machines that are gone may stand there; that others come is known before their ids are."""
    told = {id for pool in there.pools for id in str(pool).split()}
    is_whole = all(pool and set(str(pool).split()) <= told for pool in wanted.pools)
    return () if is_whole else ("machines",)


def _make(to: Site, step: Step, wanted: Homes) -> str:
    ids = {id for pool in wanted.pools for id in str(pool).split()}
    listed = to.cloud.pages("ec2", "describe_instances", "Reservations", Filters=tagged(to.who))
    found = [one for group in listed for one in group["Instances"] if one["InstanceId"] in ids]
    if unseen := ids - {one["InstanceId"] for one in found}:
        raise TransientError(f"EC2 does not list {', '.join(sorted(unseen))} yet.")
    there = [one for one in found if one["State"]["Name"] != "terminated"]
    text = "".join(f"{line}\n" for line in sorted(map(_line, there)))
    to.s3("put_object", Key=KEY, Body=text.encode())
    return KEY


def _line(machine: Item) -> str:
    id = machine["InstanceId"]
    # One that is ending has no name any more.
    name = node_name(machine.get("PrivateDnsName", ""), id) or "-"
    return f"{name} {id} {pool_of(machine)}"


HOMES: Final = Kind(
    name="homes",
    part=PART,
    wants=_want,
    look=look,
    make=_make,
    changeable=True,
    differ=_differ,
)
