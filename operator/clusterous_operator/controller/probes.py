"""What the cluster asks the operator: is it alive, is it ready, what are its figures."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from clusterous_operator.controller.runtime import Machine
from clusterous_operator.status import figures

_BATCH = 20


@contextlib.asynccontextmanager
async def served(machine: Machine) -> AsyncIterator[None]:
    """Answer /healthz, /readyz and /metrics while the block lasts."""
    app = web.Application()
    app.add_routes(
        [
            web.get("/healthz", lambda request: _alive(machine)),
            web.get("/readyz", lambda request: _ready(machine)),
            web.get("/metrics", lambda request: _metrics(request, machine)),
        ]
    )
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, machine.settings.host, machine.settings.port).start()
        yield
    finally:
        await runner.cleanup()


async def _alive(machine: Machine) -> web.Response:
    trouble = machine.trouble()
    return _answer(trouble is None, trouble or "")


async def _ready(machine: Machine) -> web.Response:
    """A standby is ready, too: it may take over at any time."""
    missing = machine.missing()
    return _answer(not missing, f"waiting for the lists of {', '.join(missing)}")


def _answer(well: bool, trouble: str) -> web.Response:
    return web.Response(text="ok\n") if well else web.Response(status=503, text=f"{trouble}\n")


async def _metrics(request: web.Request, machine: Machine) -> web.StreamResponse:
    """Send the figures piece by piece: those of thousands of apps are larger than the apps."""
    response = web.StreamResponse(headers={"Content-Type": "text/plain; version=0.0.4"})
    await response.prepare(request)
    await response.write(machine.metrics.text())
    text = figures.Text()
    for index, record in enumerate(machine.store.apps.all()):
        text.add(record)
        if index % _BATCH == 0:
            await asyncio.sleep(0)  # Prometheus can wait, changes cannot
    for piece in text.pieces():
        await response.write(piece)
    await response.write_eof()
    return response
