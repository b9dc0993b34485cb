"""How plans, clusters and costs look: tables for people, mappings for programs. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from clusterous_api import names
from clusterous_cli.cluster import prices
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.record import Cluster, Node
from clusterous_cli.plan import cost, sweep
from clusterous_cli.plan.design import Design
from clusterous_cli.plan.kinds.images import REPOSITORY
from clusterous_cli.plan.kinds.kind import Action, Found, Kind, Left, Step
from clusterous_cli.plan.kinds.machines import MACHINES
from clusterous_cli.plan.kinds.network import VPC
from clusterous_cli.plan.kinds.volume import FILE_SYSTEM
from clusterous_cli.plan.planner import Plan
from clusterous_cli.terminal import spell

SIGNS: Final = {Action.CREATE: "+", Action.CHANGE: "~", Action.DELETE: "-", Action.KEEP: " "}
PARTS: Final = ("network", "access", "files", "volume", "machines")
ROLES: Final = (names.ROLE_GATEWAY, names.ROLE_CONTROLLER, names.ROLE_WORKER)


def plan_data(design: Design, price: cost.Cost) -> dict[str, Any]:
    """Return a plan for programs."""
    return {
        "cluster": design.who.name,
        "region": design.who.region,
        "account": design.who.account,
        "pending": len(design.plan.pending),
        "steps": [_step_data(step) for step in design.plan.steps],
        "unchanged": list(design.plan.unchanged),
        "cost": {
            "currency": "USD",
            "hourly": round(price.hourly, 4),
            "monthly": round(price.monthly, 2),
            "unknown": list(price.unknown),
            "list_prices_of": prices.DATE,
        },
    }


def _step_data(step: Step) -> dict[str, Any]:
    found = {"id": step.found.id} if step.found else {}
    drift = {"changes": list(step.drift)} if step.drift else {}
    return {
        "action": str(step.action),
        "kind": str(step.kind),
        "name": step.key,
        **found,
        **drift,
    }


def plan_table(design: Design, price: cost.Cost) -> str:
    """Return a plan for people: one line per part, what it costs, and what it does not mend."""
    return "\n".join([_changes(design, price), *(f"  ! {one}" for one in design.plan.unchanged)])


def _changes(design: Design, price: cost.Cost) -> str:
    plan = design.plan
    where = f"cluster {design.who.name} in {design.who.region}"
    if not plan.pending and plan.unchanged:
        return f"{where}: not as the file wants it, but nothing that create can do"
    if not plan.pending:
        return f"{where}: as wanted, nothing to do ({price.spelled()})"
    state = "nothing exists yet" if _is_new(plan) else f"{len(plan.pending)} changes"
    rows = [row for part in PARTS if (row := _part_row(plan, part))]
    return "\n".join(
        [
            f"{where}: {state}",
            spell.table(rows),
            f"  {price.spelled()} running ({price.monthly:.0f} $ a month); {cost.NOT_COUNTED}",
            f"  list prices of {prices.DATE}; what AWS bills may differ",
        ]
    )


def _is_new(plan: Plan) -> bool:
    return all(step.action is Action.CREATE for step in plan.steps)


def _part_row(plan: Plan, part: str) -> tuple[str, str, str] | None:
    steps = [step for step in plan.pending if step.part == part]
    if not steps:
        return None
    actions = {step.action for step in steps}
    sign = SIGNS[next(iter(actions))] if len(actions) == 1 else "~"
    return (f"{sign} {part}", _part_words(part, steps), spell.plural(len(steps), "step"))


def _part_words(part: str, steps: Sequence[Step]) -> str:
    by_kind: dict[Kind, list[Step]] = {}
    for step in steps:
        by_kind.setdefault(step.kind, []).append(step)
    words = [LEADS[part]] if part in LEADS else []
    words += [said for kind, some in by_kind.items() if (said := _kind_words(kind, some))]
    details = ", ".join(step.key for step in steps[:3]) + (", …" if len(steps) > 3 else "")
    return ", ".join(words) or details


def _kind_words(kind: Kind, steps: Sequence[Step]) -> str:
    if kind.words:
        return kind.words(steps)
    return spell.plural(len(steps), kind.counted) if kind.counted else ""


LEADS: Final = {
    "files": "private encrypted bucket",
    "volume": "EFS, encrypted, grows with its data",
}


def cluster_data(cluster: Cluster, price: cost.Cost, now: datetime) -> dict[str, Any]:
    """Return a cluster for programs."""
    created = str(cluster.record.get("created", ""))
    return {
        "name": cluster.name,
        "uid": cluster.uid,
        "account": cluster.account,
        "region": cluster.region,
        "created": created,
        "up_seconds": round(uptime(created, now)),
        "cost": {
            "currency": "USD",
            "hourly": round(price.hourly, 4),
            "so_far": round(price.hourly * uptime(created, now) / 3600, 2),
            "unknown": list(price.unknown),
            "list_prices_of": prices.DATE,
        },
        "gateway": cluster.gateway_ip,
        "controller": cluster.controller_ip,
        "nodes": [_node_data(node) for node in cluster.nodes],
    }


def _node_data(node: Node) -> dict[str, Any]:
    return {
        "name": node.name,
        "id": node.instance_id,
        "role": node.role,
        "type": node.type,
        "state": state(node),
        "node": node.node_name,
        "private_ip": node.private_ip,
        "public_ip": node.public_ip or None,
        "launched": node.launched,
        "error": node.error or None,
    }


def state(node: Node) -> str:
    """Return one word for a machine: its own while it runs, else EC2's."""
    return node.phase or "booting" if node.state == "running" else node.state


