"""From raw results to the few figures that are compared: ratios and what targets name. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bench.operator import statistic
from bench.operator.rise import Rise

Result = Mapping[str, Any]

OURS: Final = "clusterous"
WRITER: Final = "writer"
DASK: Final = "dask-kubernetes"
# Between these sizes the growth of memory is told: one process is made anew for each.
_GROWTH_FROM: Final = 100
_GROWTH_TO: Final = 3000


def figures(rises: Sequence[Rise], resident: Result | None) -> dict[str, float]:
    """Return all figures that the results allow."""
    return {**_of_rises(rises), **(_of_resident(resident) if resident else {})}


def _of_rises(rises: Sequence[Rise]) -> dict[str, float]:
    by = {(one.side, one.apps): one for one in rises}
    found: dict[str, float] = {}
    for (side, apps), rise in sorted(by.items()):
        found[f"seconds_{side}_{apps}"] = rise.seconds
        found[f"writes_per_app_{side}_{apps}"] = round(sum(rise.writes.values()) / apps, 2)
        if rise.resident_mib is not None:
            found[f"resident_mib_{side}_{apps}"] = rise.resident_mib
            found[f"cpu_ms_per_app_{side}_{apps}"] = round(1000 * rise.cpu[side] / apps, 1)
        if side != OURS:
            continue
        found[f"cpu_to_server_{apps}"] = round(rise.cpu[OURS] / rise.cpu["kube-apiserver"], 3)
        if (writer := by.get((WRITER, apps))) is not None:
            found[f"times_writer_{apps}"] = round(rise.seconds / writer.seconds, 3)
            found[f"cpu_times_writer_{apps}"] = round(_work(rise) / _work(writer), 3)
        if (dask := by.get((DASK, apps))) is not None:
            found[f"times_faster_than_dask_{apps}"] = round(dask.seconds / rise.seconds, 2)
    if (resident := by.get((OURS, 1000))) is not None and resident.resident_mib is not None:
        found["resident_mib_1000"] = resident.resident_mib
    return found | _growth([one for one in rises if one.side == OURS])


def _work(rise: Rise) -> float:
    """Return the CPU seconds of all programs that took part: what others do does not change it."""
    return sum(seconds for name, seconds in rise.cpu.items() if name != "others")


def _growth(ours: Sequence[Rise]) -> dict[str, float]:
    points = [
        (float(one.apps), one.resident_mib * 1.048576e6 / 1000)
        for one in ours
        if one.resident_mib is not None and _GROWTH_FROM <= one.apps <= _GROWTH_TO
    ]
    if len({apps for apps, _ in points}) < 2:
        return {}
    return {"growth_kb_per_app": round(statistic.slope(points), 1)}


def _of_resident(resident: Result) -> dict[str, float]:
    changes, quiet, restart = resident["changes"], resident["quiet"], resident["restart"]
    times = changes["change_to_child_written"]
    found = {
        "change_p50_ms": round(1000 * times["p50"], 1),
        "change_p99_ms": round(1000 * times["p99"], 1),
        "change_p50_times_server": round(times["p50"] / changes["server_for_the_change"]["p50"], 2),
        "scaling_p50_ms": round(1000 * resident["scaling"]["change_to_child_written"]["p50"], 1),
        "scaling_p99_ms": round(1000 * resident["scaling"]["change_to_child_written"]["p99"], 1),
        "unanswered_changes": changes["unanswered"],
        "writes_per_change": changes["writes_per_change"],
        "quiet_writes": quiet["writes"],
        "idle_cpu_percent": quiet["cpu_percent"],
        "restart_seconds": restart["caught_up_seconds"],
        "restart_writes": restart["writes"],
        "restart_cpu_ms_per_app": round(1000 * restart["cpu_seconds"] / resident["apps"], 2),
    }
    if "neighbour" in resident:
        beside = {
            what: resident["neighbour"][what]["change_to_child_written"]["p99"]
            for what in ("calm", "deployment", "app")
        }
        found["neighbour_times"] = round(beside["app"] / beside["calm"], 2)
        found["neighbour_times_deployment"] = round(beside["app"] / beside["deployment"], 2)
    return found
