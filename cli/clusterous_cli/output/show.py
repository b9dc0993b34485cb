"""How plans, clusters and costs look: tables for people, mappings for programs. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

from clusterous_api import names
from clusterous_cli.addons import rollout
from clusterous_cli.cluster import prices
from clusterous_cli.cluster.config import ClusterConfig, Pool, VolumeType
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.record import Cluster, Node
from clusterous_cli.cluster.records import away
from clusterous_cli.output import changes
from clusterous_cli.output.changes import Change, Effect
from clusterous_cli.plan import cost
from clusterous_cli.plan.design import Design
from clusterous_cli.plan.kinds import homes
from clusterous_cli.plan.kinds.kind import Action, Kind, Step
from clusterous_cli.plan.machines import nodes
from clusterous_cli.plan.planner import Plan
from clusterous_cli.program import load
from clusterous_cli.program.load import Load
from clusterous_cli.terminal import spell
from clusterous_cli.turns.calls import Call

FULL: Final = 0.05  # of which nothing more is free
KEPT_FULL: Final = 80  # percent, from which on the volume with the state is told of
SIGNS: Final = {
    Effect.CREATED: "+",
    Effect.CHANGED: "~",
    Effect.REPLACED: "±",
    Effect.DELETED: "-",
}
MOST_REASONS: Final = 3  # that a line tells
PARTS: Final = ("network", "access", "files", "volume", "machines", "add-ons")


def plan_data(design: Design, price: cost.Cost) -> dict[str, Any]:
    """Return a plan for programs."""
    all_of = changes.of_design(design, price.known)
    return {
        "cluster": design.who.name,
        "region": design.who.region,
        "account": design.who.account,
        "pending": len(design.plan.pending),
        "steps": [_step_data(one) for one in all_of],
        "unchanged": list(design.plan.unchanged),
        "image": {
            "id": design.image.id,
            "name": design.image.name,
            "owner": design.image.owner,
        },
        "operator": {"image": design.operator.reference, "from": design.operator.origin},
        **_volume_server(design),
        "unpinned": list(design.unpinned),
        "cost": {
            **_cost_data(price),
            "before": _amounts_data(changes.cost_before(all_of, price.known)),
            "after": _amounts_data(changes.cost_after(all_of, price.known)),
        },
    }


def _cost_data(price: cost.Cost) -> dict[str, Any]:
    return {
        "currency": "USD",
        **_amounts_data(price),
        "unknown": list(price.unknown),
        "prices_of": price.known.of,
        "no_newer_prices": price.known.why or None,
    }


def _amounts_data(price: cost.Cost) -> dict[str, float]:
    return {"hourly": round(price.hourly, 4), "monthly": round(price.monthly, 2)}


def _volume_server(design: Design) -> dict[str, Any]:
    server = design.volume_server
    return {"volume_server": {"image": server.reference, "from": server.origin}} if server else {}


def _step_data(change: Change) -> dict[str, Any]:
    step = change.step
    found = {"id": step.found.id} if step.found else {}
    drift = {"changes": list(step.drift)} if step.drift else {}
    return {
        "action": str(step.action),
        "kind": str(step.kind),
        "name": step.key,
        **found,
        **drift,
        "effect": str(change.effect),
        "reasons": list(change.reasons),
        "hourly": round(change.hourly, 4),
        "monthly": round(change.hourly * prices.HOURS_PER_MONTH, 2),
        **({"unknown": list(change.unknown)} if change.unknown else {}),
    }


def plan_table(design: Design, price: cost.Cost) -> str:
    """Return a plan for people: one line per part, what it costs, and what it does not mend."""
    told = (
        *image_words(design),
        *surplus_words(design.plan),
        *access_words(design.plan),
        *operator_words(design),
        *design.plan.unchanged,
    )
    return "\n".join([_changes(design, price), *(f"  ! {one}" for one in told)])


def image_words(design: Design) -> list[str]:
    """Say whose image it is that the file names: it boots with the cluster's keys."""
    image = design.image
    if not (design.plan.pending and design.config.image.startswith("ami-")):
        return []
    return [f"machines boot {image.id}: {image.name}, made by {image.owner}"]


