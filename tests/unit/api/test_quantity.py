"""Quantities mean what Kubernetes means by them."""

from decimal import Decimal
from typing import Any

import pytest

from clusterous_api import quantity
from clusterous_api.errors import UserError


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("500m", "0.5"),
        ("2", "2"),
        (2, "2"),
        ("0.5", "0.5"),
        ("1Ki", "1024"),
        ("1k", "1000"),
        ("20Gi", str(20 * 1024**3)),
        ("1e3", "1000"),
        ("5E", str(5 * 10**18)),
        ("2G", str(2 * 10**9)),
        ("100u", "0.0001"),
        ("7n", "0.000000007"),
        ("1e-999999", "0.000000001"),  # as fine and as large as Kubernetes keeps
        ("1e999999", str(2**63 - 1)),
    ],
)
def test_reads(text: str | int, number: str) -> None:
    assert quantity.parse(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "much", "5X", "1.2.3", "mi", "1Qi", "1mm"])
def test_says_what_is_no_quantity(text: str) -> None:
    with pytest.raises(UserError, match="is not a quantity"):
        quantity.parse(text)


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        pytest.param(
            {"containers": [{"resources": {"requests": {"cpu": "1"}}}] * 2}, "2", id="sum"
        ),
        pytest.param({"containers": [{"resources": {"limits": {"cpu": "3"}}}]}, "3", id="limit"),
        pytest.param(
            {
                "containers": [{"resources": {"requests": {"cpu": "1"}}}],
                "initContainers": [{"resources": {"requests": {"cpu": "4"}}}],
            },
            "4",
            id="init",
        ),
        pytest.param(
            {
                "containers": [{"resources": {"requests": {"cpu": "1"}}}],
                "initContainers": [
                    {"restartPolicy": "Always", "resources": {"requests": {"cpu": "2"}}},
                    {"resources": {"requests": {"cpu": "2"}}},
                ],
            },
            "4",
            id="sidecar",
        ),
        pytest.param(
            {
                "containers": [{"resources": {"requests": {"cpu": "1"}}}],
                "overhead": {"cpu": "250m"},
            },
            "1.25",
            id="overhead",
        ),
        pytest.param(
            {
                "containers": [{"resources": {"requests": {"cpu": "1"}}}],
                "resources": {"requests": {"cpu": "2"}},
            },
            "2",
            id="the pod as a whole",
        ),
        pytest.param(
            {
                "containers": [{"resources": {"requests": {"cpu": "1"}}}],
                "resources": {"limits": {"cpu": "2"}},
            },
            "1",
            id="the pod's limit beside a container's request",
        ),
        pytest.param(
            {"containers": [{}], "resources": {"limits": {"cpu": "2"}}},
            "2",
            id="the pod's limit alone",
        ),
    ],
)
def test_reserves_for_a_pod_what_the_scheduler_does(spec: dict[str, Any], cpu: str) -> None:
    assert quantity.of_pod(spec)["cpu"] == Decimal(cpu)


@pytest.mark.parametrize(
    ("name", "amount", "words"),
    [
        ("cpu", "4", "4 CPUs"),
        ("cpu", "1", "1 CPU"),
        ("cpu", "1500m", "1.5 CPUs"),
        ("memory", "512Mi", "512 MiB"),
        ("memory", "1536Mi", "1.5 GiB"),
        ("nvidia.com/gpu", "2", "2 nvidia.com/gpu"),
    ],
)
def test_speaks_as_people_do(name: str, amount: str, words: str) -> None:
    assert quantity.words(name, quantity.parse(amount)) == words


def test_a_pod_of_thousands_of_containers_is_added_up_once() -> None:
    containers = [
        {"restartPolicy": "Always", "resources": {"requests": {"cpu": "1m", f"example.org/{n}": 1}}}
        for n in range(10_000)
    ]
    first = {"resources": {"requests": {"cpu": "5"}}}

    found = quantity.of_pod({"initContainers": [*containers, first]})

    assert found["cpu"] == 15
    assert len(found) == 10_001
