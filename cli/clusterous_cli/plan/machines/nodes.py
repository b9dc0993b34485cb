"""Waiting for machines and add-ons: what is reported, when all is ready, when one has failed."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final

from clusterous_api import names
from clusterous_api.errors import FailedError
from clusterous_cli.addons import addon, rollout, table, volumeserver
from clusterous_cli.aws.client import Aws
from clusterous_cli.cluster import config, record
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.record import Node
from clusterous_cli.plan.kinds.volume import ebs, keeping
from clusterous_cli.system import wait
from clusterous_cli.terminal import spell
from clusterous_cli.terminal.lines import Lines

# So long nothing may come further; a slow machine as a whole takes what it takes.
SECONDS: Final = 900.0
# What was launched is listed only some seconds later.
LISTED_SECONDS: Final = 30.0

# Between two looks at the machines. Twice in its boot a controller waits for what is done by one.
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 1.0

VOLUME: Final = "shared volume"
WORKERS: Final = "workers"
# So often a crash is no accident: Kubernetes would go on starting the same thing for ever.
RESTARTS: Final = 3
# Installing is tried again by itself, and the first try may come before the API server is whole.
CHART_SECONDS: Final = 30.0
# What cannot be pulled is tried again for ever; a registry that is slow or just restarts is not it.
PULL_SECONDS: Final = 60.0
# A device may be read only a moment after it is there.
VOLUME_SECONDS: Final = 20.0
CHART_JOB: Final = "helm-install-"
PULLS: Final = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the machines are."""

    ready: bool
    failed: tuple[Node, ...]
    lines: Mapping[str, str]
    done: frozenset[str] = frozenset()
    waiting: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    trouble: "Trouble"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What keeps the add-ons from coming up, in the words of the cluster."""

    words: tuple[str, ...] = ()
    crashing: bool = False
    chart: bool = False
    pulling: bool = False


def trouble(view: Mapping[str, Any], addons: Mapping[str, str]) -> Trouble:
    """Read from the controller's view what went wrong with the *addons*, given by their digests."""
    if not _is_placed(view, addons):
        stuck = rollout.stuck(view)
        # What is about to be replaced may be in any trouble.
        return Trouble(words=(f"the controller cannot take it: {stuck}",) if stuck else (),
                       pulling=bool(stuck))  # fmt: skip
    chart = str(view.get("chart", "")).strip()
    marks = {addon.label(name, digest) for name, digest in addons.items()}
    containers = [
        one
        for one in view.get("containers", ())
        if (one["restarts"] or _says(one) or one["reason"] in PULLS)
        and one.get("mark", "") in ("", *marks)
    ]
    failing = [one for one in containers if _is_crashing(one)]
    jobs = [one for one in failing if one["pod"].startswith(CHART_JOB)]
    words = [f"installing its chart failed: {chart}"] if chart else []
    return Trouble(
        words=(*words, *(_container_words(one) for one in containers)),
        crashing=len(failing) > len(jobs),
        # The job of a chart that was changed a moment ago may still be the one before.
        chart=bool(chart or jobs),
        pulling=any(one["reason"] in PULLS for one in containers),
    )


def _is_placed(view: Mapping[str, Any], addons: Mapping[str, str]) -> bool:
    """Whether the controller has what is wanted; one that follows nothing has what it has."""
    return not rollout.follows(view) or addons.items() <= view["addons"].items()


def _is_crashing(one: Mapping[str, Any]) -> bool:
    return bool(one["restarts"] >= RESTARTS and one["reason"] in ("CrashLoopBackOff", "Error"))


def _container_words(one: Mapping[str, Any]) -> str:
    times = f", started again {_times(one['restarts'])}" if one["restarts"] else ""
    return f"{one['pod']}: {one['reason']}{times}" + (f": {_says(one)}" if _says(one) else "")


def _says(one: Mapping[str, Any]) -> str:
    return str(one.get("said", "")).strip()


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def progress(
    nodes: Iterable[Node],
    wanted: Mapping[str, int],
    addons: Mapping[str, str],
    volume: int | None = None,
) -> Progress:
    """Judge what is known of the machines against how many of each pool are wanted.

    *addons* are the digests of those that must be ready; *volume* is the GiB of one that the
    controller serves.
    """
    all_nodes = list(nodes)
    by_pool = {pool: [n for n in all_nodes if n.pool == pool] for pool in wanted}
    view = cluster_view(all_nodes)
    ready = {
        pool: [node for node in found if is_ready(node, view)] for pool, found in by_pool.items()
    }
    states, why = addon_states(view, addons), trouble(view, addons)
    if volume is not None:
        states[VOLUME] = volumeserver.state(view, volume)
    down = [noun for noun, state in states.items() if not state.ready]
    waiting = [f"the {noun}" for noun in down]
    waiting += [n.name for pool in wanted for n in by_pool[pool] if n not in ready[pool]]
    enough = [line(pool) for pool, count in wanted.items() if len(ready[pool]) >= count]
    return Progress(
        ready=len(enough) == len(wanted) and not down,
        failed=tuple(node for node in all_nodes if node.phase == "failed"),
        lines={line(pool): _line(by_pool[pool], ready[pool], wanted[pool]) for pool in wanted}
        | {noun: _addon_line(state, view, why) for noun, state in states.items()},
        done=frozenset(enough) | (states.keys() - down),
        waiting=tuple(waiting),
        down=tuple(down),
        trouble=why if down else Trouble(),
    )


