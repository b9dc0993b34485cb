"""Who comes to hold the Lease asks for all apps before it writes; a bug says so on its app."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, cast

from clusterous_operator.client.cluster import BusyError, Cluster, Page
from clusterous_operator.controller.runtime import Machine
from clusterous_operator.controller.settings import Settings
from tests.unit.operator.making import make_body


class FakeCluster:
    """Answers lists when a test lets it; the first *failures* of them not at all."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.may_answer = asyncio.Event()
        self.lists = 0
        self.told: list[dict[str, Any]] = []

    def guard(self, seconds_left: Callable[[], float]) -> None:
        """Take no notice: nothing is written here."""

    def count_by(self, count: object) -> None:
        """Take no notice."""

    async def apply(
        self, manifest: dict[str, Any], *, force: bool, sub: str = ""
    ) -> dict[str, Any]:
        self.told.append(manifest["status"])
        return {**make_body(), **manifest}

    async def create(self, kind: str, namespace: str, body: object) -> dict[str, Any]:
        return {"metadata": {"name": "event"}}

    async def list_pages(
        self,
        kind: str,
        namespace: str | None,
        selectors: Mapping[str, str],
        trim: Callable[[dict[str, Any]], Any],
    ) -> AsyncIterator[Page[Any]]:
        self.lists += 1
        await self.may_answer.wait()
        if self.lists <= self.failures:
            raise BusyError("not now")
        yield Page(items=[trim(make_body())], version="9")


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_apps_are_asked_for_before_anything_is_written() -> None:
    async def story() -> None:
        cluster = FakeCluster()
        machine = Machine(Settings(lease=False), cast(Cluster, cluster), lambda: 0.0)
        task = asyncio.ensure_future(machine._take_over())
        machine._leads(True)
        await settled()
        before = (machine._leading.is_set(), len(machine.queue), cluster.lists)
        cluster.may_answer.set()
        await settled()
        after = (machine._leading.is_set(), len(machine.queue), cluster.lists)
        task.cancel()
        assert (before, after) == ((False, 0, 1), (True, 1, 1))

    asyncio.run(story())


def test_who_loses_the_lease_meanwhile_does_not_work() -> None:
    async def story() -> None:
        cluster = FakeCluster()
        machine = Machine(Settings(lease=False), cast(Cluster, cluster), lambda: 0.0)
        left = [5.0]
        machine.leader.seconds_left = lambda: left[0]  # type: ignore[method-assign]
        task = asyncio.ensure_future(machine._take_over())
        machine._leads(True)
        await settled()
        left[0] = 0.0
        machine._leads(False)
        cluster.may_answer.set()
        await settled()
        task.cancel()
        assert not machine._leading.is_set()

    asyncio.run(story())


def test_a_bug_is_told_on_the_app_that_it_met() -> None:
    async def story() -> None:
        cluster = FakeCluster()
        machine = Machine(Settings(lease=False), cast(Cluster, cluster), lambda: 0.0)
        machine.store.apps.put(machine.store.apps.trim(make_body(master={})))

        async def meet_a_bug(key: object) -> float | None:
            raise KeyError("\x1b[31m" + "x" * 9000)

        machine.reconciler.reconcile = meet_a_bug  # type: ignore[method-assign]
        machine._leads(True)
        result = await machine._reconcile(("lab", "sim"))
        ready, reconciling, stalled = cluster.told[-1]["conditions"]
        assert result == "error"
        assert (ready["reason"], reconciling["status"], stalled["status"]) == (
            "OperatorBug",
            "False",
            "True",
        )
        assert "KeyError" in ready["message"]
        assert len(ready["message"]) < 1000
        assert ready["message"].isprintable()

    asyncio.run(story())


def test_a_datastore_that_was_put_back_is_mended_by_a_restart() -> None:
    machine = Machine(Settings(lease=False), cast(Cluster, FakeCluster()), lambda: 0.0)

    assert machine.trouble() is None
    machine.leader.watch.went_back = True

    assert "etcd was restored" in (machine.trouble() or "")
