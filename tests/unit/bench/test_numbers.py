"""What the benchmark of the operator makes of its samples, before anybody believes a figure."""

import dataclasses
import json
from pathlib import Path

import pytest

from bench.operator import (
    audit,
    changes,
    figures,
    gate,
    processes,
    product,
    report,
    statistic,
    targets,
)
from bench.operator.audit import Write
from bench.operator.rise import Rise
from clusterous_cli.images import recipes

OPERATOR = "system:serviceaccount:clusterous-system:clusterous-operator"


def make_write(name: str, received: float, **changes: object) -> Write:
    fields = {
        "user": OPERATOR,
        "verb": "patch",
        "resource": "deployments",
        "namespace": "bench",
        "name": name,
        "code": 200,
        "received": received,
        "answered": received + 0.01,
    }
    return Write(**{**fields, **changes})  # type: ignore[arg-type]  # of mixed types


def make_change(name: str, received: float) -> Write:
    return make_write(name, received, user="you", resource="clusterousapps")


def make_rise(side: str, apps: int, seconds: float, resident_mib: float | None = None) -> Rise:
    return Rise(
        side=side,
        apps=apps,
        seconds=seconds,
        created_seconds=1.0,
        ready_seconds={"p50": 1.0},
        cpu={side: 2.0, "bench": 1.0, "kube-apiserver": 4.0, "kine": 3.0},
        writes={"patch deployments": 2 * apps, "patch clusterousapps/status": apps},
        resident_mib=resident_mib,
    )


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        pytest.param(0.5, 50, id="median"),
        pytest.param(0.99, 99, id="p99"),
        pytest.param(1.0, 100, id="all"),
        pytest.param(0.0, 1, id="none"),
    ],
)
def test_a_percentile_is_a_sample_that_so_many_are_not_above(share: float, expected: int) -> None:
    samples = list(range(100, 0, -1))

    assert statistic.percentile(samples, share) == expected


def test_the_p99_of_few_samples_is_the_worst() -> None:
    assert statistic.percentile([1, 9, 2], 0.99) == 9


def test_the_slope_is_that_of_the_line() -> None:
    assert statistic.slope([(100, 70), (200, 90), (300, 110)]) == pytest.approx(0.2)


def test_reads_what_the_audit_log_says_and_leaves_the_half_written_line(tmp_path: Path) -> None:
    event = {
        "user": {"username": "you"},
        "verb": "patch",
        "objectRef": {"resource": "clusterousapps", "subresource": "status", "name": "sim"},
        "responseStatus": {"code": 200},
        "requestReceivedTimestamp": "2026-11-22T10:00:00.250000Z",
        "stageTimestamp": "2026-11-22T10:00:00.750000Z",
    }
    log = tmp_path / "audit.log"
    log.write_text(json.dumps(event) + "\n" + '{"user":')

    (write,) = audit.read(log)

    assert (write.resource, write.name) == ("clusterousapps/status", "sim")
    assert write.answered - write.received == pytest.approx(0.5)
    assert audit.counted([write, write]) == {"patch clusterousapps/status": 2}


def test_a_change_is_paired_with_the_first_child_that_is_written_after_it() -> None:
    writes = [
        make_write("sim-workers", 0.5),  # of an earlier change
        make_change("sim", 1.0),
        make_write("other-workers", 1.1),
        make_write("sim", 1.2, resource="clusterousapps/status"),
        make_write("sim-workers", 1.3),
        make_write("sim-workers", 1.4),
    ]

    found, unanswered = changes.paired(writes, OPERATOR)

    assert [one.written.received for one in found] == [1.3]
    assert found[0].seconds == pytest.approx(0.31)
    assert found[0].own_seconds == pytest.approx(0.29)
    assert unanswered == 0


def test_a_change_without_a_write_is_counted() -> None:
    found, unanswered = changes.paired([make_change("sim", 1.0)], OPERATOR)

    assert (found, unanswered) == ([], 1)


def test_ratios_are_of_the_same_number_of_apps() -> None:
    rises = [
        make_rise("writer", 200, 20.0),
        make_rise("clusterous", 200, 22.0, resident_mib=80.0),
        make_rise("clusterous", 500, 60.0, resident_mib=86.0),
        make_rise("dask-kubernetes", 200, 88.0, resident_mib=300.0),
    ]

    found = figures.figures(rises, None)

    assert found["times_writer_200"] == 1.1
    assert found["cpu_times_writer_200"] == 1.0
    assert found["times_faster_than_dask_200"] == 4.0
    assert found["writes_per_app_clusterous_200"] == 3.0
    assert found["cpu_to_server_200"] == 0.5
    assert found["growth_kb_per_app"] == pytest.approx(6 * 1048.576 / 300, abs=0.1)
    assert "times_writer_500" not in found


