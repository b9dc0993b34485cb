"""The computation and the queue of its jobs: pure but for the clock, which is an argument."""

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One throw of *samples* points from the generator that *seed* starts."""

    id: int
    seed: int
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a job: how many of its points fell inside the quarter circle."""

    id: int
    samples: int
    hits: int
    worker: str


def throw(job: Job) -> int:
    """Count the points of *job* inside the quarter circle; the same job always gives the same."""
    uniform = random.Random(job.seed).random
    return sum(uniform() ** 2 + uniform() ** 2 <= 1.0 for _ in range(job.samples))


def split(count: int, samples: int, seed: int) -> list[Job]:
    """Cut the work into *count* jobs whose generators do not overlap."""
    return [Job(id=n, seed=seed * 1_000_003 + n, samples=samples) for n in range(count)]


def estimate(results: Iterable[Result]) -> tuple[float, float]:
    """Return pi and its standard error from *results* (a binomial proportion, times four)."""
    taken = list(results)
    samples = sum(result.samples for result in taken)
    share = sum(result.hits for result in taken) / samples
    return 4 * share, 4 * math.sqrt(share * (1 - share) / samples)


class Queue:
    """Jobs that wait, jobs that are out on a lease, and accepted results.

    A job whose lease ends is handed out again, so no worker's death loses work. Every
    *check_every*-th job is computed twice, by whoever asks, and accepted only when both agree.
    """

    def __init__(
        self, jobs: list[Job], *, clock: Callable[[], float], lease: float, check_every: int = 20
    ) -> None:
        self.jobs = {job.id: job for job in jobs}
        self.accepted: dict[int, Result] = {}
        self.refused = 0
        self.repeated = 0
        self._clock = clock
        self._lease = lease
        self._check_every = check_every
        self._ends: dict[int, float] = {}
        self._first_answer: dict[int, Result] = {}

    @property
    def is_done(self) -> bool:
        return len(self.accepted) == len(self.jobs)

    def claim(self) -> Job | None:
        """Hand out the first job that nobody works on; None while all that is left is out."""
        now = self._clock()
        for job in self.jobs.values():
            if job.id not in self.accepted and self._ends.get(job.id, 0.0) <= now:
                self.repeated += job.id in self._ends
                self._ends[job.id] = now + self._lease
                return job
        return None

    def give_back(self, result: Result) -> bool:
        """Take *result*; True when it completes its job. A repeated result changes nothing."""
        job = self.jobs.get(result.id)
        if job is None or result.samples != job.samples or not 0 <= result.hits <= job.samples:
            self.refused += 1
            return False
        if job.id in self.accepted:
            return False
        if job.id % self._check_every == 0 and not self._is_confirmed(result):
            self._ends.pop(job.id, None)
            return False
        self.accepted[job.id] = result
        return True

    def _is_confirmed(self, result: Result) -> bool:
        first = self._first_answer.pop(result.id, None)
        if first is not None and first.hits == result.hits:
            return True
        if first is None:
            self._first_answer[result.id] = result
        else:
            self.refused += 1
        return False
