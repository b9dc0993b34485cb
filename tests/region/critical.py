"""How long `create` must take: the slowest chain of AWS states, then one node's boot."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.region.aws import settings

# What follows a call by itself, in seconds of the region's settings; chains run side by side.
CHAINS: Mapping[str, tuple[str, ...]] = {
    "CreateNatGateway": ("nat_pending",),
    "CreateFileSystem": ("efs_creating", "mount_target_creating"),
    "AddRoleToInstanceProfile": ("profile_delay",),
}

Call = Mapping[str, Any]


def of_create(log: Sequence[Call], seconds: float | None) -> dict[str, Any]:
    """Compare *seconds* of a first `create` with its critical path, from the region's *log*.

    The boot is that of the slowest node: from the first RunInstances to the node's last report.
    Empty while the log holds no create that came to its end.
    """
    if seconds is None or not log:
        return {}
    # A controller goes on reporting; only what it said while `create` waited is its boot.
    ended = float(log[0]["time"]) + seconds
    boots = _boots([call for call in log if call["time"] <= ended])
    if not boots:
        return {}
    chain = _slowest_chain(log, settings.Settings())
    boot = max(boots.values())
    return {
        "seconds": seconds,
        "chain": round(chain, 1),
        "boot": round(boot, 1),
        "ratio": round(seconds / (chain + boot), 2),
        "boots": {node: round(each, 1) for node, each in sorted(boots.items())},
    }


def _slowest_chain(log: Sequence[Call], now: settings.Settings) -> float:
    called = {call["action"] for call in log if call["status"] < 400}
    lengths = [
        sum(float(getattr(now, state)) for state in states)
        for action, states in CHAINS.items()
        if action in called
    ]
    return max(lengths, default=0.0)


def _boots(log: Sequence[Call]) -> dict[str, float]:
    """Seconds from the first launch to last report, by the node's role session (role/instance)."""
    launches = [call["time"] for call in log if call["action"] == "RunInstances"]
    reports = [
        call
        for call in log
        if call["action"] == "PutObject" and "/nodes/" in f"/{call.get('resource') or ''}"
    ]
    if not launches:
        return {}
    last = {call["caller"]: float(call["time"]) for call in reports}
    return {caller: time - float(min(launches)) for caller, time in last.items()}
