"""The holder of the Lease writes, the standby waits; a silent watch of the Lease shows."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, cast

from clusterous_operator.client.cluster import BusyError, Cluster, ConflictError, MissingError, Page
from clusterous_operator.leaderelection.leader import Leader
from clusterous_operator.leaderelection.lease import Terms

Body = dict[str, Any]


class FakeCluster:
    """Keeps one Lease; *time* is everybody's clock, and moves only when a test says so."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.lease: Body | None = None
        self.is_silent = False
        self.is_down = False
        self.reads = 0
        self.streams: list[asyncio.Queue[tuple[str, Body]]] = []
        self._versions = itertools.count(1)

    async def list_pages(
        self,
        kind: str,
        namespace: str | None,
        selectors: Mapping[str, str],
        trim: Callable[[dict[str, Any]], Any],
    ) -> AsyncIterator[Page[Any]]:
        yield Page(items=[] if self.lease is None else [trim(self.lease)], version="0")

    async def watch(
        self, kind: str, namespace: str | None, selectors: Mapping[str, str], version: str
    ) -> AsyncIterator[tuple[str, Body]]:
        stream: asyncio.Queue[tuple[str, Body]] = asyncio.Queue()
        self.streams.append(stream)
        while True:
            yield await stream.get()

    async def create(self, kind: str, namespace: str, body: Body, **_: object) -> Body:
        self._check()
        if self.lease is not None:
            raise ConflictError("exists")
        return self._keep(body["metadata"]["name"], body["spec"])

    async def patch(self, kind: str, namespace: str, name: str, body: Body, **_: object) -> Body:
        self._check()
        if self.lease is None:
            raise MissingError(name)
        asked = body["metadata"].get("resourceVersion")
        if asked not in (None, self.lease["metadata"]["resourceVersion"]):
            raise ConflictError("changed")
        return self._keep(name, {**self.lease["spec"], **body["spec"]})

    async def read(self, kind: str, namespace: str, name: str) -> Body:
        self._check()
        self.reads += 1
        if self.lease is None:
            raise MissingError(name)
        return self.lease

    def _check(self) -> None:
        if self.is_down:
            raise BusyError("down")

    def _keep(self, name: str, spec: Body) -> Body:
        version = str(next(self._versions))
        metadata = {"namespace": "system", "name": name, "resourceVersion": version}
        self.lease = {"metadata": metadata, "spec": spec}
        for stream in () if self.is_silent else self.streams:
            stream.put_nowait(("MODIFIED", self.lease))
        return self.lease


class Candidate:
    """A leader with its tasks; *turns* is what it was told."""

    def __init__(self, cluster: FakeCluster, name: str, **more: bool) -> None:
        self.turns: list[bool] = []
        self.leader = Leader(
            cluster=cast(Cluster, cluster),
            namespace="system",
            identity=name,
            # Real time only paces the loop; what is decided goes by the cluster's clock.
            terms=Terms(duration=10, renew=0.01, margin=2, retry=0.01, nap=0.01),
            clock=lambda: cluster.time,
            changed=self.turns.append,
            **more,
        )
        self._tasks = [
            asyncio.create_task(self.leader.watch.run(cast(Cluster, cluster))),
            asyncio.create_task(self.leader.run()),
        ]

    def kill(self) -> None:
        for task in self._tasks:
            task.cancel()


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not check():
            await asyncio.sleep(0)


