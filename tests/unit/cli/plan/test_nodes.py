"""Waiting for the machines: what their reports mean for the operator."""

from dataclasses import replace
from typing import Any

import pytest

from clusterous_cli.cluster.record import Node
from clusterous_cli.plan import nodes

WANTED = {"controller": 1, "worker": 2}


def machine(role: str, number: int, view: dict[str, Any] | None = None) -> Node:
    return Node(
        name=role, instance_id=f"i-{number}", role=role, type="t3.large", state="running",
        launched="", node_name=f"ip-{number}", phase="ready", report={"cluster": view or {}},
    )  # fmt: skip


def seen(**view: Any) -> nodes.Progress:
    ready = {f"ip-{number}": "Ready" for number in range(3)}
    view = {"nodes": ready, "operator": {"clusterous-operator": "0/1"}, **view}
    machines = [machine("controller", 0, view), machine("worker", 1), machine("worker", 2)]
    return nodes.progress(machines, WANTED)


def container(**changes: Any) -> dict[str, Any]:
    return {"pod": "operator-1", "restarts": 0, "reason": "ContainerCreating", "said": ""} | changes


def test_what_is_just_starting_is_no_trouble() -> None:
    now = seen(containers=[container()], waiting="clusterous-system/operator-1: ContainerCreating")

    assert now.trouble == nodes.Trouble()
    assert now.lines["workers"] == "2 of 2 ready"
    assert now.lines["operator"].startswith("starting (clusterous-system/operator-1")
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
    now = seen(chart="InstallFailed: x\n", operator={"clusterous-operator": "1/1"})

    assert now.ready
    assert now.trouble == nodes.Trouble()


def test_a_machine_that_comes_further_is_a_mark_and_a_word_that_changes_is_none() -> None:
    machines = [machine("controller", 0), machine("worker", 1), machine("worker", 2)]
    booting = [*machines[:2], replace(machines[2], phase="mounting")]
    before, other = seen(waiting="a pod 5s"), seen(waiting="a pod 7s")

    assert nodes.marks(machines, before) == nodes.marks(machines, other)
    assert nodes.marks(machines, before) != nodes.marks(booting, before)
