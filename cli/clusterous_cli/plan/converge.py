"""`create` and `destroy` as a whole: plan, execute in parallel, wait, look again."""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from types import FrameType
from typing import Any, Final

from clusterous_api import names
from clusterous_api.errors import ClusterousError, FailedError, LeftBehindError
from clusterous_cli.aws import errors
from clusterous_cli.aws.client import Aws
from clusterous_cli.boot import releases
from clusterous_cli.cluster import record
from clusterous_cli.cluster.identity import Identity
from clusterous_cli.cluster.payload import RECORD
from clusterous_cli.cluster.payload import VOLUME as NOTED
from clusterous_cli.cluster.record import Node
from clusterous_cli.plan import inventory, planner, sweep
from clusterous_cli.plan.design import Design
from clusterous_cli.plan.executor import Act, Executor, Outcome
from clusterous_cli.plan.kinds import images, machines
from clusterous_cli.plan.kinds.access import RULES
from clusterous_cli.plan.kinds.cloud import Site
from clusterous_cli.plan.kinds.files import BUCKET
from clusterous_cli.plan.kinds.kind import Action, Found, Left, Step, settled
from clusterous_cli.plan.kinds.kubernetes import claims
from clusterous_cli.plan.kinds.kubernetes.balancers import BALANCER
from clusterous_cli.plan.kinds.machines import MACHINES, OFF
from clusterous_cli.plan.kinds.network import VPC, Interface
from clusterous_cli.plan.kinds.volume import ebs, efs, state
from clusterous_cli.plan.kinds.volume.attachment import ATTACHMENT
from clusterous_cli.plan.machines import leaving, nodes, sizes, zones
from clusterous_cli.system import wait
from clusterous_cli.system.download import Progress
from clusterous_cli.terminal import spell
from clusterous_cli.terminal.lines import Lines
from clusterous_cli.terminal.screen import Ui
from clusterous_cli.turns import lock

ROUNDS: Final = 3
# The line that tells how our images are made.
IMAGE: Final = "image"
# With something foreign in the network, waiting for it to go is in vain.
SECONDS_WITH_FOREIGN: Final = 20.0
SECONDS: Final = 300.0


class Parts:
    """Turns steps that come and go into one line per part: network 12 of 18."""

    def __init__(self, lines: Lines, steps: Sequence[Step]) -> None:
        self._lines = lines
        self._lock = threading.Lock()
        self._left: dict[str, set[str]] = {}
        self._failed: set[str] = set()
        self._begun: dict[str, dict[str, str]] = {}  # by part: what is under way, with its name
        for step in steps:
            if step.action is not Action.KEEP:
                self._left.setdefault(step.part, set()).add(step.key)
        self._all = {part: len(keys) for part, keys in self._left.items()}

    def tell(self, step: Step, event: str) -> None:
        """Note that a step begun, is done or failed."""
        with self._lock:
            left = self._left.get(step.part, set())
            begun = self._begun.setdefault(step.part, {})
            name = step.key.rpartition("/")[2].removeprefix("s3:")
            if event == "begun":
                begun[step.key] = name
            else:
                begun.pop(step.key, None)
            if event == "done":
                left.discard(step.key)
            count = self._all.get(step.part, 0)
            if event == "full":
                self._lines.set(step.part, f"{name}: its zone has none")
            elif event in ("failed", "stopped"):
                self._failed.add(step.part)
                self._lines.set(step.part, f"{name} {event}", failed=True)
            elif step.part in self._failed:
                return  # what else is done there does not mend it
            elif left:
                done = f"{count - len(left)} of " if len(left) < count else ""
                last = f": {', '.join(begun.values())}" if done and 0 < len(begun) <= 2 else ""
                self._lines.set(step.part, f"{done}{spell.plural(count, 'step')}{last}")
            elif event == "done":
                self._lines.set(step.part, spell.plural(count, "step"), done=True)