def surplus_words(plan: Plan) -> list[str]:
    """Name what is there once too often, which create and destroy remove."""
    return [
        f"{step.kind.noun} {step.found.id} is one too many, made when an answer of AWS was lost;"
        " create removes it"
        for step in plan.pending
        if step.action is Action.DELETE and step.found and step.kind.duplicated
    ]


def leaving_words(plan: Plan) -> str:
    """Say which machines are to leave, and what that means; nothing where none is."""
    parts = [
        f"{', '.join(ids)} of {step.found.value.pool}"
        for step in plan.leaving
        if step.found and (ids := step.found.id.split())
    ]
    if not parts:
        return ""
    return (
        f"These machines leave, with what is on their disks: {'; '.join(parts)}. Programs there are"
        " asked to end, and run elsewhere where there is room; within 10 min, or the machines stay."
    )


def operator_words(design: Design) -> list[str]:
    """Say where our images come from, if not from a release, and what is not pinned."""
    if not design.plan.pending:
        return []
    origin = [] if design.operator.released else [f"the operator's image: {design.operator.origin}"]
    if design.volume_server:
        origin.append(f"the volume server's image: {design.volume_server.origin}")
    files = spell.plural(len(design.unpinned), "file")
    pins = f"{files} without a sum of ours: what their publishers say today counts"
    return [*origin, *([pins] if design.unpinned else [])]


def access_words(plan: Plan) -> list[str]:
    """Say whose address the gateway will let in, and whose no more: that may be somebody's way."""
    for step in plan.pending:
        if step.key == "gateway-rules" and step.found and step.resource:
            there = {rule.source for rule in step.found.value.rules}
            wanted = {rule.source for rule in step.resource.value.rules}
            come, go = sorted(wanted - there), sorted(there - wanted)
            lost = "who comes from there is locked out, unless gateway.allow in the file names all"
            return [
                *([f"the gateway will let in {', '.join(come)}"] if come else []),
                *([f"the gateway will no more let in {', '.join(go)}; {lost}"] if go else []),
            ]
    return []


def _changes(design: Design, price: cost.Cost) -> str:
    plan = design.plan
    where = f"cluster {design.who.name} in {design.who.region}"
    if not plan.pending and plan.unchanged:
        return f"{where}: not as the file wants it, but nothing that create can do"
    if not plan.pending:
        return f"{where}: as wanted, nothing to do ({price.spelled()})"
    new = _is_new(plan)
    state = "nothing exists yet" if new else f"{len(plan.pending)} changes"
    all_of = changes.of_design(design, price.known)
    rows = [
        row
        for effect in SIGNS
        for part in PARTS
        if (row := _part_row(part, effect, [one for one in all_of if one.effect is effect]))
    ]
    now = changes.cost_before(all_of, price.known)
    was = "" if new else f"; now {now.hourly:.2f} $/h ({now.monthly:.0f} $ a month)"
    return "\n".join(
        [
            f"{where}: {state}",
            spell.table(row[:-1] if new else row for row in rows),
            f"  {price.spelled()} running ({price.monthly:.0f} $ a month){was}; {cost.NOT_COUNTED}",
            f"  {price.known.spelled}",
        ]
    )


def _is_new(plan: Plan) -> bool:
    return all(step.action is Action.CREATE for step in plan.steps)


def _part_row(part: str, effect: Effect, of_effect: Sequence[Change]) -> tuple[str, ...] | None:
    """Say of one part what becomes of it, by how much that changes the cost, and why."""
    some = [one for one in of_effect if one.step.part == part]
    if not some:
        return None
    steps = [one.step for one in some]
    hourly = sum(one.hourly for one in some)
    unknown = " + ?" if any(one.unknown for one in some) else ""
    amount = f"{hourly:+.2f} $/h, {hourly * prices.HOURS_PER_MONTH:+.0f} $ a month{unknown}"
    every = list(dict.fromkeys(reason for one in some for reason in one.reasons))
    reasons = [one for one in every if one != changes.TOLD] or every
    more = [f"and {len(reasons) - MOST_REASONS} more"] if len(reasons) > MOST_REASONS else []
    return (
        f"{SIGNS[effect]} {effect}",
        part,
        _part_words(part, steps),
        spell.plural(len(steps), "step"),
        amount if hourly or unknown else "",
        "; ".join([*reasons[:MOST_REASONS], *more]),
    )


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
}


