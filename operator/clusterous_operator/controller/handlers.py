"""What kopf does for us: log in, watch ClusterousApps, live and end as an operator should.

Only `on.event`: other handlers of kopf's write annotations and finalizers onto users' objects, so
that a stopped operator would block their deletion, and GitOps would see them drift.
"""

from typing import Any

import kopf

from clusterous_api import names
from clusterous_operator.client import login
from clusterous_operator.controller.runtime import Machine


def registry(machine: Machine) -> kopf.OperatorRegistry:
    """Return the handlers, bound to *machine*."""
    made = kopf.OperatorRegistry()

    known = login.Known()

    @kopf.on.login(registry=made)
    async def log_in(**_: Any) -> kopf.ConnectionInfo:
        return await login.log_in(known)

    @kopf.on.startup(registry=made)
    def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        _configure(settings)

    @kopf.on.cleanup(registry=made)
    async def end(**_: Any) -> None:
        # Before kopf ends: it would cancel our tasks as forgotten ones, in the midst of a write.
        await machine.stop()

    @kopf.on.event(names.GROUP, names.VERSION, names.PLURAL, registry=made)
    async def app_changed(event: Any, **_: Any) -> None:
        machine.took(event["type"], event["object"])

    return made


def _configure(settings: kopf.OperatorSettings) -> None:
    settings.posting.enabled = False  # our own events, fewer
    settings.peering.standalone = True
    settings.scanning.disabled = True  # the CRD is there before kopf starts; fewer rights needed
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.inactivity_timeout = 70
    # kopf keeps a page as Python objects, and for each app that changes a task for this long.
    settings.watching.chunk_size = 100
    settings.queueing.idle_timeout = 0.5
    settings.networking.connect_timeout = 10
    settings.networking.request_timeout = 60
    settings.process.ultimate_exiting_timeout = 25
    settings.persistence.finalizer = f"{names.DOMAIN}/operator"  # never set; named just in case
