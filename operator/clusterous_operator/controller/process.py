"""The operator as a process: start, and end in good order when told to."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Coroutine

import kopf

from clusterous_api.errors import ClusterousError, UserError
from clusterous_operator.client import login
from clusterous_operator.client.cluster import Cluster
from clusterous_operator.controller import handlers, probes, settings
from clusterous_operator.controller.runtime import Machine

logger = logging.getLogger("clusterous_operator")

# The API server lets objects be nested 10,000 deep. One that cannot be read would end the watch of
# all the others, and again at each start; here it can, and its app is told that it is too deep.
_DEEPEST = 12_000


def clock() -> float:
    """Return seconds that also pass while the machine sleeps: a Lease runs out meanwhile."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


async def operate(chosen: settings.Settings) -> None:
    """Run until a signal comes or a part fails."""
    async with Cluster(login.connection) as cluster:
        machine = Machine(chosen, cluster, clock)
        async with probes.served(machine):
            if not await _stopped_before(machine.wait_for_crd()):
                await _side_by_side(machine)


async def _stopped_before(work: Coroutine[object, object, None]) -> bool:
    """Do *work* unless a signal ends it; tell whether one did. Later kopf minds the signals."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return task.cancelled()


async def _kopf(machine: Machine) -> None:
    await kopf.operator(
        registry=handlers.registry(machine),
        standalone=True,
        clusterwide=not machine.settings.namespaces,
        namespaces=machine.settings.namespaces,
    )


async def _side_by_side(machine: Machine) -> None:
    """Run kopf and the machine; kopf, which minds the signals, stops the machine at its end."""
    ours = asyncio.ensure_future(machine.run())
    theirs = asyncio.ensure_future(_kopf(machine))
    await asyncio.wait([ours, theirs], return_when=asyncio.FIRST_COMPLETED)
    if ours.done() and not machine.stopping:
        theirs.cancel()
        await asyncio.wait([theirs])
        ours.result()
    await theirs
    await machine.stop()


def main() -> int:
    """Start the operator; return its exit code."""
    try:
        chosen = settings.read(os.environ, sys.argv[1:])
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.setrecursionlimit(_DEEPEST)
    logging.basicConfig(
        level=chosen.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("kopf").setLevel(max(logging.WARNING, logging.getLevelName(chosen.log_level)))
    try:
        asyncio.run(operate(chosen))
    except ClusterousError as error:
        logger.error("%s", error)
        return error.exit_code
    return 0