def test_a_target_at_its_bound_is_met_and_one_without_a_figure_is_not_measured() -> None:
    words = {
        one.target.figure: one.word
        for one in targets.judge(
            {"times_writer_200": 1.3, "times_writer_500": 1.31, "times_faster_than_dask_200": 3.4}
        )
    }

    assert words["times_writer_200"] == "met"
    assert words["times_writer_500"] == "not met"
    assert words["times_faster_than_dask_200"] == "not met"
    assert words["times_writer_1000"] == "not measured"


def make_figures(**changes: float) -> dict[str, float]:
    return {**dict.fromkeys(gate.TOLERANCES, 1.0), "quiet_writes": 0.0, **changes}


def test_the_gate_lets_the_middle_run_vary_by_the_tolerance() -> None:
    ranges = gate.calibrated([make_figures(), make_figures()], {})
    runs = [make_figures(times_writer_100=one) for one in (1.29, 9.0, 1.0)]

    assert gate.breaches(runs, ranges) == []


def test_the_gate_closes_when_most_runs_are_worse_or_one_write_too_many_is_made() -> None:
    ranges = gate.calibrated([make_figures(), make_figures()], {})
    runs = [make_figures(times_writer_100=one, quiet_writes=1) for one in (1.51, 9.0, 1.0)]

    found = {one.figure: one.value for one in gate.breaches(runs, ranges)}

    assert found == {"times_writer_100": 1.51, "quiet_writes": 1}


def test_of_what_other_work_can_only_worsen_the_best_run_counts() -> None:
    ranges = gate.calibrated([make_figures(change_p50_times_server=2.0)], {})
    runs = [make_figures(change_p50_times_server=one) for one in (9.0, 8.0, 4.0)]
    worse = [make_figures(change_p50_times_server=one) for one in (9.0, 8.0, 4.1)]

    assert gate.breaches(runs, ranges) == []
    assert gate.is_passed(runs, ranges, 3)
    assert [one.value for one in gate.breaches(worse, ranges)] == [4.1]
    assert not gate.is_passed(worse, ranges, 3)


def test_the_gate_needs_no_third_run_when_two_are_good_in_every_figure() -> None:
    ranges = gate.calibrated([make_figures()], {})
    good, bad = make_figures(times_writer_100=1.4), make_figures(writes_per_change=1.2)

    assert gate.is_passed([good, good], ranges, 3)
    assert not gate.is_passed([good], ranges, 3)
    assert not gate.is_passed([good, bad], ranges, 3)
    assert gate.is_passed([good, bad, good], ranges, 3)


@pytest.mark.parametrize(
    ("figure", "value", "passed"),
    [
        pytest.param("times_writer_100", 1.25, True, id="half of the tolerance"),
        pytest.param("times_writer_100", 1.26, False, id="more of it"),
        pytest.param("writes_per_change", 1.06, False, id="more writes"),
        pytest.param("quiet_writes", 1.0, False, id="a write of which there is to be none"),
    ],
)
def test_the_first_run_is_enough_when_it_is_far_from_every_limit(
    figure: str, value: float, passed: bool
) -> None:
    ranges = gate.calibrated([make_figures()], {})
    first = make_figures(**{figure: value})

    assert gate.is_passed([first], ranges, 3) is passed


def test_a_later_run_does_not_make_up_for_a_bad_one_alone() -> None:
    ranges = gate.calibrated([make_figures()], {})

    assert not gate.is_passed([make_figures(writes_per_change=1.2), make_figures()], ranges, 3)


def test_neither_idle_time_nor_a_guests_time_counts_as_work() -> None:
    user, nice, system, idle, waiting, irq, soft, stolen, guest = 1, 2, 4, 100, 200, 8, 16, 32, 300

    columns = (user, nice, system, idle, waiting, irq, soft, stolen, guest)

    assert processes.work(columns) == 63


def test_the_operator_gets_the_environment_of_its_image() -> None:
    said = recipes.read(product.IMAGE).environment

    assert said["PYTHONUNBUFFERED"] == "1"


@pytest.mark.parametrize(
    ("others", "expected"),
    [pytest.param(4.0, False, id="a tenth"), pytest.param(4.1, True, id="more")],
)
def test_says_when_others_took_a_share_of_the_machine(others: float, expected: bool) -> None:
    one = make_rise("writer", 100, 20.0)

    disturbed = dataclasses.replace(one, cpu={**one.cpu, "others": others})

    assert report.is_disturbed(disturbed, 2) is expected
    assert ("disturbed" in report.table([disturbed], {}, 2)) is expected
