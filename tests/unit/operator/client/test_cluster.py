"""What the client asks of the API server, on a server that only listens."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import kopf
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from clusterous_api.errors import TransientError
from clusterous_operator.client.cluster import (
    BusyError,
    Cluster,
    ConflictError,
    NotLeaderError,
    QuotaError,
    RefusedError,
)

Asked = list[web.Request]
Story = Callable[[Cluster, Asked], Coroutine[Any, Any, None]]
CHILD = {"kind": "Service", "metadata": {"namespace": "lab", "name": "sim-master"}}


def play(story: Story, answer: Callable[[web.Request], Coroutine[Any, Any, web.Response]]) -> None:
    """Let *story* talk to a server that answers so."""

    async def whole() -> None:
        asked: Asked = []

        async def hear(request: web.Request) -> web.Response:
            asked.append(request)
            await request.read()
            return await answer(request)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", hear)
        async with TestServer(app) as server:
            info = kopf.ConnectionInfo(server=str(server.make_url("/")).rstrip("/"))

            async def login() -> kopf.ConnectionInfo:
                return info

            async with Cluster(login) as cluster:
                await story(cluster, asked)

    asyncio.run(whole())


async def well(request: web.Request) -> web.Response:
    return web.json_response({"metadata": {"resourceVersion": "1"}})


def test_without_a_lease_nothing_is_written() -> None:
    async def story(cluster: Cluster, asked: Asked) -> None:
        cluster.guard(lambda: 0.0)

        with pytest.raises(NotLeaderError):
            await cluster.apply(CHILD, force=True)
        with pytest.raises(NotLeaderError):
            await cluster.patch("Service", "lab", "x", {})
        with pytest.raises(NotLeaderError):
            await cluster.create("Event", "lab", {})
        with pytest.raises(NotLeaderError):
            await cluster.delete("Service", "lab", "x", "uid")

        assert asked == []

    play(story, well)


def test_without_a_lease_everything_may_be_read_and_the_lease_asked_for() -> None:
    async def story(cluster: Cluster, asked: Asked) -> None:
        cluster.guard(lambda: 0.0)

        await cluster.read("Service", "lab", "x")
        await cluster.patch("Lease", "system", "lease", {}, unfenced_seconds=2.5)

        assert [one.method for one in asked] == ["GET", "PATCH"]

    play(story, well)


def test_a_write_tells_the_server_how_long_it_may_take() -> None:
    async def story(cluster: Cluster, asked: Asked) -> None:
        await cluster.apply(CHILD, force=True)
        cluster.guard(lambda: 3.25)
        await cluster.apply(CHILD, force=True)

        assert [one.query.get("timeout") for one in asked] == [None, "3250ms"]

    play(story, well)


def test_a_write_is_given_up_when_the_lease_has_run_out() -> None:
    async def never(request: web.Request) -> web.Response:
        await asyncio.sleep(3600)
        return await well(request)

    async def story(cluster: Cluster, asked: Asked) -> None:
        cluster.guard(lambda: 1.0)  # long enough to ask, also on a busy machine
        async with asyncio.timeout(10):
            with pytest.raises(BusyError):
                await cluster.apply(CHILD, force=True)

        assert len(asked) == 1

    play(story, never)


def test_counts_answers_by_method_and_code() -> None:
    async def conflict(request: web.Request) -> web.Response:
        return web.json_response({"message": "changed"}, status=409)

    async def story(cluster: Cluster, asked: Asked) -> None:
        counted: list[tuple[str, str]] = []
        cluster.count_by(lambda method, code: counted.append((method, code)))

        with pytest.raises(ConflictError):
            await cluster.apply(CHILD, force=True)

        assert counted == [("PATCH", "409")]

    play(story, conflict)


def test_lists_page_by_page_and_keeps_what_is_cut() -> None:
    async def page(request: web.Request) -> web.Response:
        more = {} if "continue" in request.query else {"continue": "next"}
        name = "b" if "continue" in request.query else "a"
        body = {"metadata": {"resourceVersion": "9", **more}, "items": [{"name": name}]}
        return web.json_response(body)

    async def story(cluster: Cluster, asked: Asked) -> None:
        pages = cluster.list_pages("Pod", None, {"labelSelector": "x"}, lambda one: one["name"])

        assert [(one.items, one.version) async for one in pages] == [(["a"], "9"), (["b"], "9")]
        assert [one.query["labelSelector"] for one in asked] == ["x", "x"]

    play(story, page)


@pytest.mark.parametrize(
    ("message", "wrong"),
    [
        ("failed to create typed patch object (x): .spec.a: field not declared in schema", True),
        ("failed to convert new object (lab/sim): cannot unmarshal number into Go value", True),
        ("etcdserver: request timed out", False),
    ],
)
def test_a_500_that_means_a_wrong_request_is_a_refusal(message: str, wrong: bool) -> None:
    async def fail(request: web.Request) -> web.Response:
        return web.json_response({"message": message, "code": 500}, status=500)

    async def story(cluster: Cluster, asked: Asked) -> None:
        with pytest.raises(RefusedError if wrong else BusyError) as caught:
            await cluster.apply(CHILD, force=True)
        if isinstance(caught.value, BusyError):
            assert caught.value.answered

    play(story, fail)


@pytest.mark.parametrize("code", [401, 404, 406, 409, 410, 412, 418, 429, 500, 503])
@pytest.mark.parametrize(
    "message",
    [
        'admission webhook "images.example.org" denied the request: not from there',
        "deployments.apps \"a\" is forbidden: ValidatingAdmissionPolicy 'few' with binding 'all' "
        "denied request: at most five",
    ],
)
def test_what_a_policy_denies_is_a_refusal_with_whatever_code(code: int, message: str) -> None:
    async def deny(request: web.Request) -> web.Response:
        return web.json_response({"message": message, "code": code}, status=code)

    async def story(cluster: Cluster, asked: Asked) -> None:
        with pytest.raises(RefusedError, match="denied"):
            await cluster.apply(CHILD, force=True)

    play(story, deny)


@pytest.mark.parametrize(
    ("code", "is_refused"),
    [(code, code not in (401, 404, 408, 409, 410, 425, 429)) for code in range(400, 452)]
    + [(502, False), (503, False), (504, False)],
)
def test_what_is_wrong_with_a_request_stays_so(code: int, is_refused: bool) -> None:
    async def fail(request: web.Request) -> web.Response:
        return web.json_response({"message": "no", "code": code}, status=code)

    async def story(cluster: Cluster, asked: Asked) -> None:
        with pytest.raises(RefusedError if is_refused else TransientError):
            await cluster.apply(CHILD, force=True)

    play(story, fail)


@pytest.mark.parametrize(
    ("message", "by_quota"),
    [
        ('deployments.apps "a" is forbidden: exceeded quota: team, requested: x=1', True),
        ('pods "a" is forbidden: failed quota: team: must specify limits.cpu', True),
        ('deployments.apps is forbidden: User "x" cannot patch', False),
    ],
)
def test_what_a_quota_forbids_is_told_from_what_rights_do(message: str, by_quota: bool) -> None:
    async def fail(request: web.Request) -> web.Response:
        return web.json_response({"message": message, "code": 403}, status=403)

    async def story(cluster: Cluster, asked: Asked) -> None:
        with pytest.raises(RefusedError) as caught:
            await cluster.apply(CHILD, force=True)
        assert isinstance(caught.value, QuotaError) == by_quota

    play(story, fail)


def test_a_delete_is_meant_for_the_very_object_that_was_seen() -> None:
    bodies: list[Any] = []

    async def note(request: web.Request) -> web.Response:
        bodies.append(await request.json())
        return await well(request)

    async def story(cluster: Cluster, asked: Asked) -> None:
        await cluster.delete("Service", "lab", "x", "its-uid", 7)
        await cluster.delete("Service", "lab", "x", "its-uid")

    play(story, note)

    assert [one["preconditions"] for one in bodies] == [
        {"uid": "its-uid", "resourceVersion": "7"},
        {"uid": "its-uid"},
    ]


def test_of_many_that_are_refused_at_once_one_logs_in() -> None:
    logins: list[int] = []

    async def hear(request: web.Request) -> web.Response:
        known = request.headers["Authorization"] == "Bearer 2"
        return web.json_response({}, status=200 if known else 401)

    async def whole() -> None:
        app = web.Application()
        app.router.add_get("/version", hear)
        async with TestServer(app) as server:

            async def login() -> kopf.ConnectionInfo:
                logins.append(1)
                await asyncio.sleep(0.05)
                url = str(server.make_url("/")).rstrip("/")
                return kopf.ConnectionInfo(server=url, token=str(len(logins)))

            async with Cluster(login) as cluster:
                await asyncio.gather(*(cluster.release() for _ in range(5)))

    asyncio.run(whole())
    assert len(logins) == 2


def test_a_watch_hears_on_after_others_have_logged_in_anew() -> None:
    tokens = iter("12")

    async def hear(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            known = request.headers["Authorization"] == "Bearer 2"
            return web.json_response({}, status=200 if known else 401)
        stream = web.StreamResponse()
        await stream.prepare(request)
        await stream.write(b'{"type": "ADDED", "object": {}}\n')
        await renewed.wait()
        await stream.write(b'{"type": "MODIFIED", "object": {}}\n')
        return stream

    async def whole() -> list[str]:
        app = web.Application()
        app.router.add_get("/{path:.*}", hear)
        async with TestServer(app) as server:

            async def login() -> kopf.ConnectionInfo:
                url = str(server.make_url("/")).rstrip("/")
                return kopf.ConnectionInfo(server=url, token=next(tokens))

            heard = []
            async with Cluster(login) as cluster:
                async for kind, _ in cluster.watch("Pod", None, {}, "1"):
                    heard.append(kind)
                    await cluster.release()
                    renewed.set()
            return heard

    renewed = asyncio.Event()
    assert asyncio.run(asyncio.wait_for(whole(), 20)) == ["ADDED", "MODIFIED"]