def line(pool: str) -> str:
    """Name the line that tells of a pool."""
    return WORKERS if pool == names.ROLE_WORKER else config.pool_key(pool)


def addon_states(view: Mapping[str, Any], addons: Mapping[str, str]) -> dict[str, rollout.State]:
    """Return how far each of the *addons* is, by how people call it."""
    if view and not rollout.follows(view):
        up = operator_ready(view)
        return {"operator": rollout.State(ready=up, words="ready" if up else "starting")}
    nothing = rollout.State(ready=False, words="waits")

    def state(name: str, digest: str) -> rollout.State:
        return rollout.state(view, name, digest, pods=table.has_pods(name)) if view else nothing

    return {table.noun(name): state(name, digest) for name, digest in addons.items()}


def cluster_view(nodes: Iterable[Node]) -> Mapping[str, Any]:
    """Return what the controller sees of the cluster; nothing while it has not told yet."""
    reports = [node.report or {} for node in nodes if node.role == names.ROLE_CONTROLLER]
    return next((report["cluster"] for report in reports if report.get("cluster")), {})


def is_ready(node: Node, view: Mapping[str, Any]) -> bool:
    """Whether the machine itself says that it is ready, and Kubernetes says so of its node."""
    if node.state != "running" or node.phase != "ready":
        return False
    return node.role == names.ROLE_GATEWAY or view.get("nodes", {}).get(node.node_name) == "Ready"


def operator_ready(view: Mapping[str, Any]) -> bool:
    """Whether all Deployments in the operator's namespace have all their pods: `1/1`.

    That is all that controllers of older releases tell.
    """
    counts = [str(value).split("/") for value in view.get("operator", {}).values()]
    return bool(counts) and all(len(c) == 2 and c[0] == c[1] != "0" for c in counts)


def _addon_line(state: rollout.State, view: Mapping[str, Any], why: Trouble) -> str:
    if state.ready:
        return state.words
    if why.words:
        return why.words[0].splitlines()[0]
    waiting = str(view.get("waiting", "")).strip().splitlines()
    return f"{state.words} ({waiting[0]})" if waiting else state.words


def _line(found: list[Node], ready: list[Node], wanted: int) -> str:
    if len(ready) >= wanted:
        return "ready" if wanted == 1 else f"{len(ready)} of {wanted} ready"
    states: dict[str, int] = {}
    for node in found:
        if node not in ready:
            state = node.phase or node.state
            states[state] = states.get(state, 0) + 1
    if wanted == 1:
        return next(iter(states), "asked for")
    rest = ", ".join(f"{count} {state}" for state, count in states.items())
    return f"{len(ready)} of {wanted} ready" + (f", {rest}" if rest else "")


def await_ready(
    cloud: Aws,
    who: Identity,
    wanted: Mapping[str, int],
    addons: Mapping[str, str],
    lines: Lines,
    pauses: wait.Pauses,
    *,
    volume: int | None = None,
    leaving: Set[str] = frozenset(),
    notice: Callable[[Sequence[Node]], None] = lambda seen: None,
    seconds: float = SECONDS,
) -> tuple[Node, ...]:
    """Wait until all machines, *addons* and the *volume* are ready; what failed for good ends it at
    once, and what has not come further for *seconds* in the end. *notice* hears of each look.

    Machines that are *leaving* are none of those that are waited for.
    """
    reports = record.Reports(cloud, who)
    # AWS was reached for the whole of the plan: what is lost now is a hiccup, or a laptop asleep.
    steady = wait.Patience(
        mend=lambda: None,
        tell=lambda words: lines.set("waiting", words),
        name="AWS",
        clock=pauses.clock,
        sleep=pauses.sleep,
    )
    further = wait.Progress(clock=pauses.clock)
    delay = FIRST_PAUSE
    lasting = wait.Lasting(clock=pauses.clock)
    while True:
        began = pauses.clock()
        there = steady.ask(lambda: record.merge(record.machines(cloud, who), reports.read()))
        nodes = tuple(one for one in there if one.instance_id not in leaving)
        now = progress(nodes, wanted, addons, volume)
        view = cluster_view(nodes)
        notice(nodes)
        for name, text in now.lines.items():
            lines.set(name, text, done=name in now.done)
        lines.remind()
        if now.failed:
            raise failure(now.failed, nodes)
        if now.ready:
            return there
        short = missing(nodes, wanted)
        if lasting.seconds("machines", bool(short)) >= LISTED_SECONDS:
            raise ended(cloud, who, nodes, short)
        refused = None if volume is None else volumeserver.refusal(view)
        if lasting.seconds(VOLUME, refused is not None) >= VOLUME_SECONDS and refused:
            lines.set(VOLUME, "refused", failed=True)
            raise volume_failure(cloud, refused)
        stuck = lasting.seconds("chart", now.trouble.chart) >= CHART_SECONDS
        stuck |= lasting.seconds("pulling", now.trouble.pulling) >= PULL_SECONDS
        if now.trouble.crashing or stuck:
            for noun in now.down:
                lines.set(noun, "failed", failed=True)
            raise addon_failure(now)
        if further.still(*marks(nodes, now)) > seconds:
            raise too_late(cloud, now, nodes, seconds)
        # On a laptop that is overloaded, looking must not be what overloads it.
        pauses.sleep(max(delay, pauses.clock() - began))
        delay = min(delay * 1.1, LONGEST_PAUSE)