class Downloads:
    """One line for all files that are fetched, however many at once."""

    def __init__(self, lines: Lines, pauses: wait.Pauses) -> None:
        self._lines = lines
        self._pauses = pauses
        self._lock = threading.Lock()
        self._sizes: dict[str, tuple[int, int]] = {}

    def tell(self, name: str, have: int, total: int) -> None:
        """Note how far one of them is; after Ctrl-C it ends here, to be resumed next time."""
        with self._lock:
            if self._pauses.stopped:
                self._lines.set("downloads", "stopped", failed=True)
                raise wait.Stopped("Stopped.")
            self._sizes[name] = (have, total)
            got = sum(have for have, _ in self._sizes.values())
            whole = sum(total for _, total in self._sizes.values())
            coming = [name for name, (have, total) in self._sizes.items() if have < total]
            text = f"{spell.size(got)} of {spell.size(whole)}: {', '.join(coming)}"
            self._lines.set("downloads", text if coming else spell.size(whole), done=not coming)


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """Carries out a design."""

    cloud: Aws
    design: Design
    lines: Lines
    pauses: wait.Pauses
    fetched: Callable[[releases.Artifact, str, Progress], Any] | None = None
    drain: leaving.Drain | None = None  # how machines that are too many may be let go
    breaks: bool = False  # take the turn also from who is at work

    def run(self, *, seconds: float = nodes.SECONDS) -> tuple[Node, ...]:
        """Make what is missing, wait for the machines, then let those go that are too many."""
        doubtful = self.change().doubtful if self.design.plan.pending else ()
        config = self.design.config
        wanted = {one.name: one.count for one in config.pools}
        going = {id for one in self.design.plan.leaving if one.found for id in one.found.id.split()}
        ready = nodes.await_ready(
            self.cloud, self.design.who, wanted, self.design.awaited, self.lines, self.pauses,
            volume=(config.volume.size or 0) if config.volume.served else None, notice=self.notice,
            leaving=going, seconds=seconds,
        )  # fmt: skip
        if doubtful:
            self.tidy()
        if going and self.drain:
            self.let_go([one for one in ready if one.instance_id in going], self.drain)
        elif self.design.unfinished:
            self.finish()
        return tuple(one for one in ready if one.instance_id not in going)

    def let_go(self, nodes: Sequence[Node], drain: leaving.Drain) -> None:
        """Drain machines and end them, while no other create or destroy is at work."""
        content = self.design.record.content
        assert content is not None
        with lock.held(self.turn(), self.lines):
            leaving.Leave(
                site=self.site(), nodes=nodes, drain=drain, record=content, lines=self.lines
            ).run()

    def finish(self) -> None:
        """Record that nothing is unfinished any more."""
        with lock.held(self.turn(), self.lines):
            self.site().s3("put_object", Key=RECORD, Body=self.design.record.content)

    def turn(self) -> lock.Lock:
        """Return the lock as this create takes it."""
        return lock.Lock(
            cloud=self.cloud, who=self.design.who, doing="a create", pauses=self.pauses,
            breaks=self.breaks,
        )  # fmt: skip

    def notice(self, seen: Sequence[Node]) -> None:
        """Mark volumes when their file system was made: they are not used before."""
        for node in seen:
            said = (node.report or {}).get("state") or {}
            if node.role == names.ROLE_CONTROLLER and said.get("phase") == "made":
                state.mark(self.site(), said["volume"])
        told = nodes.cluster_view(seen).get("volume") or {}
        if self.design.config.volume.served and told.get("made") and told["phase"] == "made":
            ebs.mark(self.site(), told["volume"])

    def meanwhile(self) -> Callable[[], None]:
        """Return what notices the same while steps are under way: a NAT gateway takes minutes, and
        a controller whose volume was not marked would only then go on with its boot."""
        reports = record.Reports(self.cloud, self.design.who)
        due = self.pauses.clock()

        def look() -> None:
            nonlocal due
            began = self.pauses.clock()
            if began < due:
                return
            with suppress(ClusterousError):  # whoever waits for the machines afterwards meets it
                machines = record.machines(self.cloud, self.design.who)
                self.notice(record.merge(machines, reports.read()))
            ended = self.pauses.clock()
            due = ended + max(nodes.LONGEST_PAUSE, ended - began)

        return look

    def site(self, **more: Any) -> Site:
        """Return where things are made."""
        return Site(cloud=self.cloud, who=self.design.who, pauses=self.pauses, **more)

    def tidy(self) -> None:
        """Remove what AWS made twice since the answer to a call was lost; by now it shows."""
        surplus = inventory.index(inventory.take(self.cloud, self.design.who)).surplus
        if not surplus:
            return
        steps = planner.removal(surplus)
        outcome = self._carry_out(steps, {}, Parts(self.lines, steps))
        stays = {step.key for step, _ in outcome.failed}
        for step in steps:
            assert step.found is not None
            words = f"{step.kind.noun} {step.found.id}, made twice when an answer was lost:"
            ended = "is still there; the next create removes it" if step.key in stays else "removed"
            self.lines.set("surplus", f"{words} {ended}", done=True)

    def change(self) -> Outcome:
        """Carry out the steps while no other create or destroy of the cluster is at work."""
        steps = self.design.plan.steps
        parts = Parts(self.lines, steps)
        bucket = [step for step in steps if step.kind is BUCKET]  # which holds the lock
        begun = self._carry_out(bucket, {}, parts)
        if begun.failed:
            raise first_of(begun)
        with lock.held(self.turn(), self.lines):
            self.check_unchanged()
            rest = [step for step in steps if step.kind is not BUCKET]
            outcome = self._made(rest, begun.ids, parts)
        if outcome.failed:
            raise first_of(outcome)
        return outcome

    def _made(self, steps: Sequence[Step], ids: Mapping[str, str], parts: Parts) -> Outcome:
        """Carry out steps; machines that their zone has not are made in others that AWS names."""
        there = inventory.index(self.design.found).found
        config = self.design.config
        search = zones.begin(self.design.zone, config.cidr, there, is_bound=bool(config.zone))
        outcome = self._carry_out(steps, ids, parts)
        while full := _full(outcome):
            search = zones.heard(search, full)
            if (stays := zones.stays(search, full)) is not None:
                turn = self._of_other_type(search, stays, outcome)
            else:
                turn = zones.turn(search, full, steps, outcome.skipped, outcome.ids)
            if turn is None:
                break
            for words in zones.moved_words(turn.search, full, before=search):
                self.lines.set(MACHINES.part, words)
            search = turn.search
            known = {key: id for key, id in outcome.ids.items() if key not in turn.anew}
            steps = [*steps, *turn.steps]
            done = self._carry_out(turn.steps, known, Parts(self.lines, turn.steps))
            outcome = replace(done, doubtful=(*outcome.doubtful, *done.doubtful))
        failed = tuple((step, self._told(search, step, error)) for step, error in outcome.failed)
        for step, error in failed:
            if isinstance(error, errors.NoCapacity):
                parts.tell(step, "failed")
        return replace(outcome, failed=failed)

    def _of_other_type(
        self, search: zones.Search, step: Step, outcome: Outcome
    ) -> zones.Turn | None:
        """Return the turn with the next type of the same size that its zone offers, if any."""
        assert step.resource is not None
        value = step.resource.value
        where = self.design.control_zone
        known = sizes.alike(self.cloud, value.instead or value.type, where)
        rest = [one for one in known if one not in search.types]
        return zones.of_type(search, step, rest[0], outcome.skipped) if rest else None

    def _told(self, search: zones.Search, step: Step, error: ClusterousError) -> ClusterousError:
        """Let an error of a full zone say what else was asked for, and where."""
        if not isinstance(error, errors.NoCapacity):
            return error
        if OFF in step.drift and step.found:
            ids, way = ", ".join(machines.off(step.found.value)), self._elsewhere(error.elsewhere)
            return errors.NoCapacity(
                f"{step.key}: {error}\n  {ids} is stopped, and is not replaced: its volumes stay"
                f" with it. Run create again later, which starts it.{way}"
            )
        if zones.stays(search, [zones.Full(step=step)]):
            assert step.resource is not None
            types = ", ".join(search.types or (step.resource.value.type,))
            return errors.NoCapacity(
                f"{step.key}: {error}\n  Asked for {types}, where its volumes are. Run create again"
                f" later.{self._elsewhere(search.named.get(step.key, ()))}"
            )
        asked = search.zones(step.key)
        if len(asked) == 1:
            return error
        where = f"{', '.join(asked[:-1])} and {asked[-1]}"
        return errors.NoCapacity(
            f"{step.key}: {error}\n  Asked in {where}; run create again later."
        )

    def _elsewhere(self, named: Sequence[str]) -> str:
        """Name the way to another zone, where AWS *named* one and there is a snapshot."""
        if not state.present(self.design.found, ()).snapshots:
            return ""
        if not named:
            return " AWS names no other zone that has one just now."
        return (
            " Or begin anew with the newest snapshot where there is one, with all files:\n"
            f"    clusterous snapshot restore newest --cluster {self.design.who.name}"
            f" --zone {named[0]}"
        )

    def check_unchanged(self) -> None:
        """Refuse a plan that was drawn before another create or destroy did something."""
        before = _things(self.design.found)
        after = _things(inventory.take(self.cloud, self.design.who))
        went = {id for kind, id in before - after if kind != MACHINES.name}  # machines may die
        if went or after - before:
            raise lock.changed(self.design.who)

    def execute(self) -> Outcome:
        """Carry out the steps."""
        steps = self.design.plan.steps
        return self._made(steps, {}, Parts(self.lines, steps))

    def _carry_out(self, steps: Sequence[Step], ids: Mapping[str, str], parts: Parts) -> Outcome:
        downloads = Downloads(self.lines, self.pauses)
        site = self.site(
            supply=lambda key: self.supply(key, downloads.tell),
            more=dict(self.design.config.tags),
            say=self.lines.set,
        )
        executor = Executor(
            act=acting(site), pauses=self.pauses, lookup=self.lookup, tell=parts.tell,
            remind=self.lines.remind, idle=self.meanwhile(),
        )  # fmt: skip
        return executor.run(steps, ids)

    def lookup(self, step: Step) -> str | None:
        """Look whether what a step should make is there."""
        found = inventory.index(inventory.take(self.cloud, self.design.who)).found.get(step.key)
        if found is None or step.kind is MACHINES:
            return None  # machines are asked for with a token: to repeat the call is safe
        return found.id if found.ready else None

    def supply(self, key: str, tell: Progress) -> Any:
        """Return the content of an object: its bytes, or the path of a downloaded file."""
        blob = self.design.blobs[key]
        if blob.content is not None:
            return blob.content
        if key not in self.design.artifacts:
            (image,) = (one for one in self.design.own_images if one.blob.key == key)
            assert image.archive is not None
            return image.archive(partial(self.lines.set, IMAGE), tell)
        fetched = self.fetched or releases.fetched
        return fetched(self.design.artifacts[key], blob.sha256, tell)


