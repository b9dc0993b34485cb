"""A count that takes long holds up nobody but its own app, and is told when it takes too long."""

import asyncio
from typing import Any

import pytest

from clusterous_operator.cache.observed import Node
from clusterous_operator.cache.store import Store
from clusterous_operator.controller.metrics import Metrics
from clusterous_operator.controller.reconcile import Reconciler
from clusterous_operator.decisions import fill
from tests.unit.operator.controller.test_deeds import KEY, Server
from tests.unit.operator.making import make_body, make_node

HOST = "kubernetes.io/hostname"


def spread(key: str, skew: int) -> dict[str, Any]:
    """A spread that must hold over all pods of the app."""
    return {
        "topologyKey": key,
        "maxSkew": skew,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {},
    }


def filling(rules: int) -> dict[str, Any]:
    """Sixteen components that fill the cluster, each with so many rules."""
    terms = [spread(HOST, skew) for skew in range(1_000, 1_000 + rules)]
    one = {
        "fill": True,
        "resources": {"requests": {"cpu": "1m"}},
        "template": {"spec": {"topologySpreadConstraints": terms}},
    }
    return {"components": [{"name": f"c{index}", **one} for index in range(16)]}


class Clock:
    """A clock that a test sets."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Room:
    """An operator with nodes, and somebody else who wants the event loop, too."""

    def __init__(self, nodes: int, **spec: Any) -> None:
        self.clock = Clock()
        self.server = Server(make_body(**spec), {})
        self.store = Store()
        self.store.capacity_known = True
        for index in range(nodes):
            self.store.nodes.put(_node(index))
        self.reconciler = Reconciler(
            cluster=self.server,  # type: ignore[arg-type]  # a fake
            store=self.store,
            metrics=Metrics(),
            patience=1.0,
            want_capacity=lambda: None,
            clock=self.clock,
        )
        self.turns = 0

    def look(self) -> None:
        """Reconcile, while somebody else takes a turn of the event loop whenever there is one."""
        self.store.apps.put(self.store.apps.trim(self.server.body))

        async def together() -> None:
            other = asyncio.create_task(self._take_turns())
            try:
                await self.reconciler.reconcile(KEY)
            finally:
                other.cancel()

        asyncio.run(together())

    async def _take_turns(self) -> None:
        while True:
            self.turns += 1
            await asyncio.sleep(0.001)

    def ready(self) -> dict[str, Any]:
        """Return the condition Ready as it was written last."""
        conditions = self.server.body["status"]["conditions"]
        found: dict[str, Any] = next(one for one in conditions if one["type"] == "Ready")
        return found


def _node(index: int) -> Node:
    return make_node(f"n{index}", labels={HOST: f"n{index}"})


def test_while_one_app_is_counted_others_have_their_turns() -> None:
    room = Room(60, **filling(3))

    room.look()

    assert room.turns > 20
    assert len(room.server.api.objects) > 10


def test_who_asks_for_too_much_is_told_what_to_do_and_not_counted_at_once_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room = Room(60, **filling(60))
    with pytest.raises(fill.TooLongError):
        room.look()

    told = room.ready()["message"]
    assert "c0" in told
    assert "60 nodes" in told
    assert "ScheduleAnyway" in told
    assert room.ready()["reason"] == "Invalid"

    counts: list[float] = []
    size = fill.size
    monkeypatch.setattr(
        fill, "size", lambda *given: counts.append(room.clock.seconds) or size(*given)
    )
    for room.clock.seconds in (1.0, 2.0, 100.0):
        with pytest.raises(fill.TooLongError):
            room.look()
    assert counts == [100.0]


def test_what_was_counted_for_an_earlier_app_of_the_name_is_nothing_to_the_next() -> None:
    one = {"name": "part", "fill": True, "resources": {"requests": {"cpu": "1"}}}
    room = Room(3, components=[one])
    room.look()
    made = room.server.api.objects["Deployment", "sim-part"]["spec"]["replicas"]

    room.server.api.objects.clear()  # deleted, and applied again before anybody looked
    for table in (room.store.deployments, room.store.claims):
        for child in list(table.all()):
            table.remove(child)
    body = make_body(components=[{**one, "max": 2}])
    metadata = {**body["metadata"], "uid": "another", "resourceVersion": "1000"}
    room.server.body = {**body, "metadata": metadata}
    room.look()

    again = room.server.api.objects["Deployment", "sim-part"]["spec"]["replicas"]
    assert (made, again) == (12, 2)