def cluster_data(cluster: Cluster, price: cost.Cost, now: datetime) -> dict[str, Any]:
    """Return a cluster for programs."""
    created = str(cluster.record.get("created", ""))
    return {
        "name": cluster.name,
        "away": away.data(cluster.away),
        "uid": cluster.uid,
        "account": cluster.account,
        "region": cluster.region,
        "created": created,
        "up_seconds": round(uptime(created, now)),
        "cost": {
            **_cost_data(price),
            "so_far": round(price.hourly * uptime(created, now) / 3600, 2),
        },
        "gateway": cluster.gateway_ip,
        "controller": cluster.controller_ip,
        "nodes": [_node_data(node) for node in cluster.nodes],
        "volume": _volume_data(cluster),
        "state_volume": {"used_percent": _view(cluster).get("kept")},
        "unsaved": _view(cluster).get("unsaved") or None,
    }


def _volume_data(cluster: Cluster) -> dict[str, Any] | None:
    """Return what is known of the shared volume; sizes, where they are told, in bytes."""
    asked = ClusterConfig.from_record(cluster.record["config"]).volume
    if asked.type is VolumeType.NONE:
        return None
    told = _view(cluster).get("volume") or {}
    known = {
        "id": told.get("volume") or asked.id,
        "state": told.get("phase") or "not known",
        "size": told.get("size") or None,
        "free": told.get("free") if told.get("size") else None,
        "error": told.get("error") or None,
    }
    return {"type": str(asked.type), **(known if asked.served else {})}


def volume_words(cluster: Cluster) -> list[str]:
    """Say what the shared volume is, and how full."""
    found = _volume_data(cluster)
    if found is None:
        return []
    if "state" not in found:
        return [f"  volume: {found['type']}"]
    size, free = found["size"], found["free"]
    used = f"{spell.size(size - free)} of {spell.size(size)} used, " if size else ""
    return [f"  volume: {found['type']} {found['id'] or ''}".rstrip() + f", {used}{found['state']}"]


def volume_troubles(cluster: Cluster) -> list[str]:
    """Say what is wrong with the shared volume."""
    found = _volume_data(cluster) or {}
    full = found.get("size") and found["free"] < found["size"] * FULL
    more = "`clusterous volume grow SIZE` makes it larger while programs go on"
    return [
        *([f"the shared volume: {found['error']}"] if found.get("error") else []),
        *([f"the shared volume has {spell.size(found['free'])} left: {more}"] if full else []),
    ]


def _kept_words(cluster: Cluster) -> list[str]:
    """Say when the volume with what Kubernetes knows is nearly full."""
    full = _view(cluster).get("kept", 0)
    if full < KEPT_FULL:
        return []
    meaning = (
        "what is left is a reserve in which things can still be deleted"
        if full == 100
        else "once it is, nothing can be changed"
    )
    return [
        f"the volume with what Kubernetes knows is {full}% full; {meaning}. Delete what nobody"
        " needs: clusterous kubectl get capp,jobs,configmaps,secrets -A"
    ]


def unsaved_words(view: Mapping[str, Any]) -> list[str]:
    """Say that the controller can save what Kubernetes knows no more."""
    words = str(view.get("unsaved", "")).strip().splitlines()
    if not words:
        return []
    return [
        f"what Kubernetes knows is not saved any more, which is tried every 15 min: {words[-1]}."
        " `clusterous snapshot ls` shows what there is"
    ]