def _full(outcome: Outcome) -> list[zones.Full]:
    """Return the steps that failed since their zone is full; none where another failed, too.

    What is off there can be started nowhere else.
    """
    full = [
        zones.Full(step=step, elsewhere=error.elsewhere)
        for step, error in outcome.failed
        if isinstance(error, errors.NoCapacity) and OFF not in step.drift
    ]
    return full if len(full) == len(outcome.failed) else []


def _things(found: Sequence[Found]) -> set[tuple[str, str]]:
    return {(one.kind.name, id) for one in left(found) if one.kind is not BUCKET
            for id in one.id.split()}  # fmt: skip


def with_image(design: Design, lines: Lines, pauses: wait.Pauses) -> Design:
    """Make our images, where they have to be made, and return the design with them."""
    downloads = Downloads(lines, pauses)
    whole = design.settled(partial(lines.set, IMAGE), downloads.tell)
    if whole is not design:
        lines.set(IMAGE, ", ".join(one.reference for one in whole.own_images), done=True)
    return whole


def acting(site: Site) -> Act:
    """Return what carries out a step, in the way of its kind."""

    def act(step: Step, ids: Mapping[str, str]) -> str:
        if step.action is Action.DELETE:
            assert step.found is not None
            assert step.kind.remove is not None
            with suppress(errors.NotFound):  # what is gone already counts as deleted
                step.kind.remove(site, step.found)
            return step.found.id
        assert step.resource is not None
        assert step.kind.make is not None
        return step.kind.make(site, step, settled(step.resource.value, ids))

    return act


