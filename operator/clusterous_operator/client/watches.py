"""Watches that keep a table of the cache true: list, then follow, then list again where needed.

Not kopf's, because a list of kopf's after "410 Gone" does not tell what vanished meanwhile, and
every object costs it a task; docs/adr/0003-kubernetes-client.md has the figures.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic

from clusterous_api.errors import TransientError, UserError
from clusterous_operator.cache import observed
from clusterous_operator.cache.store import T, Table
from clusterous_operator.client.cluster import Cluster, GoneError, SilentError

logger = logging.getLogger(__name__)

_PAUSES = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass(slots=True, kw_only=True, eq=False)
class Watch(Generic[T]):
    """One kind in one namespace, or in all: which objects, into which table, whom to tell."""

    kind: str
    namespace: str | None
    table: Table[T]
    changed: Callable[[Iterable[T]], None]
    selectors: Mapping[str, str] = field(default_factory=dict)
    synced: asyncio.Event = field(default_factory=asyncio.Event)
    lists: int = 0
    events: int = 0
    clock: Callable[[], float] = time.monotonic
    heard: float = 0.0  # when the API server last said something about this kind
    waiting_since: float | None = None  # for any word on an open stream
    newest: int = 0  # the newest version that lists and streams have told of
    went_back: bool = False  # versions only grow, unless the cluster's datastore was put back

    def age(self) -> float:
        """Return for how long nothing was heard; what is true then may be as old."""
        return self.clock() - self.heard

    def silent_seconds(self) -> float:
        """Return for how long streams that were open have brought neither event nor bookmark.

        An API server that does not answer at all is another matter: waiting does not mend us, but
        neither does a restart.
        """
        return 0.0 if self.waiting_since is None else self.clock() - self.waiting_since

    def _reach(self, version: str, before: int) -> None:
        """Note how far we were told, who had been told as far as *before* when we asked.

        What goes back from there is a datastore of before: all that is remembered of since then is
        of a time that never was, and would count as newer than what is.
        """
        number = observed.number(version)
        if 0 < number < before:
            self.went_back = True
        self.newest = max(self.newest, number)

    def _hear(self) -> None:
        self.heard = self.clock()
        self.waiting_since = None

    async def run(self, cluster: Cluster) -> None:
        """Keep the table true until cancelled."""
        failures = 0
        while True:
            try:
                version = await self.list(cluster)
                failures = 0
                await self._follow(cluster, version)
            except GoneError:
                logger.info("The watch of %s is too old; listing again.", self.kind)
            except (TransientError, UserError) as error:
                self.waiting_since = None
                logger.warning("Watching %s: %s", self.kind, error)
                await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
                failures += 1

    async def list(self, cluster: Cluster) -> str:
        """Take a list for the truth; return the version to follow from."""
        items: list[T] = []
        version, before = "0", self.newest
        pages = cluster.list_pages(self.kind, self.namespace, self.selectors, self._cut)
        async for page in pages:
            items += [one for one in page.items if one is not None]
            version = page.version
        self.lists += 1
        self._hear()
        self._reach(version, before)
        changed = self.table.replace(items, self.namespace, observed.number(version))
        self.synced.set()
        self.changed(changed)
        return version

    async def _follow(self, cluster: Cluster, version: str) -> None:
        """Follow the changes; a stream that ends in peace is taken up where it ended."""
        failures = 0
        while True:
            if self.waiting_since is None:
                self.waiting_since = self.clock()
            try:
                async for kind, body in self._watch(cluster, version):
                    self._hear()
                    self.waiting_since = self.heard
                    before, version = version, body["metadata"]["resourceVersion"]
                    self._reach(version, observed.number(before))
                    self._take(kind, body)
                    failures = 0
            except GoneError:
                raise
            except TransientError as error:
                if not isinstance(error, SilentError):
                    self.waiting_since = None
                logger.info("Watching %s: %s", self.kind, error)
                failures += 1
                if failures >= len(_PAUSES):
                    raise
            await asyncio.sleep(_PAUSES[failures])

    def _watch(self, cluster: Cluster, version: str) -> Any:
        return cluster.watch(self.kind, self.namespace, self.selectors, version)

    def _take(self, kind: str, body: Mapping[str, Any]) -> None:
        if kind == "BOOKMARK":
            return
        self.events += 1
        item = self._cut(body)
        if item is None:
            self.changed(self.table.forget(body))
            return
        self.changed(self.table.remove(item) if kind == "DELETED" else self.table.put(item))

    def _cut(self, body: Mapping[str, Any]) -> T | None:
        """Cut an object down; one that we cannot read is as if it were not there.

        Anybody may write objects of the kinds that we watch: theirs must not end our watches.
        """
        try:
            return self.table.cut(body)
        except Exception:
            metadata = body["metadata"]
            which = (self.kind, metadata.get("namespace", ""), metadata["name"])
            logger.exception("%s %s/%s cannot be read, and does not count.", *which)
            return None