def marks(nodes: Sequence[Node], now: Progress) -> list[tuple[str, ...]]:
    """What shows that the machines come further: their phases, and who is waited for no more."""
    phases = [(node.instance_id, node.state, node.phase) for node in nodes]
    ready = [(node.instance_id, "ready") for node in nodes if node.name not in now.waiting]
    return [*phases, *ready, *((name,) for name in now.done)]


def volume_failure(cloud: Aws, told: Mapping[str, Any]) -> FailedError:
    """Tell why the shared volume is not served, and where a snapshot may help, which."""
    id = told["volume"]
    more = ""
    if told["reason"] in volumeserver.LOST:
        found = ebs.newest_snapshot(cloud, id)
        more = f"\n  {keeping.way_back(found)}"
    return FailedError(
        f"The machines are up, but the shared volume is not served: {told['error']}{more}\n"
        "  When it is mended, run create again: it goes on waiting. Or destroy."
    )


def addon_failure(now: Progress) -> FailedError:
    """Tell why an add-on does not come up, and what to do."""
    down = " and ".join(f"the {noun}" for noun in now.down)
    verb = "does" if len(now.down) == 1 else "do"
    return FailedError(
        f"The machines are up, but {down} {verb} not start:\n{_indented(now.trouble.words)}\n"
        f"  Look closer: clusterous kubectl -n {names.NAMESPACE} describe pods\n"
        "  When it is mended, run create again: it goes on waiting. Or destroy."
    )


def _indented(words: Iterable[str]) -> str:
    return "\n".join(f"    {line}" for word in words for line in word.splitlines())


def missing(nodes: Iterable[Node], wanted: Mapping[str, int]) -> dict[str, int]:
    """Count the machines of each pool that are wanted and do not run, nor will."""
    coming = Counter(node.pool for node in nodes if node.state in ("pending", "running"))
    return {pool: count - coming[pool] for pool, count in wanted.items() if count > coming[pool]}


def ended(
    cloud: Aws, who: Identity, nodes: Iterable[Node], short: Mapping[str, int]
) -> FailedError:
    """Tell which machines have ended while they were waited for, and why, as EC2 says.

    *short* is how many of each pool are missing.
    """
    gone = record.ended(cloud, who)
    off = [node for node in nodes if node.state in ("stopping", "stopped")]
    told: list[Node] = []
    for pool, count in short.items():
        told += [node for node in (*gone, *off) if node.pool == pool][-count:]
    lines = "".join(
        f"\n    {node.pool} {node.instance_id} is {node.state}"
        f" ({node.reason or 'EC2 does not say why'})"
        for node in told
    )
    said = f"\n  What the first of them said last:\n{console(cloud, told[0])}" if told else ""
    machines = spell.plural(sum(short.values()), "machine")
    return FailedError(
        f"{machines} ended instead of becoming ready:{lines}{said}\n"
        "  Run create again: it makes what is missing; or destroy."
    )


def failure(failed: Iterable[Node], nodes: Iterable[Node]) -> FailedError:
    """Tell which machines failed, in their own words."""
    told = [
        f"{node.name} ({node.instance_id}) failed:\n"
        + "\n".join(f"    {line}" for line in node.error.strip().splitlines()[-12:])
        for node in failed
    ]
    ready = sum(node.phase == "ready" for node in nodes)
    more = f"{spell.plural(ready, 'other machine')} came up. " if ready else ""
    return FailedError(
        "\n".join(told) + f"\n  {more}Run create again: it replaces what failed; or destroy."
    )


def too_late(cloud: Aws, now: Progress, nodes: Iterable[Node], seconds: float) -> FailedError:
    """Tell what was waited for, and what the console of the first such machine says."""
    late = [node for node in nodes if node.name in now.waiting][:1]
    said = "".join(f"\n  {node.name}'s console ends:\n{console(cloud, node)}" for node in late)
    if now.trouble.words:
        said += f"\n  What the cluster says:\n{_indented(now.trouble.words)}"
    return FailedError(
        f"Not ready, and for {spell.duration(seconds)} nothing has come further:"
        f" {', '.join(now.waiting) or 'machines'}.{said}\n"
        "  Run create again to go on waiting, or destroy."
    )


def console(cloud: Aws, node: Node) -> str:
    """Return the end of a machine's console."""
    answer = cloud.call("ec2", "get_console_output", InstanceId=node.instance_id, Latest=True)
    lines = str(answer.get("Output") or "(nothing yet)").splitlines()[-15:]
    return "\n".join(f"    {line}" for line in lines)
