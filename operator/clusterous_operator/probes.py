"""What the cluster asks the operator: is it alive, is it ready, what are its figures."""

import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from clusterous_operator.machine import Machine


@contextlib.asynccontextmanager
async def served(machine: Machine) -> AsyncIterator[None]:
    """Answer /healthz, /readyz and /metrics while the block lasts."""
    app = web.Application()
    app.add_routes(
        [
            web.get("/healthz", _alive),
            web.get("/readyz", lambda request: _ready(machine)),
            web.get("/metrics", lambda request: _metrics(machine)),
        ]
    )
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, machine.settings.host, machine.settings.port).start()
        yield
    finally:
        await runner.cleanup()


async def _alive(request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _ready(machine: Machine) -> web.Response:
    if machine.is_ready():
        return web.Response(text="ok\n")
    return web.Response(status=503, text="waiting for the CRD and for full caches\n")


async def _metrics(machine: Machine) -> web.Response:
    return web.Response(body=machine.metrics.text(), content_type="text/plain", charset="utf-8")
