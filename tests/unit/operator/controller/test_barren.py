"""A Job that cannot make its pods tells why by events only: they are read when it lasts."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from clusterous_operator.cache.look import Look
from clusterous_operator.client import cluster
from clusterous_operator.client.cluster import Page
from clusterous_operator.controller import lookup
from clusterous_operator.controller.lookup import Lookup
from clusterous_operator.decisions.counting import Size
from clusterous_operator.status import appstatus
from tests.unit.operator.making import NOW, FakeApi, make_app, settle

LIMITED = 'pods "x" is forbidden: maximum cpu usage per Container is 1, but limit is 2'
EVENTS = [
    {"note": "Error creating: before", "eventTime": "2026-11-22T11:00:00.000000Z"},
    {"note": f"Error creating: {LIMITED}", "deprecatedLastTimestamp": "2026-11-22T12:00:05Z"},
]


class Server(cluster.Cluster):
    """Has events, and counts who asks for them."""

    def __init__(self) -> None:
        self.asked: list[Mapping[str, str]] = []

    async def list_pages(
        self,
        kind: str,
        namespace: str | None,
        selectors: Mapping[str, str],
        trim: Callable[[Any], Any],
    ) -> AsyncIterator[Page[Any]]:
        self.asked.append(selectors)
        yield Page(items=[trim(one) for one in EVENTS], version="1")


class Clock:
    """A clock that a test sets."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def look_after(seconds: float, **status: Any) -> Look:
    app, api = make_app(run="Batch"), FakeApi()
    settle(app, api)
    api.objects["Job", "sim-master"]["metadata"]["creationTimestamp"] = NOW
    api.objects["Job", "sim-master"]["status"] = status
    now = datetime.fromisoformat(NOW) + timedelta(seconds=seconds)
    return dataclasses.replace(api.observe(app), now=now)


def test_events_are_asked_for_when_it_lasts_and_not_too_often() -> None:
    server, clock = Server(), Clock()
    asks = Lookup(server, clock, lambda: datetime.fromisoformat(NOW))

    assert not asks.is_needed(look_after(9))
    assert lookup.barren_in(look_after(9)) == 1.0
    assert not asks.is_needed(look_after(20, active=1))
    assert lookup.barren_in(look_after(20, active=1)) is None

    late = look_after(20)
    assert asks.is_needed(late)
    for _ in range(3):
        found = asyncio.run(asks.answers(late)).refused
    assert found == {"master": f"Error creating: {LIMITED}"}
    assert len(server.asked) == 1
    assert "regarding.kind=Job" in server.asked[0]["fieldSelector"]
    clock.seconds = 60.0
    asyncio.run(asks.answers(late))
    assert len(server.asked) == 2


def test_what_the_events_say_is_told_as_of_a_deployment() -> None:
    look = dataclasses.replace(look_after(20), refused={"master": f"Error creating: {LIMITED}"})

    found = appstatus.summarize(look, Size(), {}, NOW)

    ready = next(one for one in found["conditions"] if one["type"] == "Ready")
    assert ready["reason"] == "Refused"
    assert ready["message"] == (
        "master: pods are refused: maximum cpu usage per Container is 1, but limit is 2"
    )
