"""The proxy between one operator and the real API server, in which faults happen.

Plain HTTP towards the operator, TLS towards the API server; the operator's token goes through, so
that it has exactly its own rights. It notes every write, as the operator and as the server saw it.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from tests.chaos import calls
from tests.chaos.calls import Call, DroppedError, Events, Fault, Reply

_PASSED_ON = ("Authorization", "Content-Type", "Accept", "User-Agent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A write that reached the API server."""

    writer: str
    at: float
    call: Call
    status: int


@dataclass(slots=True, kw_only=True)
class Proxy:
    """One listening port; *upstream* is the API server's address, *tls* trusts its authority."""

    name: str
    upstream: str
    tls: ssl.SSLContext | None
    clock: Callable[[], float]
    noted: list[Write] = field(default_factory=list)  # may be shared with another proxy's
    faults: Sequence[Fault] = ()
    port: int = 0
    _open: set[asyncio.Transport] = field(default_factory=set)
    _runner: web.AppRunner | None = None
    _session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """Return where the operator finds it."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen on a free port of loopback."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=True if self.tls is None else self.tls),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5.0),
        )
        app = web.Application(client_max_size=16 * 2**20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            handler_cancellation=True,
            shutdown_timeout=0.1,
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Break what is open, and listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def cut(self) -> None:
        """Break all streams that are open now."""
        for one in list(self._open):
            one.abort()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        call = calls.read(request.method, request.path, request.query, token)
        try:
            body = await request.read()
            if call.is_watch:
                return await self._watch(request, call)
            # What is on its way arrives, though its sender may be dead or have given up by then.
            asked = asyncio.ensure_future(self._ask(request, call, body))
            asked.add_done_callback(lambda done: done.cancelled() or done.exception())
            return _response(await asyncio.shield(asked))
        except (DroppedError, aiohttp.ClientError, ConnectionError):
            # The API server's own silence (it restarts, say) reaches the operator as it is.
            if request.transport is not None:
                request.transport.abort()
            return web.Response()  # which nobody hears any more

    async def _ask(self, request: web.Request, call: Call, body: bytes) -> Reply:
        faults = [one for one in self.faults if one.active]
        for fault in faults:
            if (instead := await fault.before(call)) is not None:
                return instead
        async with self._send(request, body) as answer:
            reply = await _read(answer)
        if call.is_write:
            self._note(call, reply.status)
        for fault in faults:
            reply = await fault.after(call, reply)
        return reply

    def _note(self, call: Call, status: int) -> None:
        self.noted.append(Write(writer=self.name, at=self.clock(), call=call, status=status))

    async def _watch(self, request: web.Request, call: Call) -> web.StreamResponse:
        faults = [one for one in self.faults if one.active]
        for fault in faults:
            if (instead := await fault.before(call)) is not None:
                return _response(instead)
        async with self._send(request) as answer:
            if answer.status != 200:
                return _response(await _read(answer))
            events = lines(answer.content)
            for fault in faults:
                events = fault.stream(call, events)
            stream = web.StreamResponse(headers={"Content-Type": "application/json"})
            await stream.prepare(request)
            with self._counted(request):
                await _send_on(events, stream)
            await stream.write_eof()
            return stream

    @contextlib.contextmanager
    def _counted(self, request: web.Request) -> Iterator[None]:
        transport = request.transport
        assert transport is not None
        self._open.add(transport)
        try:
            yield
        finally:
            self._open.discard(transport)

    @contextlib.asynccontextmanager
    async def _send(
        self, request: web.Request, body: bytes = b""
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        assert self._session is not None
        headers = {key: request.headers[key] for key in _PASSED_ON if key in request.headers}
        async with self._session.request(
            request.method,
            f"{self.upstream}{request.rel_url}",
            data=body or None,
            headers=headers | {"Accept-Encoding": "identity"},
        ) as answer:
            yield answer


async def _send_on(events: Events, stream: web.StreamResponse) -> None:
    try:
        async with contextlib.aclosing(events):
            async for line in events:
                await stream.write(line + b"\n")
    except DroppedError as error:
        if error.beginning:
            await stream.write(error.beginning)
            await asyncio.sleep(0.05)  # an abort throws away what has not been sent yet
        raise


async def _read(answer: aiohttp.ClientResponse) -> Reply:
    kept = {key: answer.headers[key] for key in ("Retry-After",) if key in answer.headers}
    return Reply(status=answer.status, body=await answer.read(), headers=kept)


def _response(reply: Reply) -> web.Response:
    headers = {"Content-Type": "application/json", **reply.headers}
    return web.Response(status=reply.status, body=reply.body, headers=headers)


async def lines(content: aiohttp.StreamReader) -> Events:
    """Split a stream at its line ends."""
    rest = b""
    async for chunk in content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line:
                yield line
    await asyncio.sleep(0)