def first_of(outcome: Outcome) -> ClusterousError:
    """Return the error that tells best why the steps failed."""
    ranked = sorted(outcome.failed, key=lambda pair: isinstance(pair[1], wait.Stopped))
    step, error = ranked[0]
    if isinstance(error, wait.Stopped):
        return wait.Stopped(
            f"Stopped; {spell.plural(len(outcome.skipped), 'step')} not begun, what was begun is"
            " finished."
        )
    others = [f"  also {other.key}: {why}" for other, why in ranked[1:3]]
    if isinstance(error, FailedError) and type(error) is not FailedError:
        return FailedError("\n".join([f"{step.key}: {error}", *others]))
    return error


@dataclass(frozen=True, slots=True, kw_only=True)
class Destroy:
    """Removes everything, then looks again."""

    cloud: Aws
    who: Identity
    lines: Lines
    pauses: wait.Pauses
    managed: bool = False  # also what AWS made by itself in the network
    keep: bool = False  # but not the shared volume
    keep_images: bool = False  # nor the images
    force: bool = False  # and the shared volume, also one that was taken by its id
    breaks: bool = False  # take the turn also from who is at work
    again: str = ""  # the command that goes on where something stays

    def run(self, found: Sequence[Found]) -> sweep.Seen:
        """Remove what was *found* and whatever shows itself later; raise if something stays.

        Return what the last look saw: what is kept on purpose, and what it could not see.
        """
        if not any(one.kind is BUCKET for one in found):
            return self.clear(found)  # no create goes on without one
        taken = lock.Lock(
            cloud=self.cloud, who=self.who, doing="a destroy", pauses=self.pauses,
            breaks=self.breaks,
        )  # fmt: skip
        with lock.held(taken, self.lines):
            return self.clear(found)

    def clear(self, found: Sequence[Found]) -> sweep.Seen:
        """Remove it, round for round, and look again."""
        reasons: dict[str, str] = {}
        networks: set[str] = set()
        found = claims.taken(self.site(), self.meant(found))
        doubtful = claims.doubtful(found)
        # What tells of a shared bucket is the record, which is soon gone.
        self.let_go([one for one in found if one.kind is images.SHARED])
        for _ in range(ROUNDS):
            foreign = strangers(found)
            seconds = SECONDS_WITH_FOREIGN if foreign else SECONDS
            outcome = self.execute(self.going(found), seconds)
            stopped = [e for _, e in outcome.failed if isinstance(e, wait.Stopped)]
            if stopped:
                raise first_of(outcome)
            reasons = {step.found.id: str(error) for step, error in outcome.failed if step.found}
            networks |= networks_of(found)
            found = self.meant(inventory.take(self.cloud, self.who, deep=True))
            stuck = any(step.kind is BALANCER for step, _ in outcome.failed)  # and what it holds
            if not left(self.going(found)) or strangers(found) or stuck:
                break
        self.spare(found)
        seen = sweep.look(self.cloud, self.who, networks)
        if self.force:
            seen = replace(seen, left=(*seen.left, *_untagged(found, seen)))
        more = claims.left(self.cloud, doubtful)
        seen = replace(seen, left=tuple(_explained([*seen.left, *more], found, reasons)))
        if seen.left:
            mine = {id for one in found for id in one.id.split()}
            again = self.again or f"clusterous destroy {self.who.name}"
            raise left_behind(seen, reasons, mine, again)
        return seen

    def meant(self, found: Sequence[Found]) -> Sequence[Found]:
        """Take for ours what the person wants to go with it."""
        found = adopted(found) if self.managed else found
        return given_up(found) if self.force else found

    def going(self, found: Sequence[Found]) -> Sequence[Found]:
        """Leave out what is kept."""
        return [one for one in found if not self.keeps(one)]

    def keeps(self, one: Found) -> bool:
        """Tell whether a thing is to outlast the cluster."""
        wish = self.keep_images if one.kind in images.KINDS else self.keep
        return wish and one.kind.keep is not None

    def spare(self, found: Sequence[Found]) -> None:
        """Let go of what is kept, also where other things stay: the next destroy may be told
        nothing of it, and would remove it. What is in use then goes on being the cluster's.
        """
        if not (self.keep or self.keep_images) or not left(self.going(found)):
            self.let_go(found)
            return
        used = {one.id for one in found if one.kind is ATTACHMENT}
        used |= {str(one.value.file_system) for one in found if one.kind is efs.MOUNT_TARGET}
        free = [one for one in found if self.keeps(one) and one.ours and one.id not in used]
        with suppress(ClusterousError):  # what stays is told by who looks afterwards
            volumes = [one for one in free if one.kind not in images.KINDS]
            if volumes and any(one.kind is BUCKET for one in found):
                # By it a later create would take what is kept for its own, which is lost.
                self.site().s3("delete_object", Key=NOTED)
            self.let_go(free)

    def site(self) -> Site:
        """Return where things are removed."""
        return Site(cloud=self.cloud, who=self.who, pauses=self.pauses)

    def let_go(self, found: Sequence[Found]) -> None:
        """Make what is kept nobody's: no other destroy takes it for this cluster's."""
        site = self.site()
        for one in found:
            if self.keeps(one) and one.ours and one.kind.keep:
                one.kind.keep(site, one)
                self.lines.set(one.kind.part, f"{one.id} is kept", done=True)

    def execute(self, found: Sequence[Found], seconds: float) -> Outcome:
        """Delete everything of ours among *found*."""
        steps = planner.removal(deletable(found))
        parts = Parts(self.lines, steps)
        executor = Executor(
            act=acting(self.site()), pauses=self.pauses, tell=parts.tell,
            remind=self.lines.remind, seconds=seconds, keep_going=True,
        )  # fmt: skip
        return executor.run(steps, {})


