"""How volumes and snapshots look: a table for people, mappings for programs. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from clusterous_cli.cluster import prices
from clusterous_cli.plan.kinds.machines import SHARED, STATE
from clusterous_cli.plan.volumes.stock import DISK, State, Stock, Thing, Type
from clusterous_cli.terminal import spell

HEAD: Final = ("id", "what", "size", "zone", "of", "since", "state", "$ a month")
ROLES: Final = {SHARED: "", STATE: ", the controller's state", DISK: ", a machine's disk"}


def stock_data(stock: Stock, region: str, account: str, now: datetime) -> dict[str, Any]:
    """Return for programs all that there is; sizes in bytes, prices in dollars."""
    return {
        "region": region,
        "account": account,
        "volumes": [thing_data(one, now) for one in stock.things],
        "unseen": list(stock.unseen),
        "currency": "USD",
        "list_prices_of": prices.DATE,
    }


def thing_data(one: Thing, now: datetime) -> dict[str, Any]:
    """Return one volume or snapshot for programs."""
    return {
        "id": one.id,
        "type": str(one.type),
        "role": one.role,
        "cluster": one.cluster,
        "state": str(one.state),
        "used_by": one.user or None,
        "size": one.size,
        "zone": one.zone or None,
        "since": one.since.isoformat(timespec="seconds"),
        "age_seconds": round((now - one.since).total_seconds()),
        "monthly": round(one.monthly, 2),
        **({"of": one.of, "description": one.says} if one.type is Type.SNAPSHOT else {}),
    }


def stock_table(stock: Stock, now: datetime) -> str:
    """Return for people all that there is, and what that which is kept costs."""
    rows = [HEAD, *(_row(one, now) for one in stock.things)]
    kept = [one for one in stock.things if one.state is State.KEPT]
    cost = sum(one.monthly for one in kept)
    words = f"  {len(kept)} kept, {most(kept)}{cost:.2f} $ a month (list prices of {prices.DATE})"
    return "\n".join([spell.table(rows), words])


def _row(one: Thing, now: datetime) -> tuple[str, ...]:
    what = f"of {one.of}" if one.of else f"{one.type}{ROLES.get(one.role, '')}"
    state = f"in use by {one.user}" if one.user else str(one.state)
    return (
        one.id,
        what,
        spell.size(one.size),
        one.zone or "-",
        one.cluster,
        spell.duration((now - one.since).total_seconds()),
        f"{state}: {one.says}" if one.says else state,
        f"{most([one])}{one.monthly:.2f}",
    )


def most(things: Sequence[Thing]) -> str:
    """Say of snapshots that their price is a bound: what they share is billed once."""
    return "at most " if any(one.type is Type.SNAPSHOT for one in things) else ""


def removal_words(one: Thing, copies: Sequence[Thing], place: str, now: datetime) -> str:
    """Say what `rm-volume` is about to delete, and which snapshots stay."""
    age = spell.duration((now - one.since).total_seconds())
    what = f"the snapshot {one.id} of {one.of}" if one.of else f"the volume {one.id}"
    zone = f", {one.zone}" if one.zone else ""
    said = f"This deletes {what} in {place}: {spell.size(one.size)}{zone}, of {one.cluster}, made"
    return " ".join([f"{said} {age} ago, with all that is on it.", *copies_words(copies)])


def copies_words(copies: Sequence[Thing]) -> list[str]:
    """Name the snapshots that stay when their volume goes, and what they cost."""
    if not copies:
        return []
    ids = ", ".join(one.id for one in copies)
    stay = "its snapshot stays" if len(copies) == 1 else f"its {len(copies)} snapshots stay"
    cost = sum(one.monthly for one in copies)
    return [f"{stay[0].upper()}{stay[1:]}: {ids}, at most {cost:.2f} $ a month."]


def snapshot_words(one: Thing) -> str:
    """Say that a snapshot was taken, or how far it is, and what it costs."""
    mark = f"· {one.id} of {one.of} is not complete yet"
    value = one.found.value
    if value.state == "completed":
        mark = f"✓ {one.id} is a snapshot of {one.of}"
    return f"{mark}, kept until it is removed, for at most {one.monthly:.2f} $ a month."


def restored_words(one: Thing, snapshot: str) -> str:
    """Say that a volume was made of a *snapshot*, what it costs, and who may take it."""
    return (
        f"✓ {one.id} has what {snapshot} holds: {spell.size(one.size)} in {one.zone}, kept, for"
        f" {one.monthly:.2f} $ a month. A new cluster takes it by that line in its file, and so"
        " does one whose volume was lost; a cluster that has its volume keeps that."
    )
