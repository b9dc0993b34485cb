"""The proxy and its faults, each before a small API server of the test's own."""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.chaos import calls, faults
from tests.chaos.calls import Call, DroppedError, Events, Fault
from tests.chaos.proxy import Proxy

PODS = "/api/v1/namespaces/here/pods"


class Server:
    """Counts what it does; a watch brings *events* and then waits."""

    def __init__(self, events: list[dict[str, Any]] | None = None) -> None:
        self.done: list[str] = []
        self.events = events or []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("watch"):
            stream = web.StreamResponse()
            await stream.prepare(request)
            for one in self.events:
                await stream.write(json.dumps(one).encode() + b"\n")
            await asyncio.sleep(0.05)
            return stream
        self.done.append(f"{request.method} {request.path}")
        return web.json_response({"items": [], "number": len(self.done)})


@asynccontextmanager
async def between(server: Server, *trouble: Fault) -> AsyncIterator[tuple[Proxy, str]]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    upstream = f"http://127.0.0.1:{runner.addresses[0][1]}"
    proxy = Proxy(name="a", upstream=upstream, tls=None, clock=lambda: 0.0, faults=trouble)
    await proxy.start()
    try:
        yield proxy, proxy.url
    finally:
        await proxy.stop()
        await runner.cleanup()


async def ask(url: str, method: str = "GET", path: str = PODS) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url + path, headers={"Authorization": "Bearer t"}) as answer,
    ):
        return answer.status, await answer.json()


async def watch(url: str) -> list[dict[str, Any]]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}{PODS}?watch=true") as answer,
    ):
        return [json.loads(line) async for line in answer.content]


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def event(name: str, version: int, kind: str = "MODIFIED") -> dict[str, Any]:
    metadata = {"name": name, "uid": name, "resourceVersion": str(version)}
    return {"type": kind, "object": {"metadata": metadata}}


EVENTS = [event("x", 1), event("y", 2), event("x", 3), event("y", 4), event("x", 5, "DELETED")]


@pytest.mark.parametrize(
    ("path", "where"),
    [
        pytest.param(f"{PODS}/p", ("here", "pods", "p", ""), id="core"),
        pytest.param(
            "/apis/apps/v1/namespaces/n/deployments/d/scale",
            ("n", "deployments", "d", "scale"),
            id="subresource",
        ),
        pytest.param("/api/v1/nodes/n", ("", "nodes", "n", ""), id="of-the-cluster"),
        pytest.param("/api/v1/namespaces/n", ("", "namespaces", "n", ""), id="a-namespace"),
        pytest.param("/readyz", ("", "", "", ""), id="no-object"),
    ],
)
def test_reads_paths_as_the_api_server_does(path: str, where: tuple[str, ...]) -> None:
    call = calls.read("GET", path, {})

    assert (call.namespace, call.plural, call.name, call.sub) == where


def test_passes_everything_on_and_notes_the_writes() -> None:
    async def test() -> None:
        server = Server(EVENTS)
        async with between(server) as (proxy, url):
            assert (await ask(url, "PATCH"))[0] == 200
            assert (await ask(url))[1]["number"] == 2
            assert await watch(url) == EVENTS
        assert [(one.writer, str(one.call), one.status) for one in proxy.noted] == [
            ("a", "PATCH pods", 200)
        ]

    run(test)


@pytest.mark.parametrize(("late", "done"), [(False, 1), (True, 2)])
def test_kills_at_the_write_before_or_after_it_was_done(late: bool, done: int) -> None:
    async def test() -> None:
        killed: list[str] = []
        fault = faults.Kills(
            namespace="here", number=2, late=late, kill=lambda: killed.append("now")
        )
        server = Server()
        async with between(server, fault) as (_, url):
            await ask(url, "PATCH")
            await ask(url)  # a read does not count
            with pytest.raises(aiohttp.ClientError):
                await ask(url, "PATCH")
            await ask(url, "PATCH")
        writes = [one for one in server.done if one.startswith("PATCH")]
        assert (killed, fault.struck) == (["now"], "PATCH pods")
        assert len(writes) == done + 1

    run(test)


def test_an_answer_lost_is_a_write_done() -> None:
    async def test() -> None:
        server = Server()
        async with between(server, faults.LosesAnswers(random.Random(1), share=1)) as (_, url):
            with pytest.raises(aiohttp.ClientError):
                await ask(url, "POST")
        assert server.done == [f"POST {PODS}"]

    run(test)


def test_a_refusal_is_nothing_done() -> None:
    async def test() -> None:
        server = Server()
        fault = faults.Refuses(random.Random(1), code=429, reason="TooMany", share=1, retry_after=1)
        async with between(server, fault) as (_, url):
            status, body = await ask(url, "POST")
        assert (status, body["reason"], server.done) == (429, "TooMany", [])

    run(test)