def managed(found: Sequence[Found]) -> list[Found]:
    """Return what AWS made by itself in the cluster's network."""
    return [one for one in found if one.managed]


def adopted(found: Sequence[Found]) -> Sequence[Found]:
    """Take what AWS made by itself for ours."""
    return [replace(one, ours=True) if one.managed else one for one in found]


# What was taken by its id is, once it may go, as the cluster's own.
OWNED: Final = {ebs.GIVEN: ebs.VOLUME, efs.GIVEN: efs.FILE_SYSTEM}


def given_up(found: Sequence[Found]) -> Sequence[Found]:
    """Take a shared volume that was there before for the cluster's own; never another cluster's."""
    return [
        replace(one, kind=OWNED[one.kind]) if one.kind in OWNED and not one.value.owner else one
        for one in found
    ]


def _untagged(found: Sequence[Found], seen: sweep.Seen) -> list[Left]:
    """Return the shared volume that should have gone and did not, of which no tag tells."""
    told = {one.id for one in seen.left}
    return [
        Left(kind=efs.FILE_SYSTEM.noun, id=one.id, ours=True, hourly=None)
        for one in found
        if one.kind in OWNED.values() and one.id not in told
    ]


def _explained(
    left: Iterable[Left], found: Sequence[Found], reasons: Mapping[str, str]
) -> Iterator[Left]:
    """Let the interface of a load balancer say whose that is, or why it would not go."""
    balancers = [one for one in found if one.kind is BALANCER]
    for thing in left:
        its = [one for one in balancers if thing.says.endswith(f" {one.id}")]
        words = [reasons.get(one.id) or one.value.says for one in its]
        yield replace(thing, says=": ".join([thing.says, *filter(None, words)]))


