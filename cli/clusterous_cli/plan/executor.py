"""Carries out steps: as many at once as their needs allow, repeated where time mends the error."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Final

from clusterous_api.errors import ClusterousError, NotBeforeError, TransientError
from clusterous_cli.aws import errors
from clusterous_cli.plan.kinds.kind import Action, Step
from clusterous_cli.system.wait import Pauses, Stopped

Act = Callable[[Step, Mapping[str, str]], str]
# Looks for what a step should make: it may be there although the answer to its call was lost.
Lookup = Callable[[Step], str | None]
Tell = Callable[[Step, str], None]

PARALLEL: Final = 24
SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of the steps; of *doubtful* ones AWS may have made the thing twice."""

    ids: Mapping[str, str]
    doubtful: tuple[Step, ...] = ()
    failed: tuple[tuple[Step, ClusterousError], ...] = ()
    skipped: tuple[Step, ...] = ()


@dataclass(slots=True, kw_only=True)
class Executor:
    """Runs a graph of steps in threads."""

    act: Act
    pauses: Pauses
    lookup: Lookup = lambda step: None
    tell: Tell = lambda step, event: None
    remind: Callable[[], None] = lambda: None
    idle: Callable[[], None] = lambda: None  # called while what was begun only waits
    seconds: float = SECONDS
    jitter: Callable[[], float] = random.random
    keep_going: bool = False
    _failed: list[tuple[Step, ClusterousError]] = field(default_factory=list)
    _doubtful: dict[str, Step] = field(default_factory=dict)
    _made: list[str] = field(default_factory=list)

    def run(self, steps: Sequence[Step], ids: Mapping[str, str]) -> Outcome:
        """Carry out *steps*; *ids* are those of what exists.

        After a failure, steps that need the failed one are skipped; unless *keep_going*, nothing
        new is begun at all, but what was begun is finished, so that its outcome is known.
        """
        known = dict(ids)
        by_key = {step.key: step for step in steps}
        graph = TopologicalSorter(
            {step.key: [need for need in step.needs if need in by_key] for step in steps}
        )
        graph.prepare()
        with ThreadPoolExecutor(max_workers=PARALLEL) as pool:
            running: dict[Future[str], Step] = {}
            try:
                self._drive(graph, by_key, known, pool, running)
            except BaseException:
                self.pauses.stop()
                raise
        done = {step.key for step in steps if step.key in known}
        failed = {step.key for step, _ in self._failed}
        skipped = tuple(s for s in steps if s.key not in done and s.key not in failed)
        doubtful = tuple(self._doubtful.values())
        return Outcome(ids=known, failed=tuple(self._failed), skipped=skipped, doubtful=doubtful)

    def _drive(
        self,
        graph: "TopologicalSorter[str]",
        by_key: Mapping[str, Step],
        known: dict[str, str],
        pool: ThreadPoolExecutor,
        running: dict[Future[str], Step],
    ) -> None:
        ready: list[str] = []
        behind = waiting(by_key.values())
        while True:
            ready = sorted([*ready, *graph.get_ready()], key=lambda key: -behind[key])
            while ready and len(running) < PARALLEL and (self.keep_going or not self._failed):
                step = by_key[ready.pop(0)]
                # A copy: the step must not see ids appear while it reads them.
                running[pool.submit(self._attempt, step, dict(known))] = step
            if not running:
                return
            self.remind()
            ended = wait(running, timeout=0.5, return_when=FIRST_COMPLETED).done
            if not ended:
                self.idle()
            for future in ended:
                step = running.pop(future)
                try:
                    known[step.key] = future.result()
                except ClusterousError as error:
                    self._failed.append((step, error))
                    self.tell(step, _ended(error))
                else:
                    if step.action is Action.CREATE:
                        self._made += known[step.key].split()
                    graph.done(step.key)

    def _attempt(self, step: Step, ids: Mapping[str, str]) -> str:
        if step.action is Action.KEEP:
            assert step.found is not None
            return step.found.id
        self.tell(step, "begun")
        deadline = self.pauses.clock() + self.seconds
        delay = 0.5
        while True:
            if self.pauses.stopped:
                raise Stopped("Stopped.")
            try:
                done = self._acted(step, ids)
            except (TransientError, errors.AlreadyExists) as error:
                if isinstance(error, errors.Unclear) and step.kind.duplicated:
                    self._doubtful[step.key] = step
                there = self._there(step, error)
                if there is None and self._hopeless(error, deadline, delay):
                    raise
                if there is not None:
                    done = there
                else:
                    self.pauses.sleep(delay * (1 + 0.3 * self.jitter()))
                    delay = min(delay * 1.6, 8.0)
                    continue
            self.tell(step, "done")
            return done

    def _acted(self, step: Step, ids: Mapping[str, str]) -> str:
        """Do *step*; AWS may not know everywhere yet what this run made a moment ago.

        https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html
        """
        try:
            return self.act(step, ids)
        except errors.NotFound as error:
            if any(id in str(error) for id in self._made):
                raise errors.NotYet(str(error), code=error.code) from error
            raise

    def _there(self, step: Step, error: ClusterousError) -> str | None:
        if step.action is Action.CREATE and isinstance(
            error, errors.Unclear | errors.AlreadyExists
        ):
            return self.lookup(step)
        return None

    def _hopeless(self, error: ClusterousError, deadline: float, delay: float) -> bool:
        if isinstance(error, errors.NoCapacity | errors.AlreadyExists | NotBeforeError):
            return True
        # A wrong region or no network shows at once; half a minute is enough for a hiccup.
        spare = self.seconds - 30 if isinstance(error, errors.Unreachable) else 0
        return self.pauses.clock() + delay > deadline - spare


def waiting(steps: Iterable[Step]) -> dict[str, int]:
    """Return how long a row of steps waits for each: what others wait for is begun first."""
    needs = {step.key: step.needs for step in steps}
    behind = dict.fromkeys(needs, 0)
    graph = {key: [need for need in every if need in needs] for key, every in needs.items()}
    for key in reversed([*TopologicalSorter(graph).static_order()]):
        for need in graph[key]:
            behind[need] = max(behind[need], behind[key] + 1)
    return behind


def _ended(error: ClusterousError) -> str:
    match error:
        case Stopped():
            return "stopped"
        case errors.NoCapacity():
            return "full"
    return "failed"
