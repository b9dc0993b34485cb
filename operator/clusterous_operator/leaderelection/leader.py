"""Holds the operator's Lease, and tells every write how long it may take; the edge of lease.py.

An operator that loses the Lease stays as a standby, with warm caches: nothing it knows was wrong,
it may only not write. The renewals are at the same time the canary in the watches: what was
written must come back through the watch of the Lease.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from clusterous_api import names
from clusterous_api.errors import TransientError, UserError
from clusterous_operator.cache.store import Table
from clusterous_operator.client.cluster import Cluster, ConflictError, MissingError
from clusterous_operator.client.watches import Watch
from clusterous_operator.leaderelection import lease
from clusterous_operator.leaderelection.canary import Canary
from clusterous_operator.leaderelection.lease import Claim, Hold, Seen, Terms, Wait

logger = logging.getLogger(__name__)

_REQUEST_SECONDS = 3.5  # of each try: two fit into a term, and a slow server is no lost one
_FOREVER = float("inf")


class Leader:
    """One candidate. *alone*: there is no other, and the Lease is renewed for the canary only."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        namespace: str,
        identity: str,
        terms: Terms,
        clock: Callable[[], float],
        changed: Callable[[bool], None],
        alone: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._identity = identity
        self._terms = terms
        self._clock = clock
        self._changed = changed
        self._alone = alone
        self._now = now
        self._seen: Seen | None = None
        self._sent: float | None = None
        self._led = False
        self._failure = ""
        self._news = asyncio.Event()
        self.canary = Canary(clock)
        self.watch: Watch[Claim] = Watch(
            kind="Lease",
            namespace=namespace,
            table=Table(Claim.read),
            changed=self._heard,
            selectors={"fieldSelector": f"metadata.name={names.LEASE}"},
        )

    def seconds_left(self) -> float:
        """Return for how long a write that begins now may take; nothing may be written at 0."""
        if self._alone:
            return _FOREVER
        end = lease.deadline(self._identity, self._seen, self._sent, self._terms)
        return max(end - self._clock(), 0.0)

    @property
    def leads(self) -> bool:
        """Tell whether we may write."""
        return self.seconds_left() > 0

    async def run(self) -> None:
        """Take the Lease when it is free, and keep it."""
        await self.watch.synced.wait()
        if self._seen is None:
            self._look(None)
        while True:
            self._tell()
            step = self._next()
            if isinstance(step, Hold):
                await self._hold(step.over)
            else:
                await self._wait(step)

    def _next(self) -> lease.Step:
        assert self._seen is not None, "the list came before"
        if self._alone:
            since = _FOREVER if self._sent is None else self._clock() - self._sent
            left = self._terms.renew - since
            return Wait(seconds=left) if left > 0 else Hold(over=self._seen.claim)
        return lease.decide(self._identity, self._seen, self._sent, self._clock(), self._terms)

    async def _wait(self, step: Wait) -> None:
        self._news.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(step.seconds, self._terms.nap)):
                await self._news.wait()

    async def _hold(self, over: Claim | None) -> None:
        """Write ourselves in; the version that was seen keeps a second holder out."""
        sent = self._clock()
        spec = lease.held(self._identity, over, self._now(), self._terms)
        try:
            await self._write(over, spec)
        except ConflictError:
            await self._read()
            await asyncio.sleep(self._terms.retry)
        except (
            TransientError,
            UserError,
        ) as error:  # MissingError: not even the namespace is there
            await self._fail(error)
            if isinstance(error, MissingError):
                await self._read()
        else:
            self._sent = sent
            self._failure = ""
            self._tell()

    async def _fail(self, error: Exception) -> None:
        """Say once what is wrong, and wait a moment before it is tried again."""
        if str(error) != self._failure:
            logger.warning("The Lease: %s", error)
        self._failure = str(error)
        self._tell()
        await asyncio.sleep(self._terms.retry)

    async def _write(self, over: Claim | None, spec: dict[str, object]) -> None:
        if over is None:
            body = {"metadata": {"name": names.LEASE}, "spec": spec}
            answer = await self._cluster.create(
                "Lease", self._namespace, body, unfenced_seconds=_REQUEST_SECONDS
            )
        else:
            metadata = {} if self._alone else {"resourceVersion": str(over.version)}
            answer = await self._cluster.patch(
                "Lease",
                self._namespace,
                names.LEASE,
                {"metadata": metadata, "spec": spec},
                unfenced_seconds=_REQUEST_SECONDS,
            )
        self._learn(Claim.read(answer))

    async def _read(self) -> None:
        """Look at the Lease itself, because the watch has not told the last of it."""
        try:
            found = await self._cluster.read("Lease", self._namespace, names.LEASE)
        except MissingError:
            self._look(None)
        except (TransientError, UserError) as error:
            await self._fail(error)
        else:
            self._learn(Claim.read(found))

    async def release(self) -> None:
        """Let another take over at once; to be called when nothing is written any more."""
        held, self._sent = self._sent is not None, None
        if self._alone or not held:
            return
        try:
            try:
                await self._give_up()
            except ConflictError:
                # A renewal of ours was on its way when we were told to end, and has arrived.
                await self._read()
                await self._give_up()
        except (TransientError, UserError) as error:
            logger.warning("The Lease is left to run out: %s", error)

    async def _give_up(self) -> None:
        claim = None if self._seen is None else self._seen.claim
        if claim is not None and claim.holder == self._identity:
            await self._write(claim, lease.released(self._now()))

    def _heard(self, items: Iterable[Claim]) -> None:
        """Take what the watch brought."""
        if not any(True for _ in items):
            return
        found = self.watch.table.find(self._namespace, names.LEASE)
        if found is not None:
            self.canary.saw(found.version)
        self._look(found)
        self._news.set()

    def _learn(self, claim: Claim) -> None:
        """Take an answer of the API server, which the watch must bring, too."""
        self.canary.expect(claim.version)
        self._look(claim)

    def _look(self, claim: Claim | None) -> None:
        self._seen = lease.see(self._seen, claim, self._clock())
        self._tell()

    def _tell(self) -> None:
        leads = self.leads
        if leads != self._led:
            self._led = leads
            self._changed(leads)
