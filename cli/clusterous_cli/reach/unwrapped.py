"""A local port that speaks plainly what a server behind a tunnel speaks under TLS.

A browser on this machine would warn of a certificate that only the cluster's own authority signed;
here it is checked by that authority, and nothing is plain on any network.
"""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Coroutine, Iterator
from typing import Final

from clusterous_cli.reach.tunnel import LOOPBACK

CHUNK: Final = 1 << 16
SECONDS: Final = 30


@contextlib.contextmanager
def served(port: int, behind: int, trust: ssl.SSLContext) -> Iterator[int]:
    """Carry the local *port* (0: any) to the TLS server at the local port *behind*.

    One thread does it all: OpenSSL's connections may not be read and written by two at a time.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def carry(near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with contextlib.closing(back.transport):
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(SECONDS):
                    far, to = await asyncio.open_connection(
                        LOOPBACK, behind, ssl=trust, server_hostname="localhost"
                    )
                try:
                    await _either(_pump(near, to), _pump(far, back))
                finally:
                    to.transport.abort()
            back.close()
            with contextlib.suppress(OSError):
                await back.wait_closed()

    async def begin() -> asyncio.Server:
        return await asyncio.start_server(carry, LOOPBACK, port)

    async def end(server: asyncio.Server) -> None:
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for each in others:
            each.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # Connections that were given up are closed by the loop's next rounds.
        await asyncio.sleep(0.01)

    try:
        server = asyncio.run_coroutine_threadsafe(begin(), loop).result()
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            asyncio.run_coroutine_threadsafe(end(server), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _either(*ways: Coroutine[None, None, None]) -> None:
    """Carry both ways until one ends: then the whole connection does."""
    pumps = [asyncio.create_task(way) for way in ways]
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while found := await source.read(CHUNK):
        target.write(found)
        await target.drain()
