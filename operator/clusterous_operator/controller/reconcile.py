"""One look at one app: observe, plan, act, report. Level-triggered: why we look does not matter."""

import asyncio
import contextlib
import dataclasses
import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any

from clusterous_api import models, names
from clusterous_api.errors import UserError
from clusterous_api.models import App, Component, ScaledBy
from clusterous_operator import manifests
from clusterous_operator.cache import observed
from clusterous_operator.cache.look import Look
from clusterous_operator.cache.observed import Child
from clusterous_operator.cache.record import Record
from clusterous_operator.cache.store import Key, Store
from clusterous_operator.capacity import drain, sizing
from clusterous_operator.client.cluster import (
    BusyError,
    Cluster,
    ConflictError,
    MissingError,
    QuotaError,
    RefusedError,
)
from clusterous_operator.client.recorder import Recorder
from clusterous_operator.controller.lookup import (
    CLASS_AGAIN_SECONDS,
    USAGE_SECONDS,
    Answers,
    Lookup,
    barren_in,
)
from clusterous_operator.controller.metrics import Metrics
from clusterous_operator.decisions import (
    contest,
    counting,
    ending,
    fill,
    plan,
    policy,
    refused,
    situation,
    storage,
)
from clusterous_operator.decisions.counting import Size
from clusterous_operator.objects import trouble
from clusterous_operator.objects.trouble import UNSCHEDULABLE, Reason
from clusterous_operator.status import appstatus, events, starting

logger = logging.getLogger(__name__)

# Services first, then what needs their addresses, then one look whether all is as it should be.
_ROUNDS = 3
# After as many equal failures of the API server over one generation they are told as a cause.
_FAILED_TIMES = 3
# After as many without its answer, of which most pass by: with our pauses that is half a minute. A
# policy's webhook may take longer than a write may take, each time.
_SILENT_TIMES = 10
# Within which the cluster begins to end the pods of a workload that is gone. Pods that then still
# stay are orphans, which the next workload takes over.
_ORPHANED_SECONDS = 5.0
_TOO_LONG_SECONDS = 60.0  # until what took too long to count is counted again