def uptime(created: str, now: datetime) -> float:
    """Return the seconds since the cluster was created."""
    return max(0.0, (now - datetime.fromisoformat(created)).total_seconds()) if created else 0.0


def cluster_table(
    cluster: Cluster, price: cost.Cost, now: datetime, apps: Sequence[Mapping[str, Any]] | None
) -> str:
    """Return a cluster for people."""
    up = uptime(str(cluster.record.get("created", "")), now)
    head = (
        f"{cluster.name} · {cluster.region} · up {spell.duration(up)} ·"
        f" {price.hourly * up / 3600:.2f} $ so far, {price.spelled()}"
    )
    rows = [("node", "type", "state", "address")]
    rows += [
        (node.name, node.type, state(node), node.public_ip or node.private_ip)
        for node in cluster.nodes
    ]
    errors = [f"  {node.name}: {node.error.strip()}" for node in cluster.nodes if node.error]
    return "\n".join([head, spell.table(rows), *errors, *_apps(apps)])


def _apps(apps: Sequence[Mapping[str, Any]] | None) -> list[str]:
    if not apps:
        return []
    rows = [("app", "state")] + [(str(app["name"]), str(app["state"])) for app in apps]
    return [spell.table(rows)]


def seen_data(cluster: str, seen: sweep.Seen) -> dict[str, Any]:
    """Return for programs what destroy left behind, and what it could not look for."""
    left = [_left_data(one) for one in seen.left]
    return {"cluster": cluster, "left": left, "unseen": list(seen.unseen)}


def _left_data(one: Left) -> dict[str, Any]:
    # An hourly price of None is not known.
    hourly = None if one.hourly is None else round(one.hourly, 4)
    return {"kind": one.kind, "id": one.id, "ours": one.ours, "hourly": hourly}


def removal_words(who: Identity, found: Sequence[Found]) -> str:
    """Say what destroy is about to remove."""
    machines = sum(len(one.id.split()) for one in found if one.kind is MACHINES and one.ours)
    sizes = [one.value.size for one in found if one.kind is FILE_SYSTEM]
    images = sum(one.kind is REPOSITORY for one in found)
    things = [spell.plural(machines, "machine")] if machines else []
    things += ["the network"] if any(one.kind is VPC and one.ours for one in found) else []
    things += [f"the volume with {spell.size(sum(sizes))} of data"] if sizes else []
    things += [spell.plural(images, "image repository")] if images else []
    what = ", ".join(things) or "what is left of it"
    return f"This removes {who.name} in {who.region} (account {who.account}): {what}."
