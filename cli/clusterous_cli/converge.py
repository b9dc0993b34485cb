"""`create` and `destroy` as a whole: plan, execute in parallel, wait, look again."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

from clusterous_api import names
from clusterous_api.errors import ClusterousError, FailedError, LeftBehindError
from clusterous_cli import apply, nodes, observe, planner, releases, remove, ui, wait
from clusterous_cli.aws import Aws
from clusterous_cli.design import Design
from clusterous_cli.executor import Executor, Outcome
from clusterous_cli.identity import Identity
from clusterous_cli.planner import Action, Found, Step
from clusterous_cli.record import Node
from clusterous_cli.resources import Kind, pool

ROUNDS: Final = 3
# With something foreign in the network, waiting for it to go is in vain.
SECONDS_WITH_FOREIGN: Final = 20.0
SECONDS: Final = 300.0


class Parts:
    """Turns steps that come and go into one line per part: network 12 of 18."""

    def __init__(self, lines: ui.Lines, steps: Sequence[Step], verb: str) -> None:
        self._lines = lines
        self._verb = verb
        self._lock = threading.Lock()
        self._left: dict[str, set[str]] = {}
        for step in steps:
            if step.action is not Action.KEEP:
                self._left.setdefault(step.part, set()).add(step.key)
        self._all = {part: len(keys) for part, keys in self._left.items()}

    def tell(self, step: Step, event: str) -> None:
        """Note that a step begun, is done or failed."""
        with self._lock:
            left = self._left.get(step.part, set())
            if event == "done":
                left.discard(step.key)
            done = self._all.get(step.part, 0) - len(left)
            if event == "failed":
                self._lines.set(step.part, f"{step.key} failed")
            elif left:
                self._lines.set(step.part, f"{self._verb} {done} of {self._all[step.part]}")
            elif event == "done":
                self._lines.set(step.part, f"{self._all[step.part]} done", done=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """Carries out a design."""

    cloud: Aws
    design: Design
    lines: ui.Lines
    pauses: wait.Pauses
    fetched: Callable[[releases.Artifact, str, releases.Progress], Any] | None = None

    def run(self, *, seconds: float = nodes.SECONDS) -> tuple[Node, ...]:
        """Make what is missing, then wait for the machines."""
        outcome = self.execute()
        if outcome.failed:
            raise first_of(outcome, "create")
        config = self.design.config
        roles = (names.ROLE_GATEWAY, names.ROLE_CONTROLLER, names.ROLE_WORKER)
        wanted = {role: pool(config, role).count for role in roles}
        return nodes.await_ready(
            self.cloud, self.design.who, wanted, self.lines, self.pauses, seconds=seconds
        )

    def execute(self) -> Outcome:
        """Carry out the steps."""
        steps = self.design.plan.steps
        parts = Parts(self.lines, steps, "making")
        builder = apply.Builder(self.cloud, self.design.who, self.pauses, self.supply)
        remover = remove.Remover(self.cloud, self.design.who, self.pauses)

        def act(step: Step, ids: Mapping[str, str]) -> str:
            chosen = remover.act if step.action is Action.DELETE else builder.act
            return chosen(step, ids)

        executor = Executor(act=act, pauses=self.pauses, lookup=self.lookup, tell=parts.tell)
        return executor.run(steps, {})

    def lookup(self, step: Step) -> str | None:
        """Look whether what a step should make is there."""
        found = observe.index(observe.survey(self.cloud, self.design.who)).found.get(step.key)
        if found is None or step.kind is Kind.MACHINES:
            return None  # machines are asked for with a token: to repeat the call is safe
        return None if found.facts.get("ready") is False else found.id

    def supply(self, key: str) -> Any:
        """Return the content of an object: its bytes, or the path of a downloaded file."""
        blob = self.design.blobs[key]
        if blob.content is not None:
            return blob.content
        fetched = self.fetched or releases.fetched
        return fetched(self.design.artifacts[key], blob.sha256, self.downloading)

    def downloading(self, name: str, have: int, total: int) -> None:
        """Show how far a download is."""
        if have < total:
            text = f"{ui.size(have)} of {ui.size(total)}" if self.lines.moving else "downloading"
            self.lines.set(f"↓ {name}", text)
        else:
            self.lines.set(f"↓ {name}", ui.size(total), done=True)


def first_of(outcome: Outcome, command: str) -> ClusterousError:
    """Return the error that tells best why the steps failed."""
    ranked = sorted(outcome.failed, key=lambda pair: isinstance(pair[1], wait.Stopped))
    step, error = ranked[0]
    if isinstance(error, wait.Stopped):
        return wait.Stopped(
            f"Stopped; {ui.plural(len(outcome.skipped), 'step')} not begun. What was begun is"
            f" finished: `clusterous {command}` goes on from here."
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
    lines: ui.Lines
    pauses: wait.Pauses

    def run(self, found: Sequence[Found]) -> None:
        """Remove what was *found* and whatever shows itself later; raise if something stays."""
        reasons: dict[str, str] = {}
        for _ in range(ROUNDS):
            foreign = strangers(found)
            outcome = self.execute(found, SECONDS_WITH_FOREIGN if foreign else SECONDS)
            stopped = [e for _, e in outcome.failed if isinstance(e, wait.Stopped)]
            if stopped:
                raise first_of(outcome, "destroy")
            reasons = {step.found.id: str(error) for step, error in outcome.failed if step.found}
            found = observe.survey(self.cloud, self.who, deep=True)
            if not left(found) or strangers(found):
                break
        if remaining := left(found):
            raise left_behind(remaining, strangers(found), reasons)

    def execute(self, found: Sequence[Found], seconds: float) -> Outcome:
        """Delete everything of ours among *found*."""
        steps = planner.removal(deletable(found))
        parts = Parts(self.lines, steps, "removing")
        remover = remove.Remover(self.cloud, self.who, self.pauses)
        executor = Executor(
            act=remover.act, pauses=self.pauses, tell=parts.tell, seconds=seconds, keep_going=True
        )
        return executor.run(steps, {})


def deletable(found: Sequence[Found]) -> list[Found]:
    """Leave out what goes with its machine; what stays after all is found in the next round."""
    return [one for one in found if not one.facts.get("busy")]


def left(found: Sequence[Found]) -> list[Found]:
    """Return what is still there and was ours, or keeps ours from going."""
    removable = [one for one in found if one.kind in planner.REMOVABLE]
    return [one for one in removable if one.kind is not Kind.RULES]


def strangers(found: Sequence[Found]) -> list[Found]:
    """Return what is in our network and not ours; what AWS made for ours goes with it."""
    mine = {id for one in found if one.ours for id in one.id.split()}
    return [one for one in found if not one.ours and not _made_for_ours(one, mine)]


def _made_for_ours(one: Found, mine: set[str]) -> bool:
    if one.kind is not Kind.INTERFACE:
        return False
    says = str(one.facts["says"])
    owners = (one.facts["instance"], *mine)
    return one.facts["instance"] in mine or any(owner and owner in says for owner in owners)


def left_behind(
    remaining: Sequence[Found], foreign: Sequence[Found], reasons: Mapping[str, str]
) -> LeftBehindError:
    """Tell what is left, why, and what to do."""
    lines = []
    for one in remaining:
        if one in foreign:
            says = f": {one.facts['says']}" if one.facts.get("says") else ""
            lines.append(f"  {one.kind} {one.id} in this network was not made by clusterous{says}")
        else:
            lines.append(f"  {one.kind} {one.id}  {reasons.get(one.id, 'is still there')}")
    count = ui.plural(len(remaining), "thing")
    return LeftBehindError(
        f"{count} would not go:\n" + "\n".join(lines) + "\nRemove what is not ours, or what uses"
        " it, and run destroy again."
    )


@contextmanager
def interruptible(pauses: wait.Pauses, tell: Callable[[str], None], command: str) -> Iterator[None]:
    """Let the first Ctrl-C finish what was begun, and the second stop at once."""

    def handle(signal_number: int, frame: FrameType | None) -> None:
        if pauses.stopped:
            os._exit(130)
        pauses.stop()
        tell(
            f"\nFinishing the calls that are under way; `clusterous {command}` goes on from here."
            " Ctrl-C again stops at once."
        )

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