class Reconciler:
    """What is needed to bring an app to what it wants; *clock* counts seconds, *now* tells time."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        store: Store,
        metrics: Metrics,
        patience: float,
        want_capacity: Callable[[], None],
        clock: Callable[[], float],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._metrics = metrics
        self._patience = patience
        self._want_capacity = want_capacity
        self._clock = clock
        self._now = now
        self._lookup = Lookup(cluster, clock, now)
        self._whose: dict[Key, str] = {}  # the uid of the app that all the rest is about
        self._targets: dict[Key, Mapping[str, sizing.Target]] = {}
        self._recorder = Recorder(cluster, clock)
        self._reported: dict[Key, float] = {}  # when a status was written last
        self._bereft: dict[Key, dict[str, float]] = {}  # since when pods lack a workload
        self._refused: dict[Key, refused.Since] = {}  # ReplicaSets that were refused pods
        self._failed: dict[Key, tuple[tuple[int, str], int]] = {}  # generation, words; how often
        self._aside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="count")
        # What could not be counted: of which generation, until when, what was told.
        self._too_long: dict[Key, tuple[int, float, fill.TooLongError]] = {}
        self._unspeakable: dict[Key, appstatus.Status] = {}  # what was refused of a status
        self._mends: dict[Key, contest.Mends] = {}  # what was put right of late
        # What an apply led to, where that is not what was applied: by kind and name, a mark.
        self._accepted: dict[Key, dict[contest.Key, int]] = {}

    def fillers(self) -> list[Key]:
        """Return the apps that depend on what the nodes have left."""
        return list(self._targets)

    async def reconcile(self, key: Key) -> float | None:
        """Look at an app; return in how many seconds to look again without being asked."""
        record = self._store.apps.find(*key)
        if record is None or record.deleting:
            self._forget(key)
            return None
        if self._whose.get(key) != record.uid:
            self._forget(key)  # made anew before anybody looked: it has the name alone in common
            self._whose[key] = record.uid
        look_again = None
        try:
            body = record.body()
            app = models.parse(body)
            manifests.check(app)
            app = await self._speak_first(app, body["spec"], record)
            look, size = await self._settle(app)
            await self._ask_again(look)
            look_again = self._look_again(look, size)
            record = self._latest(record)
            wanted = appstatus.summarize(look, size, record.status, self._time())
        except UserError as error:
            told = (record.generation, str(error), record.status, self._time(), _reason(error))
            await self._report(record, appstatus.stalled(*told))
            raise
        except BusyError as error:
            await self._tell_of_failure(record, error)
            raise
        self._failed.pop(key, None)
        await self._recorder.again()
        later = (look_again, await self._report(record, wanted), self._recorder.owes_in)
        return min((one for one in later if one is not None), default=None)

    async def _tell_of_failure(self, record: Record, error: BusyError) -> None:
        """Tell of an API server that fails: at once where nothing is told, else when it stays so.

        One that fails over the same request again and again will do so until the request changes.
        """
        why, times = appstatus.NOT_ANSWERED, self._times(record, str(error))
        if error.answered and times >= _FAILED_TIMES:
            why = f"The API server fails over what was asked, and is asked again: {error}"
        elif times >= _SILENT_TIMES:
            why = f"{appstatus.NOT_ANSWERED} ({error})"
        elif record.status:
            return
        told = (record.generation, record.status, self._time(), why)
        await self._report(self._latest(record), appstatus.taken_up(*told))

    def _times(self, record: Record, words: str) -> int:
        """Count a failure; return how often in a row it was this one, over this generation.

        Times, ports and addresses in the words differ each time.
        """
        same = re.sub(r"\d+", "#", words)
        key, what = (record.namespace, record.name), (record.generation, same)
        before, times = self._failed.get(key, (what, 0))
        self._failed[key] = (what, times + 1 if before == what else 1)
        return self._failed[key][1]

    def _forget(self, key: Key) -> None:
        """Remember nothing of an app that is gone."""
        remembered: tuple[dict[Key, Any], ...] = (
            self._whose,
            self._targets,
            self._reported,
            self._bereft,
            self._refused,
            self._failed,
            self._too_long,
            self._unspeakable,
            self._mends,
            self._accepted,
        )
        for one in remembered:
            one.pop(key, None)

    def _latest(self, record: Record) -> Record:
        """Return the record with the version that our own writes gave it meanwhile.

        Not one of another generation: its version would let a status about this one pass for new.
        """
        found = self._store.apps.find(record.namespace, record.name)
        same = found is not None and (found.uid, found.generation) == (
            record.uid,
            record.generation,
        )
        return found if found is not None and same else record

    async def refuse(self, key: Key, reason: str, why: str) -> None:
        """Say why an app is not touched at all; nothing of it is changed, nothing removed."""
        record = self._store.apps.find(*key)
        if record is not None and not record.deleting:
            before = record.status
            wanted = appstatus.stalled(record.generation, why, before, self._time(), reason)
            await self._report(record, wanted)

    async def _settle(self, app: App) -> tuple[Look, Size]:
        """Act until nothing is left to do now; return what is then to be seen."""
        answers = Answers()
        look, size = await self._observe(app, answers)
        if self._lookup.is_needed(look):
            answers = await self._lookup.answers(look)
            look, size = await self._observe(app, answers)
        for _ in range(_ROUNDS):
            if policy.is_news(look):
                await self._note(look, size)
            facts = situation.facts(look, size)
            if why := storage.refusal(look, facts.replicas):
                raise UserError(why)
            wanted = manifests.desired(app, facts)
            marks = self._accepted.get((app.namespace, app.name), {}).values()
            steps = plan.plan(
                wanted, manifests.kept(app, facts), look.children, look.has_begun, marks
            )
            steps += storage.growth(look)
            steps = await self._uncontested(look, steps)
            look = dataclasses.replace(
                look,
                contested=self._contested(app),
                next_run=plan.next_run(wanted, look.children, look.has_begun),
            )
            if not steps:
                break
            await self._spare_the_busy(look, steps)
            await self._carry_out(look, steps)
            look, size = await self._observe(app, answers)
        return look, size

    async def _ask_again(self, look: Look) -> None:
        """Let ReplicaSets ask for their pods again that were refused some."""
        key = (look.app.namespace, look.app.name)
        ask, since = refused.due(look, self._refused.pop(key, {}), self._clock())
        if since:
            self._refused[key] = since
        note = {"metadata": {"annotations": {names.ANNOTATION_ASKED_AGAIN: self._time()}}}
        for child in ask:
            self._remember(child.kind, await self._patch(child, note))

    async def _uncontested(self, look: Look, steps: list[plan.Step]) -> list[plan.Step]:
        """Leave out what was put right so often that somebody else must want it otherwise."""
        key, now = (look.app.namespace, look.app.name), self._clock()
        before = self._mends.pop(key, None)
        if before is None:
            return steps
        go, after = contest.sift(steps, before, look.children, now)
        for of, one in after.items():
            if one.held and not one.by:
                by = await self._manager(look.app, of, one.field)
                after[of] = dataclasses.replace(one, by=by)
        if after:
            self._mends[key] = after
        return go

    async def _manager(self, app: App, of: contest.Key, field: str) -> str:
        try:
            found = await self._cluster.read(of[0], app.namespace, of[1])
        except (MissingError, RefusedError):
            return ""
        return contest.managers(found, field)

    def _contested(self, app: App) -> str:
        return contest.words(app, self._mends.get((app.namespace, app.name), {}))

    async def _observe(self, app: App, answers: Answers) -> tuple[Look, Size]:
        key = (app.namespace, app.name)
        filling = bool(fill.fillers(app)) and not app.suspend
        waiting = any(
            pod.trouble is not None and pod.trouble.reason == UNSCHEDULABLE
            for pod in self._store.pods.of(key)
        )
        if filling or waiting:
            self._want_capacity()
        look = self._decided(app, filling or waiting, answers)
        size = await self._size(look, self._other_fillers(key) if filling else frozenset())
        if size.targets:
            self._targets[key] = size.targets
        else:
            self._targets.pop(key, None)
        return look, size

    async def _size(self, look: Look, others: frozenset[fill.Filler]) -> Size:
        """Count what fits: beside the other work where it may take long, and one app at a time.

        Else a single app could keep the Lease from being renewed. What took too long is not tried
        again at each change of the cluster.
        """
        key, now = (look.app.namespace, look.app.name), self._clock()
        before = self._targets.get(key, {})
        count = partial(fill.size, look, before, now, self._patience, others)
        if not fill.takes_long(look):
            return count()
        known = self._too_long.get(key)
        if known is not None and known[0] == look.app.generation and now < known[1]:
            raise known[2]
        self._too_long.pop(key, None)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._aside, count)
        except fill.TooLongError as error:
            told = fill.TooLongError(str(error))  # without the frames that hold the whole count
            self._too_long[key] = (look.app.generation, now + _TOO_LONG_SECONDS, told)
            raise

    def _decided(self, app: App, whole_cluster: bool, answers: Answers) -> Look:
        """Return what is seen, and what follows from that together with what the status tells."""
        look = dataclasses.replace(
            self._store.observe(app, whole_cluster=whole_cluster),
            idle=answers.idle,
            can_grow=answers.can_grow,
            reach=answers.reach,
            refused=answers.refused,
            contested=self._contested(app),
            now=self._now(),
        )
        if held := self._held(look):
            look = dataclasses.replace(look, held=held)
        if (verdict := policy.judged(look)).attempts:
            look = dataclasses.replace(look, verdict=verdict)
        if ending.clears_in(look, self._now()) == 0:
            look = dataclasses.replace(look, cleared=True)
        return look

    def _held(self, look: Look) -> frozenset[str]:
        """Return the components whose next workload must wait for pods of the one before."""
        key, now = (look.app.namespace, look.app.name), self._clock()
        left = {one.name: look.predecessors(one) for one in look.app.components}
        before = self._bereft.pop(key, {})
        since = {name: before.get(name, now) for name, pods in left.items() if pods}
        if since:
            self._bereft[key] = since
        if look.claim_is_going:
            return frozenset(one.name for one in look.app.components)
        return frozenset(
            name
            for name, began in since.items()
            if now < began + _ORPHANED_SECONDS or any(one.deleting for one in left[name])
        )

    def _other_fillers(self, key: Key) -> frozenset[fill.Filler]:
        return frozenset(
            (*other, name)
            for other, targets in self._targets.items()
            if other != key
            for name in targets
        )

    def _look_again(self, look: Look, size: Size) -> float | None:
        """Return in how many seconds time alone may change what is wanted."""
        key, now = (look.app.namespace, look.app.name), self._clock()
        clears = None if look.cleared else ending.clears_in(look, self._now())
        watches = look.idle is not None and not look.idle.suspended
        waits = storage.more(look) is not None and not look.can_grow
        later = (
            size.look_again,
            clears,
            USAGE_SECONDS if watches else None,
            CLASS_AGAIN_SECONDS if waits else None,
            _ORPHANED_SECONDS if look.held else None,
            starting.told_in(look),
            barren_in(look),
            refused.look_again(self._refused.get(key, {}), now),
            contest.look_again(self._mends.get(key, {}), now),
        )
        return min((one for one in later if one is not None), default=None)

    async def _note(self, look: Look, size: Size) -> None:
        """Write the status before we act: it is all that will be left of why we did."""
        record = self._store.apps.find(look.app.namespace, look.app.name)
        if record is not None:
            wanted = appstatus.summarize(look, size, record.status, self._time())
            await self._report(record, wanted, at_once=True)

    async def _speak_first(self, app: App, spec: Mapping[str, Any], record: Record) -> App:
        """Give an autoscaler a number to begin with: without one it takes scaling for disabled.

        Once, by the scale subresource, as it does itself; from then on the number is its own.
        """
        workers = app.workers
        if workers is None or workers.scaled_by is not ScaledBy.AUTOSCALER:
            return app
        if spec["workers"].get("replicas") is not None:
            return app
        deployment = names.child(app.name, workers.name)
        first = counting.first_number(
            app, workers, self._store.deployments.find(app.namespace, deployment)
        )
        body = _at({"spec": {"replicas": first}}, record.version)
        await self._cluster.patch(names.KIND, app.namespace, f"{app.name}/scale", body)
        self._metrics.wrote(names.KIND)
        counted = dataclasses.replace(workers, replicas=first)
        others = (counted if one.name == workers.name else one for one in app.components)
        return dataclasses.replace(app, components=tuple(others))

    async def _spare_the_busy(self, look: Look, steps: list[plan.Step]) -> None:
        """Let those pods go first that do least, where a component that drains becomes smaller."""
        for step in steps:
            match step:
                case plan.Apply(manifest={"kind": "Deployment"} as manifest, exists=True):
                    name = manifest["metadata"]["labels"][names.LABEL_COMPONENT]
                    component, keep = look.app.component(name), manifest["spec"]["replicas"]
                    if component is not None and component.drain is not None and keep:
                        await self._mark(look, component, keep)

    async def _mark(self, look: Look, component: Component, keep: int) -> None:
        child = look.workload(component)
        if child is None or child.state["wanted"] <= keep:
            return
        cpu = await self._lookup.cpu(look.app.namespace)
        for name, cost in drain.costs(look.pods_of(component.name), cpu, keep).items():
            note = {"metadata": {"annotations": {names.ANNOTATION_DELETION_COST: str(cost)}}}
            # It is a hint to the ReplicaSet; a pod that is gone by now needs none.
            with contextlib.suppress(MissingError, RefusedError):
                await self._cluster.patch("Pod", look.app.namespace, name, note)
                self._metrics.wrote("Pod")

    async def _carry_out(self, look: Look, steps: list[plan.Step]) -> None:
        """Carry the steps out; all are tried before the first failure is told."""
        results: list[BaseException | None] = []
        done: list[plan.Step] = []
        for wave in plan.waves(steps):
            work = (self._step(look.app, one) for one in wave)
            ends = await asyncio.gather(*work, return_exceptions=True)
            done += [one for one, end in zip(wave, ends, strict=True) if end is None]
            results += ends
        key = (look.app.namespace, look.app.name)
        mends = contest.counted(self._mends.get(key, {}), done, look.children, self._clock())
        if mends:
            self._mends[key] = mends
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _step(self, app: App, step: plan.Step) -> None:
        match step:
            case plan.Apply(manifest=manifest):
                try:
                    body = await self._apply(app, step)
                except QuotaError as error:
                    who = f"{manifest['kind']} {manifest['metadata']['name']}"
                    raise QuotaError(trouble.of_refusal(str(error), who=who).words) from error
                except RefusedError as error:
                    raise RefusedError(manifests.told(app, manifest, str(error))) from error
                self._remember(manifest["kind"], body)
                self._accept(app, manifest, body)
            case plan.Patch(child=child, body=change):
                body = await self._patch(child, change)
                self._remember(child.kind, body)
            case plan.Delete(child=child):
                await self._delete(child)

    def _accept(self, app: App, manifest: manifests.Manifest, body: Mapping[str, Any]) -> None:
        """Take for right what an apply led to: a second one could only lead to the same again.

        The API server writes some values otherwise, and policies change objects at admission.
        """
        kind = manifest["kind"]
        if kind not in (observed.DEPLOYMENT, observed.SERVICE):
            return
        of = (kind, manifest["metadata"]["name"])
        key = (app.namespace, app.name)
        known = self._accepted.pop(key, {})
        known.pop(of, None)
        child = self._store.children(kind).trim(body)
        if plan.differs(manifest, child):
            known[of] = plan.mark(manifest, child)
        if known:
            self._accepted[key] = known

    def _remember(self, kind: str, body: Mapping[str, Any]) -> None:
        """Take the answer for an observation: the watch may bring it later than our next look."""
        self._metrics.wrote(kind)
        table = self._store.children(kind)
        table.put(table.trim(body))

    async def _apply(self, app: App, step: plan.Apply) -> Mapping[str, Any]:
        """Apply a manifest: to the very version that was seen, or to nothing at all.

        What we have not seen before may be somebody else's; what has changed since we saw it is
        looked at again before anything is written, as another operator may have done so.
        """
        manifest = step.manifest
        if step.exists:
            metadata = manifest["metadata"]
            kind, namespace = manifest["kind"], metadata.get("namespace")
            async with self._unless_changed(kind, namespace, metadata["name"]):
                seen = _at(manifest, step.version, step.uid)
                return await self._cluster.apply(seen, force=True)
        try:
            return await self._cluster.apply(manifest, force=False)
        except ConflictError:
            found = await self._check_ours(app, manifest)
            seen = _at(manifest, observed.version(found), found["metadata"]["uid"])
            return await self._cluster.apply(seen, force=True)

    async def _patch(self, child: Child, change: Mapping[str, Any]) -> Mapping[str, Any]:
        body = _at(change, child.version)
        async with self._unless_changed(child.kind, child.namespace, child.name):
            return await self._cluster.patch(child.kind, child.namespace, child.name, body)

    @contextlib.asynccontextmanager
    async def _unless_changed(
        self, kind: str, namespace: str | None, name: str
    ) -> AsyncIterator[None]:
        """Where a write finds another version than it was meant for, remember that one."""
        try:
            yield
        except ConflictError:
            table = self._store.children(kind)
            with contextlib.suppress(MissingError):
                found = await self._cluster.read(kind, namespace, name)
                table.put(table.trim(found))
            raise

    async def _check_ours(self, app: App, manifest: manifests.Manifest) -> Mapping[str, Any]:
        """Return the object that has the name already, if it is ours."""
        metadata = manifest["metadata"]
        kind, name = manifest["kind"], metadata["name"]
        found = await self._cluster.read(kind, metadata.get("namespace"), name)
        child = observed.child(kind, found)
        labelled = child.app == metadata["labels"].get(names.LABEL_APP)
        orphaned = child.owner_uid is None and labelled and child.made_by_us
        if not orphaned and child.owner_uid != app.uid:
            raise UserError(
                f"There is a {kind} {name} already, which does not belong to this app. "
                "Rename the app or its component, or remove that object."
            )
        return found

    async def _delete(self, child: Child) -> None:
        kind, namespace, name = child.kind, child.namespace, child.name
        try:
            async with self._unless_changed(kind, namespace, name):
                await self._cluster.delete(kind, namespace, name, child.uid, child.version)
        except MissingError:
            logger.debug("%s %s is gone already.", kind, name)
        else:
            self._metrics.wrote(kind)
        self._store.children(kind).put(dataclasses.replace(child, deleting=True))

    async def _report(
        self, record: Record, wanted: appstatus.Status, *, at_once: bool = False
    ) -> float | None:
        """Write the status if it says something new, and an event where a person wants to know.

        What is not urgent waits: for how long, is returned.
        """
        key = (record.namespace, record.name)
        last = float("-inf") if at_once else self._reported.get(key, float("-inf"))
        elapsed = self._clock() - last
        if not appstatus.worth_writing(record.status, wanted, elapsed):
            return None if wanted == record.status else appstatus.COUNTS_SECONDS - elapsed
        if wanted == self._unspeakable.get(key):
            return None  # it was refused, and stands there in other words
        try:
            answer = await self._write_status(record, wanted)
        except MissingError:
            return None  # deleted meanwhile; its children go with it
        except RefusedError as error:
            # Not to be told at all would leave the last status there for ever, and that may be
            # Ready.
            logger.warning("%s/%s: the status was refused: %s: %r", *key, error, wanted)
            plain = appstatus.in_plain_words(wanted)
            answer = await self._write_status(record, plain)
            self._unspeakable[key] = wanted
            wanted = plain
        else:
            self._unspeakable.pop(key, None)
        self._metrics.wrote(names.KIND)
        self._store.apps.put(self._store.apps.trim(answer))
        self._reported[key] = self._clock()
        for note in events.notes(record.status, wanted):
            await self._recorder.tell(record, note, self._time(precise=True))
        return None

    async def _write_status(self, record: Record, wanted: appstatus.Status) -> Mapping[str, Any]:
        body = {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            # The uid keeps a status off a new app of the same name.
            "metadata": {"namespace": record.namespace, "name": record.name, "uid": record.uid},
            "status": wanted,
        }
        return await self._cluster.apply(_at(body, record.version), force=True, sub="status")

    def _time(self, *, precise: bool = False) -> str:
        shape = "%Y-%m-%dT%H:%M:%S.%fZ" if precise else "%Y-%m-%dT%H:%M:%SZ"
        return self._now().strftime(shape)


def _reason(error: UserError) -> str:
    """Return for programs why an app cannot be done as asked."""
    match error:
        case QuotaError():
            return Reason.QUOTA_EXCEEDED
        case RefusedError():
            return Reason.REFUSED
    return "Invalid"


def _at(body: Mapping[str, Any], version: int, uid: str = "") -> dict[str, Any]:
    """Return *body* for nothing but this version of its object; 0 stands for any."""
    known = {"resourceVersion": str(version)} if version else {}
    known |= {"uid": uid} if uid else {}
    return {**body, "metadata": {**body.get("metadata", {}), **known}}
