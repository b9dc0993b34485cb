"""What the operator does while many apps are there: changes, one big app, silence, a restart."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bench.operator import apps, audit, changes, client, processes, product, testbed
from bench.operator.changes import Changer
from bench.operator.client import Client
from bench.operator.errors import BenchError
from bench.operator.product import Operator
from bench.operator.rise import Tell
from bench.operator.testbed import Testbed

Result = dict[str, Any]

_BIG: Final = "big"
_DEPLOYMENTS: Final = testbed.collection("Deployment", "apps/v1", testbed.NAMESPACE)
# Lease renewals are how a standby knows that the operator lives; they are told apart, by name.
_LEASES: Final = "leases"
_QUIET_SECONDS: Final = 6.0  # without a write of the operator's, and all is done
_POLL_SECONDS: Final = 2.0
_LIMIT_SECONDS: Final = 600.0
_NEWCOMER_SECONDS: Final = 120.0  # a machine that takes longer is too busy to say anything


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long and how much."""

    count: int
    rate: float = 20.0
    change_seconds: float = 60.0
    big_workers: int = 500
    quiet_seconds: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Residence:
    """A testbed on which *plan.count* apps are ready, and their operator."""

    bed: Testbed
    operator: Operator
    plan: Plan
    tell: Tell

    async def measure(self) -> Result:
        """Make all measurements, one after the other."""
        async with client.as_administrator(self.bed.plane) as administrator:
            found: Result = {"apps": self.plan.count}
            found["memory"] = self._memory()
            changer = Changer(administrator, self.plan.count, apps.other_port)
            found["changes"] = await self._changes(changer)
            scaler = Changer(administrator, self.plan.count, apps.other_size)
            found["scaling"] = await self._changes(scaler)
            if self.plan.big_workers:
                found["neighbour"] = await self._neighbour(administrator, changer)
            found["quiet"] = await self._quiet()
            found["restart"] = await self._restart()
            return found

    def _memory(self) -> Mapping[str, float]:
        memory = processes.memory(self.operator.pid)
        return {"resident_mib": memory.resident_mib, "peak_mib": memory.peak_mib}

    def _written_since(self, place: int) -> list[audit.Write]:
        return audit.by(product.USER, audit.read(self.bed.plane.audit_log, place))

    def _place(self) -> int:
        return audit.size(self.bed.plane.audit_log)

    async def _settled(self) -> None:
        """Return when the operator has written nothing but leases for a while."""
        began = quiet_since = time.monotonic()
        place = self._place()
        while time.monotonic() - quiet_since < _QUIET_SECONDS:
            if time.monotonic() - began > _LIMIT_SECONDS:
                raise BenchError("the operator does not come to rest")
            await asyncio.sleep(_POLL_SECONDS)
            if _beside_leases(self._written_since(place)):
                quiet_since, place = time.monotonic(), self._place()

    async def _changes(self, changer: Changer) -> Result:
        seconds = self.plan.change_seconds
        self.tell(f"{self.plan.rate:g} changes a second for {seconds:g} s")
        await self._settled()
        place, load = self._place(), os.getloadavg()[0]
        before, stop = processes.usage(self._pids()), asyncio.Event()
        asyncio.get_running_loop().call_later(seconds, stop.set)
        await changer.go_on(self.plan.rate, stop)
        after = processes.usage(self._pids())
        await self._settled()
        writes = audit.read(self.bed.plane.audit_log, place)
        found, unanswered = changes.paired(writes, product.USER)
        ours = _beside_leases(audit.by(product.USER, writes))
        return {
            **changes.told(found, unanswered),
            "rate": self.plan.rate,
            "writes_per_change": round(len(ours) / max(len(found), 1), 2),
            "cpu": processes.spent(before, after),
            "load_before": round(load, 2),
        }

    def _pids(self) -> dict[str, int]:
        return {**self.bed.pids(), "clusterous": self.operator.pid}

    async def _neighbour(self, administrator: Client, changer: Changer) -> Result:
        """Compare others' changes while nothing else goes on, and beside 500 new pods.

        Once the pods are a Deployment that is none of ours: what they cost on such a machine by
        themselves. Then they are an app's.
        """
        workers = self.plan.big_workers
        found: Result = {"pods": workers}
        for what, start in (
            ("calm", self._nothing()),
            ("deployment", self._big_deployment(administrator)),
            ("app", self._big_app(administrator)),
        ):
            self.tell(f"neighbour: changes beside {what}")
            found[what] = await self._beside(changer, start)
        return found

    async def _beside(
        self,
        changer: Changer,
        start: contextlib.AbstractAsyncContextManager[Callable[[], Awaitable[bool]]],
    ) -> Result:
        """Change apps at the usual pace as long as the newcomer takes."""
        await self._settled()
        place = self._place()
        async with start as is_done:
            began, stop = time.time(), asyncio.Event()
            pace = asyncio.ensure_future(changer.go_on(self.plan.rate, stop))
            try:
                while not (done := await is_done()) and time.time() < began + _NEWCOMER_SECONDS:
                    await asyncio.sleep(0.25)
                ended = time.time()
            finally:
                stop.set()
                await pace
            await self._settled()
            writes = audit.read(self.bed.plane.audit_log, place)
        found, unanswered = changes.paired(writes, product.USER)
        told = changes.told(changes.within(found, began, ended), unanswered)
        return {**told, "seconds": round(ended - began, 1), "done": done}

    @contextlib.asynccontextmanager
    async def _nothing(self) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
        end = time.monotonic() + self.plan.change_seconds / 2

        async def is_done() -> bool:
            return time.monotonic() > end

        yield is_done

    @contextlib.asynccontextmanager
    async def _big_deployment(
        self, administrator: Client
    ) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
        where = f"{_DEPLOYMENTS}/{_BIG}"
        await administrator.call("POST", _DEPLOYMENTS, _deployment(self.plan.big_workers))

        async def is_done() -> bool:
            return apps.deployment_is_ready(await administrator.call("GET", where))

        yield is_done
        await self._remove(administrator, where, f"app={_BIG}")

    @contextlib.asynccontextmanager
    async def _big_app(self, administrator: Client) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
        where = f"{apps.APPS}/{_BIG}"
        await administrator.call("POST", apps.APPS, apps.body(_BIG, self.plan.big_workers))

        async def is_done() -> bool:
            return apps.is_ready(await administrator.call("GET", where))

        yield is_done
        await self._remove(administrator, where, f"clusterous.io/app={_BIG}")

    async def _remove(self, administrator: Client, where: str, selector: str) -> None:
        """Remove the newcomer, and wait until the last of its pods is gone."""
        await administrator.call("DELETE", where, {"propagationPolicy": "Background"})
        pods = f"/api/v1/namespaces/{testbed.NAMESPACE}/pods"
        query = {"labelSelector": selector, "limit": "1"}
        while (await administrator.call("GET", pods, query=query))["items"]:
            await asyncio.sleep(_POLL_SECONDS)

    async def _quiet(self) -> Result:
        self.tell(f"quiet: {self.plan.quiet_seconds:g} s")
        await self._settled()
        place, before = self._place(), processes.usage(self._pids())
        await asyncio.sleep(self.plan.quiet_seconds)
        after = processes.usage(self._pids())
        writes = self._written_since(place)
        spent = processes.spent(before, after)
        return {
            "seconds": self.plan.quiet_seconds,
            "writes": len(_beside_leases(writes)),
            "lease_renewals": len(writes) - len(_beside_leases(writes)),
            "by_kind": audit.counted(writes),
            "cpu_percent": round(100 * spent["clusterous"] / (after.at - before.at), 2),
            "memory": self._memory(),
        }

    async def _restart(self) -> Result:
        """Stop the operator and start it again: how long until it has looked at every app?"""
        self.tell("restart")
        place = self._place()
        await self.operator.stop()
        began = time.perf_counter()
        self.operator.launch()
        await self.operator.until(self.operator.is_ready, "/readyz after the restart")
        ready = time.perf_counter()
        await self.operator.until(self._has_caught_up, "the end of the queue", pause=0.1)
        ended = time.perf_counter()
        cpu = processes.cpu_seconds(self.operator.pid)
        await self._settled()
        writes = self._written_since(place)
        return {
            "ready_seconds": round(ready - began, 2),
            "caught_up_seconds": round(ended - began, 2),
            "cpu_seconds": round(cpu, 2),
            "writes": len(_beside_leases(writes)),
            "by_kind": audit.counted(writes),
            "memory": self._memory(),
        }

    def _has_caught_up(self) -> bool:
        done = self.operator.figure("controller_runtime_reconcile_total")
        waiting = self.operator.figure("workqueue_depth")
        active = self.operator.figure("controller_runtime_active_workers")
        return done >= self.plan.count and waiting == active == 0


def _beside_leases(writes: list[audit.Write]) -> list[audit.Write]:
    return [one for one in writes if one.resource != _LEASES]


def _deployment(pods: int) -> Mapping[str, Any]:
    """Return a Deployment that is nobody's, of pods like the workers of an app."""
    made = apps.children(apps.body(_BIG, pods), "192.0.2.10")
    workers = next(one for one in made if one["metadata"]["name"] == f"{_BIG}-workers")
    labels = {"app": _BIG}
    pod = {**workers["spec"]["template"], "metadata": {"labels": labels}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": _BIG, "namespace": testbed.NAMESPACE},
        "spec": {"replicas": pods, "selector": {"matchLabels": labels}, "template": pod},
    }
