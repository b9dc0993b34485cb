"""A watch keeps its table true, whatever happens to the stream."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, cast

from clusterous_operator.cache import observed
from clusterous_operator.cache.observed import Pod
from clusterous_operator.cache.store import Table
from clusterous_operator.client.cluster import BusyError, Cluster, GoneError, Page
from clusterous_operator.client.watches import Watch

Event = tuple[str, dict[str, Any]]


def body(name: str, version: int, phase: str = "Running") -> dict[str, Any]:
    metadata = {"namespace": "lab", "name": name, "resourceVersion": str(version)}
    return {"metadata": metadata, "status": {"phase": phase}}


class FakeCluster:
    """Answers lists and watches from a script; a watch beyond it never answers."""

    def __init__(
        self,
        lists: Sequence[Sequence[dict[str, Any]]],
        watches: Sequence[Sequence[Event | Exception]],
    ) -> None:
        self.lists = list(lists)
        self.watches = list(watches)
        self.left: list[str] = []
        self.asked: list[str] = []
        self.at_rest = asyncio.Event()

    async def list_pages(
        self,
        kind: str,
        namespace: str | None,
        selectors: Mapping[str, str],
        trim: Callable[[dict[str, Any]], Any],
    ) -> AsyncIterator[Page[Any]]:
        self.asked.append("list")
        items = self.lists.pop(0)
        yield Page(items=[trim(one) for one in items], version="100")

    async def watch(
        self, kind: str, namespace: str | None, selectors: Mapping[str, str], version: str
    ) -> AsyncIterator[Event]:
        self.asked.append(f"watch from {version}")
        if not self.watches:
            self.at_rest.set()
            await asyncio.Event().wait()
        for event in self.watches.pop(0):
            if isinstance(event, Exception):
                raise event
            yield event


def follow(
    lists: Sequence[Sequence[dict[str, Any]]], watches: Sequence[Sequence[Event | Exception]]
) -> tuple[set[str], list[str], list[str]]:
    """Let a watch follow a script; return what it knows, what it asked, whom it told of."""

    async def story() -> tuple[set[str], list[str], list[str]]:
        table: Table[Pod] = Table(observed.pod)
        told: list[str] = []
        watch = Watch(
            kind="Pod",
            namespace=None,
            table=table,
            changed=lambda items: told.extend(one.name for one in items),
        )
        cluster = FakeCluster(lists, watches)
        task = asyncio.create_task(watch.run(cast(Cluster, cluster)))
        async with asyncio.timeout(10):
            await cluster.at_rest.wait()
        task.cancel()
        return {one.name for one in table.all()}, cluster.asked, told

    return asyncio.run(story())


def test_takes_changes_from_where_the_list_ended() -> None:
    events: list[Event | Exception] = [
        ("ADDED", body("b", 101)),
        ("DELETED", body("a", 102)),
        ("BOOKMARK", body("", 200)),
    ]

    known, asked, _ = follow([[body("a", 99)]], [events])

    assert known == {"b"}
    assert asked == ["list", "watch from 100", "watch from 200"]


def test_a_list_after_gone_forgets_what_vanished_unseen_and_tells() -> None:
    known, asked, told = follow(
        [[body("a", 1), body("b", 2)], [body("b", 2)]], [[GoneError("410")]]
    )

    assert known == {"b"}
    assert asked == ["list", "watch from 100", "list", "watch from 100"]
    assert told == ["a", "b", "a"]


def test_a_broken_stream_is_taken_up_where_it_broke() -> None:
    events: list[Event | Exception] = [("ADDED", body("b", 150)), BusyError("cut")]

    known, asked, _ = follow([[]], [events])

    assert known == {"b"}
    assert asked == ["list", "watch from 100", "watch from 150"]


def test_repeated_events_are_told_once() -> None:
    twice: list[Event | Exception] = [("ADDED", body("b", 150)), ("MODIFIED", body("b", 150))]

    _, _, told = follow([[]], [twice])

    assert told == ["b"]


class Silence(FakeCluster):
    """Opens streams in which nothing comes; *time* is the watch's clock."""

    time = 0.0

    async def watch(
        self, kind: str, namespace: str | None, selectors: Mapping[str, str], version: str
    ) -> AsyncIterator[Event]:
        self.asked.append("watch")
        if self.watches:
            for event in self.watches.pop(0):
                yield cast(Event, event)
        self.at_rest.set()
        await asyncio.Event().wait()