def test_stale_lists_are_those_of_the_first_time() -> None:
    async def test() -> None:
        fault = faults.StaleLists()
        async with between(Server(), fault) as (_, url):
            first = await ask(url)
            assert await ask(url) != first
            fault.serving = True
            assert await ask(url) == first
        assert fault.strikes == 1

    run(test)


def test_only_the_current_token_is_known() -> None:
    async def test() -> None:
        fault = faults.Tokens("t")
        async with between(Server(), fault) as (_, url):
            assert (await ask(url))[0] == 200
            fault.current = "another"
            assert (await ask(url))[0] == 401

    run(test)


def test_events_are_repeated() -> None:
    async def test() -> None:
        async with between(Server(EVENTS), faults.Repeats()) as (_, url):
            assert await watch(url) == [one for one in EVENTS for _ in range(2)]

    run(test)


def test_events_are_mixed_but_not_those_of_one_object() -> None:
    async def test() -> None:
        orders = set()
        for seed in range(8):
            fault = faults.Reorders(random.Random(seed), seconds=0.02)
            async with between(Server(EVENTS), fault) as (_, url):
                seen = await watch(url)
            for name in "xy":
                wanted = [one for one in EVENTS if one["object"]["metadata"]["name"] == name]
                assert [one for one in seen if one in wanted] == wanted
            orders.add(json.dumps(seen))
        assert len(orders) > 1

    run(test)


def test_older_versions_are_replayed_while_the_object_lives() -> None:
    async def test() -> None:
        async with between(Server(EVENTS), faults.Replays(random.Random(1), share=1)) as (_, url):
            seen = await watch(url)
        assert seen == [*EVENTS[:3], event("x", 1), EVENTS[3], event("y", 2), EVENTS[4]]

    run(test)


def test_a_watch_expires() -> None:
    async def test() -> None:
        refused = faults.Expires(random.Random(1), share=1)
        async with between(Server(EVENTS), refused) as (_, url):
            (status,) = await watch(url)
        assert status["code"] == 410
        inside = faults.Expires(random.Random(1), share=0)
        async with between(Server(EVENTS), inside) as (_, url):
            seen = await watch(url)
        assert seen[:-1] == EVENTS
        assert seen[-1]["object"]["code"] == 410

    run(test)


def test_a_watch_falls_silent_and_the_next_one_speaks() -> None:
    async def test() -> None:
        fault = faults.Silences()

        async def told() -> Events:
            for number in range(4):
                if number == 2:
                    fault.silence()
                yield str(number).encode()

        call = calls.read("GET", PODS, {"watch": "true"})
        assert [one async for one in fault.stream(call, told())] == [b"0", b"1"]
        async with between(Server(EVENTS), fault) as (_, url):
            assert await watch(url) == EVENTS

    run(test)


def test_a_stream_may_break_within_an_event() -> None:
    class Breaks(Fault):
        async def stream(self, call: Call, events: Events) -> Events:
            yield await anext(events)
            raise DroppedError(b'{"type":"MOD')

    async def test() -> None:
        seen = b""
        async with (
            between(Server(EVENTS), Breaks()) as (_, url),
            aiohttp.ClientSession() as session,
            session.get(f"{url}{PODS}?watch=true") as answer,
        ):
            with contextlib.suppress(aiohttp.ClientError):
                async for chunk in answer.content.iter_any():
                    seen += chunk
            broken = answer.content.exception()
        assert seen == json.dumps(EVENTS[0]).encode() + b'\n{"type":"MOD'
        assert isinstance(broken, aiohttp.ClientError)

    run(test)


def test_a_fault_that_has_ended_does_nothing() -> None:
    async def test() -> None:
        fault = faults.Refuses(random.Random(1), code=500, reason="Bad", share=1)
        fault.active = False
        async with between(Server(), fault) as (_, url):
            assert (await ask(url))[0] == 200

    run(test)


def test_kills_each_write_once_on_either_side() -> None:
    async def test() -> None:
        killed: list[str] = []
        fault = faults.KillsEach(namespace="here", times=2, kill=lambda: killed.append("now"))
        call = calls.read("PATCH", f"{PODS}/p", {})
        other = Call(method="PATCH", path="/elsewhere")
        assert await fault.before(other) is None
        with pytest.raises(DroppedError):
            await fault.before(call)
        assert await fault.before(call) is None
        with pytest.raises(DroppedError):
            await fault.after(call, calls.refusal(200, "", ""))
        assert await fault.before(call) is None
        assert len(killed) == 2

    run(test)
