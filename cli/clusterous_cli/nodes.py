"""Waiting for the machines: what they report, when all are ready, and when one has failed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from clusterous_api import names
from clusterous_api.errors import FailedError
from clusterous_cli import record, ui, wait
from clusterous_cli.aws import Aws
from clusterous_cli.identity import Identity
from clusterous_cli.record import Node

SECONDS: Final = 900.0
# EC2 says first that a machine died before it could report.
DEAD: Final = ("shutting-down", "terminated")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the machines are."""

    ready: bool
    failed: tuple[Node, ...]
    lines: Mapping[str, str]
    waiting: tuple[str, ...] = ()


def progress(nodes: Iterable[Node], wanted: Mapping[str, int]) -> Progress:
    """Judge what is known of the machines against how many of each role are wanted."""
    all_nodes = list(nodes)
    by_role = {role: [n for n in all_nodes if n.role == role] for role in wanted}
    view = _cluster_view(by_role.get(names.ROLE_CONTROLLER, []))
    ready = {
        role: [node for node in found if is_ready(node, view)] for role, found in by_role.items()
    }
    operator = operator_ready(view)
    waiting = [] if operator else ["the operator"]
    waiting += [n.name for role in wanted for n in by_role[role] if n not in ready[role]]
    counted = all(len(ready[role]) >= count for role, count in wanted.items())
    return Progress(
        ready=counted and operator,
        failed=tuple(node for node in all_nodes if node.phase == "failed"),
        lines={role: _line(by_role[role], ready[role], wanted[role]) for role in wanted}
        | {"operator": "ready" if operator else _operator_line(view)},
        waiting=tuple(waiting),
    )


def _cluster_view(controllers: list[Node]) -> Mapping[str, Any]:
    reports = [node.report or {} for node in controllers]
    return next((report["cluster"] for report in reports if report.get("cluster")), {})


def is_ready(node: Node, view: Mapping[str, Any]) -> bool:
    """Whether the machine itself says that it is ready, and Kubernetes says so of its node."""
    if node.state != "running" or node.phase != "ready":
        return False
    return node.role == names.ROLE_GATEWAY or view.get("nodes", {}).get(node.node_name) == "Ready"


def operator_ready(view: Mapping[str, Any]) -> bool:
    """Whether all Deployments in the operator's namespace have all their pods: `1/1`."""
    counts = [str(value).split("/") for value in view.get("operator", {}).values()]
    return bool(counts) and all(len(c) == 2 and c[0] == c[1] != "0" for c in counts)


def _operator_line(view: Mapping[str, Any]) -> str:
    waiting = str(view.get("waiting", "")).strip().splitlines()
    return f"starting ({waiting[0]})" if waiting else "starting"


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
    lines: ui.Lines,
    pauses: wait.Pauses,
    *,
    seconds: float = SECONDS,
) -> tuple[Node, ...]:
    """Wait until all machines and the operator are ready; a failed machine ends it at once."""
    reports = record.Reports(cloud, who)
    deadline = pauses.clock() + seconds
    delay = 1.0
    while True:
        nodes = record.merge(record.machines(cloud, who), reports.read())
        now = progress(nodes, wanted)
        for name, text in now.lines.items():
            lines.set(name, text, done=text == "ready" or text.startswith(f"{wanted.get(name)} of"))
        if now.failed:
            raise failure(now.failed, nodes)
        if now.ready:
            return nodes
        if pauses.clock() > deadline:
            raise too_late(cloud, now, nodes, seconds)
        pauses.sleep(delay)
        delay = min(delay * 1.1, 4.0)


def failure(failed: Iterable[Node], nodes: Iterable[Node]) -> FailedError:
    """Tell which machines failed, in their own words."""
    told = [
        f"{node.name} ({node.instance_id}) failed:\n"
        + "\n".join(f"    {line}" for line in node.error.strip().splitlines()[-12:])
        for node in failed
    ]
    ready = sum(node.phase == "ready" for node in nodes)
    more = f"{ui.plural(ready, 'other machine')} came up. " if ready else ""
    return FailedError(
        "\n".join(told) + f"\n  {more}Run create again: it replaces what failed; or destroy."
    )


def too_late(cloud: Aws, now: Progress, nodes: Iterable[Node], seconds: float) -> FailedError:
    """Tell what was waited for, and what the console of the first such machine says."""
    late = [node for node in nodes if node.name in now.waiting][:1]
    said = "".join(f"\n  {node.name}'s console ends:\n{console(cloud, node)}" for node in late)
    return FailedError(
        f"Not ready after {ui.duration(seconds)}: {', '.join(now.waiting) or 'machines'}.{said}\n"
        "  Run create again to go on waiting, or destroy."
    )


def console(cloud: Aws, node: Node) -> str:
    """Return the end of a machine's console."""
    answer = cloud.call("ec2", "get_console_output", InstanceId=node.instance_id, Latest=True)
    lines = str(answer.get("Output") or "(nothing yet)").splitlines()[-15:]
    return "\n".join(f"    {line}" for line in lines)
