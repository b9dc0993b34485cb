"""Waiting for machines and add-ons: what their reports mean."""

from dataclasses import replace
from typing import Any

import pytest

from clusterous_cli.cluster.record import Node
from clusterous_cli.plan.machines import nodes

WANTED = {"controller": 1, "worker": 2}
ADDONS = {"operator": "12ab"}
UP = "operator@12ab clusterous-operator 1 1 1 1 1 1\n"
STARTING = "operator@12ab clusterous-operator 1 1 1 1 0 1\n"


def machine(role: str, number: int, view: dict[str, Any] | None = None) -> Node:
    return Node(
        name=role, instance_id=f"i-{number}", role=role, pool=role, type="t3.large",
        state="running", launched="", node_name=f"ip-{number}", phase="ready",
        report={"cluster": view or {}},
    )  # fmt: skip


def seen(**view: Any) -> nodes.Progress:
    ready = {f"ip-{number}": "Ready" for number in range(3)}
    view = {"nodes": ready, "addons": ADDONS, "rollouts": STARTING, **view}
    machines = [machine("controller", 0, view), machine("worker", 1), machine("worker", 2)]
    return nodes.progress(machines, WANTED, ADDONS)


def container(**changes: Any) -> dict[str, Any]:
    return {"pod": "operator-1", "restarts": 0, "reason": "ContainerCreating", "said": ""} | changes


def test_what_is_just_starting_is_no_trouble() -> None:
    now = seen(containers=[container()], waiting="clusterous-system/operator-1: ContainerCreating")

    assert now.trouble == nodes.Trouble()
    assert now.lines["workers"] == "2 of 2 ready"
    assert now.lines["operator"].startswith("clusterous-operator: 0 of 1 ready (clust")
    assert not now.ready


@pytest.mark.parametrize(
    ("restarts", "reason", "crashing"),
    [
        pytest.param(2, "CrashLoopBackOff", False, id="may be an accident"),
        pytest.param(3, "CrashLoopBackOff", True, id="is none"),
        pytest.param(3, "running", False, id="trying once more"),
    ],
)
def test_the_third_crash_is_no_accident(restarts: int, reason: str, crashing: bool) -> None:
    now = seen(containers=[container(restarts=restarts, reason=reason, said="ValueError: x\n")])

    assert now.trouble.crashing is crashing
    assert "ValueError: x" in now.lines["operator"]


SERVED = {
    "volume": "vol-1", "phase": "serving", "made": True, "size": (20 << 30) - (100 << 20),
    "free": 1, "reason": "", "error": "",
}  # fmt: skip


@pytest.mark.parametrize(
    ("told", "line"),
    [
        pytest.param(None, "waits for the volume server", id="not begun"),
        pytest.param({"phase": "waiting", "error": "vol-1 is not attached"}, "vol-1 is not"),
        pytest.param({"phase": "made"}, "has a new file system, which is being marked"),
        pytest.param({"phase": "mounted"}, "starts to serve"),
        pytest.param({"size": 10 << 30}, "its file system grows", id="grown at AWS only"),
        pytest.param({"filled": 19 << 30}, "its file system grows", id="a little, at AWS only"),
        pytest.param(
            {"filled": 0, "error": "it does not fill its volume yet"},
            "it does not fill",
            id="its growth failed",
        ),
        pytest.param({"filled": 20 << 30}, "ready"),
        pytest.param({"phase": "refused", "error": "it holds lvm"}, "it holds lvm"),
        pytest.param({}, "ready"),
    ],
)
def test_a_volume_is_ready_when_it_is_served_as_large_as_it_is(
    told: dict[str, Any] | None, line: str
) -> None:
    volume = None if told is None else SERVED | told
    view = {"nodes": {"ip-0": "Ready"}, "addons": {}, "volume": volume}
    now = nodes.progress([machine("controller", 0, view)], {"controller": 1}, {}, 20)

    assert now.lines["shared volume"].startswith(line)
    assert now.ready is (line == "ready")


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff"])
def test_an_image_that_cannot_be_pulled_is_told_in_its_own_words(reason: str) -> None:
    now = seen(
        containers=[container(reason=reason, said='Back-off pulling image "x:1": not found')]
    )

    assert now.trouble.pulling
    assert not now.trouble.crashing
    assert now.lines["operator"] == f'operator-1: {reason}: Back-off pulling image "x:1": not found'


def test_a_chart_that_fails_is_told_in_its_own_words() -> None:
    now = seen(chart="InstallFailed: no matches for kind\n")

    assert now.trouble.chart
    assert (
        now.lines["operator"] == "installing its chart failed: InstallFailed: no matches for kind"
    )


def test_old_trouble_does_not_matter_once_the_operator_is_up() -> None:
    now = seen(chart="InstallFailed: x\n", rollouts=UP)

    assert now.ready
    assert now.trouble == nodes.Trouble()


def test_a_machine_that_comes_further_is_a_mark_and_a_word_that_changes_is_none() -> None:
    machines = [machine("controller", 0), machine("worker", 1), machine("worker", 2)]
    booting = [*machines[:2], replace(machines[2], phase="mounting")]
    before, other = seen(waiting="a pod 5s"), seen(waiting="a pod 7s")

    assert nodes.marks(machines, before) == nodes.marks(machines, other)
    assert nodes.marks(machines, before) != nodes.marks(booting, before)


def test_a_job_that_installs_a_chart_may_still_be_the_one_before() -> None:
    job = container(pod="helm-install-clusterous-1", restarts=5, reason="CrashLoopBackOff")

    now = seen(containers=[job])

    assert now.trouble.chart
    assert not now.trouble.crashing


def test_the_trouble_of_what_is_about_to_be_replaced_does_not_matter() -> None:
    old = container(restarts=9, reason="CrashLoopBackOff", said="ValueError: x", mark="operator@00")

    waits = seen(addons={"operator": "00"}, containers=[old])
    replaced = seen(containers=[old])

    assert waits.lines["operator"] == "waits for the controller to take it"
    assert waits.trouble == replaced.trouble == nodes.Trouble()


def test_a_controller_that_cannot_take_an_addon_says_why() -> None:
    now = seen(addons={"operator": "00"}, stuck="boot/1/x.tar has another checksum than 1\n")

    assert not now.ready
    assert now.trouble.pulling  # told after a while: it may be a hiccup
    assert "another checksum" in now.lines["operator"]


def test_a_controller_of_an_older_release_is_believed_about_the_operator() -> None:
    ready = {f"ip-{number}": "Ready" for number in range(3)}
    for pods, up in (("0/1", False), ("1/1", True)):
        view = {"nodes": ready, "operator": {"clusterous-operator": pods}}
        machines = [machine("controller", 0, view), machine("worker", 1), machine("worker", 2)]

        assert nodes.progress(machines, WANTED, ADDONS).ready is up
