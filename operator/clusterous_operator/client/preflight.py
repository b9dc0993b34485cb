"""Looks now and then whether the cluster is new enough for this operator; the edge of skew.py."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

import clusterous_api
from clusterous_api import names
from clusterous_api.errors import TransientError
from clusterous_operator.client import skew
from clusterous_operator.client.cluster import Cluster, RefusedError
from clusterous_operator.client.skew import Unfit

logger = logging.getLogger(__name__)

_CRD = f"{names.PLURAL}.{names.GROUP}"
_FILE = "clusterousapps.yaml"
_FIT_SECONDS = 300.0
_UNFIT_SECONDS = 15.0  # somebody is probably about to mend it
_RETRY_SECONDS = 2.0


class Fitness:
    """What is known about the cluster's fitness; *changed* is told of each change of it."""

    def __init__(
        self,
        cluster: Cluster,
        changed: Callable[[], None],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._cluster = cluster
        self._changed = changed
        self._pause = pause
        self._judged: tuple[str, Unfit | None] = ("", None)
        self.unfit: Unfit | None = None
        self.known = asyncio.Event()

    async def run(self) -> None:
        """Look again and again; soon, where something is wrong."""
        while True:
            try:
                self._take(await self._look())
            except TransientError as error:
                logger.warning("Looking at the CRD: %s", error)
                await self._pause(_RETRY_SECONDS)
            except RefusedError as error:
                logger.warning("The operator may not read its CRD, and takes it for new: %s", error)
                self._take(None)
                await self._pause(_FIT_SECONDS)
            else:
                await self._pause(_FIT_SECONDS if self.unfit is None else _UNFIT_SECONDS)

    async def _look(self) -> Unfit | None:
        kubernetes = skew.of_kubernetes(await self._cluster.release())
        if kubernetes is not None:
            return kubernetes
        crd = await self._cluster.read("CustomResourceDefinition", None, _CRD)
        mark = f"{crd['metadata'].get('uid')}/{crd['metadata'].get('generation')}"
        if mark != self._judged[0]:
            self._judged = (mark, skew.of_crd(ours(), crd))
        return self._judged[1]

    def _take(self, unfit: Unfit | None) -> None:
        before, self.unfit = self.unfit, unfit
        self.known.set()
        if unfit == before:
            return
        if unfit is None:
            logger.info("The cluster is new enough by now; apps are served again.")
        else:
            logger.error("%s", unfit.words)
        self._changed()


def ours() -> dict[str, Any]:
    """Return the CRD that this operator was made with: a file of the package, or of the checkout.

    It is read when it is needed and not kept: as Python objects it is larger than a hundred apps.
    """
    packed = resources.files(clusterous_api) / _FILE
    beside = Path(clusterous_api.__file__).parents[1] / _FILE
    text = packed.read_bytes() if packed.is_file() else beside.read_bytes()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: dict[str, Any] = yaml.load(text, loader)  # a safe one, in C where it can
    return found