def play(story: Callable[[FakeCluster], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        await story(FakeCluster())

    asyncio.run(whole())


def test_the_first_takes_it_and_the_second_waits() -> None:
    async def story(cluster: FakeCluster) -> None:
        first = Candidate(cluster, "first")
        await until(lambda: first.leader.leads)
        second = Candidate(cluster, "second")
        await until(second.leader.watch.synced.is_set)
        cluster.time += 7

        assert (first.leader.seconds_left(), second.leader.seconds_left()) == (1, 0)
        assert (first.turns, second.turns) == ([True], [])

    play(story)


def test_a_released_lease_is_taken_at_once() -> None:
    async def story(cluster: FakeCluster) -> None:
        first, second = Candidate(cluster, "first"), Candidate(cluster, "second")
        await until(lambda: first.leader.leads or second.leader.leads)
        holder, other = (first, second) if first.leader.leads else (second, first)
        before = cluster.time

        holder.kill()
        await holder.leader.release()

        await until(lambda: other.leader.leads)
        assert cluster.time == before
        assert holder.leader.seconds_left() == 0

    play(story)


def test_it_is_released_though_a_renewal_was_still_on_its_way() -> None:
    async def story(cluster: FakeCluster) -> None:
        first = Candidate(cluster, "first")
        await until(lambda: first.leader.leads)
        second = Candidate(cluster, "second")
        await until(second.leader.watch.synced.is_set)
        before = cluster.time

        first.kill()
        await cluster.patch("Lease", "system", "it", {"metadata": {}, "spec": {"renewTime": "now"}})
        await first.leader.release()

        await until(lambda: second.leader.leads)
        assert cluster.time == before

    play(story)


def test_what_another_holds_is_not_released() -> None:
    async def story(cluster: FakeCluster) -> None:
        first = Candidate(cluster, "first")
        await until(lambda: first.leader.leads)

        first.kill()
        taken = {"metadata": {}, "spec": {"holderIdentity": "second"}}
        await cluster.patch("Lease", "system", "it", taken)
        await first.leader.release()

        assert cluster.lease is not None
        assert cluster.lease["spec"]["holderIdentity"] == "second"

    play(story)


def test_a_restart_in_the_same_pod_takes_it_up_again() -> None:
    async def story(cluster: FakeCluster) -> None:
        first = Candidate(cluster, "pod")
        await until(lambda: first.leader.leads)
        first.kill()

        second = Candidate(cluster, "pod")

        await until(lambda: second.leader.leads)

    play(story)


def test_who_cannot_renew_stops_by_itself() -> None:
    async def story(cluster: FakeCluster) -> None:
        first = Candidate(cluster, "first")
        await until(lambda: first.leader.leads)

        cluster.is_down = True
        cluster.time += 8
        await until(lambda: first.turns == [True, False])

        assert first.leader.seconds_left() == 0
        cluster.is_down = False
        await until(lambda: first.leader.leads)

    play(story)


def test_who_sees_another_in_it_stops_at_once() -> None:
    async def story(cluster: FakeCluster) -> None:
        first = Candidate(cluster, "first")
        await until(lambda: first.leader.leads)

        body = {"metadata": {}, "spec": {"holderIdentity": "thief", "leaseDurationSeconds": 10}}
        await cluster.patch("Lease", "system", "clusterous-operator", body)

        await until(lambda: first.turns == [True, False])

    play(story)


def test_a_silent_watch_shows() -> None:
    async def story(cluster: FakeCluster) -> None:
        first = Candidate(cluster, "first")
        await until(lambda: first.leader.leads and bool(cluster.streams))
        cluster.is_silent = True
        version = cluster.lease and cluster.lease["metadata"]["resourceVersion"]
        cluster.time += 3
        await until(lambda: bool(cluster.lease) and _version(cluster) != version)

        cluster.time += 6

        assert first.leader.canary.silent_seconds() == 6

    play(story)


def _version(cluster: FakeCluster) -> str:
    assert cluster.lease is not None
    return str(cluster.lease["metadata"]["resourceVersion"])


def test_the_standby_of_a_silent_watch_looks_itself_before_it_takes_over() -> None:
    async def story(cluster: FakeCluster) -> None:
        first = Candidate(cluster, "first")
        await until(lambda: first.leader.leads)
        second = Candidate(cluster, "second")
        await until(lambda: len(cluster.streams) == 2)
        cluster.is_silent = True
        before = _version(cluster)
        cluster.time += 3
        await until(lambda: _version(cluster) != before)

        cluster.time += 7.5  # for the second, the first is dead by now; it is not
        await until(lambda: cluster.reads > 0)
        await until(lambda: first.leader.seconds_left() == 8)
        cluster.time += 1

        assert second.turns == []
        assert second.leader.canary.silent_seconds() >= 1

    play(story)


def test_alone_it_always_may_write_and_keeps_the_canary() -> None:
    async def story(cluster: FakeCluster) -> None:
        only = Candidate(cluster, "only", alone=True)
        await until(lambda: cluster.lease is not None)

        assert only.leader.seconds_left() == float("inf")
        assert only.turns == [True]

    play(story)