def deletable(found: Sequence[Found]) -> list[Found]:
    """Leave out what goes with its machine; what stays after all is found in the next round."""
    return [one for one in found if not one.busy]


def left(found: Sequence[Found]) -> list[Found]:
    """Return what is still there and was ours, or keeps ours from going."""
    return [one for one in found if one.kind.remove and one.kind is not RULES]


def strangers(found: Sequence[Found]) -> list[Found]:
    """Return what is in our network and not ours; what AWS made for ours goes with it."""
    mine = {id for one in found if one.ours for id in one.id.split()}
    foreign = [one for one in found if not one.ours and one.kind is not claims.CLAIM]
    return [one for one in foreign if not _made_for_ours(one, mine)]


def _made_for_ours(one: Found, mine: set[str]) -> bool:
    return isinstance(one.value, Interface) and one.value.made_for(mine)


def networks_of(found: Sequence[Found]) -> set[str]:
    """Return the ids of our networks."""
    return {one.id for one in found if one.kind is VPC and one.ours}


class Remains(LeftBehindError):
    """What destroy could not remove, also as values."""

    def __init__(self, message: str, seen: sweep.Seen) -> None:
        super().__init__(message)
        self.seen = seen


TAGGED: Final = (
    "bears the cluster's tags, but is not in its network, or not all of them: others may have"
    " given them, so it was not removed"
)