def silent_after(events: Sequence[Event], seconds: float) -> float:
    """Return for how long a watch says that it was silent, *seconds* after these events."""

    async def story() -> float:
        cluster = Silence([[]], [events])
        table: Table[Pod] = Table(observed.pod)
        watch = Watch(
            kind="Pod",
            namespace=None,
            table=table,
            changed=lambda items: None,
            clock=lambda: cluster.time,
        )
        task = asyncio.create_task(watch.run(cast(Cluster, cluster)))
        async with asyncio.timeout(10):
            await cluster.at_rest.wait()
        cluster.time += seconds
        found = watch.silent_seconds()
        task.cancel()
        return found

    return asyncio.run(story())


def test_counts_the_silence_of_an_open_stream() -> None:
    assert silent_after([], 300) == 300
    assert silent_after([("BOOKMARK", body("", 200))], 300) == 300


def test_a_server_that_is_not_there_is_not_silent() -> None:
    async def story() -> float:
        cluster = FakeCluster([[]], [[BusyError("refused")]])
        now = [0.0]
        table: Table[Pod] = Table(observed.pod)
        watch = Watch(
            kind="Pod",
            namespace=None,
            table=table,
            changed=lambda items: None,
            clock=lambda: now[0],
        )
        task = asyncio.create_task(watch.run(cast(Cluster, cluster)))
        async with asyncio.timeout(10):
            while "watch from 100" not in cluster.asked:
                await asyncio.sleep(0)
        now[0] = 300
        found = watch.silent_seconds()
        task.cancel()
        return found

    assert asyncio.run(story()) == 0


def went_back(versions: Sequence[str], events: Sequence[Event]) -> bool:
    """Return whether a watch says that time went back, which is told of these lists and events."""

    class Lists(FakeCluster):
        async def list_pages(self, *asked: Any) -> AsyncIterator[Page[Any]]:
            yield Page(items=[], version=self.left.pop(0))

    async def story() -> bool:
        ends = [[GoneError("too old")] for _ in versions[1:]]
        cluster = Lists([], [*ends, list(events)])
        cluster.left = list(versions)
        table: Table[Pod] = Table(observed.pod)
        watch = Watch(kind="Pod", namespace=None, table=table, changed=lambda items: None)
        task = asyncio.create_task(watch.run(cast(Cluster, cluster)))
        async with asyncio.timeout(10):
            await cluster.at_rest.wait()
        task.cancel()
        return watch.went_back

    return asyncio.run(story())


def test_what_is_told_as_of_before_is_a_datastore_that_was_restored() -> None:
    assert went_back(["100", "60"], [])
    assert went_back(["100"], [("MODIFIED", body("a", 120)), ("BOOKMARK", body("", 60))])

    assert not went_back(["100", "100", "130"], [("ADDED", body("a", 131))])
    assert not went_back(["opaque", "other"], [])


def test_an_object_that_cannot_be_read_is_left_out_and_ends_no_watch() -> None:
    unreadable = {"containers": [{"name": "x", "resources": {"requests": ["none"]}}]}
    wrong = [{**body(name, 99), "spec": unreadable} for name in "cd"]
    events: list[Event | Exception] = [
        ("MODIFIED", {**body("a", 101), "spec": unreadable}),
        ("DELETED", wrong[1]),
        ("ADDED", body("b", 102)),
    ]

    known, asked, told = follow([[body("a", 98), *wrong, body("e", 99)]], [events])

    assert known == {"b", "e"}
    assert asked == ["list", "watch from 100", "watch from 102"]
    assert told == ["a", "e", "a", "b"]