def _node_data(node: Node) -> dict[str, Any]:
    return {
        "name": node.name,
        "id": node.instance_id,
        "role": node.role,
        "pool": node.pool,
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


class Inside(Protocol):
    """What the cluster says of itself; `opening.Inside` is one."""

    @property
    def apps(self) -> Sequence[Mapping[str, Any]]:
        """Its programs."""

    @property
    def load(self) -> Load | None:
        """What its machines have and do."""

    @property
    def unreachable(self) -> str:
        """Why it could not be asked; empty when it could."""


def missing(cluster: Cluster) -> list[str]:
    """Say which machines should be there and are not."""
    there = Counter(node.pool for node in cluster.nodes)
    config = ClusterConfig.from_record(cluster.record["config"])
    fixed = [one.name for one in config.pools if one.name in GONE]
    gone = [f"the {pool} is gone: {GONE[pool]}" for pool in fixed if not there[pool]]
    for pool in config.workers:
        if (short := pool.count - there[pool.name]) > 0:
            all_of = _counted(pool)
            gone.append(f"{short} of {all_of} are gone")
    return gone


def _counted(pool: Pool) -> str:
    if pool.name == names.ROLE_WORKER:
        return spell.plural(pool.count, "worker")
    return f"{pool.count} in {pool.key}"


def older_words(cluster: Cluster) -> list[str]:
    """Say that a controller knows of no pools where there are some: it speaks of no state, too."""
    config = ClusterConfig.from_record(cluster.record["config"])
    told = [one.report or {} for one in cluster.nodes if one.pool == names.ROLE_CONTROLLER]
    older = any(said.get("phase") == "ready" and "state" not in said for said in told)
    named = any(one.name != names.ROLE_WORKER for one in config.agents)
    return [homes.OLDER] if older and named else []


# What it means that a machine is no more.
GONE: Final = {
    names.ROLE_GATEWAY: "there is no way to the cluster, which goes on by itself",
    names.ROLE_CONTROLLER: "Kubernetes is away with it",
    names.POOL_MASTER: "masters are on workers meanwhile, and what names it waits",
}


def addons_data(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """Return for programs how far the add-ons are, by what the controller saw last."""
    states = nodes.addon_states(_view(cluster), _placed(cluster)) if _view(cluster) else {}
    return {noun: {"ready": one.ready, "says": one.words} for noun, one in states.items()}


def _view(cluster: Cluster) -> Mapping[str, Any]:
    return nodes.cluster_view(cluster.nodes)


def _placed(cluster: Cluster) -> Mapping[str, str]:
    placed: Mapping[str, str] = _view(cluster).get("addons", {})
    return placed


def addon_words(cluster: Cluster) -> list[str]:
    """Say which add-ons are not ready and why, and what keeps new ones from coming."""
    stuck = rollout.stuck(_view(cluster)).splitlines()
    late = [f"what the cluster should run does not reach it: {stuck[-1]}"] if stuck else []
    states = addons_data(cluster).items()
    down = [f"the {noun} is not ready: {one['says']}" for noun, one in states if not one["ready"]]
    why = nodes.trouble(_view(cluster), _placed(cluster)).words if down else ()
    return [*late, *down, *why]


def inside_data(cluster: Cluster, inside: Inside) -> dict[str, Any]:
    """Return for programs what the cluster says of itself."""
    gone = {"missing": missing(cluster), "addons": addons_data(cluster)}
    known = inside.load
    if inside.unreachable or known is None:
        return {**gone, "apps": None, "load": None, "unreachable": inside.unreachable or None}
    each = {node.name: {**_amounts(node), "trouble": node.trouble or None} for node in known.nodes}
    return {
        **gone,
        "apps": list(inside.apps),
        "load": {**_amounts(known), "nodes": each},
        "unreachable": None,
    }


def _amounts(known: Load | load.Node) -> dict[str, Any]:
    amounts = {"has": known.has, "promised": known.promised, "used": known.used}
    return {name: load.as_data(amount) for name, amount in amounts.items()}


def cluster_table(cluster: Cluster, price: cost.Cost, now: datetime, inside: Inside) -> str:
    """Return a cluster for people."""
    up = uptime(str(cluster.record.get("created", "")), now)
    head = (
        f"{cluster.name} · {cluster.region} · up {spell.duration(up)} ·"
        f" {price.spelled()}, {price.hourly * up / 3600:.2f} $ so far if it was always of this size"
    )
    shares = SHARES if inside.load else ()
    rows: list[tuple[str, ...]] = [("node", "type", "state", "address", *shares)]
    for node in cluster.nodes:
        known = inside.load.of(node.node_name) if inside.load else None
        address = node.public_ip or node.private_ip
        rows.append((node.name, node.type, state(node), address, *_shares(known)))
    if inside.load:
        rows.append(("all", "", "", "", *_shares(inside.load)))
    errors = [f"  {node.name}: {node.error.strip()}" for node in cluster.nodes if node.error]
    return "\n".join(
        [
            *away_words(cluster, now),
            head,
            spell.table(rows),
            *volume_words(cluster),
            *errors,
            *_warnings(cluster, inside),
            *_apps(inside),
        ]
    )


def away_words(cluster: Cluster, now: datetime) -> list[str]:
    """Say that the controller is away, since when, and what to type."""
    one = cluster.away
    if one is None:
        return []
    did = DID.get(one.state, f"is {one.state}")
    machine = f"its machine {one.id} {did}" if one.id else "EC2 knows its machine no more"
    why = f" ({one.why})" if one.why else ""
    times = [
        f"{words} {time:%H:%M on %d %B} UTC, {spell.duration((now - time).total_seconds())} ago"
        for words, time in (("since", one.since), ("last heard of at", one.heard))
        if time
    ]
    mend = f"type: clusterous create --cluster {cluster.name}"
    if one.state == "silent":
        mend = (
            f"look what it says (aws ec2 get-console-output --latest --instance-id {one.id}); what"
            f" may help is aws ec2 reboot-instances --instance-ids {one.id}"
        )
    return [
        f"! The controller of {cluster.name} is away: {', '.join([machine + why, *times])}."
        " Programs on workers run on; until it is back none is started, changed or told of.",
        f"  To bring it back, {mend}",
    ]


DID: Final = {"terminated": "was terminated", "silent": "runs, and says nothing"}
SHARES: Final = ("CPU used/promised/all", "memory used/promised/all")


def _shares(known: Load | load.Node | None) -> tuple[str, ...]:
    if known is None:
        return ()
    amounts = (known.used, known.promised, known.has)
    cpus = [None if one is None else one.cpu for one in amounts]
    gib = [None if one is None else one.memory / (1 << 30) for one in amounts]
    return (_parts(cpus), f"{_parts(gib)} GiB")


def _parts(values: Sequence[float | None]) -> str:
    return " / ".join("?" if value is None else f"{round(value, 1):g}" for value in values)


def _warnings(cluster: Cluster, inside: Inside) -> list[str]:
    by_name = {node.node_name: node.name for node in cluster.nodes}
    known = inside.load.nodes if inside.load else ()
    troubled = [f"{by_name.get(n.name, n.name)} {n.trouble}" for n in known if n.trouble]
    all_words = (
        *missing(cluster), *older_words(cluster), *addon_words(cluster),
        *volume_troubles(cluster), *_kept_words(cluster), *unsaved_words(_view(cluster)),
        *troubled,
    )  # fmt: skip
    return [f"  ! {words}" for words in all_words]


def _apps(inside: Inside) -> list[str]:
    if inside.unreachable:
        return [f"  programs: not known, for the cluster cannot be asked: {inside.unreachable}"]
    rows = [("app", "state")] + [(str(app["name"]), str(app["state"])) for app in inside.apps]
    return [spell.table(rows)] if inside.apps else []


def identity_data(who: Identity) -> dict[str, str]:
    """Return which cluster it is, for programs."""
    return {"name": who.name, "uid": who.uid, "account": who.account, "region": who.region}


def calls(found: Sequence[Call]) -> str:
    """Return calls as people read them, the last one last."""
    rows = [
        ("TIME", "BY", "COMMAND", "CALL", "RESULT", "ABOUT"),
        *(
            (one.began[:19], one.by, one.doing, one.call, _result(one), _about(one))
            for one in found
        ),
    ]
    return spell.table(rows, indent="")


def _result(call: Call) -> str:
    return call.error or ("done" if call.ended else "not known")


def _about(call: Call) -> str:
    """What it made, else what it was about: as much as a line holds."""
    words = call.made or call.about
    return f"{' '.join(words[:3])}{' …' * (len(words) > 3)}"
