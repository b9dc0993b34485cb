"""What is asked now and then: only where it matters, kept for a while; no answer is no error."""

import asyncio
import dataclasses
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from clusterous_api import models
from clusterous_operator.cache.look import Look
from clusterous_operator.client import cluster
from clusterous_operator.client.cluster import BusyError, MissingError
from clusterous_operator.controller import lookup
from clusterous_operator.controller.lookup import Lookup
from tests.unit.operator.making import (
    NOW,
    FakeApi,
    make_app,
    make_body,
    make_node,
    make_pod,
    settle,
)

SERVICE = {"master": {}, "idle": {"afterSeconds": 60}}


class Server(cluster.Cluster):
    """Answers to reads from a dict, and counts them."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def read(self, kind: str, namespace: str | None, name: str) -> dict[str, Any]:
        self.asked.append(kind)
        answer = self.answers[kind]
        if isinstance(answer, Exception):
            raise answer
        found: dict[str, Any] = answer
        return found


class Clock:
    """A clock that a test sets."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def usage(**cpu: str) -> dict[str, Any]:
    items = [
        {"metadata": {"name": name}, "containers": [{"usage": {"cpu": amount}}, {"usage": {}}]}
        for name, amount in cpu.items()
    ]
    return {"items": items}


def made(answers: Mapping[str, Any]) -> tuple[Lookup, Server, Clock]:
    server, clock = Server(answers), Clock()
    return Lookup(server, clock, lambda: datetime.fromisoformat(NOW)), server, clock


def seen_of(app: models.App, told: Mapping[str, Any] | None = None) -> Look:
    api = FakeApi()
    settle(app, api)
    api.pods = (make_pod(name="one"),)
    return dataclasses.replace(api.observe(app), before=told or {})


def test_usage_is_asked_for_once_in_a_while() -> None:
    found, server, clock = made({"PodMetrics": usage(one="5m")})

    first = asyncio.run(found.cpu("lab"))
    asyncio.run(found.cpu("lab"))
    asked = len(server.asked)
    clock.seconds = lookup.USAGE_SECONDS
    asyncio.run(found.cpu("lab"))

    assert first == {"one": Decimal("0.005")}
    assert (asked, len(server.asked)) == (1, 2)


def test_an_app_that_asks_for_nothing_causes_no_question() -> None:
    app = make_app()
    found, _, _ = made({})

    assert not found.is_needed(seen_of(app))


def test_an_idle_app_is_noticed() -> None:
    app = make_app(**SERVICE)
    found, _, _ = made({"PodMetrics": usage(one="5m")})
    seen = seen_of(app, {"idle": {"since": "2026-11-22T11:59:00Z", "suspended": False}})

    state = asyncio.run(found.answers(seen)).idle

    assert found.is_needed(seen)
    assert state is not None
    assert state.suspended


def test_an_app_is_at_work_whose_pods_have_too_much_to_do_to_be_ready() -> None:
    app = make_app(**SERVICE)
    told = {"idle": {"since": "2026-11-22T11:59:00Z", "suspended": False}}
    seen = seen_of(app, told)
    busy = make_pod("workers", name="two", ready=False)

    found, _, _ = made({"PodMetrics": usage(one="5m", two="4")})
    state = asyncio.run(found.answers(dataclasses.replace(seen, pods=(*seen.pods, busy)))).idle

    assert state is not None
    assert (state.since, state.suspended) == (None, False)


def test_nothing_is_suspended_where_the_metrics_api_does_not_answer() -> None:
    app = make_app(**SERVICE)
    told = {"idle": {"since": "2026-11-22T11:00:00Z", "suspended": False}}

    for error in (MissingError("no such API"), BusyError("not now")):
        found, _, _ = made({"PodMetrics": error})
        state = asyncio.run(found.answers(seen_of(app, told))).idle
        assert state is not None
        assert (state.since, state.suspended) == (None, False)


def test_a_suspended_app_is_resumed_by_a_word_without_any_question() -> None:
    body = make_body(**SERVICE)
    body["metadata"]["annotations"] = {"clusterous.io/resume": "now"}
    app = models.parse(body)
    found, server, _ = made({})

    told = {"idle": {"suspended": True}, "observedGeneration": 1}
    state = asyncio.run(found.answers(seen_of(app, told))).idle

    assert state is not None
    assert (state.suspended, state.resumed) == (False, "now")
    assert server.asked == []


def test_asks_whether_a_class_lets_volumes_grow() -> None:
    small, large = (make_app(sharedVolume={"size": size}) for size in ("1Gi", "2Gi"))
    api = FakeApi()
    settle(small, api)
    api.objects["PersistentVolumeClaim", "sim-data"]["spec"]["storageClassName"] = "fast"

    for allowed in (True, False):
        found, _, _ = made({"StorageClass": {"allowVolumeExpansion": allowed}})
        answers = asyncio.run(found.answers(api.observe(large)))
        assert answers.can_grow is allowed


@pytest.mark.parametrize(
    ("spec", "reach"),
    [
        pytest.param({"hostPath": {}}, {}, id="anywhere, as far as it says"),
        pytest.param({"nodeAffinity": {"required": {}}}, {"required": {}}, id="some nodes"),
        pytest.param({"nfs": {"server": "s"}}, None, id="for all at once"),
    ],
)
def test_asks_on_which_nodes_a_volume_can_be_used(spec: dict[str, Any], reach: object) -> None:
    app = make_app(sharedVolume={"accessMode": "ReadWriteOnce"})
    api = FakeApi()
    settle(app, api)
    api.objects["PersistentVolumeClaim", "sim-data"]["spec"]["volumeName"] = "pv"
    api.nodes = (make_node("a"), make_node("b"))
    found, _, _ = made({"PersistentVolume": {"spec": spec}})

    assert found.is_needed(api.observe(app))
    assert asyncio.run(found.answers(api.observe(app))).reach == reach


def test_answers_that_are_good_no_more_are_forgotten() -> None:
    server, clock = Server({"PodMetrics": usage(a="1m")}), Clock()
    asks = Lookup(server, clock, lambda: datetime.fromisoformat(NOW))

    for index in range(1_000):
        clock.seconds += 1.0
        asyncio.run(asks.cpu(f"space-{index}"))

    assert len(asks._usage) <= 101
