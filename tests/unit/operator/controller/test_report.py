"""The reconcile's edge: what is written of a status, when, and what is told besides."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from clusterous_operator.cache.store import Store
from clusterous_operator.client.cluster import BusyError, RefusedError
from clusterous_operator.controller.metrics import Metrics
from clusterous_operator.controller.reconcile import Reconciler
from clusterous_operator.status.appstatus import COUNTS_SECONDS
from tests.unit.operator import kstatus
from tests.unit.operator.making import FakeApi, make_body, make_pod

KEY = ("lab", "sim")


class Server:
    """An API server for one app: keeps children as FakeApi does, and each status by its time."""

    def __init__(self, bench: "Bench") -> None:
        self.bench = bench
        self.busy = False
        self.deaf = False  # to events
        self.fails = ""
        self.statuses: list[tuple[float, dict[str, Any]]] = []
        self.events: list[str] = []

    async def apply(
        self, manifest: Mapping[str, Any], *, force: bool, sub: str = ""
    ) -> Mapping[str, Any]:
        if sub == "status":
            status = dict(manifest["status"])
            self.statuses.append((self.bench.seconds, status))
            return self.bench.app(status)
        if self.busy:
            raise BusyError("not now")
        if self.fails:
            raise BusyError(self.fails, answered=True)
        self.bench.api.apply(manifest)
        return self.bench.api.objects[manifest["kind"], manifest["metadata"]["name"]]

    async def create(self, kind: str, namespace: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.deaf:
            raise BusyError("not now")
        self.events.append(body["reason"])
        return {"metadata": {"name": "event"}}


class Bench:
    """A reconciler of one app, with a clock that is set by hand."""

    def __init__(self, **spec: Any) -> None:
        self.spec = {"master": {}, **spec}
        self.seconds = 0.0
        self.version = 0
        self.api = FakeApi()
        self.server = Server(self)
        self.store = Store()
        self.store.apps.put(self.store.apps.trim(self.app({})))
        self.reconciler = self._reconciler()

    def _reconciler(self) -> Reconciler:
        return Reconciler(
            cluster=self.server,  # type: ignore[arg-type]  # a fake
            store=self.store,
            metrics=Metrics(),
            patience=1.0,
            want_capacity=lambda: None,
            clock=lambda: self.seconds,
            now=lambda: datetime.fromtimestamp(1_800_000_000 + self.seconds, UTC),
        )

    def app(self, status: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        body = make_body(**self.spec)
        metadata = {**body["metadata"], "resourceVersion": str(self.version)}
        return {**body, "metadata": metadata, "status": status}

    def restart(self) -> None:
        """Begin anew with what the cluster remembers."""
        self.reconciler = self._reconciler()

    def look(self, seconds: float, *, ready: int | None = None) -> float | None:
        """Reconcile at a time, when so many workers are ready."""
        self.seconds = seconds
        for (kind, name), body in self.api.objects.items():
            if kind == "Deployment" and ready is not None:
                wanted = body["spec"]["replicas"]
                there = 1 if name == "sim-master" else ready
                body["metadata"]["resourceVersion"] = str(1_000_000 + int(seconds * 1000))
                body["status"] = {
                    "observedGeneration": body["metadata"]["generation"],
                    "replicas": wanted,
                    "updatedReplicas": wanted,
                    "readyReplicas": min(there, wanted),
                }
                table = self.store.children(kind)
                table.put(table.trim(body))
        return asyncio.run(self.reconciler.reconcile(KEY))

    @property
    def written(self) -> list[float]:
        return [time for time, _ in self.server.statuses]


def test_counts_wait_and_the_end_does_not() -> None:
    bench = Bench(workers={"replicas": 4})

    again = [
        bench.look(0.0),
        bench.look(0.2, ready=1),
        bench.look(0.4, ready=2),
        bench.look(0.6, ready=4),
        bench.look(0.7, ready=4),
    ]

    assert bench.written == [0.0, 0.6]
    assert [one and round(one, 1) for one in again] == [None, 0.8, 0.6, None, None]
    assert bench.server.events == ["Ready"]


def test_counts_are_written_when_the_second_is_over() -> None:
    bench = Bench(workers={"replicas": 4})
    bench.look(0.0)
    bench.look(0.2, ready=1)

    again = bench.look(COUNTS_SECONDS, ready=2)

    assert bench.written == [0.0, COUNTS_SECONDS]
    assert again is None
    assert bench.server.statuses[-1][1]["workers"] == "2/4"


def test_a_new_operator_writes_and_tells_nothing_again() -> None:
    bench = Bench(workers={"replicas": 1})
    bench.look(0.0)
    bench.look(5.0, ready=1)
    before = list(bench.written)

    bench.restart()
    bench.look(9.0, ready=1)

    assert bench.written == before
    assert bench.server.events == ["Ready"]


def test_an_app_is_known_to_be_under_way_though_the_api_server_is_busy() -> None:
    bench = Bench()
    bench.server.busy = True

    for _ in range(2):
        with pytest.raises(BusyError):
            bench.look(0.0)

    ((_, found),) = bench.server.statuses
    assert kstatus.compute({"metadata": {"generation": 1}, "status": found}) == "InProgress"


def test_an_event_that_the_api_server_had_no_time_for_comes_with_a_later_look() -> None:
    bench = Bench(workers={"replicas": 1})
    bench.look(0.0)
    bench.server.deaf = True
    again = bench.look(5.0, ready=1)
    bench.server.deaf = False

    assert again == 5.0
    assert bench.look(10.0, ready=1) is None
    assert bench.server.events == ["Ready"]


class Sulking(Server):
    """An API server that will not store a status with certain words."""

    words = "💥"

    async def apply(
        self, manifest: Mapping[str, Any], *, force: bool, sub: str = ""
    ) -> Mapping[str, Any]:
        if sub == "status" and self.words in str(manifest["status"]):
            self.refused += 1
            raise RefusedError("invalid Unicode character escape code")
        return await super().apply(manifest, force=force, sub=sub)

    refused = 0


def test_a_status_that_is_refused_is_told_in_other_words() -> None:
    bench = Bench()
    bench.look(0.0)
    bench.look(5.0, ready=1)
    assert kstatus_of(bench) == "True"
    bench.server = Sulking(bench)
    bench.restart()
    crash = ("CrashLoop", "💥 KeyError")
    bench.store.pods.put(make_pod(ready=False, trouble=crash, version=10**9))

    bench.look(10.0, ready=0)
    bench.look(20.0, ready=0)

    assert kstatus_of(bench) == "False"
    assert "💥" not in str(bench.server.statuses)
    assert bench.server.refused == 1  # and it is not tried at each look


def kstatus_of(bench: Bench) -> str:
    status = bench.store.apps.find(*KEY).status  # type: ignore[union-attr]
    return next(one["status"] for one in status["conditions"] if one["type"] == "Ready")


def running_and_changed() -> Bench:
    """Return an app that runs, and of which something else is asked since."""
    bench = Bench()
    bench.look(0.0)
    bench.look(5.0, ready=1)
    bench.spec["image"] = "example.org/sim:2"
    body = bench.app(dict(bench.server.statuses[-1][1]))
    body["metadata"]["generation"] = 2
    bench.store.apps.put(bench.store.apps.trim(body))
    return bench


def test_a_server_that_fails_thrice_over_the_same_is_told_also_of_an_app_that_runs() -> None:
    bench = running_and_changed()
    bench.server.fails = "nodeselector: something nobody has thought of"

    for second in range(6, 9):
        with pytest.raises(BusyError):
            bench.look(float(second))

    told = bench.server.statuses[-1][1]
    assert told["observedGeneration"] == 2
    assert "nodeselector" in told["message"]
    assert kstatus_of(bench) == "False"


def test_a_failure_is_the_same_whatever_ports_and_times_it_names() -> None:
    bench = Bench()
    for second in range(3):
        bench.server.fails = f"calling the policy: read tcp 10.0.0.1:{40000 + second}: reset"
        with pytest.raises(BusyError):
            bench.look(float(second))

    assert "calling the policy" in bench.server.statuses[-1][1]["message"]


def test_a_server_that_never_answers_is_told_in_the_end_also_of_an_app_that_runs() -> None:
    bench = running_and_changed()
    bench.server.busy = True
    before = len(bench.server.statuses)

    for second in range(6, 16):
        soon = len(bench.server.statuses)
        with pytest.raises(BusyError):
            bench.look(float(second))

    assert soon == before
    told = bench.server.statuses[-1][1]
    assert (told["observedGeneration"], kstatus_of(bench)) == (2, "False")
    assert "is asked again. (not now)" in told["message"]


class Noting(Server):
    """An API server that notes what each write of a child is bound to."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self.bound: list[tuple[str, str | None, str | None]] = []
        self.removed: list[tuple[str, str, int | None]] = []

    async def apply(
        self, manifest: Mapping[str, Any], *, force: bool, sub: str = ""
    ) -> Mapping[str, Any]:
        metadata = manifest["metadata"]
        if not sub and force:
            self.bound.append(
                (metadata["name"], metadata.get("uid"), metadata.get("resourceVersion"))
            )
        return await super().apply(manifest, force=force, sub=sub)

    async def delete(
        self, kind: str, namespace: str, name: str, uid: str, version: int | None = None
    ) -> None:
        self.removed.append((name, uid, version))


def test_a_child_is_changed_and_removed_only_as_it_was_seen() -> None:
    bench = Bench(workers={"replicas": 1})
    bench.look(0.0)
    bench.look(1.0, ready=1)
    bench.server = server = Noting(bench)
    bench.restart()
    seen = bench.store.deployments.find("lab", "sim-workers")
    assert seen is not None
    bench.spec["workers"] = {"replicas": 2}
    bench.store.apps.put(bench.store.apps.trim(bench.app({})))
    bench.look(2.0)

    assert server.bound[0] == ("sim-workers", seen.uid, str(seen.version))
    seen = bench.store.deployments.find("lab", "sim-workers")
    assert seen is not None
    del bench.spec["workers"]
    bench.store.apps.put(bench.store.apps.trim(bench.app({})))
    bench.look(3.0)

    assert ("sim-workers", seen.uid, seen.version) in server.removed