def left_behind(
    seen: sweep.Seen, reasons: Mapping[str, str], mine: Set[str], again: str
) -> Remains:
    """Tell what is left, why, what it costs, and what is kept; *again* goes on from there.

    *mine* is what is known to be ours.
    """
    remaining = tuple(
        replace(one, ours=False, says=TAGGED) if one.ours and one.id not in mine else one
        for one in seen.left
    )
    seen = replace(seen, left=remaining)
    lines = [f"  {one.kind} {one.id}{_why(one, reasons)}" for one in remaining]
    kept = [f"the {one.kind} {one.id} is kept" for one in seen.kept]
    count = spell.plural(len(remaining), "thing")
    return Remains(
        f"{count} would not go, and {sweep.price(remaining)}{' together' * (len(remaining) > 1)}:\n"
        + "\n".join([*lines, *(f"  {words}" for words in (*kept, *seen.unseen))])
        + f"\nRemove what is not ours, or what uses it, and run this again:\n  {again}",
        seen,
    )


def _why(one: Left, reasons: Mapping[str, str]) -> str:
    price = f", {one.hourly:.3f} $/h" if one.hourly else ""
    if one.says:
        return f"{price}: {one.says}"
    # A machine is asked to go together with its like, so its id is only a part.
    words = [reason for ids, reason in reasons.items() if one.id in ids.split()]
    return f"{price}: {words[0] if words else 'is still there'}"


@contextmanager
def accounted(cloud: Aws, who: Identity) -> Iterator[None]:
    """Let a create that fails say what it costs that something was made, and how that ends."""
    try:
        yield
    except (wait.Stopped, errors.Expired, lock.Busy):
        raise  # told by who knows the command that goes on, or what goes on is another's
    except ClusterousError as error:
        error.args = (f"{error}{_account(cloud, who)}",)
        raise


def _account(cloud: Aws, who: Identity) -> str:
    try:
        left = sweep.look(cloud, who, ()).left
    except ClusterousError:
        return ""  # the error itself is what counts
    if not left:
        return ""
    return (
        f"\n  What was made stays: {spelled(left)}, which {sweep.price(left)}. When it is mended,"
        f" create goes on from there; `clusterous destroy {who.name}` removes it."
    )


def spelled(left: Sequence[Left]) -> str:
    """Count things by what people call them: 1 network, 2 subnets."""
    counts: dict[str, int] = {}
    for one in left:
        counts[one.kind] = counts.get(one.kind, 0) + 1
    return ", ".join(spell.plural(count, kind) for kind, count in counts.items())


@contextmanager
def resumable(pauses: wait.Pauses, screen: Ui, lines: Lines, command: str) -> Iterator[None]:
    """Name *command* as what goes on from here, whether Ctrl-C or a login's end stops the work.

    The first Ctrl-C lets what was begun finish, the second stops at once.
    """

    def handle(signal_number: int, frame: FrameType | None) -> None:
        if pauses.stopped:
            screen.warn(f"\nStopped at once; the next `{command}` finds what was begun.")
            screen.leave()
            os._exit(130)
        pauses.stop()
        doing = ", ".join(lines.unfinished) or "what is under way"
        screen.warn(
            f"\nStopping: finishing the calls under way for {doing}.\nCtrl-C again stops at once."
        )

    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, handle) if main else None
    try:
        yield
    except wait.Stopped as error:
        raise wait.Stopped(f"{error} `{command}` goes on from here.") from error
    except errors.Expired as error:
        raise errors.Expired(
            "Your AWS credentials have expired. Nothing is lost: what was made stays. Log in again"
            f" (`aws sso login`), then `{command}` goes on from here."
        ) from error
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
