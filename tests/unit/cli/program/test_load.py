"""What machines have, what is promised of it and what is used."""

from typing import Any

import pytest

from clusterous_cli.program import load
from clusterous_cli.program.load import Amount

GIB = 1 << 30


def container(cpu: str, memory: str = "0", **more: Any) -> dict[str, Any]:
    return {"resources": {"requests": {"cpu": cpu, "memory": memory}}, **more}


def pod(node: str = "a", phase: str = "Running", **spec: Any) -> dict[str, Any]:
    return {"spec": {"nodeName": node, **spec}, "status": {"phase": phase}}


def machine(name: str = "a", **conditions: str) -> dict[str, Any]:
    listed = [{"type": kind, "status": state} for kind, state in conditions.items()]
    allocatable = {"cpu": "2", "memory": "4Gi"}
    return {
        "metadata": {"name": name},
        "status": {"allocatable": allocatable, "conditions": listed},
    }


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        pytest.param({"containers": [container("1"), container("500m")]}, 1.5, id="sum"),
        pytest.param(
            {"containers": [container("1")], "initContainers": [container("3"), container("2")]},
            3.0, id="start-needs-more",
        ),
        pytest.param(
            {
                "containers": [container("1")],
                "initContainers": [container("250m", restartPolicy="Always"), container("2")],
            },
            2.25, id="sidecar-beside-the-start",
        ),
        pytest.param(
            {
                "containers": [container("1")],
                "initContainers": [container("250m", restartPolicy="Always")],
            },
            1.25, id="sidecar-beside-all",
        ),
        pytest.param(
            {"containers": [container("1")], "overhead": {"cpu": "100m"}}, 1.1, id="overhead"
        ),
        pytest.param(
            {"containers": [container("1")], "resources": {"requests": {"cpu": "4"}}}, 4.0,
            id="of-the-pod",
        ),
        pytest.param({"containers": [{}]}, 0.0, id="nothing"),
        pytest.param(
            {"containers": [{"resources": {"limits": {"cpu": "2"}}}]}, 2.0, id="limit-alone"
        ),
        pytest.param({"containers": [container("100n")]}, 1e-7, id="nano"),
        pytest.param({"containers": [container("1u")]}, 1e-6, id="micro"),
    ],
)  # fmt: skip
def test_counts_what_kubernetes_puts_aside(spec: dict[str, Any], cpu: float) -> None:
    assert load.requests(pod(**spec)).cpu == pytest.approx(cpu)


def test_adds_up_what_is_promised_and_used() -> None:
    pods = [
        pod(containers=[container("1", "1Gi")]),
        pod("b", containers=[container("1")]),
        pod(phase="Succeeded", containers=[container("1")]),
        {"spec": {"containers": [container("1")]}},
    ]
    metrics = [{"metadata": {"name": "a"}, "usage": {"cpu": "500m", "memory": "2Gi"}}]

    found = load.read([machine("b"), machine()], pods, metrics)

    assert found.has == Amount(cpu=4, memory=8 * GIB)
    assert found.promised == Amount(cpu=2, memory=GIB)
    assert found.used is None  # the other machine was not measured
    assert [node.used for node in found.nodes] == [Amount(cpu=0.5, memory=2 * GIB), None]


@pytest.mark.parametrize(
    ("conditions", "used", "words"),
    [
        pytest.param({"Ready": "True"}, None, "", id="well"),
        pytest.param({"Ready": "Unknown"}, None, "does not answer", id="silent"),
        pytest.param({"MemoryPressure": "True"}, None, "it is short of memory", id="memory"),
        pytest.param({"DiskPressure": "True"}, None, "it is short of disk", id="disk"),
        pytest.param({"MemoryPressure": "False"}, None, "", id="no-pressure"),
        pytest.param({}, Amount(cpu=1.9), "it uses 95% of its CPUs", id="cpus"),
        pytest.param({}, Amount(memory=4 * GIB), "it uses 100% of its memory", id="use"),
        pytest.param({}, Amount(cpu=1.8, memory=3 * GIB), "", id="busy"),
    ],
)
def test_says_what_a_machine_suffers_from(
    conditions: dict[str, str], used: Amount | None, words: str
) -> None:
    said = load.trouble(
        machine(**conditions)["status"]["conditions"], Amount(cpu=2, memory=4 * GIB), used
    )

    assert words in said
    assert bool(said) is bool(words)
